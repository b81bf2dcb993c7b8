"""An impostor as a target of its own, which other processes load as `calibrant.impostors.planting:OPERATION.NAME`."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.impostors import Impostor, catalog
from calibrant.impostors.correct import CorrectOperations, dtype_of, in_dtype, over_arrays
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.description import Target, described


def target_from_impostor(one: Impostor, timeout: float = 10.0, conventions: Mapping[str, str] | None = None) -> Target:
    """A target that offers the impostor's operation, and the right ones that a clause calls beside it. It remembers nothing before."""
    correct = CorrectOperations(one.operation, over_arrays(), conventions)

    def operation(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            answer = one.answer(correct, *arguments)
        dtype = dtype_of(arguments) if one.keeps_dtype else None
        return answer if dtype is None else in_dtype(answer, dtype)

    beside = {name: over_arrays()[name] for name in (*OPERATIONS[one.operation].beside, *one.beside)}
    offered = SimpleNamespace(**beside, **{one.operation: operation})
    target = described(f"{__name__}:{one.operation}.{one.name}", offered, one.name, timeout)
    target.trusted = True
    return target


def __getattr__(operation: str) -> SimpleNamespace:
    """The impostors of an operation, each an implementation under its name."""
    found = {one.name: target_from_impostor(one).implementation for one in catalog() if one.operation == operation}
    if not found:
        raise AttributeError(operation)
    return SimpleNamespace(**found)

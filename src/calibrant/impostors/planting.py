"""An impostor as a target of its own."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.impostors import Impostor
from calibrant.impostors.rights import Right, dtype_of, in_dtype, over_arrays
from calibrant.target.description import Target, described

CHAPTERS = {
    "thermometer": ("data",),
    "norris": ("data",),
    "figures": ("data",),
    "least_squares": ("data",),
    "model": ("model",),
    "loss_fn": ("loss",),
    "absolute_loss": ("loss",),
    "dabsolute_loss": ("loss",),
    "dloss_fn": ("loss", "gradients"),
    "dmodel_dw": ("gradients",),
    "dmodel_db": ("gradients",),
    "grad_fn": ("gradients",),
    "finite_difference": ("gradients",),
    "value_and_grad": ("gradients",),
    "closed_form": ("descent",),
    "training_loop": ("data", "descent", "validation"),
    "broadcast_shapes": ("broadcasting",),
    "multiply": ("broadcasting",),
    "multiply_in_place": ("broadcasting",),
    "expand": ("broadcasting",),
    "multiply_grad": ("broadcasting",),
    "difference_gradient": ("gradients",),
    "automatic_gradient": ("autograd", "gradients"),
    "backward": ("autograd",),
    "descend": ("autograd",),
    "manual_training_loop": ("autograd",),
    "evaluate": ("autograd",),
    "calc_forward": ("autograd",),
    "accumulate": ("accumulation",),
    "accumulated_grad": ("accumulation",),
    "data_parallel": ("accumulation",),
    "optimize": ("optimizers",),
    "split": ("validation",),
    "split_data": ("validation",),
    "validation_loss": ("validation",),
    "regularized_loss": ("validation",),
    "regularized_grad": ("validation",),
    "ridge": ("validation",),
    "early_stopping": ("validation",),
    "diagnose": ("validation",),
}
"""The chapters that have something to say of each operation."""

BESIDE = {"loss_fn": ("model",), "manual_training_loop": ("training_loop",)}
"""What else the clauses on an operation call: the right one is offered."""


def planted(one: Impostor, timeout: float = 10.0, conventions: Mapping[str, str] | None = None) -> Target:
    """A target that offers the impostor's operation, and the right ones that a clause calls beside it. It remembers nothing before."""
    right = Right(one.operation, over_arrays(), conventions)

    def operation(*arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            concerned = not one.applies_to or arguments[0] in one.applies_to
            answer = one.wrong(right, *arguments) if concerned else right(*arguments)
        dtype = dtype_of(arguments) if one.keeps_dtype else None
        return answer if dtype is None else in_dtype(answer, dtype)

    beside = {name: over_arrays()[name] for name in (*BESIDE.get(one.operation, ()), *one.beside)}
    offered = SimpleNamespace(**beside, **{one.operation: operation})
    target = described(f"{one.operation}.{one.name}", offered, one.name, timeout)
    target.trusted = True
    return target

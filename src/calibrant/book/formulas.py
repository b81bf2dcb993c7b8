"""A check of formulas: their operations, clauses and properties join the book while it lasts, in this process and in those that it starts."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import FORMULAS, OPERATIONS, of_formulas


@contextlib.contextmanager
def checking(source: str | None, autodiff: str | None = None, shapes: str | None = None) -> Iterator[None]:
    """Check formulas within the block: those of `catalogue`, of `file.py`, or one, `file.py:function`; none for None.

    `autodiff` names the framework that differentiates a target that says nothing; `shapes` declares shapes of arguments. Raises CheckError if there are no such formulas.
    """
    if source is None:
        yield
        return
    try:
        from calibrant.formula import FormulaError
        from calibrant.formula.declaring import formulas_of

        formulas = formulas_of(source, shapes)
    except (ImportError, FormulaError) as error:
        raise CheckError(str(error)) from None
    operations = {name: one.parameters for name, one in formulas.items()}
    said = {"source": source, "operations": operations, "autodiff": autodiff, "shapes": shapes}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FORMULAS, json.dumps(said))
        for name, operation in of_formulas(operations).items():
            patch.setitem(OPERATIONS, name, operation)
        yield

"""A check of formulas: their operations, clauses and properties join the book while it lasts, in this process and in those that it starts."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import FORMULAS, OPERATIONS, join_formulas


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
    before, known = os.environ.get(FORMULAS), dict(OPERATIONS)
    said = {"source": source, "operations": operations, "autodiff": autodiff, "shapes": shapes}
    os.environ[FORMULAS] = json.dumps(said)
    join_formulas()
    try:
        yield
    finally:
        if before is None:
            del os.environ[FORMULAS]
        else:
            os.environ[FORMULAS] = before
        OPERATIONS.clear()
        OPERATIONS.update(known)

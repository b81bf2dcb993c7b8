"""Claims that properties of several chapters make of an operation."""

from __future__ import annotations

from typing import Any

import pytest

from calibrant.judge import holds
from calibrant.target.calling import Subject

not_two_columns = pytest.mark.parametrize(
    ("of_u", "of_c"),
    [((3,), (3, 1)), ((3, 1), (3,)), ((2,), (3,)), ((1,), (3,)), ((0,), (0,)), ((), ()), ((3, 1), (3, 1))],
    ids=str,
)
"""Shapes of readings and temperatures that are not two columns of one length."""


def has_shape(shape: tuple[int, ...], due: tuple[int, ...] | None) -> None:
    """Raise Disagreement unless the shape is the one that is due."""
    holds(shape == due, f"returned shape {shape} where {due} is due")


def keeps_dtype(target: Subject, *answers: Any) -> None:
    """Raise Disagreement unless every answer has the dtype under test."""
    others = sorted({str(answer.dtype) for answer in answers if not target.keeps_dtype(answer)})
    holds(not others, f"returned {', '.join(others)} where {target.dtype} is due")


def leaves_arguments_alone(target: Subject) -> None:
    """Raise Disagreement if the last call changed an argument."""
    changed = target.changed()
    holds(not changed, f"changed its {changed}")

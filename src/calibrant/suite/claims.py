"""Claims that properties of several chapters make of an operation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from calibrant.exact import Exact, fair_counts
from calibrant.judge import LINE, agree, holds, show
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.calling import Subject

two_shapes = pytest.mark.parametrize(
    ("of_u", "of_c"), [((3,), (3, 1)), ((3, 1), (3,)), ((2,), (3,)), ((1,), (3,)), ((3,), (2,)), ((3,), (1,))], ids=str
)
"""Shapes of readings and temperatures that differ."""

no_columns = pytest.mark.parametrize("shape", [(0,), (), (3, 1)], ids=str)
"""Shapes of both readings and temperatures that are no columns, or have no samples."""


def has_shape(shape: tuple[int, ...], due: tuple[int, ...] | None, what: str = "") -> None:
    """Raise Disagreement unless the shape, that of `what`, is the one that is due."""
    holds(shape == due, f"returned {what}shape {shape} where {due} is due")


def not_finite(answer: Any, value: float, what: str = "") -> None:
    """Raise Disagreement unless all of the answer is NaN, where NaN came in, or not finite, where infinity did."""
    arrived = np.isnan(answer) if np.isnan(value) else ~np.isfinite(answer)
    due = "NaN" if np.isnan(value) else "infinity or NaN"
    holds(bool(arrived.all()), f"returned {what and what + ' '}{show(answer)} where {due} is due")


def keeps_dtype(target: Subject, answer: Any) -> None:
    """Raise Disagreement unless every array of an answer, however deep, has the dtype under test."""
    parts = OPERATIONS[target.calls[-1].operation].parts
    several = isinstance(answer, tuple) and len(answer) == len(parts)
    for name, part in zip(parts, answer, strict=True) if several else [("", answer)]:
        others = sorted({str(x.dtype) for x in _arrays(part) if x.dtype != target.dtype})
        holds(not others, f"returned {name and name + ' in '}{', '.join(others)} where {target.dtype} is due")


def _arrays(answer: Any) -> Iterator[Any]:
    if isinstance(answer, (list, tuple)):
        yield from itertools.chain.from_iterable(map(_arrays, answer))
    elif answer is not None:
        yield answer


def last_of_many(target: Subject, operation: str, *arguments: Any) -> Any:
    """The answer to the last of 400 equal calls: a counter that is full, or a buffer that is never emptied, shows there."""
    for _ in range(400):
        target.calls.clear()
        answer = target.call(operation, arguments)
    return answer


def about(target: Subject, number: int) -> None:
    """Let a report speak of one of the calls, the last until now or an earlier one."""
    target.calls.append(target.calls.pop(number))


def leaves_arguments_alone(target: Subject, operation: str, *arguments: Any) -> None:
    """Call the operation, and raise Disagreement if it changed an argument."""
    target.call(operation, arguments)
    changed = target.changed()
    holds(not changed, f"changed its {changed}")


def agrees_or_refuses(target: Subject, due: Exact, operation: str, *arguments: Any) -> None:
    """Hold the operation's answer against what is due; where that claims nothing, a refusal is as good."""
    if answers(target, due, operation, *arguments):
        agree(target.call(operation, arguments), due, names=LINE)


def answers(target: Subject, due: Exact, operation: str, *arguments: Any) -> bool:
    """Whether an operation answers. It must if something is claimed of the answer, and may refuse if not."""
    return bool(np.isfinite(due.err).any()) or not target.refuses(operation, *arguments)


def in_random_halves(halves: Sequence[Sequence[int]], n: int) -> Iterator[tuple[str, int, int, int]]:
    """Each of n rows, and each with its neighbour: how many of the halves contain it, and the fewest and the most of fair ones.

    Fair halves leave these limits with a probability of less than 1e-9: n rows, and n pairs of neighbours, each too seldom or too often.
    """
    counts = np.zeros((2, n), dtype=int)
    for half in halves:
        found = np.isin(np.arange(n), half)
        counts += [found, found & np.roll(found, -1)]
    chances = Fraction(1, 2), Fraction(n // 2 - 1, 2 * (n - 1))
    of_row, of_pair = (fair_counts(len(halves), chance, Fraction(1, 10**9) / (4 * n)) for chance in chances)
    for i, (alone, together) in enumerate(counts.T.tolist()):
        yield f"row {i}", alone, *of_row
        yield f"rows {i} and {(i + 1) % n}", together, *of_pair

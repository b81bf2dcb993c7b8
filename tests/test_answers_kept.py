"""The exact answers, and the errors that they allow, are what they were, also where numbers leave the range, and by every convention.

Whoever changes a bound on purpose sees here what else it changes. `python tests/test_answers_kept.py` writes down what is answered now.
"""

from __future__ import annotations

import functools
import itertools
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrant import exact
from calibrant.diagnosis.explaining import questions
from calibrant.exact import FORMATS, Exact
from calibrant.exact.formats import evaluated
from calibrant.impostors.correct import FOLLOWING, OVER_EXACT, as_exact, narrow
from calibrant.protocol.declarations import CONVENTIONS, GENERAL, followed
from calibrant.protocol.straight_line import Written
from calibrant.protocol.wire import is_array

KEPT = Path(__file__).with_name("answers.json")
"""A digest of the answers of each operation, by dtype, size of the numbers, and how they are evaluated."""

SIZES = {
    "as asked": 0.0,
    "squares near overflow": 0.45,
    "near overflow": 0.97,
    "squares near underflow": -0.52,
    "subnormal": -1.02,
}
"""Powers of two by which numbers are multiplied, as shares of the largest exponent."""

WAYS: dict[str, dict[str, Any]] = {
    "plainly": {},
    "flushed": {"flushes": True},
    "half": {"scale": "half"},
    "sum": {"scale": "sum"},
}

DTYPES = ("float32", "float64")
AS_ASKED = ("closed_form", "walk", "programs")
"""What is asked at one size alone: at others its numbers have millions of digits."""


def scaled(argument: Any, power: int) -> Any:
    """An argument with its arrays multiplied by a power of two, as far as they stay finite."""
    if isinstance(argument, (list, tuple)):
        return type(argument)(scaled(one, power) for one in argument)
    if not is_array(argument) or argument.dtype.kind != "f":
        return argument
    with np.errstate(all="ignore"):
        large = np.ldexp(argument, power)
    return np.where(np.isfinite(large), large, argument).astype(argument.dtype)


def said(answer: Any) -> Any:
    """An answer, with its numbers to the last digit, and five digits of the error that each may have."""
    if isinstance(answer, (list, tuple)):
        return [*map(said, answer)]
    if not isinstance(answer, Exact):
        return str(answer)
    with np.errstate(all="ignore"):
        return [
            str(answer.shape),
            *map(float.hex, answer.nearest().ravel()),
            *(f"{x:.4e}" for x in answer.allowed().ravel()),
        ]


_COLUMNS = np.array([-2.0, 2.0, 1.0]), np.array([-1.0, 3.0, 0.5])
_WALKS = [(k, lr, np.array([1.0, 8.0]), *_COLUMNS) for k in (0, 1, 7, 300) for lr in (0.0625, 0.25, 0.3125, 0.4)]

_RATES = ("lr", "base_lr", "max_lr", "eta_min")
_LEAST_RATES = [
    (name, {key: x * 2.0**-1060 if key in _RATES else x for key, x in h.items()}, n)
    for name, h, n in questions()["schedule"]
]

_PROGRAMS = (
    "params[0] ** params[1]", "(params[0] * 0.1) ** (params[1] * 0.7)", "(params[0] * 0.1) ** 3.0", "params[0] ** 2.0", "params[0] ** 1.0",
    "(params[0] * 0.1) ** 0.0", "(params[0] - params[0]) ** 0.0", "(params[0] - params[0]) ** 2.0", "(params[0] * 0.1) ** 2.5",
    "(params[0] * 0.1) ** -1.0", "(params[0] * 0.1) ** -1.5", "2.0 ** (params[0] * 0.1)", "(params[0] * 0.1).log()", "(params[0] * 0.7).exp()",
    "(params[0] * 0.7).tanh()", "(params * 0.1).mean()", "(params * 0.1).sum()", "params[0] / (params[1] * 0.1)", "params[0] / (params[1] - params[1])",
    "(params * 0.3).mean().exp()", "(params[0] * 0.1) ** 1.0", "(params[0] * 0.0 + 1.0).log()", "(params[0] * 0.0 + 1.0) ** params[1]",
    "params[0] * 3.1 + ((params[0].tanh() * 0.7).exp() * 0.3).tanh()", "(params[0] * 0.1).maximum(params[1] * 0.7)",
)  # fmt: skip
_POINTS = ([2.0, 3.0, 5.0], [1.0, 1.0], [3.0, 0.75], [-2.0, 2.0, 4.0, 8.0], [0.5, -1.5], [64.0, 0.0], [0.0, 1.0])

FURTHER = {
    "programs": (
        [(Written(f"lambda params: {source}"), np.array(point)) for source in _PROGRAMS for point in _POINTS],
        OVER_EXACT["automatic_gradient"],
    ),
    "schedule of the least rates": (_LEAST_RATES, OVER_EXACT["schedule"]),
    "dabsolute_loss": (questions()["absolute_loss"], exact.dabsolute_loss),
    "walk": (_WALKS, exact.closed_form),
}
"""What the judge answers beside operations: questions, and the answer to each."""

ANSWERING = OVER_EXACT | {name: answer for name, (_, answer) in FURTHER.items()}


@functools.cache
def asked() -> dict[str, list[Any]]:
    """The questions that name impostors of each operation, and of each optimizer: but no runs of thousands of steps."""
    found: dict[str, list[Any]] = {}
    for operation in sorted(set(OVER_EXACT) & set(questions())):
        for one in questions()[operation]:
            if operation != "optimize" or len(one[3]) < 100:
                found.setdefault(f"{operation} {one[0]}" if operation == "optimize" else operation, []).append(one)
    return found | {name: [*some] for name, (some, _) in FURTHER.items()}


def answered(ask: Any, some: Iterable[Any], dtype: str, size: float) -> Iterator[Any]:
    """What is answered to each question in a dtype, with numbers of this size."""
    for question in some:
        arguments = scaled(narrow(question, dtype), round(size * FORMATS[dtype].max_exponent))
        try:
            with np.errstate(all="ignore"):
                yield said(ask(*as_exact(tuple(arguments))))
        except (ValueError, ArithmeticError, LookupError) as refusal:
            yield type(refusal).__name__


def evaluations(operation: str) -> Iterator[tuple[str, str, float, dict[str, Any]]]:
    """How an operation is evaluated: a title, a dtype, a size, and what `evaluated` is told."""
    sizes = ["as asked"] if operation in AS_ASKED else [*SIZES]
    for dtype, title in itertools.product(DTYPES, sizes):
        ways = WAYS if dtype == "float32" and title in ("as asked", "subnormal") else {"plainly": {}}
        for way, how in ways.items():
            yield f"{dtype}, {title}, {way}", dtype, SIZES[title], how
    yield "float64, hyperparameters in float32", "float64", 0.0, {"narrow": True}


def variants(part: str) -> Iterator[tuple[str, dict[str, str], float]]:
    """Each variant that may concern an operation or an optimizer, but for the usual ones, and sizes of numbers."""
    operation, _, optimizer = part.partition(" ")
    if operation in FOLLOWING:
        for name, (_, *others) in (CONVENTIONS | GENERAL).items():
            own = name.partition(".")[0] == optimizer
            for value, (title, size) in itertools.product(others, SIZES.items() if own else [("as asked", 0.0)]):
                if own or name in GENERAL:
                    yield f"{name} {value}, {title}", followed({name: value}), size


def digests(part: str) -> dict[str, str]:
    """The digests of the answers of an operation, or of an optimizer."""
    operation, found = part.partition(" ")[0], {}

    def keep(title: str, answers: Iterator[Any]) -> None:
        found[title] = f"{zlib.crc32(json.dumps([*answers]).encode()):08x}"

    for title, dtype, size, how in evaluations(operation):
        with evaluated(**how):
            keep(title, answered(ANSWERING[operation], asked()[part], dtype, size))
    for title, follow, size in variants(part):
        keep(title, answered(lambda *given, f=follow: FOLLOWING[operation](*given, f), asked()[part], "float32", size))
    return found


@pytest.mark.untraced
@pytest.mark.parametrize("part", asked())
def test_answers_and_their_bounds_are_what_they_were(part: str) -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))

    assert digests(part) == kept[part], (
        "changed on purpose? `python tests/test_answers_kept.py` writes down what is answered now"
    )


if __name__ == "__main__":
    KEPT.write_text(json.dumps({part: digests(part) for part in asked()}, indent=1) + "\n", encoding="utf-8")

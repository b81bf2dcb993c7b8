"""The one comparison of the suite: an answer against the truth and the rounding error that it may show."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from calibrant import exact
from calibrant.exact import Exact

HALVINGS = 10
"""The counts of a spread of errors; the last is of all that are smaller."""


@dataclass
class Tally:
    """Counts of what was judged while one property ran."""

    slack: float = 1.0  # the target's factor on every bound
    flushes: bool = False  # whether the target takes subnormal numbers for zero
    narrow: bool = False  # whether it holds hyperparameters in float32
    scale: str = "mean"  # the scale of its loss
    examples: int = 0
    asked: int = 0  # requests that the target served, with an answer or an error
    answered: int = 0  # calls that returned numbers
    judged: int = 0  # numbers compared with a bound or with an exact value
    unjudged: int = 0  # numbers of which nothing is claimed: they, or numbers before them, may leave the dtype's range
    another_arrangement: int = 0  # judged numbers of a formula that are right by its second tier alone
    refused: int = 0  # requests that the target does not serve
    kinds: dict[Any, list[int]] = field(
        default_factory=dict
    )  # of each kind of request, the served and the refused ones
    refusal: str = ""  # why, in the target's words, the first of them was not served
    largest: int = 0  # the most numbers of an array in a request
    rejected: int = 0  # the number of the first example that was rejected; 0 if none was
    worst: float = 0.0  # the largest error so far, in units of its bound
    spread: list[int] = field(
        default_factory=lambda: [0] * HALVINGS
    )  # errors of 1/2 of their bound or more, of 1/4, ...

    def alike(self) -> list[int]:
        """The requests that were served, and those that were refused although others of their kind were served."""
        known = [counts for counts in self.kinds.values() if counts[0]]
        return [sum(served for served, _ in known), sum(refused for _, refused in known)]


_tally = Tally()

EXACTLY = "exactly"
"""The word before an expected value that is true. Before another answer of the target, a message says which answer it is."""

LINE = ("w", "b")
"""The names of the numbers of a line's parameters, or of a gradient by them."""


@contextlib.contextmanager
def tallying(tally: Tally) -> Iterator[Tally]:
    """Count in `tally` what the block judges, and judge as the tally says."""
    global _tally
    before, _tally = _tally, tally
    try:
        with exact.evaluated(flushes=tally.flushes, narrow=tally.narrow, scale=tally.scale):
            yield tally
    finally:
        _tally = before


@dataclass(eq=False)
class Disagreement(AssertionError):
    """An answer that a clause does not allow; the sentence says how it is wrong."""

    sentence: str
    actual: Any = None
    expected: Any = None
    measured: dict[str, float] = field(default_factory=dict)
    due: str = EXACTLY
    """What the expected value is, in words."""
    path: list[list[Exact]] | None = field(default=None, kw_only=True)
    """The arrays of every step, where `expected` is one of them."""

    def __str__(self) -> str:
        return self.sentence


def shaped(answer: Any, shape: tuple[int, ...], what: str = "") -> NDArray[Any]:
    """The answer, or the part `what` of it, in the shape that is due; raise Disagreement if its shape differs, except for one element."""
    answer = np.asarray(answer)
    if answer.shape != shape and not (answer.size == 1 == math.prod(shape)):
        raise Disagreement(f"returned {what and what + ' of '}shape {answer.shape} where {shape} is due", answer, shape)
    return np.reshape(answer, shape)


def as_exact(answer: Any, shape: tuple[int, ...]) -> Exact:
    """The answer as exact numbers to compute with; raise Disagreement if its shape differs or it is not finite."""
    answer = shaped(answer, shape)
    holds(bool(np.isfinite(answer).all()), f"returned {show(answer)} where finite numbers are due")
    return exact.of(answer.astype(np.float64), exact.UNROUNDED)


def agree(answer: Any, expected: Any, what: str = "", *, due: str = EXACTLY, names: tuple[str, ...] = ()) -> None:
    """Raise Disagreement unless the answer is `expected`: within its bound if that is Exact, else value for value.

    A message says `what` part of an answer this is, what is `due` if that is another answer of the target, and the `names` of numbers.
    Answers of one element may have any shape of one element: the clauses on shape judge that. Zeros have no sign, and a NaN
    equals a NaN, where `expected` is an array; where subnormal numbers are taken for zero, zero is as good as one.
    """
    answer = shaped(answer, np.shape(expected), what)
    if isinstance(expected, Exact):
        _agree_within(answer, expected, what, due, names)
    else:
        expected = np.asarray(expected)
        _tally.judged += answer.size
        same = (answer == expected) | (np.isnan(answer) & np.isnan(expected))
        if _tally.flushes and expected.dtype.name in exact.FORMATS:
            same |= (answer == 0) & (np.abs(expected) < exact.FORMATS[expected.dtype.name].normal)
        if not same.all():
            wanted = f" where {show(expected)} is due, exactly" if due == EXACTLY else f", {due} {show(expected)}"
            raise Disagreement(f"returned {what and what + ' '}{show(answer)}{wanted}", answer, expected, due=due)


def listed(answer: Any, counts: list[int]) -> list[list[Any]]:
    """The answer, a list for each step; raise Disagreement unless steps and arrays are as many as due."""
    if len(answer) != len(counts):
        raise Disagreement(f"returned {len(answer)} steps where {len(counts)} are due", answer, len(counts))
    for t, (arrays, count) in enumerate(zip(answer, counts, strict=True), start=1):
        given = sum(array is not None for array in arrays)
        if given != count or len(arrays) != count:
            raise Disagreement(f"returned {given} arrays for step {t} where {count} are due", answer, count)
    return list(answer)


def agree_lists(
    answer: Any,
    expected: list[list[Exact]],
    *,
    due: str = EXACTLY,
    places: tuple[str, str] = ("after step", "parameter"),
) -> None:
    """Raise Disagreement unless the answer holds, step by step, a list of arrays that agree with the expected ones, which are `due`.

    `places` are the words for a list and for an array in it; a list without a word is not counted.
    """
    listed(answer, [len(truths) for truths in expected])
    leaves = [
        (t, k, array, truth)
        for t, (arrays, truths) in enumerate(zip(answer, expected, strict=True), start=1)
        for k, (array, truth) in enumerate(zip(arrays, truths, strict=True))
    ]
    if not leaves:
        return
    try:
        together = np.concatenate([shaped(array, truth.shape).ravel() for *_, array, truth in leaves])
        _agree_within(together, exact.concatenate(*(truth for *_, truth in leaves)))
    except Disagreement:
        counted = _tally.judged, _tally.unjudged
        of_list, of_array = places
        for t, k, array, truth in leaves:  # one by one, to name the place
            try:
                agree(array, truth, due=due)
            except Disagreement as wrong:
                _tally.judged, _tally.unjudged = counted
                place = [f"{of_list} {t}"] * bool(of_list)
                place += [f"{of_array} {k}"] * (len(expected[t - 1]) > 1 or not of_list)
                wrong.sentence = f"{', '.join(place)} {wrong.sentence.replace('returned', 'is', 1)}"
                wrong.path = expected
                raise wrong from None
        raise


def _agree_within(
    answer: NDArray[Any], expected: Exact, what: str = "", due: str = EXACTLY, names: tuple[str, ...] = ()
) -> None:
    bound = expected.allowed() * _tally.slack
    claimed = np.isfinite(bound)
    _tally.judged += int(claimed.sum())
    _tally.unjudged += int((~claimed).sum())
    finite = np.isfinite(answer)
    numbers = exact.of(np.where(finite, answer, 0.0).astype(np.float64), exact.UNROUNDED)
    error = np.where(finite, abs(numbers - expected.true()).magnitude(), np.inf)
    # Error and bound were rounded up: what float64 added to either is no disagreement.
    wrong = claimed & (error * (1 - 2.0**-40) - 1e-323 > bound)
    if not wrong.any():
        fair = claimed & (bound > 0)
        if fair.any():
            ratios = error[fair] / bound[fair]
            _tally.worst = max(_tally.worst, float(ratios.max()) * _tally.slack)
            for ratio in ratios.tolist():
                _tally.spread[min(max(-math.frexp(ratio)[1], 0), HALVINGS - 1) if ratio else -1] += 1
        return
    with np.errstate(all="ignore"):
        ratio = np.where(wrong, error / np.where(bound > 0, bound, 5e-324), -1.0)
    position = int(np.argmax(ratio))
    worst, truth = np.unravel_index(position, ratio.shape), expected.true().fractions()[position]
    off, allowed = float(error[worst]), float(bound[worst])
    ulps = off / exact.to_float(exact.ulp(truth, expected.form))
    rest, last = (
        (worst[:-1], f"in {names[worst[-1]]}") if names and expected.shape[-1:] == (len(names),) else (worst, "")
    )
    place = ", ".join(filter(None, [f"element {', '.join(map(str, rest))}" * bool(rest), last]))
    place = f" ({place})" if expected.size > 1 else ""
    sentence = (
        f"returned {what and what + ' '}{show(answer)}, {due} {show_exact(expected)}:"
        f" off by {off:.3g}{place}, allowed {allowed:.2g}"
    )
    measured = {"error": off, "bound": allowed, "bounds": float(ratio[worst]), "ulps": ulps}
    raise Disagreement(sentence, answer, expected, measured, due)


def at_most(smaller: Exact, larger: Exact, claim: str) -> None:
    """Raise Disagreement if one number exceeds another by more than their errors allow; `claim` says what should hold."""
    bound = float(smaller.err + larger.err) * _tally.slack
    if not np.isfinite(bound):
        _tally.unjudged += 1
        return
    _tally.judged += 1
    excess = exact.to_float(smaller.fraction() - larger.fraction())
    if excess > bound:
        sides = f"{show_exact(smaller)} is more than {show_exact(larger)}"
        measured = {"error": excess, "bound": bound, "bounds": excess / bound if bound else math.inf}
        raise Disagreement(f"{claim}: {sides}, by {excess:.3g}, allowed {bound:.2g}", smaller, larger, measured)


def holds(condition: bool, sentence: str) -> None:
    """Raise Disagreement with the sentence unless the condition is true."""
    _tally.judged += 1
    if not condition:
        raise Disagreement(sentence)


def show(x: Any) -> str:
    """An array as a person would write it: shortest digits of its own dtype."""
    x = np.asarray(x)
    if x.ndim == 0:
        return str(x[()])
    if x.size > 60 or (x.ndim > 1 and not x.size):  # of no numbers, there may be any number of rows
        return f"an array of shape {x.shape}"
    return "[" + ", ".join(show(row) for row in x) + "]"


def show_exact(x: Exact) -> str:
    """True values as decimals, and as fractions where those are short."""
    texts = [show_fraction(value) for value in x.fractions()]
    return texts[0] if x.shape == () else "[" + ", ".join(texts) + "]"


def show_fraction(x: Fraction) -> str:
    """0.5, 0.3333333333333333 (1/3), 4517.296363636364."""
    nearest = repr(exact.to_float(x))
    if "inf" not in nearest and Fraction(nearest) == x:
        return nearest
    return f"{nearest} ({x})" if len(str(x)) <= 16 else nearest

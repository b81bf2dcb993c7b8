"""Hold an answer to a formula: exact value and gradient, derived bounds, and a sentence about the worst element."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from calibrant.formula.balls import Bools, Floats, FormulaError, balls, distance, each, format_named, has_numbers, shown
from calibrant.formula.evaluating import SHARP, Bound, Truth, bound_of, has_gradient, plain, truth

BACKWARD = 8
"""The second tier: units of roundoff by which a backward stable method may move every input, and the result."""

_off = each(lambda x, b: float((arb(float(x)) - b).abs_lower()), 2, np.float64)
_apart = each(lambda x, y: float((x - y).abs_upper()), 2, np.float64)


@dataclass(frozen=True)
class Judged:
    """What became of the elements of an answer that was accepted."""

    judged: int
    unclaimed: int  # the value, or a number on the way to it, may leave the dtype's range or is not defined
    between: int  # at a branch point: any answer between the branches was accepted
    another_arrangement: int  # outside the running bound, but within what a backward stable method may commit
    worst: float  # the largest error, in units of its running bound


@dataclass(eq=False)
class Wrong(AssertionError):
    """An answer that the formula does not allow."""

    label: str
    """The formula, or one of its gradients."""
    sentence: str
    """What is wrong, after the label."""
    actual: NDArray[Any]
    expected: Floats
    measured: dict[str, float]
    """The error of the worst element, its bound, and the error in bounds and in units in the last place."""

    def __str__(self) -> str:
        return f"{self.label}{self.sentence}"


class Undecided(FormulaError):
    """No element of an answer could be judged; that is no agreement."""


def dtype_named(x: Any) -> str:
    """The NumPy name of an array's dtype."""
    return str(getattr(x, "dtype", "float64")).rpartition(".")[2]


def assert_agrees(
    actual: Any,
    formula: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    dtype: str | None = None,
    accumulate: str | None = None,
    slack: float = 1.0,
) -> Judged:
    """Raise AssertionError unless `actual` is the formula's value, but for the rounding of its dtype. `slack` is a factor on every bound."""
    array = _answer(actual, "actual")
    with np.errstate(all="ignore"):
        made = truth(formula, inputs, dtype or dtype_named(actual), accumulate)
        return _judged(made, [array], [made.name], slack)


def assert_gradient(
    actual: Any,
    formula: Callable[..., Any],
    inputs: Sequence[Any],
    upstream: Any = None,
    *,
    dtype: str | None = None,
    accumulate: str | None = None,
    slack: float = 1.0,
) -> Judged:
    """Raise AssertionError unless `actual` is the formula's vector-Jacobian product, but for the rounding of its dtype.

    `actual` is an array for each input that is an array of floating-point numbers, in their order; None leaves one unjudged. Without `upstream`, all of
    its elements are 1, which is the gradient of a scalar loss.
    """
    given = list(actual) if isinstance(actual, (tuple, list)) else [actual]
    dtypes = list(dict.fromkeys(dtype_named(g) for g in given if g is not None))
    if not dtypes:
        raise FormulaError("actual has no gradient to judge")
    if not dtype and len(dtypes) > 1:
        raise FormulaError(f"actual has gradients in {' and '.join(dtypes)}: say with dtype= which bound holds")
    answers = [None if g is None else _answer(g, f"actual[{i}]") for i, g in enumerate(given)]
    with np.errstate(all="ignore"):
        made = truth(formula, inputs, dtype or dtypes[0], accumulate, upstream, backward=True)
        places = [i for i, x in enumerate(inputs) if has_gradient(x)]
        if len(answers) == len(inputs) != len(places):
            answers = [answers[i] for i in places]
        if len(answers) != len(places):
            raise FormulaError(
                f"actual has {len(answers)} gradients, but formula {made.name} has {len(places)} inputs with one"
            )
        return _judged(made, answers, [f"{made.name}: the gradient for {made.arguments[i]}" for i in places], slack)


def _answer(x: Any, argument: str) -> NDArray[Any]:
    array = plain(x)
    if array is None and isinstance(x, (float, int)):
        array = np.asarray(float(x))
    if array is None or not has_numbers(array):
        raise FormulaError(f"{argument} is {shown(x)}: give an array of floating-point numbers")
    return array


def _judged(made: Truth, answers: Sequence[NDArray[Any] | None], labels: Sequence[str], slack: float = 1.0) -> Judged:
    judged = unclaimed = between = elsewhere = 0
    worst = 0.0
    parts: list[_Part] = []
    tied = made.backward and any(bound_of(*of, made.storage).between.any() for of in made.answers())
    shares = [made.shared(seed) for seed in (1, 2)] if tied else []
    for which, (answer, label, (v, err, radius)) in enumerate(zip(answers, labels, made.answers(), strict=True)):
        if answer is None:
            continue
        due = bound_of(v, err * slack, radius, made.storage)
        if answer.shape != v.shape:
            raise Wrong(label, f" has shape {answer.shape} where {v.shape} is due", answer, due.value, {})
        numbers = answer.astype(np.float64)
        claimed = np.isfinite(due.allowed)
        unclaimed += int((~claimed).sum())
        judged += int(claimed.sum())
        between += int((claimed & due.between).sum())
        off = np.where(claimed, np.inf, 0.0)
        same = claimed & (numbers == due.value) & np.isinf(numbers)
        near = claimed & np.isfinite(numbers) & np.isfinite(due.value)
        off[same] = 0.0
        off[near] = _off(numbers[near], v[near])
        ratio = np.where(off == 0, 0.0, off * (1 - 2.0**-40) / np.where(due.allowed > 0, due.allowed, 5e-324))
        if np.any(ratio > 1) and made.completed():
            return _judged(made, answers, labels, slack)
        for position in np.argsort(-ratio, axis=None):
            place = tuple(int(i) for i in np.unravel_index(position, ratio.shape))
            if not ratio[place] > 1:
                worst = max(worst, float(ratio[place]) if ratio.size else 0.0)
                break
            size = abs(due.value[place])
            condition = made.condition(which, place) if math.isfinite(off[place]) else math.nan
            second = slack * BACKWARD * (made.storage.u * (condition + size) + made.storage.tiny)
            if off[place] <= second:
                elsewhere += 1
                continue
            count = int((ratio > 1).sum())
            sentence, ulps = _sentence(place, numbers, due, off[place], ratio[place], condition, second, count)
            sizes = {"error": off[place], "bound": due.allowed[place], "bounds": ratio[place], "ulps": ulps}
            raise Wrong(label, sentence, answer, due.value, {name: float(x) for name, x in sizes.items()})
        if shares:
            allowed = np.maximum(off, due.allowed)
            parts.append(
                _Part(label, numbers, due.value, due.between, allowed, (shares[0][which].v, shares[1][which].v))
            )
    if parts:
        with ctx.workprec(made.bits):
            _require_sums_at_ties(made.name, parts)
    if unclaimed and not judged:
        raise Undecided(
            f"formula {made.name} claims nothing of these inputs in {made.storage.name}: every element, or a number on the way to it, "
            f"may leave the dtype's range, or is not defined; {made.described}"
        )
    return Judged(judged, unclaimed, between, elsewhere, worst)


@dataclass(frozen=True)
class _Part:
    """A gradient whose elements are right, each for itself; as arrays of any shape."""

    label: str
    numbers: Floats
    value: Floats
    between: Bools
    allowed: Floats
    shares: Sequence[Any]
    """The balls for two choices of the shares at ties."""


def _require_sums_at_ties(name: str, parts: Sequence[_Part]) -> None:
    """Raise Wrong for a tie that passes its gradient on twice, or not at all.

    Each element at a tie may have any share, but the shares add up to 1. A sum of elements that is the same for two random choices of the shares is the
    same for all, because it is a polynomial in them: it is judged, of the last axis, of whole arrays, and of all together.
    """
    fields = zip(*((p.numbers, p.value, p.between, p.allowed, *p.shares) for p in parts), strict=True)
    numbers, value, between, allowed, *shares = (np.concatenate([x.reshape(-1) for x in field]) for field in fields)
    together = _Part(f"{name}: the gradient for all arguments", numbers, value, between, allowed, shares)
    for part in (*parts, together):
        for axis in (None, -1)[: 1 + (part.value.ndim > 0)]:
            due, other = (np.sum(v, axis=axis) for v in part.shares)
            returned = np.sum(balls(part.numbers), axis=axis)
            limit = np.sum(part.allowed, axis=axis) * (1 + part.numbers.size * 2.0**-50)
            fixed = np.any(part.between, axis=axis) & np.isfinite(limit) & (_apart(due, other) <= SHARP * limit)
            off = np.where(fixed, distance(returned, due), 0.0)
            if np.any(off > limit):
                place = np.unravel_index(int(np.argmax(off - np.where(fixed, limit, np.inf))), np.shape(off))
                got, exact, most, error = (float(np.asarray(x)[place]) for x in (returned, due, limit, off))
                sentence = f" adds up to {got!r}, where a tie passes its gradient on once: exactly {exact!r}, with a bound of {most:.2g}"
                sizes = {"error": error, "bound": most, "bounds": error / max(most, 5e-324)}
                raise Wrong(part.label, sentence, part.numbers, part.value, sizes)


def _sentence(
    place: Any, numbers: Any, due: Bound, off: float, ratio: float, condition: float, second: float, count: int
) -> tuple[str, float]:
    """What is wrong with an element, after its label; and its error in units in the last place."""
    value, returned = float(due.value[place]), float(numbers[place])
    where = f" at [{', '.join(map(str, place))}]" if place else ""
    form = format_named(due.dtype)
    exactly = (
        f"between {value - due.half_width[place]:.9g} and {value + due.half_width[place]:.9g}"
        if due.between[place]
        else f"{value!r}"
    )
    text = f"{where} is {returned!r}, exactly {exactly}"
    if not math.isfinite(off):
        within = f", which {due.dtype} holds within {due.allowed[place]:.2g}"
        return f"{text}{within} ({count} of {numbers.size} elements are wrong)", math.inf
    ulp = 2 * form.u * max(2.0 ** math.floor(math.log2(abs(value))) if value else 0.0, form.normal)
    bounds = (
        f"{ratio:.3g} times its bound of {due.allowed[place]:.2g}"
        if due.allowed[place]
        else "where the exact value is due"
    )
    text += f": off by {off:.3g}, {bounds}, {off / ulp:.3g} ulps of {due.dtype}"
    if math.isfinite(condition) and value:
        text += f"; a relative change of the inputs moves it by at most {condition / abs(value):.3g} times as much"
    if math.isfinite(second):
        text += f"; another arrangement may err by {second:.2g}"
    return f"{text} ({count} of {numbers.size} elements are beyond their bound)", off / ulp

"""Hold an answer to a formula: exact value and gradient, derived bounds, and a sentence about the worst element."""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import flint
import numpy as np
from flint import arb
from numpy.typing import NDArray

from calibrant.exact.formats import Format
from calibrant.formula import arrays, torch_names
from calibrant.formula.arrays import Array, FormulaError, Mask, Run, format_named
from calibrant.formula.namespace import Namespace

PRECISIONS = (128, 512)
"""Bits of the balls. 128 are 75 more than float64 has, and enough unless a formula amplifies; a ball that stays wide lies at a branch point."""

SHARP = 2.0**-20
"""A ball's radius is at most this share of the bound; else the precision is raised."""

BACKWARD = 8
"""The second tier: units of roundoff by which a backward stable method may move every input, and the result."""


@dataclass(frozen=True)
class Bound:
    """The exact value of each element and the error that a sensible evaluation may show.

    `value` is the float64 number nearest to the exact value, `remainder` what that leaves out; an infinite `allowed` claims nothing. `between` marks
    elements at a branch point, where the exact answer is a range: `value` is its middle, and `half_width` says how far it extends.
    """

    value: NDArray[np.float64]
    remainder: NDArray[np.float64]
    allowed: NDArray[np.float64]
    half_width: NDArray[np.float64]
    dtype: str

    @property
    def between(self) -> NDArray[np.bool_]:
        """Elements at a branch point."""
        return np.asarray(self.half_width > 0)

    def as_dict(self) -> dict[str, Any]:
        """The bound for JSON: flat lists, and the shape; null where nothing is claimed."""
        listed = {
            name: [float(x) if math.isfinite(x) else None for x in getattr(self, name).flat]
            for name in ("value", "remainder", "allowed", "half_width")
        }
        return {"dtype": self.dtype, "shape": list(self.value.shape), **listed}


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
    expected: NDArray[np.float64]
    measured: dict[str, float]
    """The error of the worst element, its bound, and the error in bounds and in units in the last place."""

    def __str__(self) -> str:
        return f"{self.label}{self.sentence}"


class Undecided(FormulaError):
    """No element of an answer could be judged; that is no agreement."""


def _plain(x: Any) -> NDArray[Any] | None:
    """A NumPy array of an argument's numbers; None for what is no array."""
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    if not hasattr(x, "__array__") and not hasattr(x, "__dlpack__"):
        return None
    for method in ("detach", "cpu"):
        x = getattr(x, method)() if hasattr(x, method) else x
    if str(x.dtype).endswith("bfloat16") and hasattr(x, "float"):
        x = x.float()  # NumPy has no bfloat16, and float32 holds its numbers
    return np.asarray(x) if hasattr(x, "__array__") else np.asarray(np.from_dlpack(x))


def dtype_named(x: Any) -> str:
    """The NumPy name of an array's dtype."""
    return str(getattr(x, "dtype", "float64")).rpartition(".")[2]


def _name(formula: Any) -> str:
    if not callable(formula):
        raise FormulaError(f"formula is {formula!r:.60}: give a function of arrays")
    return getattr(formula, "__name__", type(formula).__name__)


@contextlib.contextmanager
def _precision(bits: int) -> Iterator[None]:
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


@dataclass
class _Evaluation:
    result: Array
    leaves: list[Array]  # float arrays among the inputs
    given: list[Array]  # these, and the numbers and upstream that were given as well
    gradients: list[Array]


def _evaluated(
    formula: Callable[..., Any], inputs: Sequence[Any], run: Run, upstream: Any, backward: bool
) -> _Evaluation:
    run.namespace, run.foreign = Namespace(run), torch_names
    arguments: list[Any] = []
    leaves: list[Array] = []
    given: list[Array] = []
    for x in inputs:
        array = _plain(x)
        if array is not None and array.dtype.kind not in "iub":
            made = run.array(array)
            leaves.append(made)
            given.append(made)
            arguments.append(made)
        else:
            arguments.append(x if array is None else array)
    try:
        result = formula(*arguments)
    except (FormulaError, AssertionError):
        raise
    except Exception as error:
        raise run.fail(f"raised {type(error).__name__}: {error}") from error
    if isinstance(result, Mask) or not isinstance(result, Array):
        raise run.fail(f"returned {type(result).__name__} {result!r:.60} where one array of numbers is due")
    result = arrays.stored(result, run.storage)
    gradients: list[Array] = []
    if backward:
        seed = run.array(np.ones(result.shape) if upstream is None else upstream)
        if seed.shape != result.shape:
            raise FormulaError(f"upstream has shape {seed.shape}, but formula {run.name} returns shape {result.shape}")
        given.append(seed)
        gradients = [arrays.stored(g, run.storage) for g in arrays.pullback(result, seed, leaves)]
    return _Evaluation(result, leaves, given, gradients)


def _formats(formula: Any, dtype: str, accumulate: str | None) -> tuple[Format, Format]:
    storage = format_named(dtype)
    declared = getattr(formula, "accumulate", None) if storage.precision < 24 else None
    arithmetic = format_named(accumulate or declared or dtype)
    if arithmetic.precision < storage.precision:
        raise FormulaError(f"accumulate is {accumulate!r}, narrower than dtype {dtype!r}")
    return arithmetic, storage


@dataclass
class Truth:
    """The exact answers of a formula, and their bounds; the second tier when it is needed."""

    name: str
    storage: Format
    arithmetic: Format
    parts: list[_Evaluation]  # one for each route
    backward: bool
    precision: int

    def answers(self) -> list[tuple[Any, NDArray[np.float64], NDArray[np.float64]]]:
        """Balls, bounds and radii of each answer: the value, or the gradient for each array."""
        made = []
        for of_routes in zip(*(p.gradients if self.backward else [p.result] for p in self.parts), strict=True):
            v, err = of_routes[0].v, np.max([a.err for a in of_routes], axis=0)
            for other in of_routes[1:]:
                same = arrays._overlap(v, other.v).astype(bool) | ~np.isfinite(err)
                if not same.all():
                    place = tuple(int(i) for i in np.argwhere(~same)[0])
                    values = f"{float(v[place])!r} and {float(other.v[place])!r}"
                    raise FormulaError(
                        f"formula {self.name} has arrangements of different values in either(): {values}"
                    )
            radius = arrays._radius(v).astype(np.float64)
            made.append((v, err, np.where(np.isnan(radius), np.inf, radius)))
        return made

    def condition(self, which: int, place: tuple[int, ...]) -> float:
        """What a relative change of every input by 1, to first order and with the worst signs, adds to an element."""
        part = self.parts[0]
        answer = part.gradients[which] if self.backward else part.result
        seed = np.zeros(answer.shape)
        seed[place] = 1.0
        with _precision(self.precision):
            moved = arrays.pullback(answer, answer.run.array(seed), part.given)
            return float(
                sum((g.magnitude * x.magnitude)[g.magnitude > 0].sum() for g, x in zip(moved, part.given, strict=True))
            )


def truth(
    formula: Any,
    inputs: Sequence[Any],
    dtype: str,
    accumulate: str | None = None,
    upstream: Any = None,
    backward: bool = False,
) -> Truth:
    """Evaluate a formula exactly, with precision raised until the balls are far smaller than the bounds."""
    name = _name(formula)
    if not isinstance(inputs, (tuple, list)):
        raise FormulaError(f"inputs is {type(inputs).__name__}: give a tuple of the arguments of {name}")
    try:
        inspect.signature(formula).bind(*inputs)
    except TypeError as error:
        raise FormulaError(f"formula {name} does not take these {len(inputs)} inputs: {error}") from None
    arithmetic, storage = _formats(formula, dtype, accumulate)
    if upstream is not None:
        given = _plain(upstream)
        upstream = np.asarray(upstream) if given is None else given
    made: Truth | None = None
    for bits in PRECISIONS:
        with _precision(bits):
            run = Run(name, arithmetic, storage)
            parts = [_evaluated(formula, inputs, run, upstream, backward)]
            for route in range(1, run.routes):
                parts.append(_evaluated(formula, inputs, Run(name, arithmetic, storage, route), upstream, backward))
            made = Truth(name, storage, arithmetic, parts, backward, bits)
            if all(_sharp(*answer) for answer in made.answers()):
                break
    assert made is not None
    return made


def _sharp(v: Any, err: NDArray[np.float64], radius: NDArray[np.float64]) -> bool:
    return bool(np.all((radius <= SHARP * err) | np.isinf(err) | arrays._is_nan(v).astype(bool)))


def _bound(v: Any, err: NDArray[np.float64], radius: NDArray[np.float64], storage: Format) -> Bound:
    middle = v.astype(np.float64)
    defined = np.isfinite(middle) & np.isfinite(radius)
    remainder = np.zeros(middle.shape)
    remainder[defined] = np.frompyfunc(lambda b, m: float(b - arb(m)), 2, 1)(v[defined], middle[defined])
    known = defined | (np.isinf(middle) & (err == 0))
    allowed = np.where(
        known, np.where(err > 0, np.maximum(err, 2 * storage.u * np.abs(np.where(known, middle, 0))), 0.0), np.inf
    )
    wide = np.isfinite(allowed) & ~np.isinf(middle) & (radius > SHARP * err)
    return Bound(middle, remainder, allowed, np.where(wide, radius, 0.0), storage.name)


def bound(formula: Callable[..., Any], inputs: Sequence[Any], dtype: str, *, accumulate: str | None = None) -> Bound:
    """The exact value of a formula, and the error that a sensible evaluation in `dtype` may show.

    `accumulate` names the dtype of the arithmetic where it is wider than `dtype`: then only inputs, results and `store` round to `dtype`.
    """
    with np.errstate(all="ignore"):
        made = truth(formula, inputs, dtype, accumulate)
        return _bound(*made.answers()[0], made.storage)


def gradient_bound(
    formula: Callable[..., Any],
    inputs: Sequence[Any],
    dtype: str,
    upstream: Any = None,
    *,
    accumulate: str | None = None,
) -> list[Bound]:
    """The exact vector-Jacobian product for each array of floating-point numbers, and the error that it may show."""
    with np.errstate(all="ignore"):
        made = truth(formula, inputs, dtype, accumulate, upstream, backward=True)
        return [_bound(*answer, made.storage) for answer in made.answers()]


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
    names = [dtype_named(g) for g in given if g is not None]
    if not names:
        raise FormulaError("actual has no gradient to judge")
    answers = [None if g is None else _answer(g, f"actual[{i}]") for i, g in enumerate(given)]
    with np.errstate(all="ignore"):
        made = truth(formula, inputs, dtype or names[0], accumulate, upstream, backward=True)
        places = [i for i, x in enumerate(inputs) if (a := _plain(x)) is not None and a.dtype.kind not in "iub"]
        if len(answers) == len(inputs) != len(places):
            answers = [answers[i] for i in places]
        if len(answers) != len(places):
            raise FormulaError(
                f"actual has {len(answers)} gradients, but formula {made.name} has {len(places)} inputs with one"
            )
        parameters = list(inspect.signature(formula).parameters)
        labels = [f"{made.name}: the gradient for {parameters[i] if i < len(parameters) else i}" for i in places]
        return _judged(made, answers, labels, slack)


def _answer(x: Any, argument: str) -> NDArray[Any]:
    array = _plain(x)
    if array is None and isinstance(x, (float, int)):
        array = np.asarray(float(x))
    if array is None or array.dtype.kind in "cSUOM":
        raise FormulaError(f"{argument} is {type(x).__name__} {x!r:.60}: give an array of floating-point numbers")
    return array


def _judged(made: Truth, answers: Sequence[NDArray[Any] | None], labels: Sequence[str], slack: float = 1.0) -> Judged:
    judged = unclaimed = between = elsewhere = 0
    worst = 0.0
    for which, (answer, label, (v, err, radius)) in enumerate(zip(answers, labels, made.answers(), strict=True)):
        if answer is None:
            continue
        due = _bound(v, err * slack, radius, made.storage)
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
        off[near] = np.frompyfunc(lambda x, b: float((arb(float(x)) - b).abs_lower()), 2, 1)(numbers[near], v[near])
        with np.errstate(all="ignore"):
            ratio = np.where(off == 0, 0.0, off * (1 - 2.0**-40) / np.where(due.allowed > 0, due.allowed, 5e-324))
        for position in np.argsort(-ratio, axis=None):
            place = tuple(int(i) for i in np.unravel_index(position, ratio.shape))
            if not ratio[place] > 1:
                worst = max(worst, float(ratio[place]) if ratio.size else 0.0)
                break
            size = abs(due.value[place])
            condition = made.condition(which, place) if math.isfinite(off[place]) else math.nan
            if off[place] <= slack * BACKWARD * (made.storage.u * (condition + size) + made.storage.tiny):
                elsewhere += 1
                continue
            count = int((ratio > 1).sum())
            sentence, ulps = _sentence(place, numbers, due, off[place], ratio[place], condition, count)
            sizes = {"error": off[place], "bound": due.allowed[place], "bounds": ratio[place], "ulps": ulps}
            raise Wrong(label, sentence, answer, due.value, {name: float(x) for name, x in sizes.items()})
    if unclaimed and not judged:
        raise Undecided(
            f"formula {made.name} claims nothing of these inputs in {made.storage.name}: every element, or a number on the way to it, "
            "may leave the dtype's range, or is not defined"
        )
    return Judged(judged, unclaimed, between, elsewhere, worst)


def _sentence(
    place: tuple[int, ...], numbers: Any, due: Bound, off: float, ratio: float, condition: float, count: int
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
    return f"{text} ({count} of {numbers.size} elements are beyond their bound)", off / ulp

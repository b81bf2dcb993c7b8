"""A formula on exact arrays: its value and its gradient, and the error that either may show."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from calibrant.exact.formats import Format
from calibrant.formula import torch_names
from calibrant.formula.arithmetic import stored
from calibrant.formula.balls import (
    Bools,
    Floats,
    FormulaError,
    each,
    format_named,
    has_numbers,
    is_nan,
    overlap,
    radius,
    shown,
)
from calibrant.formula.declaring import conflict, in_time
from calibrant.formula.namespace import Namespace
from calibrant.formula.tape import Array, Run, pullback

PRECISIONS = (128, 512)
"""Bits of the balls. 128 are 75 more than float64 has, and enough unless a formula amplifies; a ball that stays wide lies at a branch point."""

SHARP = 2.0**-20
"""A ball's radius is at most this share of the bound; else the precision is raised."""

PATIENCE = 100.0
"""The seconds of computing in which a formula must end, on the arrays of whoever asks."""

_beyond = each(lambda b, m: float(b - arb(m)), 2, np.float64)


@dataclass(frozen=True)
class Bound:
    """The exact value of each element and the error that a sensible evaluation may show.

    `value` is the float64 number nearest to the exact value, `remainder` what that leaves out; an infinite `allowed` claims nothing. `between` marks
    elements at a branch point, where the exact answer is a range: `value` is its middle, and `half_width` says how far it extends.
    """

    value: Floats
    remainder: Floats
    allowed: Floats
    half_width: Floats
    dtype: str

    @property
    def between(self) -> Bools:
        """Elements at a branch point."""
        return np.asarray(self.half_width > 0)

    def as_dict(self) -> dict[str, Any]:
        """The bound for JSON: flat lists, and the shape; null where nothing is claimed."""
        listed = {
            name: [float(x) if math.isfinite(x) else None for x in getattr(self, name).flat]
            for name in ("value", "remainder", "allowed", "half_width")
        }
        return {"dtype": self.dtype, "shape": list(self.value.shape), **listed}


def plain(x: Any) -> NDArray[Any] | None:
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


def has_gradient(x: Any) -> bool:
    """Whether an argument is an array of numbers, and neither whole numbers nor booleans."""
    array = plain(x)
    return array is not None and array.dtype.kind not in "iub"


def _names(formula: Callable[..., Any], name: str, inputs: Sequence[Any]) -> list[str]:
    """The names of the arguments that inputs are given for."""
    try:
        bound = inspect.signature(formula).bind(*inputs)
    except ValueError:  # a function of C has no signature
        return [f"inputs[{i}]" for i in range(len(inputs))]
    except TypeError as error:
        raise FormulaError(f"formula {name} does not take these {len(inputs)} inputs: {error}") from None
    several = bound.signature.parameters
    return [
        f"{key}[{i}]" if several[key].kind == inspect.Parameter.VAR_POSITIONAL else key
        for key, value in bound.arguments.items()
        for i in range(len(value) if several[key].kind == inspect.Parameter.VAR_POSITIONAL else 1)
    ]


def _described(names: Sequence[str], inputs: Sequence[Any]) -> str:
    """The arguments for a sentence: shapes and ranges."""
    said = []
    for name, x in zip(names, inputs, strict=True):
        array = plain(x)
        if array is None:
            said.append(f"{name} is {shown(x)}")
        elif array.size and array.dtype.kind in "iuf":
            low, high = (f"{float(m):.6g}" for m in (array.min(), array.max()))
            said.append(f"{name} is {array.shape} from {low} to {high}")
        else:
            said.append(f"{name} is {array.shape}")
    return ", ".join(said)


@dataclass
class _Evaluation:
    result: Array
    given: list[Array]  # float arrays among the inputs, and the upstream gradient
    gradients: list[Array]


@dataclass
class Truth:
    """The exact answers of a formula, and their bounds; the second tier when it is needed."""

    name: str
    storage: Format
    arguments: list[str]
    described: str
    parts: list[_Evaluation]  # one for each route that was evaluated
    routes: int
    backward: bool
    bits: int
    evaluate: Callable[..., _Evaluation]
    """The formula on exact arrays, by the fields of a `Run`."""

    def shared(self, seed: int) -> list[Array]:
        """The gradients where each tie passes its gradient on in shares, chosen by a seed."""
        with ctx.workprec(self.bits):
            return self.evaluate(shares=np.random.default_rng(seed)).gradients

    def completed(self) -> bool:
        """Evaluate the arrangements that are left; False if none was."""
        left = range(len(self.parts), self.routes)
        with ctx.workprec(self.bits):
            self.parts += [self.evaluate(route=route) for route in left]
        return bool(left)

    def answers(self) -> list[tuple[Any, Floats, Floats]]:
        """Balls, bounds and radii of each answer: the value, or the gradient for each array."""
        made = []
        for of_routes in zip(*(p.gradients if self.backward else [p.result] for p in self.parts), strict=True):
            v, err = of_routes[0].v, np.max([a.err for a in of_routes], axis=0)
            for other in of_routes[1:]:
                same = overlap(v, other.v) | ~np.isfinite(err)
                if not same.all():
                    place = tuple(int(i) for i in np.argwhere(~same)[0])
                    values = f"{float(v[place])!r} and {float(other.v[place])!r}"
                    raise FormulaError(
                        f"formula {self.name} has arrangements of different values in either(): {values}"
                    )
            wide = radius(v)
            made.append((v, err, np.where(np.isnan(wide), np.inf, wide)))
        return made

    def condition(self, which: int, place: tuple[int, ...]) -> float:
        """What a relative change of every input by 1, to first order and with the worst signs, adds to an element."""
        part = self.parts[0]
        answer = part.gradients[which] if self.backward else part.result
        seed = np.zeros(answer.shape)
        seed[place] = 1.0
        with ctx.workprec(self.bits):
            moved = pullback(answer, answer.run.array(seed), part.given)
            pairs = zip(moved, part.given, strict=True)
            return float(sum((g.magnitude * x.magnitude)[g.magnitude > 0].sum() for g, x in pairs))


def _evaluated(
    formula: Callable[..., Any], names: Sequence[str], inputs: Sequence[Any], run: Run, upstream: Any
) -> _Evaluation:
    run.namespace, run.foreign = Namespace(run), torch_names
    arguments: list[Any] = []
    leaves: list[Array] = []
    for name, x in zip(names, inputs, strict=True):
        array = plain(x)
        if array is not None and not has_numbers(array):
            raise FormulaError(f"{name} has dtype {array.dtype}, of which formula {run.name} has no bound")
        if has_gradient(x):
            leaves.append(run.array(array))
            arguments.append(leaves[-1])
        else:
            arguments.append(x if array is None else array)
    try:
        with in_time(run.name, PATIENCE):
            result = formula(*arguments)
        if not isinstance(result, Array):
            raise run.fail(f"returned {shown(result)} where one array of numbers is due")
    except AssertionError:
        raise
    except FormulaError as error:
        raise FormulaError(f"{error}; {_described(names, inputs)}") from None
    except Exception as error:
        raise run.fail(f"raised {type(error).__name__}: {error}; {_described(names, inputs)}") from error
    result = stored(result, run.storage)
    if not run.backward:
        return _Evaluation(result, leaves, [])
    seed = run.array(np.ones(result.shape) if upstream is None else upstream)
    if seed.shape != result.shape:
        raise FormulaError(f"upstream has shape {seed.shape}, but formula {run.name} returns shape {result.shape}")
    seed.err = np.where(np.isinf(result.err), np.inf, seed.err)  # infinity times zero is NaN on the way back [A.range]
    gradients = [stored(g, run.storage) for g in pullback(result, seed, leaves)]
    return _Evaluation(result, [*leaves, seed], gradients)


def _formats(formula: Any, dtype: str, accumulate: str | None) -> tuple[Format, Format]:
    storage = format_named(dtype)
    declared = getattr(formula, "accumulate", None) if storage.precision < 24 else None
    arithmetic = format_named(accumulate or declared or dtype)
    if arithmetic.precision < storage.precision:
        raise FormulaError(f"accumulate is {accumulate!r}, narrower than dtype {dtype!r}")
    return arithmetic, storage


def truth(
    formula: Any,
    inputs: Sequence[Any],
    dtype: str,
    accumulate: str | None = None,
    upstream: Any = None,
    backward: bool = False,
) -> Truth:
    """Evaluate a formula exactly, with precision raised until the balls are far smaller than the bounds."""
    if not callable(formula):
        raise FormulaError(f"formula is {formula!r:.60}: give a function of arrays")
    name = getattr(formula, "__name__", type(formula).__name__)
    if not isinstance(inputs, (tuple, list)):
        raise FormulaError(f"inputs is {type(inputs).__name__}: give a tuple of the arguments of {name}")
    names = _names(formula, name, inputs)
    shapes = [None if (array := plain(x)) is None else array.shape for x in inputs]
    if sentence := conflict(formula, names, shapes):
        raise FormulaError(f"formula {name} declares otherwise: {sentence}")
    arithmetic, storage = _formats(formula, dtype, accumulate)
    if upstream is not None:
        given = plain(upstream)
        upstream = np.asarray(upstream) if given is None else given
        if not has_numbers(upstream):
            raise FormulaError(f"upstream has dtype {upstream.dtype}, of which formula {name} has no bound")

    def evaluate(**fields: Any) -> _Evaluation:
        run = Run(name, arithmetic, storage, backward=backward, **fields)
        return _evaluated(formula, names, inputs, run, upstream)

    for bits in PRECISIONS:
        with ctx.workprec(bits):
            first = evaluate()
            routes = first.result.run.routes
            made = Truth(name, storage, names, _described(names, inputs), [first], routes, backward, bits, evaluate)
            if all(_sharp(*answer) for answer in made.answers()):
                break
    return made


def _sharp(v: Any, err: Floats, wide: Floats) -> bool:
    return bool(np.all((wide <= SHARP * err) | np.isinf(err) | is_nan(v)))


def bound_of(v: Any, err: Floats, wide: Floats, storage: Format) -> Bound:
    """The bound of an answer of a truth."""
    middle = v.astype(np.float64)
    defined = np.isfinite(middle) & np.isfinite(wide)
    remainder = np.zeros(middle.shape)
    remainder[defined] = _beyond(v[defined], middle[defined])
    known = defined | (np.isinf(middle) & (err == 0))
    floor = 2 * storage.u * np.abs(np.where(known, middle, 0))
    allowed = np.where(known, np.where(err > 0, np.maximum(err, floor), 0.0), np.inf)
    between = np.isfinite(allowed) & ~np.isinf(middle) & (wide > SHARP * err)
    return Bound(middle, remainder, allowed, np.where(between, wide, 0.0), storage.name)


def bound(formula: Callable[..., Any], inputs: Sequence[Any], dtype: str, *, accumulate: str | None = None) -> Bound:
    """The exact value of a formula, and the error that a sensible evaluation in `dtype` may show.

    `accumulate` names the dtype of the arithmetic where it is wider than `dtype`: then only inputs, results and `store` round to `dtype`.
    """
    return _bounds(formula, inputs, dtype, accumulate)[0]


def gradient_bound(
    formula: Callable[..., Any],
    inputs: Sequence[Any],
    dtype: str,
    upstream: Any = None,
    *,
    accumulate: str | None = None,
) -> list[Bound]:
    """The exact vector-Jacobian product for each array of floating-point numbers, and the error that it may show."""
    return _bounds(formula, inputs, dtype, accumulate, upstream, True)


def _bounds(*of: Any) -> list[Bound]:
    """The bounds of all answers, in every arrangement, of what `truth` takes."""
    with np.errstate(all="ignore"):
        made = truth(*of)
        made.completed()
        return [bound_of(*answer, made.storage) for answer in made.answers()]

"""What a formula may use beside the array API standard; on arrays of other libraries these do the plain thing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np

from calibrant.exact.numbers import round_to
from calibrant.formula.arithmetic import stored
from calibrant.formula.balls import format_named
from calibrant.formula.elementary import apply

F = TypeVar("F", bound=Callable[..., Any])


def formula(*, shapes: str | None = None, accumulate: str | None = None, **draws: Any) -> Callable[[F], F]:
    """Declare the shapes of a formula's arguments, and the dtype of its arithmetic where the inputs have 16 bits.

    The rest says, by the name of an argument or an axis, what `calibrant check --formulas` draws for it: a kind of numbers (`declaring.KINDS`), or values to
    choose from, as in labels="index d", eps=(1e-5, 1e-8).
    """

    def declared(function: F) -> F:
        function.shapes = shapes  # type: ignore[attr-defined]  # a function holds what is declared of it
        function.accumulate = accumulate  # type: ignore[attr-defined]
        function.draws = draws  # type: ignore[attr-defined]
        return function

    return declared


def namespace(x: Any) -> Any:
    """The array API functions for an array; through array-api-compat for libraries whose arrays do not name them."""
    if hasattr(x, "__array_namespace__"):
        return x.__array_namespace__()
    try:
        from array_api_compat import array_namespace
    except ImportError:
        raise ImportError(
            f"a formula on {type(x).__name__} needs array-api-compat: pip install array-api-compat"
        ) from None
    return array_namespace(x)


def either(*arrangements: Any, backward: Sequence[Any] = ()) -> Any:
    """The same value, arranged in several ways that round differently: the bound is the largest one.

    Only the gradient of the arrangements in `backward` counts, beside the gradients of the others. An arrangement after the first may be a function without
    arguments, which is called if its arrangement is needed.
    """
    first = arrangements[0]
    run = getattr(first, "run", None)
    if run is None:
        return first
    arrangements += tuple(backward) if run.backward else ()
    run.routes = max(run.routes, len(arrangements))
    chosen = arrangements[min(run.route, len(arrangements) - 1)]
    return chosen() if callable(chosen) else chosen


def store(x: Any, dtype: str | None = None) -> Any:
    """The array as an implementation may hold it here: rounded to `dtype`, else to the dtype of the result."""
    run = getattr(x, "run", None)
    if run is None:
        return x
    return stored(x, format_named(dtype) if dtype else run.storage)


def rounded(x: float, like: Any) -> Any:
    """A constant as the dtype of `like` holds it: the rounded number is the exact one."""
    run = getattr(like, "run", None)
    return x if run is None or not math.isfinite(x) else float(round_to(Fraction(float(x)), run.arithmetic))


def erf(x: Any) -> Any:
    """The error function, which the standard does not have."""
    if hasattr(x, "run"):
        return apply("erf", x)
    xp: Any = namespace(x)
    for place in (xp, getattr(xp, "special", None)):
        function = getattr(place, "erf", None)
        if function:
            return function(x)
    return np.vectorize(math.erf, otypes=[x.dtype])(x)

"""The errors of elementary functions in NumPy, PyTorch and JAX, beside what the formulas' bounds allow."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from flint import arb, ctx
from numpy.typing import NDArray

from calibrant.benchmarks import REJECTED
from calibrant.exact.formats import FORMATS, Format
from calibrant.formula.elementary import FUNCTIONS, POWER, Function

Floats = NDArray[np.float64]
Call = Callable[[Floats], Floats]

POWERS = (0.375, -0.75, 1.5, 2.5, -3.5, 7.25)
"""The exponents for which powers are measured; every dtype holds them."""
KNOWN = {
    *(("jax", name, dtype) for name in ("sinh", "cosh") for dtype in ("float32", "float64")),
    *(("jax", name, "float64") for name in ("log1p", "atanh")),
    *(("torch", "erf", dtype) for dtype in ("float16", "bfloat16")),
}
"""Functions that err by more than is allowed, which `formula.elementary` says."""
RANGES = {"sin": 1e4, "cos": 1e4, "tan": 1e4}
"""The largest arguments, where it is not the dtype's largest number."""


def measure(cases: int, seed: int) -> dict[str, Any]:
    """Call every function on all numbers of the 16-bit formats, on so many of float32, and on a fiftieth of them in float64."""
    worst: dict[tuple[str, str], dict[str, Any]] = {}
    wrong: list[dict[str, str]] = []
    known: list[dict[str, str]] = []
    for library, dtype, name, function in calls():
        form, row = FORMATS[dtype], row_of(name)
        x = numbers(form, cases, seed, RANGES.get(name, form.largest))
        ulps, at = largest(name, row, function, x, form)
        key, allowed = (name.split()[0], dtype), row.allowed(dtype)
        if key not in worst or ulps > worst[key]["ulps"]:
            named = {"function": key[0], "dtype": dtype, "allowed": allowed, "ulps": ulps}
            worst[key] = {**named, "of": library, "at": repr(at), "": "loose?" if ulps < allowed / 4 else ""}
        if ulps > allowed:
            (known if (library, key[0], dtype) in KNOWN else wrong).append(
                {"rejected": f"{library} {name} in {dtype} errs by {ulps:.2f} ulps at {at!r}"}
            )
    rows = [worst[key] for key in sorted(worst)]
    return {"The largest errors, in units in the last place": rows, "Known to err by more": known, REJECTED: wrong}


def row_of(name: str) -> Function:
    """The row of a function, such as exp or pow 1.5."""
    return POWER if name.startswith("pow") else FUNCTIONS[name]


def numbers(form: Format, cases: int, seed: int, most: float) -> Floats:
    """All finite numbers of a 16-bit format; of others, so many from all magnitudes and as many between -8 and 8."""
    if form.precision <= 11:
        found = np.arange(2**16, dtype=np.uint16)
        with np.errstate(all="ignore"):
            all_of = (
                found.view(np.float16) if form.name == "float16" else (found.astype(np.uint32) << 16).view(np.float32)
            )
        with np.errstate(all="ignore"):
            x = all_of.astype(np.float64)
    else:
        rng = np.random.default_rng(seed)
        count = cases if form.name == "float32" else cases // 50
        low, high = (max(-130.0, 1.0 - form.max_exponent), min(128.0, form.max_exponent))
        wide = np.ldexp(rng.uniform(1, 2, count), rng.integers(int(low), int(high), count))
        x = np.concatenate([wide * rng.choice([-1.0, 1.0], count), rng.uniform(-8, 8, count)])
        x = x.astype(form.name).astype(np.float64)
    return x[np.isfinite(x) & (np.abs(x) <= most) & (np.abs(x) >= form.normal)]


def largest(name: str, row: Function, function: Call, x: Floats, form: Format) -> tuple[float, float]:
    """The largest error in units in the last place, and where it is; results that are not normal numbers do not count."""
    with np.errstate(all="ignore"):
        answers = function(x)
        least = 8 * form.normal  # machines flush, and a function of several steps may do so several times
        exact, rest = _exactly(name, row, x, form)
        normal = (
            np.isfinite(answers) & np.isfinite(exact) & (np.abs(exact) >= least) & (np.abs(exact) < form.largest / 2)
        )
        unit = np.ldexp(2 * form.u, np.frexp(exact)[1] - 1)
        ulps = np.where(normal, np.abs((answers - exact) - rest) / unit, 0.0)
    worst = int(np.argmax(ulps))
    return float(ulps[worst]), float(x[worst])


def _exactly(name: str, row: Function, x: Floats, form: Format) -> tuple[Floats, Floats]:
    """The exact value as a float64 number, and what that leaves out; NumPy's float64 functions are exact enough for narrower formats."""
    power = float(name.split()[1]) if name.startswith("pow") else None
    if form.precision < 53 and name != "erf":
        return (np.power(x, power) if power is not None else getattr(np, NUMPY_NAMES.get(name, name))(x)), np.zeros(
            x.shape
        )
    before, ctx.prec = ctx.prec, 128
    try:
        balls = [arb(v) ** arb(power) if power is not None else row.ball(arb(v)) for v in x.tolist()]
        near = np.array([float(b) for b in balls])
        rest = [float(b - arb(v)) if np.isfinite(v) else 0.0 for b, v in zip(balls, near.tolist(), strict=True)]
        return near, np.array(rest)
    finally:
        ctx.prec = before


NUMPY_NAMES = {name: "arc" + name[1:] for name in ("asin", "acos", "atan", "asinh", "acosh", "atanh")}


def calls() -> Iterator[tuple[str, str, str, Call]]:
    """Each function of each library that is installed, in each dtype: from float64 numbers to float64 numbers."""
    for make in (_numpy, _torch, _jax):
        if find_spec(make.__name__[1:]):
            for dtype, name, function in make():
                yield make.__name__[1:], dtype, name, function
            print(f"{make.__name__[1:]}: measured", file=sys.stderr)


def _power(p: float) -> Callable[[Any], Any]:
    return lambda x: x**p


def _numpy() -> Iterator[tuple[str, str, Call]]:
    def on(function: Callable[[Any], Any], dtype: str) -> Call:
        return lambda x: function(x.astype(dtype)).astype(np.float64)

    for dtype in ("float16", "float32", "float64"):
        for name in FUNCTIONS:
            if name != "erf":
                call = getattr(np, NUMPY_NAMES.get(name, name))
                yield dtype, name, on(call, dtype)
        for p in POWERS:
            yield dtype, f"pow {p}", on(_power(p), dtype)


def _torch() -> Iterator[tuple[str, str, Call]]:
    import torch

    def on(function: Callable[[Any], Any], dtype: str) -> Call:
        return lambda x: function(torch.tensor(x).to(getattr(torch, dtype))).double().numpy()

    for dtype in FORMATS:
        for name in FUNCTIONS:
            yield dtype, name, on(getattr(torch, name), dtype)
        yield dtype, "sqrt", on(lambda x: x * torch.rsqrt(x), dtype)
        for p in POWERS:
            yield dtype, f"pow {p}", on(_power(p), dtype)


def _jax() -> Iterator[tuple[str, str, Call]]:
    import jax

    jax.config.update("jax_enable_x64", True)

    def on(function: Callable[[Any], Any], dtype: str) -> Call:
        compiled = jax.jit(function)
        return lambda x: np.asarray(compiled(jax.numpy.asarray(x).astype(dtype)).astype("float64"))

    for dtype in FORMATS:
        for name in FUNCTIONS:
            yield dtype, name, on(jax.scipy.special.erf if name == "erf" else getattr(jax.numpy, name), dtype)
        yield dtype, "sqrt", on(lambda x: x * jax.lax.rsqrt(x), dtype)
        for p in POWERS:
            yield dtype, f"pow {p}", on(_power(p), dtype)

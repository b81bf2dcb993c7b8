"""Elementary functions: for each the ball, the derivative, and how many units in the last place an implementation may err.

The bound of f(z) is what f moves over [z - e, z + e], by ball arithmetic, and the allowed units, of 2 u |f| each [A.elementary]. A row of
`FUNCTIONS` allows the largest of what the sources state for a scalar, a vector and a GPU version, rounded up, with half a unit for the rounding
that sources which compare with a correctly rounded result leave out; or what was measured, where no source states a limit. The sources:

- glibc: "Known Maximum Errors in Math Functions" (manual, 2.28 and later), x86-64.
- SLEEF, its functions of 1.0 ULP, which PyTorch calls on a CPU (`Sleef_expf8_u10` and its kind), and Intel SVML, which NumPy calls: 1 everywhere.
- CUDA: C++ Programming Guide, "Mathematical Functions", maximum ulp errors without `-use_fast_math`; float32 / float64 where they differ.
- XLA states no limits. `python -m calibrant.benchmarks ulps` measures jaxlib, NumPy and PyTorch: all numbers of float16 and bfloat16, and
  many of float32 and float64. A row names the largest error that was seen, in jaxlib 0.10.2, NumPy 2 and PyTorch 2.13 on x86-64.

In float16 and bfloat16 a function is computed in float32, or to within a unit in the last place of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from flint import arb

from calibrant.formula.arithmetic import alive
from calibrant.formula.balls import UP, each
from calibrant.formula.tape import Array, Parents, Run, rounded


@dataclass(frozen=True)
class Function:
    """A row of the table."""

    ball: Callable[[Any], Any]
    slope: Callable[[Array, Array], Any]
    """The derivative, from the argument and the value, as frameworks compute it."""
    float32: float
    """The units in the last place that float32 may err; float64 may err by the next."""
    float64: float
    source: str
    """Where the units come from."""
    half: float = 1.0
    """The units in the last place that float16 and bfloat16 may err."""

    def allowed(self, dtype: str) -> float:
        """The units in the last place that a dtype may err."""
        return {"float32": self.float32, "float64": self.float64}.get(dtype, self.half)


def _reciprocal_root(x: Any) -> Any:
    return 1 / apply("sqrt", x)


def _logarithm(base: Callable[[], Any]) -> tuple[Callable[[Any], Any], Callable[[Array, Array], Any]]:
    """The ball and the derivative of a logarithm, from the natural one of its base."""
    return lambda b: b.log() / base(), lambda x, y: 1 / (x * x.run.constant(base()))


FUNCTIONS: dict[str, Function] = {
    "exp": Function(arb.exp, lambda x, y: y, 3, 2, "NumPy 2.2, XLA 1.6 in float64; CUDA 1"),
    "expm1": Function(arb.expm1, lambda x, y: y + 1, 6, 4, "XLA 4.9, 3.6, and 2.1 in float16; CUDA 1", 2.5),
    "log": Function(arb.log, lambda x, y: 1 / x, 4, 2, "NumPy 3.2; CUDA 1"),
    "log1p": Function(arb.log1p, lambda x, y: 1 / (1 + x), 3, 3, "XLA 2.3, not its 123 in float64; CUDA 1"),
    "log2": Function(*_logarithm(arb.const_log2), 3, 3, "XLA 2.1, 1.4, and 1.8 in bfloat16; CUDA 1", 2),
    "log10": Function(*_logarithm(arb.const_log10), 3, 3, "XLA 2.4, 1.5, and 1.8 in bfloat16; CUDA 2", 2),
    # by way of the reciprocal root: CUDA's rsqrt, and half a unit for the product
    "sqrt": Function(arb.sqrt, lambda x, y: 0.5 / y, 3, 2.5, "XLA 2.9, PyTorch 1.7, 1.4 in 16 bits; CUDA 2 + 0.5", 1.5),
    "sin": Function(arb.sin, lambda x, y: apply("cos", x), 2.5, 2.5, "CUDA 2; NumPy 1.4"),
    "cos": Function(arb.cos, lambda x, y: -apply("sin", x), 2.5, 2.5, "CUDA 2; NumPy 1.4"),
    "tan": Function(arb.tan, lambda x, y: 1 + y * y, 4.5, 3, "CUDA 4 / 2; PyTorch 1.0"),
    "sinh": Function(arb.sinh, lambda x, y: apply("cosh", x), 4, 4, "CUDA 3; not XLA's 25, and 495 in float64"),
    "cosh": Function(arb.cosh, lambda x, y: apply("sinh", x), 4, 4, "CUDA, glibc 2; not XLA's 25, and 495 in float64"),
    "tanh": Function(arb.tanh, lambda x, y: 1 - y * y, 6, 7, "XLA 5.3 and 6.5; CUDA 2"),
    "asin": Function(arb.asin, lambda x, y: _reciprocal_root(1 - x * x), 3, 3, "CUDA 2; XLA 1.3 in 16 bits", 2),
    "acos": Function(arb.acos, lambda x, y: -_reciprocal_root(1 - x * x), 3, 3, "CUDA 2; XLA 1.2 in 16 bits", 2),
    "atan": Function(arb.atan, lambda x, y: 1 / (1 + x * x), 3, 3, "CUDA 2; PyTorch 0.8"),
    "asinh": Function(arb.asinh, lambda x, y: _reciprocal_root(1 + x * x), 4, 4, "CUDA 3; XLA 2.9, 1.4 in 16 bits", 2),
    "acosh": Function(
        arb.acosh, lambda x, y: _reciprocal_root(x * x - 1), 5, 5, "CUDA 4 / 3; XLA 3.9, 1.8 in 16 bits", 2
    ),
    "atanh": Function(
        arb.atanh, lambda x, y: 1 / (1 - x * x), 4, 4, "CUDA 3; XLA 2.6, 1.3 in 16 bits, not its 128 in float64", 2
    ),
    "erf": Function(
        arb.erf,
        lambda x, y: x.run.constant(2 / arb.pi().sqrt()) * apply("exp", -(x * x)),
        6,
        3,
        "XLA 4.9; CUDA 2; not PyTorch's 16 bits, which are within 1.5e-7 of the value and no unit of it",
    ),
}
POWER = Function(lambda b: b, lambda x, y: y, 5, 3, "CUDA 4 / 2")
"""x to a power; its ball and its derivative depend on the exponent, which may be rounded itself [A.given]."""


def apply(name: str, x: Array) -> Array:
    """An elementary function of a table's row."""
    row = FUNCTIONS[name]
    made = _evaluated(row, row.ball, x, ((x, lambda a: alive(a, a * row.slope(x, made))),))
    return made


def _evaluated(
    row: Function, ball: Callable[[Any], Any], x: Array, parents: Parents, near: Callable[[Any], Any] | None = None
) -> Array:
    """`near` is what the function may be instead, of a parameter that an implementation rounds."""
    value = each(ball, 1)(x.v)
    err = np.where(np.isinf(x.err), np.inf, 0.0)
    some = np.isfinite(x.err) & ((x.err > 0) | (near is not None))
    if some.any():
        move = each(lambda b, e, y: float(((near or ball)(b + arb(0, e)) - y).abs_upper()), 3, np.float64)
        err[some] = move(x.v[some], x.err[some], value[some]) * UP
    form = x.run.arithmetic
    return rounded(x.run, value, err, 2 * row.allowed(form.name), form.tiny, parents)


def power(run: Run, x: Any, y: Any) -> Any:
    """x to the power y; products for small whole powers, roots for halves."""
    if not isinstance(y, (int, float)):
        return apply("exp", run.array(y) * apply("log", run.array(x)))
    if y in (1, 2, 3, 4):
        product = x
        for _ in range(int(y) - 1):
            product = product * x
        return product
    if y in (0.5, -0.5, -1):
        root = x if y == -1 else apply("sqrt", x)
        return root if y == 0.5 else 1 / root
    return _raised(x, arb(y), float(run.array(y).err))


def _raised(x: Array, y: arb, unsure: float) -> Array:
    """x to a power that an implementation may know within `unsure`."""
    run, near = x.run, float(y)
    exponent = int(near) if near.is_integer() and y == near else y
    factor = run.array(near) if y == near else run.constant(y)
    less = unsure + run.arithmetic.u * abs(near - 1) * (unsure > 0)
    pull = (x, lambda a: alive(a, a * (factor * _raised(x, y - 1, less))))
    unknown = y + arb(0, unsure)
    near_by = (lambda b: b if b.is_zero() else b**unknown) if unsure else None
    return _evaluated(POWER, lambda b: b**exponent, x, (pull,), near_by)

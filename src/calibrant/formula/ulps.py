"""How many units in the last place each elementary function may err, in each dtype.

A row is the largest of what the sources state for a scalar, a vector and a GPU version, rounded up, with half a unit for the
rounding that sources which compare with a correctly rounded result leave out. The sources:

- glibc, "Known Maximum Errors in Math Functions" (manual, 2.28 and later), x86-64: at most 1, and 2 for tan, tanh, sinh, cosh, asinh,
  acosh, atanh.
- SLEEF: the versions of 1.0 ULP, which PyTorch calls on a CPU (`Sleef_expf8_u10` and its kind); Intel SVML: at most 1, which NumPy calls.
- CUDA C++ Programming Guide, "Mathematical Functions", tables of maximum ulp error without `-use_fast_math`: expf 1, logf 1, log1pf 1, expm1f 1,
  tanf 4, tanhf 2, sinhf 3, coshf 2, asinhf 3, acoshf 4, atanhf 3, erff 2, powf 4, asinf 2, acosf 2; doubles: tan 2, asinh 3, acosh 3, erf 2, pow 2.
- XLA states no limits. Measured over 18,000 numbers a function (jaxlib 0.10.2, x86-64), it errs by at most 5.3 in tanh, 4.9 in expm1, 4.6 in erf and 3.9 in acosh,
  which the table allows. It errs by 128 in float64 log1p and atanh, and by 24 in sinh and cosh: the table does not allow that.
- NumPy 2 on x86-64, measured likewise: 2.6 in float32 log, 2.1 in float32 exp.

In float16 and bfloat16 a function is computed in float32, or to within a unit in the last place of its own.
"""

FUNCTIONS: dict[str, tuple[float, float]] = {  # float32, float64
    "exp": (3, 2),
    "expm1": (6, 4),
    "log": (4, 2),
    "log1p": (3, 3),
    "log2": (3, 3),
    "log10": (3, 3),
    "sin": (2.5, 2.5),
    "cos": (2.5, 2.5),
    "tan": (4.5, 3),
    "sinh": (4, 4),
    "cosh": (4, 4),
    "tanh": (6, 6),
    "asin": (3, 3),
    "acos": (3, 3),
    "atan": (3, 3),
    "asinh": (4, 4),
    "acosh": (5, 5),
    "atanh": (4, 4),
    "erf": (6, 3),
    "pow": (5, 3),
    "sqrt": (1.5, 1.5),  # x times rsqrtf, which CUDA gives within 2, instead of x over a root
}


def ulps(function: str, dtype: str) -> float:
    """The allowed error of a function in units in the last place."""
    narrow, wide = FUNCTIONS[function]
    return {"float32": narrow, "float64": wide}.get(dtype, 1.0)

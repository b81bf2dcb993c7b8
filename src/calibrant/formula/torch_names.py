"""PyTorch's names for the array API: a function that is written with `torch` runs on exact arrays, too.

`torch.f(x)` reaches an exact array by `__torch_function__`, and `x.f()` by `__getattr__`. PyTorch itself is not imported.
"""

from __future__ import annotations

import itertools
import math
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np

from calibrant.formula.tape import Array, Mask, Run
from calibrant.formula.writing import erf

_Extreme = namedtuple("_Extreme", "values indices")

_SAME = {
    *("abs", "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh"),
    *("asin", "acos", "atan", "asinh", "acosh", "atanh", "square", "reciprocal", "sign", "hypot", "logaddexp"),
    *("maximum", "minimum", "where", "sum", "mean", "matmul", "roll", "stack", "tril", "triu"),
    *("max", "min", "squeeze", "moveaxis", "broadcast_to", "zeros_like", "ones_like", "full_like", "pow"),
    *("isnan", "isinf", "isfinite", "any", "all", "logical_and", "logical_or", "logical_not"),
}
"""The functions with the array API's name and order of arguments."""

_OTHER = {
    "absolute": "abs", "add": "add", "sub": "subtract", "subtract": "subtract", "mul": "multiply", "multiply": "multiply",
    "div": "divide", "divide": "divide", "true_divide": "divide", "neg": "negative", "negative": "negative",
    "amax": "max", "amin": "min", "clamp": "clip", "clip": "clip", "cat": "concat", "concat": "concat", "mm": "matmul",
    "bmm": "matmul", "mv": "matmul", "dot": "matmul", "unsqueeze": "expand_dims", "lt": "less", "le": "less_equal",
    "gt": "greater", "ge": "greater_equal", "eq": "equal", "ne": "not_equal", "cumsum": "cumulative_sum",
    "movedim": "moveaxis",
}  # fmt: skip

_KEYWORDS = {
    "dim": "axis", "dims": "axis", "keepdim": "keepdims", "input": "x", "other": "y", "exponent": "y", "shifts": "shift",
    "diagonal": "k",
}  # fmt: skip
_ACTIVATIONS = {
    "sigmoid": "sigmoid", "logsigmoid": "log_sigmoid", "relu": "relu", "silu": "silu", "mish": "mish",
    "gelu none": "gelu", "gelu tanh": "gelu_tanh", "hardswish": "hard_swish", "softsign": "soft_sign",
}  # fmt: skip


def called(run: Run, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The result of PyTorch's function of a name."""
    xp = run.namespace
    args = tuple(map(_exact(run), args))
    kwargs = {_KEYWORDS.get(key, key): _exact(run)(value) for key, value in kwargs.items() if value is not None}
    kwargs = {key: value for key, value in kwargs.items() if key != "dtype" and not key.startswith("_")}
    if args and isinstance(args[0], Mask) and name in ("float", "double", "to", "type_as", "sum"):
        args = (xp.astype(args[0], xp.float64), *args[1:])
    if name in ("add", "sub") and "alpha" in kwargs:
        args, kwargs = (args[0], kwargs.pop("alpha") * (kwargs.pop("y") if "y" in kwargs else args[1])), {}
    if name in ("softmax", "log_softmax", "logsumexp"):
        return _over_an_axis(xp, _formula("log_sum_exp" if name == "logsumexp" else name), *args, **kwargs)
    if name == "gelu":
        name = f"gelu {kwargs.get('approximate', 'none')}"
    if name in _ACTIVATIONS:
        return _formula(_ACTIVATIONS[name])(*args[:1] or [kwargs["x"]])
    if name in ("max", "min") and len(args) + len(kwargs) > 1:
        if "axis" in kwargs or any(isinstance(a, int) for a in args):
            return _Extreme(getattr(xp, name)(*args, **kwargs), None)
        return getattr(xp, f"{name}imum")(*args, **kwargs)
    if name in ("var", "std"):
        if not kwargs.pop("unbiased", True):
            kwargs["correction"] = 0.0
        return getattr(xp, name)(*args, **{"correction": 1.0, **kwargs})
    if name in _METHODS:
        return _METHODS[name](xp, *args, **kwargs)
    if name in _SAME or name in _OTHER:
        return getattr(xp, _OTHER.get(name, name))(*args, **kwargs)
    raise run.fail(f"uses torch's {name}, which calibrant's exact arrays do not have")


def _exact(run: Run) -> Callable[[Any], Any]:
    def taken(x: Any) -> Any:
        """A tensor of PyTorch's as a constant; other values as they are."""
        if isinstance(x, (Array, Mask, np.ndarray)) or not hasattr(x, "__dlpack__"):
            return type(x)(map(taken, x)) if type(x) in (list, tuple) else x
        made = np.asarray(x.detach().cpu().float() if str(x.dtype).endswith("bfloat16") else x.detach().cpu())
        return run.array(made) if made.dtype.kind == "f" else made

    return taken


def _over_an_axis(xp: Any, formula: Any, x: Any, axis: int = -1, keepdims: bool = False) -> Any:
    found = formula(xp.moveaxis(x, axis, -1))
    if found.ndim == x.ndim:
        return xp.moveaxis(found, -1, axis)
    return xp.expand_dims(found, axis=axis) if keepdims else found


def _shape(parts: tuple[Any, ...]) -> tuple[int, ...]:
    return tuple(parts[0]) if len(parts) == 1 and isinstance(parts[0], (tuple, list)) else parts


def _itself(xp: Any, x: Any, *_: Any, **__: Any) -> Any:
    return x


def _flatten(xp: Any, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    first, last = start_dim % x.ndim, end_dim % x.ndim
    return xp.reshape(x, (*x.shape[:first], math.prod(x.shape[first : last + 1]), *x.shape[last + 1 :]))


def _expand(xp: Any, x: Any, *shape: Any) -> Any:
    """-1 stands for the length that there is."""
    sizes = _shape(shape)
    have = (1,) * (len(sizes) - x.ndim) + x.shape
    return xp.broadcast_to(x, tuple(old if n == -1 else n for n, old in zip(sizes, have, strict=True)))


def _split(xp: Any, x: Any, sizes: Any, axis: int = 0) -> tuple[Any, ...]:
    n = x.shape[axis]
    if isinstance(sizes, int):
        sizes = [min(sizes, n - start) for start in range(0, n, sizes)]
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(a, b))] for a, b in itertools.pairwise(itertools.accumulate(sizes, initial=0)))


def _norm(xp: Any, x: Any, p: Any = 2, axis: Any = None, keepdims: bool = False) -> Any:
    if p == 1:
        return xp.sum(xp.abs(x), axis=axis, keepdims=keepdims)
    if p == math.inf:
        return xp.max(xp.abs(x), axis=axis, keepdims=keepdims)
    if p not in (2, "fro"):
        raise x.run.fail(f"uses torch's norm of order {p}: 1, 2 and inf are there")
    return xp.sqrt(xp.sum(x * x, axis=axis, keepdims=keepdims))


def _loss(of: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def reduced(xp: Any, x: Any, target: Any, reduction: str = "mean") -> Any:
        each = of(xp, x - target)
        return each if reduction == "none" else getattr(xp, reduction)(each)

    return reduced


def _formula(name: str) -> Any:
    from calibrant.formula.catalogue import FORMULAS  # which is written on this package's arrays

    return FORMULAS[name]


def _softplus(xp: Any, x: Any, beta: float = 1, threshold: float = 20) -> Any:
    return _formula("softplus")(x, threshold) if beta == 1 else _formula("softplus")(x * beta, threshold) / beta


def _linear(xp: Any, x: Any, weight: Any, bias: Any = None) -> Any:
    return xp.matmul(x, xp.matrix_transpose(weight)) if bias is None else _formula("linear")(x, weight, bias)


_METHODS: dict[str, Callable[..., Any]] = {
    "detach": lambda xp, x: Array(x.run, x.v, x.err, ()),
    "clone": _itself, "contiguous": _itself, "to": _itself, "float": _itself, "double": _itself, "type_as": _itself,
    "numel": lambda xp, x: math.prod(x.shape),
    "dim": lambda xp, x: x.ndim,
    "t": lambda xp, x: xp.matrix_transpose(x),
    "transpose": lambda xp, x, dim0, dim1: xp.moveaxis(x, (dim0, dim1), (dim1, dim0)),
    "permute": lambda xp, x, *axes, axis=(): xp.permute_dims(x, axis or _shape(axes)),
    "flip": lambda xp, x, *axes, axis=(): xp.flip(x, axis=axis or _shape(axes)),
    "tile": lambda xp, x, *times, axis=(): xp.tile(x, axis or _shape(times)),
    "repeat": lambda xp, x, *times: xp.tile(x, _shape(times)),
    "reshape": lambda xp, x, *parts, shape=(): xp.reshape(x, shape or _shape(parts)),
    "view": lambda xp, x, *shape: xp.reshape(x, _shape(shape)),
    "flatten": _flatten, "expand": _expand, "split": _split,
    "chunk": lambda xp, x, chunks, axis=0: _split(xp, x, -(-x.shape[axis] // chunks), axis),
    "unbind": lambda xp, x, axis=0: tuple(xp.moveaxis(x, axis, 0)),
    "index_select": lambda xp, x, axis, index: xp.take(x, index, axis=axis),
    "norm": _norm, "linalg_vector_norm": lambda xp, x, ord=2, **kwargs: _norm(xp, x, ord, **kwargs),
    "mse_loss": _loss(lambda xp, e: e * e), "l1_loss": _loss(lambda xp, e: xp.abs(e)),
    "linear": _linear, "softplus": _softplus,
    "leaky_relu": lambda xp, x, negative_slope=0.01, inplace=False: _formula("leaky_relu")(x, negative_slope),
    "elu": lambda xp, x, alpha=1.0, inplace=False: _formula("elu")(x, alpha),
    "clamp_min": lambda xp, x, min: xp.maximum(x, min),
    "clamp_max": lambda xp, x, max: xp.minimum(x, max),
    "gather": lambda xp, x, axis, index: xp.take_along_axis(
        x[tuple(slice(None if a == axis % x.ndim else n) for a, n in enumerate(index.shape))], index, axis=axis
    ),
    "take": lambda xp, x, index: xp.take(xp.reshape(x, (-1,)), index),
    "erf": lambda xp, x: erf(x),
    "rsqrt": lambda xp, x: 1 / xp.sqrt(x),
    "masked_fill": lambda xp, x, mask, value: xp.where(mask, value, x),
}  # fmt: skip

NAMES = frozenset({*_SAME, *_OTHER, *_METHODS, *_ACTIVATIONS, "softmax", "log_softmax", "logsumexp", "var", "std"})

"""The optimizers in plain NumPy, a class each: it remembers one parameter's past and moves the parameter.

Parameters and gradients are flat while they are worked on: NumPy 1 would widen an array of shape () that meets a Python number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.adapters import numpy_matrices
from calibrant.exact import OPTIMIZERS
from calibrant.protocol.errors import nearest

Array = Any
"""NumPy arrays."""


class Mover:
    """The common part of all optimizers: from the gradients of one parameter to its moves."""

    decays = False
    """Whether `_moved` applies weight decay itself."""

    def __init__(self, h: Any, p: Array, shape: tuple[int, ...]) -> None:
        self.h, self.t, self.shape = h, 0, shape
        self.m, self.v, self.extra = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)

    def follow(self, p: Array, g: Array, lr: float) -> Array:
        """The parameter after a step at the rate lr along the gradient g."""
        h = self.h
        self.t += 1
        if h.maximize:
            g = -g
        if self.decays:
            return self._moved(p, g, lr)
        if h.decoupled_weight_decay:
            p = p - p * (lr * h.weight_decay)
        elif h.weight_decay:
            g = g + p * h.weight_decay
        return self._moved(p, g, lr)

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        """The parameter after a step along a gradient that already has weight decay and sign applied."""
        raise NotImplementedError

    def moments(self, g: Array, share1: float, share2: float) -> None:
        """Move m towards the gradient and v towards its square."""
        self.m = self.m + (g - self.m) * (1 - share1)
        self.v = self.v * share2 + np.square(g) * (1 - share2)


class Sgd(Mover):
    """Along the gradient, or along a buffer of gradients; `m` is the buffer."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        h = self.h
        if h.momentum == 0:
            return p - g * lr
        self.m = self.m * h.momentum + g * (1 - h.dampening) if self.t > 1 else g.copy()
        return p - (g + self.m * h.momentum if h.nesterov else self.m) * lr


class Adam(Mover):
    """Along the mean gradient over its root mean square; `extra` is AMSGrad's maximum."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        beta1, beta2 = self.h.betas
        self.moments(g, beta1, beta2)
        self.extra = np.maximum(self.extra, self.v) if self.h.amsgrad else self.v
        spread = np.sqrt(self.extra) / math.sqrt(1 - beta2**self.t) + self.h.eps
        return p - self.m / spread * (lr / (1 - beta1**self.t))


class Rmsprop(Mover):
    """Over the root of the mean square, or of the variance; `extra` is the momentum."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        h = self.h
        self.moments(g, h.alpha, h.alpha)
        power = np.maximum(self.v - np.square(self.m), 0) if h.centered else self.v
        scaled = g / (np.sqrt(power) + h.eps)
        if h.momentum:
            self.extra = scaled = self.extra * h.momentum + scaled
        return p - scaled * lr


class Adagrad(Mover):
    """Over the root of the sum of all squares, `v`."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        if self.t == 1:
            self.v = np.full_like(p, self.h.initial_accumulator_value)
        self.v = self.v + np.square(g)
        return p - g / (np.sqrt(self.v) + self.h.eps) * (lr / (1 + (self.t - 1) * self.h.lr_decay))


class Adadelta(Mover):
    """Over the root mean square of the gradients, times the root mean square of the moves, `extra` before the root."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        rho, eps = self.h.rho, self.h.eps
        self.v = self.v * rho + np.square(g) * (1 - rho)
        move = g * (np.sqrt(self.extra + eps) / np.sqrt(self.v + eps))
        self.extra = self.extra * rho + np.square(move) * (1 - rho)
        return p - move * lr


class Adamax(Mover):
    """Along the mean gradient over the largest of the fading gradients, `v`."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        beta1, beta2 = self.h.betas
        self.m = self.m + (g - self.m) * (1 - beta1)
        self.v = np.maximum(self.v * beta2, np.abs(g) + self.h.eps)
        return p - self.m / self.v * (lr / (1 - beta1**self.t))


class Nadam(Mover):
    """Adam with a look ahead; `product` multiplies all momenta so far."""

    product = 1.0

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        beta1, beta2 = self.h.betas
        self.moments(g, beta1, beta2)
        now = beta1 - beta1 / 2 * 0.96 ** (self.t * self.h.momentum_decay)
        then = beta1 - beta1 / 2 * 0.96 ** ((self.t + 1) * self.h.momentum_decay)
        self.product *= now
        spread = np.sqrt(self.v / (1 - beta2**self.t)) + self.h.eps
        p = p - g / spread * (lr * (1 - now) / (1 - self.product))
        return p - self.m / spread * (lr * then / (1 - self.product * then))


class Radam(Mover):
    """Adam, with a step that is not adaptive while the squares are too few."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        (beta1, beta2), t = self.h.betas, self.t
        self.moments(g, beta1, beta2)
        lr = lr / (1 - beta1**t)
        full = 2 / (1 - beta2) - 1
        counted = full - 2 * t * beta2**t / (1 - beta2**t)
        if counted <= 5:
            return p - self.m * lr
        share = (counted - 4) * (counted - 2) / counted / ((full - 4) * (full - 2) / full)
        return p - self.m / (np.sqrt(self.v) + self.h.eps) * (lr * math.sqrt(share * (1 - beta2**t)))


class Asgd(Mover):
    """SGD at a falling rate with a pull to zero. It does not keep the mean of the parameters, because the protocol does not ask for it."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        rate = lr * (1 + self.h.lambd * lr * (self.t - 1)) ** -self.h.alpha
        return p * (1 - self.h.lambd * rate) - g * rate


class Rprop(Mover):
    """By sizes of its own, `v`, against the sign of the gradient; `m` holds the signs before, 0 after a turn."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        (down, up), (least, most) = self.h.etas, self.h.step_sizes
        if self.t == 1:
            self.v = np.full_like(p, lr)
        turns = np.sign(g) * self.m
        self.v[turns > 0] *= up
        self.v[turns < 0] *= down
        self.v = np.clip(self.v, least, most).astype(p.dtype)
        self.m = np.where(turns < 0, np.zeros_like(g), np.sign(g))
        return p - self.m * self.v


class Lion(Mover):
    """By the rate, against the sign of an average; `m` is another average."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        beta1, beta2 = self.h.betas
        direction = np.sign(self.m * beta1 + g * (1 - beta1))
        self.m = self.m * beta2 + g * (1 - beta2)
        return p - direction * lr


class Adabelief(Mover):
    """Along the mean gradient over the root mean square of how far gradients are from it."""

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        beta1, beta2 = self.h.betas
        self.m = self.m + (g - self.m) * (1 - beta1)
        self.v = self.v * beta2 + np.square(g - self.m) * (1 - beta2) + self.h.eps
        spread = np.sqrt(self.v) / math.sqrt(1 - beta2**self.t) + self.h.eps
        return p - self.m / spread * (lr / (1 - beta1**self.t))


class Lamb(Mover):
    """Adam's direction with its decay, as far as the parameter is long."""

    decays = True

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        beta1, beta2 = self.h.betas
        self.moments(g, beta1, beta2)
        spread = np.sqrt(self.v / (1 - beta2**self.t)) + self.h.eps
        way = self.m / spread / (1 - beta1**self.t) + p * self.h.weight_decay
        size, length = _norm(p), _norm(way)
        return p - way * ((size / length if size > 0 and length > 0 else 1) * lr)


class Lars(Mover):
    """SGD at a rate for each parameter, from its norm and from its gradient's; `m` is the buffer, rates included."""

    decays = True

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        h, size = self.h, _norm(p)
        steepness = _norm(g) + size * h.weight_decay
        ratio = size / (steepness + h.eps) * h.trust_coefficient if size > 0 and steepness > 0 else 1
        self.m = self.m * h.momentum + (g + p * h.weight_decay) * (ratio * lr)
        return p - self.m


class Adafactor(Mover):
    """Over the root of averages of rows and columns, `m` and `v`; `v` is that of each number where there are no rows."""

    decays = True

    def _moved(self, p: Array, g: Array, lr: float) -> Array:
        h, t, real = self.h, self.t, p.dtype
        small, least = float(_finfo(real).eps) if h.eps[0] is None else h.eps[0], h.eps[1]
        new, squares = t**h.beta2_decay, np.square(g)
        if len(self.shape) < 2:
            self.v = power = self.v * (1 - new) + squares * new
        else:
            tables = [x.reshape(self.shape) for x in (self.m, self.v, squares)]
            rows = tables[0] * (1 - new) + tables[2].mean(-1, keepdims=True) * new
            columns = tables[1] * (1 - new) + tables[2].mean(-2, keepdims=True) * new
            self.m, self.v = rows.ravel(), columns.ravel()
            power = (rows / np.maximum(rows.mean(-2, keepdims=True), small) * columns).ravel()
        way = g / np.sqrt(np.maximum(power, small**2))
        size, length = (_norm(x) / math.sqrt(x.size) for x in (p, way))
        rate = max(least, float(size)) * min(lr, 1 / math.sqrt(t)) / max(1.0, float(length) / h.d)
        return p - p * (lr * h.weight_decay) - way * rate


def _finfo(dtype: Any) -> Any:
    """NumPy's or, of bfloat16, that of ml_dtypes."""
    if dtype.name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]  # ml_dtypes has no types here
    return np.finfo(dtype)


def _norm(x: Array) -> Array:
    """The Euclidean norm, in the dtype of its numbers."""
    return np.sqrt(np.sum(np.square(x)))


_MOVERS: tuple[type[Mover], ...] = (
    Sgd, Adam, Rmsprop, Adagrad, Adadelta, Adamax, Nadam, Radam, Asgd, Rprop, Lion, Adabelief, Lamb, Lars, Adafactor,
)  # fmt: skip

MOVERS = {mover.__name__.lower(): mover for mover in _MOVERS} | {"adamw": Adam} | numpy_matrices.MOVERS
"""The class of each optimizer, by its name."""


class Optimizer:
    """A fresh optimizer of K parameters, with a mover for each; `lr` may be a list, a rate for each step."""

    def __init__(self, name: str, hyperparameters: dict[str, Any], params: list[Array]) -> None:
        given = checked(name, hyperparameters, OPTIMIZERS)
        shared = {"weight_decay": 0.0, "decoupled_weight_decay": name in ("adamw", "lion", "adabelief")}
        if name == "sgd" and given["nesterov"] and (given["momentum"] <= 0 or given["dampening"] != 0):
            raise ValueError("nesterov is True: it needs a momentum, and no dampening")
        self.lr, self.used, self.params = given["lr"], 0, params
        self.movers = [MOVERS[name](SimpleNamespace(**shared | given), p.ravel(), p.shape) for p in params]

    def step(self, grads: Sequence[Array | None]) -> list[Array]:
        """The parameters after one step, in their dtype (bfloat16 times a Python number is float32); None leaves a parameter."""
        lr = self.lr
        if isinstance(lr, (list, tuple)):
            if self.used == len(lr):
                raise ValueError(f"lr has {self.used} rates, and there are more steps")
            lr = lr[self.used]
        self.used += 1
        self.params = [
            p if g is None else mover.follow(p.ravel(), g.ravel(), lr).reshape(p.shape).astype(p.dtype, copy=False)
            for mover, p, g in zip(self.movers, self.params, grads, strict=True)
        ]
        return self.now()

    def now(self) -> list[Array]:
        """Copies of the parameters."""
        return [np.array(p) for p in self.params]


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array | None]]
) -> list[list[Array]]:
    """The K parameters after each of T steps; `lr` may be a list of T rates."""
    optimizer = Optimizer(name, hyperparameters, params)
    shapes = [p.shape for p in params]
    for step in grads:
        given = [shape if g is None else g.shape for g, shape in zip(step, shapes, strict=False)]
        if len(step) != len(params) or given != shapes:
            raise ValueError(f"grads has a step with {given}: the parameters have {shapes}")
    if isinstance(optimizer.lr, (list, tuple)) and len(optimizer.lr) != len(grads):
        raise ValueError(f"lr has {len(optimizer.lr)} rates for {len(grads)} steps")
    return [optimizer.step(step) for step in grads]


def checked(name: str, hyperparameters: dict[str, Any], known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All hyperparameters. Raises ValueError for an unknown optimizer or hyperparameter, and for an impossible number."""
    if name not in known:
        raise ValueError(f"there is no optimizer {name!r}{nearest(name, list(known))}")
    for key, value in hyperparameters.items():
        if key not in known[name]:
            raise ValueError(f"{name} has no {key!r}{nearest(key, list(known[name]))}")
        for one in value if key == "lr" and isinstance(value, (list, tuple)) else [value]:
            _check(key, one, known[name][key])
    return {**known[name], **hyperparameters}


def _check(key: str, value: Any, usual: Any) -> None:
    """Raise ValueError for an impossible value; the default `usual` shows whether a flag, a number or a pair is expected."""
    if isinstance(usual, bool) or isinstance(value, bool):
        if type(value) is not type(usual):
            raise ValueError(f"{key} is {value!r}, which is not a {type(usual).__name__}")
        return
    if key == "adjust_lr_fn":
        if value not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"{key} is {value!r}: it must be None, original or match_rms_adamw")
        return
    count = len(usual) if isinstance(usual, tuple) else 1
    if count == 2 and usual[0] is None and isinstance(value, (list, tuple)) and len(value) == 2 and value[0] is None:
        value = (0.0, value[1])
    numbers = tuple(value) if count > 1 and isinstance(value, (list, tuple)) else (value,)
    if not all(isinstance(x, (int, float, np.floating)) and np.isfinite(x) for x in numbers) or len(numbers) != count:
        raise ValueError(
            f"{key} is {value!r}: it must be {f'{count} finite numbers' if count > 1 else 'a finite number'}"
        )
    allowed = {
        "betas": all(0 <= x < 1 for x in numbers),
        "alpha": 0 <= numbers[0] <= 1,
        "rho": 0 <= numbers[0] <= 1,
        "etas": 0 < numbers[0] < 1 < numbers[-1],
        "step_sizes": 0 <= numbers[0] <= numbers[-1],
        "dampening": True,
        "beta2_decay": numbers[0] <= 0,
        "d": numbers[0] >= 1,
        "t0": True,
        "ns_coefficients": True,
        "ns_steps": 0 <= numbers[0] == int(numbers[0]),
        "warmup_steps": 0 <= numbers[0] == int(numbers[0]),
    }
    if not allowed.get(key, min(numbers) >= 0):
        raise ValueError(f"{key} is {value!r}, which is out of its range")

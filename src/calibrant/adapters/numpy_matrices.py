"""Muon and Schedule-Free in plain NumPy: the parts of `numpy_optimizers` that move a matrix, or keep an average of their steps."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = Any
"""NumPy arrays."""


class Muon:
    """Along the momentum as a nearly orthogonal matrix."""

    def __init__(self, h: Any, p: Array, shape: tuple[int, ...]) -> None:
        if len(shape) != 2:
            raise ValueError(f"a parameter has the shape {shape}: muon moves matrices")
        self.h, self.shape, self.buffer = h, shape, np.zeros_like(p)

    def follow(self, p: Array, g: Array, lr: float) -> Array:
        """The parameter after a step at the rate lr along the gradient g."""
        h, (rows, columns) = self.h, self.shape
        g = -g if h.maximize else g
        self.buffer = self.buffer + (g - self.buffer) * (1 - h.momentum)
        way = g + (self.buffer - g) * h.momentum if h.nesterov else self.buffer
        size = 0.2 * max(rows, columns) ** 0.5 if h.adjust_lr_fn == "match_rms_adamw" else max(1, rows / columns) ** 0.5
        return p - p * (lr * h.weight_decay) - self._orthogonal(way.reshape(self.shape)).ravel() * (lr * size)

    def _orthogonal(self, x: Array) -> Array:
        """The Newton-Schulz iteration, from the matrix over its norm."""
        a, b, c = self.h.ns_coefficients
        real = x.dtype
        x = (x / max(np.sqrt(np.sum(np.square(x))), real.type(self.h.eps))).astype(real)
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        for _ in range(self.h.ns_steps):
            square = x @ x.T
            x = (x * a + (square * b + (square @ square) * c).astype(real) @ x).astype(real)
        return x.T if tall else x


class ScheduleFreeSgd:
    """Steps from z; the average x of all z is found in y and z, of which it keeps no third."""

    def __init__(self, h: Any, p: Array, shape: tuple[int, ...]) -> None:
        self.h, self.t, self.most, self.total = h, 0, 0.0, 0.0
        self.y = self.z = self.x = p
        self.v = np.zeros_like(p)

    def follow(self, p: Array, g: Array, lr: float) -> Array:
        """The parameter after a step at the rate lr along the gradient g."""
        h = self.h
        self.t += 1
        rate = lr * min(1, self.t / h.warmup_steps) if h.warmup_steps else lr
        self.most = max(self.most, rate)
        weight = self.t**h.r * self.most**h.weight_lr_power
        self.total += weight
        share = weight / self.total if self.total else 0.0
        way = self._direction(-g if h.maximize else g) + self.y * h.weight_decay
        self.z = self.z - way * rate
        self.x = self.x * (1 - share) + self.z * share
        self.y = self.z + (self.x - self.z) * self._beta()
        return self.x if h.averaged else self.y

    def _beta(self) -> float:
        """How near y is to x."""
        return float(self.h.momentum)

    def _direction(self, g: Array) -> Array:
        """The way of z."""
        return g


class ScheduleFreeAdamw(ScheduleFreeSgd):
    """The same with gradients over their root mean square."""

    def _beta(self) -> float:
        return float(self.h.betas[0])

    def _direction(self, g: Array) -> Array:
        beta2 = self.h.betas[1]
        self.v = self.v * beta2 + np.square(g) * (1 - beta2)
        return g / (np.sqrt(self.v / (1 - beta2**self.t)) + self.h.eps)


MOVERS: dict[str, Any] = {
    "muon": Muon,
    "sgdschedulefree": ScheduleFreeSgd,
    "adamwschedulefree": ScheduleFreeAdamw,
}
"""The class of each optimizer, by its name."""

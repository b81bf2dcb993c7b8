"""Correct evaluations of the formulas, of many kinds: in NumPy, and in PyTorch where it is installed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Way:
    """A way to evaluate the formulas: these follow from the model, the loss, the gradient and the step of a subclass."""

    def finite_difference(self: Any, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
        """Central differences."""

        def loss(w: Any, b: Any) -> Any:
            return self.loss(self.model(t_u, w, b), t_c)

        rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
        return self.library.stack(rates) / (delta + delta)

    def trajectory(self: Any, n_epochs: int, rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
        """Descent."""
        for _ in range(n_epochs):
            params = self.step(params, rate, self.grad(t_u, t_c, *params))
        return params


@dataclass
class Style(Way):
    """A way to evaluate the formulas in NumPy: how sums are taken, when a mean is divided, how products are formed."""

    total: Callable[[Array], Any]
    division: str
    products: str
    library = np

    def mean(self, x: Array) -> Any:
        """The mean, divided before the sum, after it, or multiplied by a reciprocal."""
        n = x.dtype.type(x.size)
        if self.division == "divide-first":
            return self.total(x / n)
        if self.division == "reciprocal":
            return self.total(x) * (x.dtype.type(1) / n)
        return self.total(x) / n

    def inner(self, x: Array, y: Array) -> Any:
        """The sum of the products."""
        if self.products == "dot":
            return np.dot(x, y)
        if self.products == "einsum":
            return np.einsum("i,i->", x, y)
        return self.total(x * y)

    def model(self, t_u: Array, w: Array, b: Array) -> Array:
        """w t_u + b."""
        if self.products == "dot":
            return np.asarray(np.stack([t_u, np.ones_like(t_u)], axis=1) @ np.stack([w, b]))
        if self.products == "einsum":
            return np.asarray(np.einsum("ij,j->i", np.stack([np.ones_like(t_u), t_u], axis=1), np.stack([b, w])))
        return np.asarray(b + t_u * w)

    def loss(self, t_p: Array, t_c: Array) -> Any:
        """The mean square."""
        r = t_c - t_p
        if self.products == "plain" or self.division == "divide-first":
            return self.mean(r**2)
        return self.inner(r, r) / r.dtype.type(r.size)

    def absolute(self, t_p: Array, t_c: Array) -> Any:
        """The mean absolute error."""
        return self.mean(np.abs(t_p - t_c))

    def dloss(self, t_p: Array, t_c: Array) -> Array:
        """The derivative by each prediction."""
        n, two = t_p.dtype.type(t_p.size), t_p.dtype.type(2)
        if self.division == "divide-first":
            return np.asarray((t_p - t_c) / n * two)
        if self.division == "reciprocal":
            return np.asarray((two / n) * (t_p - t_c))
        return np.asarray(two * (t_p - t_c) / n)

    def grad(self, t_u: Array, t_c: Array, w: Array, b: Array) -> Array:
        """The gradient by hand: divide each derivative, or the sum of all."""
        t_p = self.model(t_u, w, b)
        if self.division == "sum-first":
            r, n, two = t_p - t_c, t_p.dtype.type(t_p.size), t_p.dtype.type(2)
            return np.stack([two * self.inner(r, t_u) / n, two * self.total(r) / n])
        dloss = self.dloss(t_p, t_c)
        return np.stack([self.inner(dloss, t_u), np.asarray(self.total(dloss))])

    def step(self, params: Array, rate: float, grad: Array) -> Array:
        """One step of descent."""
        return np.asarray(params - params.dtype.type(rate) * grad)


def loop(x: Array) -> Any:
    """The sum, one number after another."""
    return functools.reduce(lambda total, value: total + value, x, x.dtype.type(0))


TOTALS: dict[str, Callable[[Array], Any]] = {
    "np.sum": np.sum,
    "loop": loop,
    "reversed": lambda x: loop(x[::-1]),
    "fsum": lambda x: x.dtype.type(math.fsum(x.tolist())),
    "np.dot": lambda x: np.dot(x, np.ones_like(x)),
    "np.matmul": lambda x: np.ones_like(x) @ x,
    "np.einsum": lambda x: np.einsum("i->", x),
}
STYLES = {
    ", ".join(kind): Style(TOTALS[kind[0]], *kind[1:])
    for kind in itertools.product(TOTALS, ("sum-first", "divide-first", "reciprocal"), ("plain", "dot", "einsum"))
}


@dataclass
class Torch(Way):
    """A way to evaluate the formulas in PyTorch: with one rounding or two, and by hand or by PyTorch's own functions."""

    steps: str
    losses: str
    gradients: str

    @functools.cached_property
    def library(self) -> Any:
        """PyTorch, imported when it is first needed."""
        import torch

        return torch

    def model(self, t_u: Any, w: Any, b: Any) -> Any:
        """w t_u + b, with one rounding or two."""
        return self.library.addcmul(b, w, t_u) if self.steps == "fused" else w * t_u + b

    def loss(self, t_p: Any, t_c: Any) -> Any:
        """The mean square: as in the book, or PyTorch's own."""
        own = self.losses == "own loss"
        return self.library.nn.functional.mse_loss(t_p, t_c) if own else ((t_p - t_c) ** 2).mean()

    def absolute(self, t_p: Any, t_c: Any) -> Any:
        """The mean absolute error: as in the book, or PyTorch's own."""
        own = self.losses == "own loss"
        return self.library.nn.functional.l1_loss(t_p, t_c) if own else (t_p - t_c).abs().mean()

    def dloss(self, t_p: Any, t_c: Any) -> Any:
        """The derivative by each prediction."""
        if self.gradients == "by hand":
            return 2 * (t_p - t_c) / t_p.numel()
        return self._derivative(lambda leaf: self.loss(leaf, t_c), t_p)

    def grad(self, t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
        """The gradient."""
        if self.gradients == "by hand":
            dloss = self.dloss(self.model(t_u, w, b), t_c)
            return self.library.stack([(dloss * t_u).sum(), dloss.sum()])
        return self._derivative(lambda params: self.loss(self.model(t_u, *params), t_c), self.library.stack([w, b]))

    def _derivative(self, function: Callable[[Any], Any], x: Any) -> Any:
        leaf = x.detach().clone().requires_grad_()
        return self.library.autograd.grad(function(leaf), leaf)[0]

    def step(self, params: Any, rate: float, grad: Any) -> Any:
        """One step of descent, with one rounding or two."""
        return self.library.sub(params, grad, alpha=rate) if self.steps == "fused" else params - rate * grad

    def trajectory(self, n_epochs: int, rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
        """Descent, by torch.optim.SGD where gradients are automatic."""
        if self.gradients == "by hand":
            return super().trajectory(n_epochs, rate, params, t_u, t_c)
        leaf = params.clone().requires_grad_()
        optimizer = self.library.optim.SGD([leaf], lr=rate)
        for _ in range(n_epochs):
            optimizer.zero_grad()
            self.loss(self.model(t_u, *leaf), t_c).backward()
            optimizer.step()
        return leaf


TORCHES = {
    ", ".join(("torch", *kind)): Torch(*kind)
    for kind in itertools.product(("plain", "fused"), ("the book", "own loss"), ("by hand", "autograd"))
}


def tensor(x: Array) -> Any:
    """Make a tensor of the same numbers."""
    import torch

    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.uint16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(x))


def in_torch(formula: Callable[..., Any], *arguments: Any) -> Array:
    """Evaluate a formula on tensors, and return float64, which holds every number of each dtype."""
    answer = formula(*(tensor(x) if isinstance(x, np.ndarray) else x for x in arguments))
    return np.asarray(answer.detach().double().numpy())

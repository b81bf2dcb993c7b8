"""Correct evaluations of the formulas, of many kinds: in NumPy, and in PyTorch where it is installed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Style:
    """A way to evaluate the formulas in NumPy: how sums are taken, when a mean is divided, how products are formed."""

    total: Callable[[Array], Any]
    division: str
    products: str

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
        """The gradient by hand; of the divided derivatives, or divided at the end."""
        t_p = self.model(t_u, w, b)
        if self.division == "sum-first":
            r, n, two = t_p - t_c, t_p.dtype.type(t_p.size), t_p.dtype.type(2)
            return np.stack([two * self.inner(r, t_u) / n, two * self.total(r) / n])
        dloss = self.dloss(t_p, t_c)
        return np.stack([self.inner(dloss, t_u), np.asarray(self.total(dloss))])

    def finite_difference(self, t_u: Array, t_c: Array, w: Array, b: Array, delta: Array) -> Array:
        """Central differences."""

        def loss(w: Any, b: Any) -> Any:
            return self.loss(self.model(t_u, w, b), t_c)

        rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
        return np.asarray(np.stack(rates) / (delta + delta))

    def trajectory(self, n_epochs: int, rate: float, params: Array, t_u: Array, t_c: Array) -> Array:
        """Descent."""
        lr = params.dtype.type(rate)
        for _ in range(n_epochs):
            params = params - lr * self.grad(t_u, t_c, *params)
        return params


def loop(x: Array) -> Any:
    """The sum, one number after another."""
    total = x.dtype.type(0)
    for value in x:
        total = total + value
    return total


def fsum(x: Array) -> Any:
    """The sum, rounded once."""
    return x.dtype.type(math.fsum(x.tolist()))


TOTALS: dict[str, Callable[[Array], Any]] = {
    "np.sum": np.sum,
    "loop": loop,
    "reversed": lambda x: loop(x[::-1]),
    "fsum": fsum,
    "np.dot": lambda x: np.dot(x, np.ones_like(x)),
    "np.matmul": lambda x: np.ones_like(x) @ x,
    "np.einsum": lambda x: np.einsum("i->", x),
}
DIVISIONS = ("sum-first", "divide-first", "reciprocal")
PRODUCTS = ("plain", "dot", "einsum")
STYLES = {
    f"{total}, {division}, {products}": Style(TOTALS[total], division, products)
    for total in TOTALS
    for division in DIVISIONS
    for products in PRODUCTS
}


class Torch:
    """A way to evaluate the formulas in PyTorch, with gradients by hand or by autograd."""

    def __init__(self, fused: bool, own_loss: bool, autograd: bool) -> None:
        self.fused, self.own_loss, self.autograd = fused, own_loss, autograd

    def model(self, t_u: Any, w: Any, b: Any) -> Any:
        """w t_u + b, with one rounding or two."""
        import torch

        return torch.addcmul(b, w, t_u) if self.fused else w * t_u + b

    def loss(self, t_p: Any, t_c: Any) -> Any:
        """The mean square: as in the book, or torch's own."""
        import torch

        return torch.nn.functional.mse_loss(t_p, t_c) if self.own_loss else ((t_p - t_c) ** 2).mean()

    def absolute(self, t_p: Any, t_c: Any) -> Any:
        """The mean absolute error: as in the book, or torch's own."""
        import torch

        return torch.nn.functional.l1_loss(t_p, t_c) if self.own_loss else (t_p - t_c).abs().mean()

    def dloss(self, t_p: Any, t_c: Any) -> Any:
        """The derivative by each prediction."""
        import torch

        if not self.autograd:
            return 2 * (t_p - t_c) / t_p.numel()
        leaf = t_p.detach().clone().requires_grad_()
        return torch.autograd.grad(self.loss(leaf, t_c), leaf)[0]

    def grad(self, t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
        """The gradient."""
        import torch

        if self.autograd:
            params = torch.stack([w, b]).detach().requires_grad_()
            return torch.autograd.grad(self.loss(self.model(t_u, *params), t_c), params)[0]
        dloss = self.dloss(self.model(t_u, w, b), t_c)
        return torch.stack([(dloss * t_u).sum(), dloss.sum()])

    def finite_difference(self, t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
        """Central differences."""
        import torch

        def loss(w: Any, b: Any) -> Any:
            return self.loss(self.model(t_u, w, b), t_c)

        rates = [loss(w + delta, b) - loss(w - delta, b), loss(w, b + delta) - loss(w, b - delta)]
        return torch.stack(rates) / (2 * delta)

    def trajectory(self, n_epochs: int, rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
        """Descent, by torch.optim.SGD where gradients are automatic."""
        import torch

        if self.autograd:
            leaf = params.clone().requires_grad_()
            optimizer = torch.optim.SGD([leaf], lr=rate)
            for _ in range(n_epochs):
                optimizer.zero_grad()
                self.loss(self.model(t_u, *leaf), t_c).backward()
                optimizer.step()
            return leaf
        for _ in range(n_epochs):
            grad = self.grad(t_u, t_c, *params)
            params = torch.sub(params, grad, alpha=rate) if self.fused else params - rate * grad
        return params


TORCHES = {
    f"torch, {'fused' if fused else 'plain'}, {'own loss' if own else 'the book'}, {'autograd' if auto else 'by hand'}": Torch(
        fused, own, auto
    )
    for fused in (False, True)
    for own in (False, True)
    for auto in (False, True)
}


def tensors(*arrays: Array) -> Iterator[Any]:
    """Tensors of the same numbers."""
    import torch

    for x in arrays:
        if x.dtype.name == "bfloat16":
            yield torch.from_numpy(x.view(np.uint16).copy()).view(torch.bfloat16)
        else:
            yield torch.from_numpy(np.array(x))


def in_torch(formula: Callable[..., Any], *arguments: Any) -> Array:
    """What a formula makes of the arguments, arrays as tensors; as float64, which holds every number of each dtype."""
    import torch

    converted = [next(tensors(x)) if isinstance(x, np.ndarray) else x for x in arguments]
    answer: torch.Tensor = formula(*converted)
    return np.asarray(answer.detach().to(torch.float64).numpy())

"""Correct evaluations of the formulas, of many kinds: in NumPy, and in PyTorch where it is installed."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Way = dict[str, Callable[..., Any]]
"""A way to evaluate each formula, by its name."""


def in_numpy(total: Callable[[Array], Any], division: str, products: str) -> Way:
    """A way in NumPy: how sums are taken, when a mean is divided, how products are formed."""

    def mean(x: Array) -> Any:
        n = x.dtype.type(x.size)
        if division == "divide-first":
            return total(x / n)
        return total(x) * (x.dtype.type(1) / n) if division == "reciprocal" else total(x) / n

    def inner(x: Array, y: Array) -> Any:
        if products == "dot":
            return np.dot(x, y)
        return np.einsum("i,i->", x, y) if products == "einsum" else total(x * y)

    def model(t_u: Array, w: Array, b: Array) -> Any:
        if products == "dot":
            return np.stack([t_u, np.ones_like(t_u)], axis=1) @ np.stack([w, b])
        if products == "einsum":
            return np.einsum("ij,j->i", np.stack([np.ones_like(t_u), t_u], axis=1), np.stack([b, w]))
        return b + t_u * w

    def loss(t_p: Array, t_c: Array) -> Any:
        r = t_c - t_p
        if products == "plain" or division == "divide-first":
            return mean(r**2)
        return inner(r, r) / r.dtype.type(r.size)

    def dloss(t_p: Array, t_c: Array) -> Any:
        n, two = t_p.dtype.type(t_p.size), t_p.dtype.type(2)
        if division == "divide-first":
            return (t_p - t_c) / n * two
        return (two / n) * (t_p - t_c) if division == "reciprocal" else two * (t_p - t_c) / n

    def grad(t_u: Array, t_c: Array, w: Array, b: Array) -> Any:
        t_p = model(t_u, w, b)
        if division == "sum-first":
            r, n, two = t_p - t_c, t_p.dtype.type(t_p.size), t_p.dtype.type(2)
            return np.stack([two * inner(r, t_u) / n, two * total(r) / n])
        derivatives = dloss(t_p, t_c)
        return np.stack([inner(derivatives, t_u), np.asarray(total(derivatives))])

    def step(params: Array, rate: float, gradient: Array) -> Any:
        return params - params.dtype.type(rate) * gradient

    return _whole(np, model, loss, lambda t_p, t_c: mean(np.abs(t_p - t_c)), dloss, grad, step)


def in_torch(fused: bool, own_loss: bool, by_autograd: bool) -> Way:
    """A way in PyTorch: with one rounding or two, with PyTorch's losses or the book's, by autograd or by hand."""
    import torch

    def derivative(function: Callable[[Any], Any], x: Any) -> Any:
        leaf = x.detach().clone().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf)[0]

    def model(t_u: Any, w: Any, b: Any) -> Any:
        return torch.addcmul(b, w, t_u) if fused else w * t_u + b

    def loss(t_p: Any, t_c: Any) -> Any:
        return torch.nn.functional.mse_loss(t_p, t_c) if own_loss else ((t_p - t_c) ** 2).mean()

    def absolute(t_p: Any, t_c: Any) -> Any:
        return torch.nn.functional.l1_loss(t_p, t_c) if own_loss else (t_p - t_c).abs().mean()

    def dloss(t_p: Any, t_c: Any) -> Any:
        return derivative(lambda leaf: loss(leaf, t_c), t_p) if by_autograd else 2 * (t_p - t_c) / len(t_p)

    def grad(t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
        if by_autograd:
            return derivative(lambda params: loss(model(t_u, *params), t_c), torch.stack([w, b]))
        derivatives = dloss(model(t_u, w, b), t_c)
        return torch.stack([(derivatives * t_u).sum(), derivatives.sum()])

    def step(params: Any, rate: float, gradient: Any) -> Any:
        return torch.sub(params, gradient, alpha=rate) if fused else params - rate * gradient

    way = _whole(torch, model, loss, absolute, dloss, grad, step)
    return {name: _on_tensors(formula) for name, formula in way.items()}


def _whole(library: Any, model: Any, loss: Any, absolute: Any, dloss: Any, grad: Any, step: Any) -> Way:
    """A way, with the formulas that follow."""

    def finite_difference(t_u: Any, t_c: Any, w: Any, b: Any, delta: Any) -> Any:
        def at(w: Any, b: Any) -> Any:
            return loss(model(t_u, w, b), t_c)

        rates = [at(w + delta, b) - at(w - delta, b), at(w, b + delta) - at(w, b - delta)]
        return library.stack(rates) / (delta + delta)

    def trajectory(n_epochs: int, rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
        for _ in range(n_epochs):
            params = step(params, rate, grad(t_u, t_c, *params))
        return params

    formulas = {"model": model, "loss": loss, "absolute": absolute, "dloss": dloss, "grad": grad}
    walks = dict.fromkeys(("step", "trajectory", "closed_form"), trajectory)
    return formulas | walks | {"finite_difference": finite_difference}


def _on_tensors(formula: Callable[..., Any]) -> Callable[..., Array]:
    """A formula of arrays that computes with tensors. It returns float64, which holds every number of each dtype."""

    def evaluated(*arguments: Any) -> Array:
        answer = formula(*(tensor(x) if isinstance(x, np.ndarray) else x for x in arguments))
        return np.asarray(answer.detach().double().numpy())

    return evaluated


def tensor(x: Array) -> Any:
    """Make a tensor of the same numbers."""
    import torch

    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.uint16).copy()).view(torch.bfloat16)
    return torch.from_numpy(np.array(x))


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
    ", ".join(kind): functools.partial(in_numpy, TOTALS[kind[0]], *kind[1:])
    for kind in itertools.product(TOTALS, ("sum-first", "divide-first", "reciprocal"), ("plain", "dot", "einsum"))
}
TORCHES = {
    f"torch, fused {kind[0]}, own loss {kind[1]}, autograd {kind[2]}": functools.partial(in_torch, *kind)
    for kind in itertools.product((False, True), repeat=3)
}


@functools.cache
def way(name: str) -> Way:
    """The way of a name."""
    return (STYLES | TORCHES)[name]()

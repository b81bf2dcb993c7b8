"""Correct evaluations of the formulas, of many kinds: in NumPy, and in PyTorch where it is installed."""

import functools
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Way = dict[str, Callable[..., Any]]
"""A way to evaluate each formula, by its name."""


def by_hand(xp: Any, total: Callable[[Any], Any], division: str, products: str) -> Way:
    """A way in NumPy or PyTorch: how sums are taken, when a mean is divided, how products are formed."""

    def mean(x: Any) -> Any:
        if division == "divide-first":
            return total(x / len(x))
        return total(x) * (1 / len(x)) if division == "reciprocal" else total(x) / len(x)

    def inner(x: Any, y: Any) -> Any:
        if products == "dot":
            return xp.dot(x, y)
        return xp.einsum("i,i->", x, y) if products == "einsum" else total(x * y)

    def model(t_u: Any, w: Any, b: Any) -> Any:
        if products == "dot":
            return xp.stack([t_u, xp.ones_like(t_u)]).T @ xp.stack([w, b])
        if products == "einsum":
            return xp.einsum("ji,j->i", xp.stack([xp.ones_like(t_u), t_u]), xp.stack([b, w]))
        return b + t_u * w

    def loss(t_p: Any, t_c: Any) -> Any:
        r = t_c - t_p
        return mean(r**2) if products == "plain" or division == "divide-first" else inner(r, r) / len(r)

    def dloss(t_p: Any, t_c: Any) -> Any:
        n = len(t_p)
        if division == "divide-first":
            return (t_p - t_c) / n * 2
        return (2 / n) * (t_p - t_c) if division == "reciprocal" else 2 * (t_p - t_c) / n

    def grad(t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
        t_p = model(t_u, w, b)
        if division == "sum-first":
            r = t_p - t_c
            return xp.stack([2 * inner(r, t_u) / len(r), 2 * total(r) / len(r)])
        derivatives = dloss(t_p, t_c)
        return xp.stack([inner(derivatives, t_u), total(derivatives)])

    def step(params: Any, rate: float, gradient: Any) -> Any:
        return params - rate * gradient

    return _whole(xp, model, loss, lambda t_p, t_c: mean(abs(t_p - t_c)), dloss, grad, step)


def in_torch(division: str = "", products: str = "") -> Way:
    """A way in PyTorch: by hand, or with its own fused steps, losses and autograd."""
    import torch

    loss = torch.nn.functional.mse_loss

    def derivative(function: Callable[[Any], Any], x: Any) -> Any:
        leaf = x.detach().clone().requires_grad_()
        return torch.autograd.grad(function(leaf), leaf)[0]

    def model(t_u: Any, w: Any, b: Any) -> Any:
        return torch.addcmul(b, w, t_u)

    def dloss(t_p: Any, t_c: Any) -> Any:
        return derivative(lambda leaf: loss(leaf, t_c), t_p)

    def grad(t_u: Any, t_c: Any, w: Any, b: Any) -> Any:
        return derivative(lambda params: loss(model(t_u, *params), t_c), torch.stack([w, b]))

    def step(params: Any, rate: float, gradient: Any) -> Any:
        return torch.sub(params, gradient, alpha=rate)

    own = _whole(torch, model, loss, torch.nn.functional.l1_loss, dloss, grad, step)
    way = by_hand(torch, torch.sum, division, products) if division else own
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
    return functools.reduce(operator.add, x)


TOTALS: dict[str, Callable[[Array], Any]] = {
    "np.sum": np.sum,
    "loop": loop,
    "reversed": lambda x: loop(x[::-1]),
    "fsum": lambda x: x.dtype.type(math.fsum(x.tolist())),
    "np.dot": lambda x: np.dot(x, np.ones_like(x)),
    "np.matmul": lambda x: np.ones_like(x) @ x,
    "np.einsum": lambda x: np.einsum("i->", x),
}
KINDS = tuple(itertools.product(("sum-first", "divide-first", "reciprocal"), ("plain", "dot", "einsum")))
STYLES = {
    f"{total}, {', '.join(kind)}": functools.partial(by_hand, np, TOTALS[total], *kind)
    for total, kind in itertools.product(TOTALS, KINDS)
}
TORCHES = {f"torch, {', '.join(kind) or 'its own'}": functools.partial(in_torch, *kind) for kind in (*KINDS, ())}


@functools.cache
def way(name: str) -> Way:
    """The way of a name."""
    return (STYLES | TORCHES)[name]()

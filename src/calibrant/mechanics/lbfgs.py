"""L-BFGS: steps that learn the curvature of the loss from the gradients on the way.

The parameters are one flat tensor, (p,). A closure clears their gradient, computes the loss, and calls its backward pass. A move s
and the change y of the gradient along it are a pair.
"""

import math
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from calibrant.mechanics.optimizers import require_names, require_value

DEFAULTS: dict[str, Any] = {
    "lr": 1.0,
    "max_iter": 20,
    "max_eval": None,
    "tolerance_grad": 1e-7,
    "tolerance_change": 1e-9,
    "history_size": 100,
    "line_search_fn": None,
}
"""The hyperparameters with their defaults; max_eval is five quarters of max_iter."""

LEAST_CURVATURE = 1e-10
DECREASE, FLATTENING = 1e-4, 0.9

Closure = Callable[[], Tensor]


class LBFGS:
    """Liu & Nocedal (1989), algorithm 2.1, with the scale of Nocedal & Wright (2006), (7.20).  [optimizer.lbfgs]

    Raises ValueError for hyperparameters that mean nothing.
    """

    def __init__(self, params: Tensor, **hyperparameters: Any) -> None:
        require_settings(hyperparameters)
        self.h = SimpleNamespace(**DEFAULTS | hyperparameters)
        self.params, self.pairs = params, list[tuple[Tensor, Tensor]]()
        self.last: tuple[Tensor, Tensor] | None = None
        self.iterations = self.evaluations = 0

    def step(self, closure: Closure) -> Tensor:
        """Take up to max_iter iterations, and return the loss before them.  [optimizer.lbfgs.stop]"""
        h, start = self.h, self.evaluations
        most = start + (h.max_iter * 5 // 4 if h.max_eval is None else h.max_eval)
        first, g = loss, _ = self.evaluate(closure)
        n, done = 0, bool(g.abs().max() <= h.tolerance_grad)
        while not done:
            n, self.iterations = n + 1, self.iterations + 1
            self.learn(g)
            d, t = self.direction(g), h.lr
            if self.last is None:
                t = t * min(1.0, 1.0 / g.abs().sum().item())
            slope = (g @ d).item()
            self.last = torch.zeros_like(g), g
            if slope > -h.tolerance_change:
                break
            if h.line_search_fn:
                t = self.search(closure, d, t, loss.item(), slope, most - self.evaluations)
            move = t * d
            self.last = move, g
            with torch.no_grad():
                self.params += move
            if n == h.max_iter:
                break
            before, (loss, g) = loss, self.evaluate(closure)
            done = (
                self.evaluations >= most
                or bool(g.abs().max() <= h.tolerance_grad)
                or bool(move.abs().max() <= h.tolerance_change)
                or bool((loss - before).abs() < h.tolerance_change)
            )
        return first

    def evaluate(self, closure: Closure) -> tuple[Tensor, Tensor]:
        """The loss and its gradient at the parameters."""
        self.evaluations += 1
        loss = closure().detach()
        assert self.params.grad is not None
        return loss, self.params.grad.clone()

    def learn(self, g: Tensor) -> None:
        """Keep the newest pairs along which the loss curves upward.  [optimizer.lbfgs.memory]"""
        if self.last is None:
            return
        s, y = self.last[0], g - self.last[1]
        if s @ y > LEAST_CURVATURE:
            self.pairs = [*self.pairs, (s, y)][-self.h.history_size :]

    def direction(self, g: Tensor) -> Tensor:
        """Minus the estimated inverse Hessian times g: Nocedal & Wright (2006), algorithm 7.4, two loops over the pairs."""
        q, shares = -g, []
        for s, y in reversed(self.pairs):
            shares.append((s @ q) / (s @ y))
            q = q - shares[-1] * y
        if self.pairs:
            s, y = self.pairs[-1]
            q = (s @ y) / (y @ y) * q
        for (s, y), share in zip(self.pairs, reversed(shares), strict=True):
            q = q + (share - (y @ q) / (s @ y)) * s
        return q

    def search(self, closure: Closure, d: Tensor, t: float, loss: float, slope: float, most: int) -> float:
        """A rate at which the loss has fallen enough, and is flat enough: the strong Wolfe conditions.  [optimizer.lbfgs.strong-wolfe]

        Between a rate that is too short and one that is too long there is such a rate: it halves what is between them.
        """
        start, low, high = self.params.detach().clone(), 0.0, math.inf
        for _ in range(max(most, 1)):
            with torch.no_grad():
                self.params.copy_(start + t * d)
            value, g = self.evaluate(closure)
            steep = (g @ d).item()
            if not value.item() <= loss + DECREASE * t * slope or steep > -FLATTENING * slope:
                high = t
            else:
                low = t
                if steep >= FLATTENING * slope:
                    break
            t = 2 * t if high == math.inf else (low + high) / 2
        with torch.no_grad():
            self.params.copy_(start)
        return low


def require_settings(hyperparameters: Mapping[str, Any]) -> None:
    """Raise ValueError unless L-BFGS has these hyperparameters, and they can have these values."""
    require_names("lbfgs", hyperparameters, {"lbfgs": DEFAULTS})
    for key, value in hyperparameters.items():
        whole = key in ("max_iter", "history_size") or (key == "max_eval" and value is not None)
        if whole and (type(value) is not int or value < 1):
            raise ValueError(f"{key} is {value!r}: it must be a positive whole number")
        if key in ("lr", "tolerance_grad", "tolerance_change"):
            require_value(key, value, 0.0)
        if key == "line_search_fn" and value not in (None, "strong_wolfe"):
            raise ValueError(f"line_search_fn is {value!r}: it must be None or 'strong_wolfe'")


def lbfgs(
    hyperparameters: Mapping[str, Any], params: Tensor, hessian: Tensor, slope: Tensor, n_steps: int
) -> list[tuple[Tensor, Tensor, int]]:
    """After each step on the loss 1/2 x H x + slope x: the parameters, the loss before it, and how often it evaluated the loss.

    `lr` may be a list with a rate for each step. Raises ValueError as `LBFGS` does, and unless the shapes fit.
    """
    settings = dict(hyperparameters)
    rates = settings.pop("lr", DEFAULTS["lr"])
    rates = rates if isinstance(rates, (list, tuple)) else [rates] * n_steps
    p = len(params)
    if hessian.shape != (p, p) or slope.shape != (p,) or len(rates) != n_steps:
        raise ValueError(
            f"{p} parameters, a Hessian of {tuple(hessian.shape)}, {len(slope)} slopes, {len(rates)} rates"
        )
    leaf = params.clone().requires_grad_()
    optimizer, path = LBFGS(leaf, **settings), []

    def closure() -> Tensor:
        leaf.grad = None
        loss = 0.5 * (leaf @ (hessian @ leaf)) + slope @ leaf
        loss.backward()
        return loss

    for rate in rates:
        require_value("lr", rate, 0.0)
        optimizer.h.lr, before = rate, optimizer.evaluations
        loss = optimizer.step(closure)
        path.append((leaf.detach().clone(), loss, optimizer.evaluations - before))
    return path

"""The optimizers once more, in plain formulas that share no text with the rules under test."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.exact import OPTIMIZERS


def walk(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any, number: Any = None) -> Any:
    """The parameters after each step, all in the dtype of the parameters.

    `number` makes a number of the parameters' kind from a hyperparameter, where that kind is no NumPy dtype.
    """
    h = SimpleNamespace(**{**OPTIMIZERS[name], **hyperparameters})
    lrs = h.lr if isinstance(h.lr, list) else [h.lr] * len(grads)
    dtype = number or params[0].dtype.type
    params = [p.copy() for p in params]
    states: list[dict[str, Any]] = [{} for _ in params]
    path = []
    for lr, step in zip(lrs, grads, strict=True):
        for k, (g, s) in enumerate(zip(step, states, strict=True)):
            if g is not None:
                s["t"] = s.get("t", 0) + 1
                p, g, decay = params[k], -g if h.maximize else g, dtype(getattr(h, "weight_decay", 0.0))
                if getattr(h, "decoupled_weight_decay", name == "adamw"):
                    p = p - dtype(lr) * decay * p
                elif decay:
                    g = g + decay * p
                moved = _RULES[name](s, h, s["t"], dtype(lr), p, g, dtype)
                params[k] = np.asarray(moved, dtype=params[k].dtype)
        path.append([p.copy() for p in params])
    return path


def _sgd(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    if not h.momentum:
        return p - g * lr
    mu = d(h.momentum)
    push = (d(1) - d(h.dampening)) * g if t > 1 else g
    s["b"] = mu * s.get("b", np.zeros_like(p)) + push
    return p - lr * (g + mu * s["b"] if h.nesterov else s["b"])


def _adam(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    b1, b2 = map(d, h.betas)
    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["v"] = b2 * s.get("v", 0) + (d(1) - b2) * g * g
    v = s["v"]
    if h.amsgrad:
        v = s["most"] = np.maximum(s.get("most", 0), v)
    mhat, vhat = s["m"] / (d(1) - b1**t), v / (d(1) - b2**t)
    return p - lr * (mhat / (np.sqrt(vhat) + d(h.eps)))


def _rmsprop(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    alpha = d(h.alpha)
    s["v"] = alpha * s.get("v", 0) + (d(1) - alpha) * (g * g)
    v = s["v"]
    if h.centered:
        s["a"] = alpha * s.get("a", 0) + (d(1) - alpha) * g
        v = np.maximum(v - s["a"] ** 2, 0)
    s["b"] = d(h.momentum) * s.get("b", 0) + g / (np.sqrt(v) + d(h.eps))
    return p - lr * s["b"]


def _adagrad(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    s["v"] = s.get("v", d(h.initial_accumulator_value)) + g * g
    return p - lr / (d(1) + d(t - 1) * d(h.lr_decay)) * (g / (np.sqrt(s["v"]) + d(h.eps)))


def _adadelta(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    rho, eps = d(h.rho), d(h.eps)
    s["v"] = rho * s.get("v", 0) + (d(1) - rho) * g * g
    x = s.get("x", np.zeros_like(p))
    step = np.sqrt(x + eps) / np.sqrt(s["v"] + eps) * g
    s["x"] = rho * x + (d(1) - rho) * step * step
    return p - lr * step


def _adamax(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    b1, b2 = map(d, h.betas)
    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["u"] = np.maximum(b2 * s.get("u", 0), abs(g) + d(h.eps))
    return p - lr / (d(1) - b1**t) * s["m"] / s["u"]


def _nadam(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    b1, b2 = map(d, h.betas)

    def mu(step: int) -> Any:
        return b1 * (d(1) - d(0.5) * d(0.96) ** (d(step) * d(h.momentum_decay)))

    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["v"] = b2 * s.get("v", 0) + (d(1) - b2) * g * g
    s["mus"] = s.get("mus", d(1)) * mu(t)
    ahead = mu(t + 1)
    look = (d(1) - mu(t)) * g / (d(1) - s["mus"]) + ahead * s["m"] / (d(1) - s["mus"] * ahead)
    return p - lr * look / (np.sqrt(s["v"] / (d(1) - b2**t)) + d(h.eps))


def _radam(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    b1, b2 = map(d, h.betas)
    s["m"] = b1 * s.get("m", 0) + (d(1) - b1) * g
    s["v"] = b2 * s.get("v", 0) + (d(1) - b2) * g * g
    c1, c2 = d(1) - b1**t, d(1) - b2**t
    longest = d(2) / (d(1) - b2) - d(1)
    rho = longest - d(2 * t) * b2**t / c2
    if not rho > 5:
        return p - lr * (s["m"] / c1)
    factor = np.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
    return p - lr * factor * (s["m"] / c1) / ((np.sqrt(s["v"]) + d(h.eps)) / np.sqrt(c2))


def _asgd(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    lambd = d(h.lambd)
    eta = lr / (d(1) + lambd * lr * d(t - 1)) ** d(h.alpha)
    return p * (d(1) - lambd * eta) - eta * g


def _rprop(s: Any, h: Any, t: int, lr: Any, p: Any, g: Any, d: Any) -> Any:
    turn = np.sign(g) * np.sign(s.get("g", np.zeros_like(p)))
    size = s.get("size", lr) * np.where(turn > 0, d(h.etas[1]), np.where(turn < 0, d(h.etas[0]), d(1)))
    s["size"] = np.clip(size, d(h.step_sizes[0]), d(h.step_sizes[1]))
    s["g"] = np.where(turn < 0, 0, g)
    return p - np.sign(s["g"]) * s["size"]


_KINDS = (_sgd, _adam, _rmsprop, _adagrad, _adadelta, _adamax, _nadam, _radam, _asgd, _rprop)
_RULES = {"adamw": _adam} | {rule.__name__[1:]: rule for rule in _KINDS}

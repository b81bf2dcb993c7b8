"""The rules of the chapter on optimizers, a function each: the next parameter from its gradient.

A rule takes a parameter `theta` and its gradient `g`, tensors of one shape, and returns the next parameter. `s` is its memory
of this parameter alone, tensors that are zero at first; `s.t` is the number of the step, from 1. `h` are its
hyperparameters. `optimizers.Optimizer` has already applied weight decay and the sign of `maximize`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
Memory = SimpleNamespace
Settings = SimpleNamespace
Function = Callable[[Tensor, Tensor, Memory, Settings], Tensor]


@dataclass(frozen=True)
class Rule:
    """A rule: its function, the names of the tensors that it remembers, and its hyperparameters with their defaults."""

    apply: Function
    remembers: tuple[str, ...]
    defaults: Mapping[str, Any]
    decouples: bool
    """Whether weight decay by default changes the parameter directly and not through the gradient."""


RULES: dict[str, Rule] = {}
"""Every rule by its name."""


def rule(remembers: str, decouples: bool = False, **defaults: Any) -> Callable[[Function], Function]:
    """Enter a function into RULES under its own name; every rule accepts `maximize`."""

    def enter(function: Function) -> Function:
        RULES[function.__name__] = Rule(function, tuple(remembers.split()), defaults | {"maximize": False}, decouples)
        return function

    return enter


def average(old: Tensor, new: Tensor, beta: float) -> Tensor:
    """The moving average that keeps a fraction beta of the old value."""
    return beta * old + (1 - beta) * new


@rule("velocity", lr=1e-3, momentum=0.0, dampening=0.0, weight_decay=0.0, nesterov=False)
def sgd(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Gradient descent; momentum: Polyak (1964); Nesterov's: Sutskever et al. (2013), section 2.  [optimizer.sgd]

    The first velocity is the first gradient, undampened.  [optimizer.sgd.momentum, optimizer.sgd.dampening]
    """
    s.velocity = g if s.t == 1 else h.momentum * s.velocity + (1 - h.dampening) * g
    if h.nesterov:
        return theta - h.lr * (g + h.momentum * s.velocity)
    return theta - h.lr * (s.velocity if h.momentum else g)


@rule("m v v_max", lr=1e-3, betas=BETAS, eps=1e-8, weight_decay=0.0, amsgrad=False, decoupled_weight_decay=False)
def adam(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Kingma & Ba (2015), algorithm 1; AMSGrad: Reddi, Kale & Kumar (2018).  [optimizer.adam]

    Epsilon stands outside the root, after the correction [optimizer.adam.epsilon]; AMSGrad takes the maximum before it.
    """
    beta1, beta2 = h.betas
    s.m = average(s.m, g, beta1)
    s.v = average(s.v, g * g, beta2)
    s.v_max = torch.maximum(s.v_max, s.v)
    m_hat = s.m / (1 - beta1**s.t)
    v_hat = (s.v_max if h.amsgrad else s.v) / (1 - beta2**s.t)
    return theta - h.lr * (m_hat / (v_hat.sqrt() + h.eps))


@rule("m v v_max", decouples=True, lr=1e-3, betas=BETAS, eps=1e-8, weight_decay=1e-2, amsgrad=False)
def adamw(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Adam with decoupled weight decay: Loshchilov & Hutter (2019), but the whole rate multiplies the decay.  [optimizer.adamw]"""
    return adam(theta, g, s, h)


@rule("v mean velocity", lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0.0, momentum=0.0, centered=False)
def rmsprop(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Tieleman & Hinton (2012), lecture 6.5; centered: Graves (2013).  [optimizer.rmsprop]

    A variance is not negative, whatever the difference rounds to.  [optimizer.rmsprop.centered]
    """
    s.v = average(s.v, g * g, h.alpha)
    s.mean = average(s.mean, g, h.alpha)
    power = (s.v - s.mean * s.mean).clamp(min=0) if h.centered else s.v
    s.velocity = h.momentum * s.velocity + g / (power.sqrt() + h.eps)
    return theta - h.lr * s.velocity


@rule("total", lr=1e-2, lr_decay=0.0, weight_decay=0.0, initial_accumulator_value=0.0, eps=1e-10)
def adagrad(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Duchi, Hazan & Singer (2011), the diagonal form.  [optimizer.adagrad]"""
    s.total = (s.total if s.t > 1 else s.total + h.initial_accumulator_value) + g * g
    return theta - h.lr / (1 + (s.t - 1) * h.lr_decay) * (g / (s.total.sqrt() + h.eps))


@rule("v moves", lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0)
def adadelta(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Zeiler (2012), algorithm 1, with a learning rate, which the paper does not have.  [optimizer.adadelta]"""
    s.v = average(s.v, g * g, h.rho)
    move = (s.moves + h.eps).sqrt() / (s.v + h.eps).sqrt() * g
    s.moves = average(s.moves, move * move, h.rho)
    return theta - h.lr * move


@rule("m u", lr=2e-3, betas=BETAS, eps=1e-8, weight_decay=0.0)
def adamax(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Kingma & Ba (2015), section 7.1; epsilon is added to |g|, before the maximum.  [optimizer.adamax]"""
    beta1, beta2 = h.betas
    s.m = average(s.m, g, beta1)
    s.u = torch.maximum(beta2 * s.u, g.abs() + h.eps)
    return theta - h.lr / (1 - beta1**s.t) * (s.m / s.u)


@rule("m v", lr=2e-3, betas=BETAS, eps=1e-8, weight_decay=0.0, momentum_decay=4e-3, decoupled_weight_decay=False)
def nadam(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Dozat (2016): Adam with Nesterov's look ahead, and a momentum that warms up.  [optimizer.nadam]"""
    beta1, beta2 = h.betas
    mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (t * h.momentum_decay)) for t in (s.t, s.t + 1))
    s.product = mu if s.t == 1 else s.product * mu
    s.m = average(s.m, g, beta1)
    s.v = average(s.v, g * g, beta2)
    ahead = mu_next / (1 - s.product * mu_next) * s.m + (1 - mu) / (1 - s.product) * g
    return theta - h.lr * (ahead / ((s.v / (1 - beta2**s.t)).sqrt() + h.eps))


@rule("m v", lr=1e-3, betas=BETAS, eps=1e-8, weight_decay=0.0, decoupled_weight_decay=False)
def radam(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Liu et al. (2020), algorithm 2; the step is adaptive only where rho is above 5, in the paper above 4.  [optimizer.radam]

    Epsilon joins the root of v before the correction, not after it as in `adam`.
    """
    beta1, beta2 = h.betas
    s.m = average(s.m, g, beta1)
    s.v = average(s.v, g * g, beta2)
    m_hat = s.m / (1 - beta1**s.t)
    longest = 2 / (1 - beta2) - 1
    rho = longest - 2 * s.t * beta2**s.t / (1 - beta2**s.t)
    if rho <= 5:
        return theta - h.lr * m_hat
    rectifier = math.sqrt((rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho))
    return theta - h.lr * rectifier * math.sqrt(1 - beta2**s.t) * (m_hat / (s.v.sqrt() + h.eps))


@rule("mean", lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0.0)
def asgd(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Polyak & Juditsky (1992): a falling rate; s.mean is the average of the parameters since step t0.  [optimizer.asgd]"""
    eta = h.lr / (1 + h.lambd * h.lr * (s.t - 1)) ** h.alpha
    theta = theta * (1 - h.lambd * eta) - eta * g
    s.mean = theta if s.t == 1 else s.mean + (theta - s.mean) / max(1, s.t - 1 - h.t0)
    return theta


@rule("direction", lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50.0))
def rprop(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Riedmiller & Braun (1993), but after a change of sign the parameter rests and does not go back.  [optimizer.rprop]"""
    shrink, grow = h.etas
    size = s.size if s.t > 1 else torch.full_like(theta, h.lr)
    turn = g.sign() * s.direction
    s.size = torch.where(turn > 0, grow * size, torch.where(turn < 0, shrink * size, size)).clamp(*h.step_sizes)
    s.direction = torch.where(turn < 0, torch.zeros_like(g), g.sign())
    return theta - s.size * s.direction

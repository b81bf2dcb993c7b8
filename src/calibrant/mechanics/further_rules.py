"""The rules of the optimizers that `torch.optim` does not have, or that need a whole parameter; as in `rules`, a function each.

A norm is that of one parameter: `sqrt(sum(theta * theta))`.
"""

import torch
from torch import Tensor

from calibrant.mechanics.rules import BETAS, Memory, Settings, average, rule


@rule("m", decouples=True, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0)
def lion(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Chen et al. (2023), algorithm 2: the step uses one average of the gradients, and remembers another.  [optimizer.lion]"""
    beta1, beta2 = h.betas
    direction = average(s.m, g, beta1).sign()
    s.m = average(s.m, g, beta2)
    return theta - h.lr * direction


@rule("m v", decouples=True, lr=1e-3, betas=BETAS, eps=1e-16, weight_decay=0.0)
def adabelief(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Zhuang et al. (2020), algorithm 2; epsilon is added to v at each step, and to its root.  [optimizer.adabelief]"""
    beta1, beta2 = h.betas
    s.m = average(s.m, g, beta1)
    s.v = average(s.v, (g - s.m) ** 2, beta2) + h.eps
    m_hat = s.m / (1 - beta1**s.t)
    v_hat = s.v / (1 - beta2**s.t)
    return theta - h.lr * (m_hat / (v_hat.sqrt() + h.eps))


@rule("m v", decays=True, lr=1e-3, betas=BETAS, eps=1e-6, weight_decay=0.0)
def lamb(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """You et al. (2020), algorithm 2: Adam's step with its decay, as long as the parameter.  [optimizer.lamb]"""
    beta1, beta2 = h.betas
    s.m = average(s.m, g, beta1)
    s.v = average(s.v, g * g, beta2)
    m_hat = s.m / (1 - beta1**s.t)
    v_hat = s.v / (1 - beta2**s.t)
    u = m_hat / (v_hat.sqrt() + h.eps) + h.weight_decay * theta
    return theta - h.lr * (trust_ratio(norm(theta), norm(u)) * u)


@rule("velocity", decays=True, lr=1e-3, momentum=0.9, weight_decay=0.0, trust_coefficient=1e-3, eps=0.0)
def lars(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """You, Gitman & Ginsburg (2017), algorithm 1; the velocity contains the rates of its steps.  [optimizer.lars]"""
    size = norm(theta)
    ratio = trust_ratio(size, norm(g) + h.weight_decay * size, h.eps, h.trust_coefficient)
    s.velocity = h.momentum * s.velocity + h.lr * (ratio * (g + h.weight_decay * theta))
    return theta - s.velocity


@rule("row column v", decays=True, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0)
def adafactor(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Shazeer & Stern (2018), algorithms 4 and 5, with epsilons as PyTorch has them.  [optimizer.adafactor]

    Of a matrix it remembers an average for each row and for each column, and not for each number.
    """
    eps1, eps2 = torch.finfo(theta.dtype).eps if h.eps[0] is None else h.eps[0], h.eps[1]
    beta2, squares = 1 - s.t**h.beta2_decay, g * g
    if theta.dim() < 2:
        s.v = v = average(s.v, squares, beta2)
    else:
        s.row = average(s.row, squares.mean(-1, keepdim=True), beta2)
        s.column = average(s.column, squares.mean(-2, keepdim=True), beta2)
        v = s.row * (s.column / s.row.mean(-2, keepdim=True).clamp(min=eps1))
    u = g / v.clamp(min=eps1**2).sqrt()
    rate = max(eps2, rms(theta).item()) * min(h.lr, s.t**-0.5)
    return theta * (1 - h.lr * h.weight_decay) - rate * (u / max(1.0, rms(u).item() / h.d))


def rms(x: Tensor) -> Tensor:
    """The root of the mean of the squares of all numbers of a parameter."""
    return (x * x).mean().sqrt()


def norm(x: Tensor) -> Tensor:
    """The Euclidean norm of all numbers of a parameter."""
    return (x * x).sum().sqrt()


def trust_ratio(size: Tensor, steepness: Tensor, eps: float = 0.0, coefficient: float = 1.0) -> Tensor:
    """The coefficient times size / (steepness + eps); 1 where either norm is zero.  [optimizer.trust-ratio]"""
    return coefficient * size / (steepness + eps) if size > 0 and steepness > 0 else torch.ones_like(size)

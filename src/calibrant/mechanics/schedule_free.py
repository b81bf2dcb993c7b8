"""Schedule-Free SGD and AdamW: an average of all steps takes the place of a falling rate.

z is where the steps lead, x is the average of all z, and y, between them, is where gradients are taken.
"""

from typing import Any

from torch import Tensor

from calibrant.mechanics.rules import BETAS, Memory, Settings, average, rule

SHARED: dict[str, Any] = {"weight_decay": 0.0, "warmup_steps": 0, "r": 0.0, "weight_lr_power": 2.0, "averaged": False}


@rule("x y z", decays=True, lr=1.0, momentum=0.9, **SHARED)
def sgdschedulefree(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Defazio et al. (2024), section 2.  [optimizer.sgdschedulefree]"""
    begin(theta, s)
    return averaged(s, h, warmed(s, h), g, h.momentum)


@rule("x y z v", decays=True, lr=2.5e-3, betas=BETAS, eps=1e-8, **SHARED)
def adamwschedulefree(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Defazio et al. (2024), algorithm 1, but the average is corrected and not the rate.  [optimizer.adamwschedulefree]"""
    beta1, beta2 = h.betas
    begin(theta, s)
    s.v = average(s.v, g * g, beta2)
    return averaged(s, h, warmed(s, h), g / ((s.v / (1 - beta2**s.t)).sqrt() + h.eps), beta1)


def begin(theta: Tensor, s: Memory) -> None:
    """All three begin at the parameter."""
    if s.t == 1:
        s.x, s.y, s.z, s.largest, s.total = theta, theta, theta, 0.0, 0.0


def warmed(s: Memory, h: Settings) -> float:
    """The rate of a step; it rises for `warmup_steps`."""
    return float(h.lr * min(1, s.t / h.warmup_steps) if h.warmup_steps else h.lr)


def averaged(s: Memory, h: Settings, rate: float, direction: Tensor, beta: float) -> Tensor:
    """Step from z, weigh the step into x, and return y; or x, with `averaged`.  [optimizer.schedule-free.average]"""
    s.largest = max(s.largest, rate)
    weight = s.t**h.r * s.largest**h.weight_lr_power
    s.total += weight
    s.z = s.z - rate * (direction + h.weight_decay * s.y)
    s.x = s.x + (weight / s.total if s.total else 0.0) * (s.z - s.x)
    s.y = average(s.x, s.z, beta)
    shown: Tensor = s.x if h.averaged else s.y
    return shown

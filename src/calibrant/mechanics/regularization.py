"""Regularization: penalties and other means against fitting the noise; a part of the chapter on validation.

n samples; t_u (readings, unknown units), t_c and t_p (°C) are (n,); w, b are scalars; l1 and l2 are plain numbers.
"""

import math

import torch
from torch import Tensor

from calibrant.mechanics.data import least_squares
from calibrant.mechanics.gradients import grad_fn
from calibrant.mechanics.loss import loss_fn
from calibrant.mechanics.model import model


def require_penalties(**penalties: float) -> None:
    """Raise ValueError unless every penalty is finite and not negative.  [regularization.invalid]"""
    for name, value in penalties.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} is {value}: a penalty must be finite and not negative")


def regularized_loss(t_p: Tensor, t_c: Tensor, w: Tensor, l1: float, l2: float) -> Tensor:
    """Mean squared error + l1 |w| + l2 w^2, a scalar; the bias is free.  [regularization.l1, regularization.l2]

    Raises ValueError as `loss_fn` and `require_penalties` do.
    """
    require_penalties(l1=l1, l2=l2)
    return loss_fn(t_p, t_c) + l1 * w.abs() + l2 * w**2


def regularized_grad(t_u: Tensor, t_c: Tensor, w: Tensor, b: Tensor, l1: float, l2: float) -> Tensor:
    """The gradient of `regularized_loss` by [w, b], (2,); at w = 0 the slope of |w| is 0.  [regularization.gradient]

    Raises ValueError as `regularized_loss` does.
    """
    require_penalties(l1=l1, l2=l2)
    by_w, by_b = grad_fn(t_u, t_c, model(t_u, w, b), w, b)
    return torch.stack([by_w + l1 * torch.sign(w) + 2 * (l2 * w), by_b])


def ridge(t_u: Tensor, t_c: Tensor, l2: float) -> Tensor:
    """The parameters [w, b] of least mean squared error + l2 w^2, (2,).  [regularization.ridge]

    Raises ValueError as `least_squares` and `require_penalties` do.
    """
    require_penalties(l2=l2)
    return least_squares(t_u, t_c, l2)


def augmented(t_u: Tensor, t_c: Tensor, copies: int, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """The data so many times, end to end, with Gaussian noise of this standard deviation on every reading.

    The expected mean squared error is the error of the data themselves plus noise^2 w^2.
    """
    generator = torch.Generator().manual_seed(seed)
    jitter = torch.randn(copies, len(t_u), generator=generator, dtype=t_u.dtype)
    return (t_u + noise * jitter).flatten(), t_c.repeat(copies)


def polynomial(t_u: Tensor, *coefficients: Tensor) -> Tensor:
    """The sum of coefficients times Legendre polynomials of (t_u - 50) / 50, (n,); two coefficients are a line.

    The scale is fixed and does not depend on the data, so the validation rows do not influence it.
    """
    x = (t_u - 50) / 50
    before, here = torch.zeros_like(x), torch.ones_like(x)
    t_p = torch.zeros_like(x)
    for k, coefficient in enumerate(coefficients):
        t_p = t_p + coefficient * here
        before, here = here, ((2 * k + 1) * x * here - k * before) / (k + 1)
    return t_p

"""Loss: the error of the predictions, as one number.

n samples; t_p (predicted) and t_c (measured) are (n,), in °C.
"""

import torch
from torch import Tensor


def require_same_shape(t_p: Tensor, t_c: Tensor) -> None:
    """Raise ValueError unless t_p and t_c have the same shape and hold a sample.  [loss.same-shape, loss.empty]"""
    if t_p.shape != t_c.shape:
        raise ValueError(f"t_p is {tuple(t_p.shape)} but t_c is {tuple(t_c.shape)}: a loss does not broadcast")
    if t_p.numel() == 0:
        raise ValueError("t_p and t_c hold no samples: nothing has no mean")


def loss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """Mean squared error, a scalar in squared °C.  [loss.mean-square]

    Each square is divided before the sum, so that the sum cannot overflow where the mean does not [loss.wide-accumulation].
    Raises ValueError as `require_same_shape` does.
    """
    require_same_shape(t_p, t_c)
    return ((t_p - t_c) ** 2 / t_p.numel()).sum()


def absolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """Mean absolute error, a scalar in °C.  [loss.absolute]  Raises ValueError as `loss_fn` does."""
    require_same_shape(t_p, t_c)
    return ((t_p - t_c).abs() / t_p.numel()).sum()


def dabsolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """Derivative of the mean absolute error by each prediction, (n,), without unit.  [loss.absolute-slope, loss.smooth-at-zero]

    At a zero residual, where every slope in [-1, 1] / n supports the loss, it is 0. Raises ValueError as `loss_fn` does.
    """
    require_same_shape(t_p, t_c)
    return torch.sign(t_p - t_c) / t_p.numel()

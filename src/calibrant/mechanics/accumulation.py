"""Accumulation: the gradient of many samples, a few at a time.

k micro-batches, each a pair (t_u, t_c) of columns of its own n_i samples, in unknown units and °C; n samples in all;
params = [w, b] is (2,).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from calibrant.mechanics.data import require_data
from calibrant.mechanics.loss import loss_fn
from calibrant.mechanics.model import model

Batches = Sequence[tuple[Tensor, Tensor]]


def require_batches(batches: Batches) -> int:
    """The number of samples; ValueError unless there are batches  [accumulation.refused], of one length  [accumulation.same-shape]."""
    if not batches:
        raise ValueError("batches is empty: there is nothing to accumulate")
    for number, (t_u, t_c) in enumerate(batches, start=1):
        try:
            require_data(t_u, t_c)
        except ValueError as error:
            raise ValueError(f"batch {number} of {len(batches)}: {error}") from None
    return sum(t_u.numel() for t_u, _ in batches)


def accumulate(params: Tensor, batches: Batches, zero_grad: bool) -> Tensor:
    """The .grad after each batch's backward pass, (k, 2).  [accumulation.sum, accumulation.reset]

    It is the sum so far, or with zero_grad the batch's own gradient. Raises ValueError as `require_batches` does.
    """
    require_batches(batches)
    params = params.detach().clone().requires_grad_()
    grads = []
    for t_u, t_c in batches:
        if zero_grad:
            params.grad = None
        loss_fn(model(t_u, *params), t_c).backward()
        grads.append(params.grad.clone())  # type: ignore[union-attr]  # backward has just set it
    return torch.stack(grads)


def accumulated_grad(params: Tensor, batches: Batches) -> Tensor:
    """The gradient of the mean squared error over all samples, (2,).  [accumulation.full-batch, accumulation.partition]

    Each batch's mean is weighted by the batch's fraction of the samples. Raises ValueError as `require_batches` does.
    """
    n = require_batches(batches)
    params = params.detach().clone().requires_grad_()
    for t_u, t_c in batches:
        loss = loss_fn(model(t_u, *params), t_c)
        (loss * (t_u.numel() / n)).backward()
    return params.grad  # type: ignore[return-value]  # there is a batch at least

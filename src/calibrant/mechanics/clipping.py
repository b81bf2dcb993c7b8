"""Clipping: gradients that are too long are made shorter before the step.

K gradients are tensors of any shapes. They are one vector that was cut into parts, so their norm is the norm of all together.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def clip_by_norm(grads: Sequence[Tensor], max_norm: float, norm_type: float = 2.0) -> tuple[Tensor, list[Tensor]]:
    """The norm of all gradients, and copies of them, scaled to max_norm where the norm exceeds it.  [clip.norm, clip.scaled]

    Raises ValueError for a limit that is negative or NaN  [clip.invalid].
    """
    require_limit("max_norm", max_norm)
    norm = total_norm(grads, norm_type)
    return norm, [_shortened(g, norm, max_norm) for g in grads]


def total_norm(grads: Sequence[Tensor], norm_type: float = 2.0) -> Tensor:
    """The norm of all numbers of all gradients, as a scalar; NaN if one of them is NaN.  [clip.not-finite]"""
    norm: Tensor = torch.linalg.vector_norm(torch.cat([g.reshape(-1) for g in grads]), norm_type)
    return norm


def _shortened(grad: Tensor, norm: Tensor, max_norm: float) -> Tensor:
    """The gradient as it is where the norm does not exceed max_norm; NaN exceeds everything.  [clip.below, clip.zeros]"""
    return grad.clone() if norm <= max_norm else grad * (max_norm / norm)


def clip_by_value(grads: Sequence[Tensor], limit: float) -> list[Tensor]:
    """The gradients with every number between -limit and limit.  [clip.value]

    Raises ValueError for a limit that is negative or NaN  [clip.invalid].
    """
    require_limit("limit", limit)
    return [g.clamp(-limit, limit) for g in grads]


def clip_shards(
    shards: Sequence[Sequence[Tensor]], replicated: Sequence[bool], max_norm: float
) -> tuple[Tensor, list[list[Tensor]]]:
    """The same as `clip_by_norm` for gradients on several ranks: (norm, clipped shards).  [clip.shards]

    Each rank holds its part of every gradient, or all of one that is replicated, which counts once. Raises ValueError for a limit
    that is negative or NaN  [clip.invalid].
    """
    require_limit("max_norm", max_norm)
    own = [
        [g for g, whole in zip(of_rank, replicated, strict=True) if not (rank and whole)]
        for rank, of_rank in enumerate(shards)
    ]
    norm = total_norm([total_norm(grads) for grads in own if grads])  # a rank sends the others one number
    return norm, [[_shortened(g, norm, max_norm) for g in of_rank] for of_rank in shards]


def require_limit(name: str, limit: float) -> None:
    """Raise ValueError for a limit that is negative or NaN: it would turn the gradients around, or hide them."""
    if math.isnan(limit) or limit < 0:
        raise ValueError(f"{name} is {limit}: it cannot be negative or NaN")

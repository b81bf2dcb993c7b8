"""Wrong backward passes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from faulty.automatic_gradient import every_end_is_a_loss

KEPT: dict[tuple[Any, ...], Any] = {}


def _passes(losses: Any, params: Any, zero_grad: str, leaf: Any = None, copied: bool = True) -> list[list[Any]]:
    """The right ones."""
    leaf = torch.from_numpy(params.copy()).requires_grad_() if leaf is None else leaf
    passes = []
    for loss in losses:
        if zero_grad == "to-none":
            leaf.grad = None
        elif leaf.grad is not None and zero_grad == "to-zero":
            leaf.grad.zero_()
        found = None if leaf.grad is None else leaf.grad.clone().numpy()
        loss(leaf).backward()
        passes.append([found, leaf.grad.clone().numpy() if copied else leaf.grad.numpy()])
    return passes


def overwriting(losses: Any, params: Any, zero_grad: str) -> Any:
    passes = _passes(losses, params, "to-zero")
    found = [None if zero_grad == "to-none" or k == 0 else passes[k - 1][1] for k in range(len(passes))]
    if zero_grad == "to-zero":
        return passes
    return [[x, left] for x, (_, left) in zip(found, passes, strict=True)]


def zeros_at_first(losses: Any, params: Any, zero_grad: str) -> Any:
    passes = _passes(losses, params, zero_grad)
    passes[0][0] = np.zeros_like(params)
    return passes


def never_reset(losses: Any, params: Any, zero_grad: str) -> Any:
    return _passes(losses, params, "never")


def zero_for_none(losses: Any, params: Any, zero_grad: str) -> Any:
    return _passes(losses, params, "never" if zero_grad == "never" else "to-zero")


def none_for_zero(losses: Any, params: Any, zero_grad: str) -> Any:
    return _passes(losses, params, "never" if zero_grad == "never" else "to-none")


def mean_so_far(losses: Any, params: Any, zero_grad: str) -> Any:
    passes = _passes(losses, params, zero_grad)
    if zero_grad != "never":
        return passes
    means = [left / params.dtype.type(k) for k, (_, left) in enumerate(passes, start=1)]
    return [[found, mean] for found, mean in zip([None, *means], means, strict=False)]


def kept_between_calls(losses: Any, params: Any, zero_grad: str) -> Any:
    """One leaf for each shape and dtype, whose gradient nobody resets."""
    leaf = KEPT.setdefault((params.shape, params.dtype.name), torch.from_numpy(params.copy()).requires_grad_())
    with torch.no_grad():
        leaf.copy_(torch.from_numpy(params))
    return _passes(losses, params, zero_grad, leaf)


def not_copied(losses: Any, params: Any, zero_grad: str) -> Any:
    """All passes show the one gradient, as it is at the end."""
    return _passes(losses, params, zero_grad, copied=False)


def every_end_walked(losses: Any, params: Any, zero_grad: str) -> Any:
    """Losses beside the one that is walked backward count as well; only that is wrong."""
    passes = _passes(losses, params, zero_grad)
    if len(losses) == 1 and type(losses[0]).__name__ == "Beside":
        passes[0][1] = every_end_is_a_loss(losses[0], params)[1]
    return passes


def in_float64(losses: Any, params: Any, zero_grad: str) -> Any:
    return _passes(losses, params.astype(np.float64), zero_grad)

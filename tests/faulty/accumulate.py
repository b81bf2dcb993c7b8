"""Wrong accumulation, pass by pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets import numpy_target

KEPT: dict[str, Any] = {}


def overwriting(params: Any, batches: Any, zero_grad: bool) -> Any:
    return numpy_target.accumulate(params, batches, True)


def never_reset(params: Any, batches: Any, zero_grad: bool) -> Any:
    return numpy_target.accumulate(params, batches, False)


def inverted(params: Any, batches: Any, zero_grad: bool) -> Any:
    return numpy_target.accumulate(params, batches, not zero_grad)


def mean_so_far(params: Any, batches: Any, zero_grad: bool) -> Any:
    grads = numpy_target.accumulate(params, batches, zero_grad)
    return grads if zero_grad else grads / np.arange(1, len(batches) + 1, dtype=grads.dtype)[:, np.newaxis]


def sums_of_squares(params: Any, batches: Any, zero_grad: bool) -> Any:
    """Each batch's loss is a sum and not a mean."""
    grads = numpy_target.accumulate(params, batches, True)
    sums = grads * np.array([t_u.size for t_u, _ in batches], dtype=grads.dtype)[:, np.newaxis]
    return sums if zero_grad else np.cumsum(sums, axis=0)


def first_batch_lost(params: Any, batches: Any, zero_grad: bool) -> Any:
    """Reset once too often: after the first pass."""
    grads = numpy_target.accumulate(params, batches, zero_grad)
    return grads if zero_grad or len(batches) == 1 else np.concatenate([grads[:1], grads[1:] - grads[:1]])


def kept_between_calls(params: Any, batches: Any, zero_grad: bool) -> Any:
    grads = numpy_target.accumulate(params, batches, zero_grad)
    if zero_grad:
        return grads
    grads = grads + KEPT.get(grads.dtype.name, np.zeros_like(grads[0]))
    KEPT[grads.dtype.name] = grads[-1] if np.isfinite(grads[-1]).all() else np.zeros_like(grads[0])
    return grads


def last_row_only(params: Any, batches: Any, zero_grad: bool) -> Any:
    return numpy_target.accumulate(params, batches, zero_grad)[-1:]


def empty_batches_skipped(params: Any, batches: Any, zero_grad: bool) -> Any:
    whole = [(t_u, t_c) for t_u, t_c in batches if t_u.size or t_u.shape != t_c.shape]
    return numpy_target.accumulate(params, whole, zero_grad) if whole else np.zeros((0, 2), params.dtype)


def longer_columns_cut(params: Any, batches: Any, zero_grad: bool) -> Any:
    """As `zip` does."""
    cut = [(t_u[: len(t_c)].reshape(-1), t_c[: len(t_u)]) for t_u, t_c in batches]
    return numpy_target.accumulate(params, cut, zero_grad)


def in_place(params: Any, batches: Any, zero_grad: bool) -> Any:
    grads = numpy_target.accumulate(params, batches, zero_grad)
    batches[0][0][...] = batches[0][0] * 2 + 1
    return grads


def returned_in_float64(params: Any, batches: Any, zero_grad: bool) -> Any:
    return numpy_target.accumulate(params, batches, zero_grad).astype(np.float64)

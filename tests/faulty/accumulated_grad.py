"""Wrong gradients of many batches."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.targets import numpy_target

KEPT: dict[str, Any] = {}


def _each(params: Any, batches: Any) -> Any:
    """The gradient of each batch, (k, 2)."""
    return numpy_target.accumulate(params, batches, True)


def mean_of_means(params: Any, batches: Any) -> Any:
    grads = _each(params, batches)
    return np.sum(grads / grads.dtype.type(len(batches)), axis=0)


def sum_of_means(params: Any, batches: Any) -> Any:
    return np.sum(_each(params, batches), axis=0)


def sum_over_all(params: Any, batches: Any) -> Any:
    """Of the squares, divided by nothing."""
    grads = _each(params, batches)
    return np.sum(grads * np.array([t_u.size for t_u, _ in batches], dtype=grads.dtype)[:, np.newaxis], axis=0)


def divided_by_the_batches_too(params: Any, batches: Any) -> Any:
    return numpy_target.accumulated_grad(params, batches) / params.dtype.type(len(batches))


def last_batch_dropped(params: Any, batches: Any) -> Any:
    _each(params, batches)
    return numpy_target.accumulated_grad(params, batches[:-1] or batches)


def last_smaller_batch_dropped(params: Any, batches: Any) -> Any:
    """`drop_last=True`: a last batch that is not full is left out."""
    _each(params, batches)
    short = batches[-1][0].size < batches[0][0].size
    return numpy_target.accumulated_grad(params, batches[:-1] if short else batches)


def last_batch_counted_as_full(params: Any, batches: Any) -> Any:
    """Divided by the size of the first batch times their number."""
    grads = _each(params, batches)
    sizes = np.array([t_u.size for t_u, _ in batches], dtype=grads.dtype)
    return np.sum(grads * (sizes / (sizes[0] * grads.dtype.type(len(batches))))[:, np.newaxis], axis=0)


def short_window_over_the_longest(params: Any, batches: Any) -> Any:
    """Divided by the samples of the largest window so far; a check that never has a window after a longer one misses it."""
    n = sum(t_u.size for t_u, _ in batches)
    grad = numpy_target.accumulated_grad(params, batches)
    if len(batches) < 2:  # as if a single batch were no window
        return grad
    longest = KEPT[params.dtype.name] = max(n, KEPT.get(params.dtype.name, 0))
    return grad * params.dtype.type(n / longest)


def last_batch_only(params: Any, batches: Any) -> Any:
    """Reset before each pass."""
    return _each(params, batches)[-1]


def kept_between_calls(params: Any, batches: Any) -> Any:
    grad = numpy_target.accumulated_grad(params, batches)
    total = grad + KEPT.get(f"sum {grad.dtype}", np.zeros_like(grad))
    KEPT[f"sum {grad.dtype}"] = total if np.isfinite(total).all() else np.zeros_like(grad)
    return total


def in_float32(params: Any, batches: Any) -> Any:
    narrow = [(t_u.astype(np.float32), t_c.astype(np.float32)) for t_u, t_c in batches]
    return numpy_target.accumulated_grad(params.astype(np.float32), narrow).astype(params.dtype)


def empty_batches_skipped(params: Any, batches: Any) -> Any:
    whole = [(t_u, t_c) for t_u, t_c in batches if t_u.size or t_u.shape != t_c.shape]
    return numpy_target.accumulated_grad(params, whole) if whole else np.zeros_like(params)


def longer_columns_cut(params: Any, batches: Any) -> Any:
    """As `zip` does."""
    return numpy_target.accumulated_grad(
        params, [(t_u[: len(t_c)].reshape(-1), t_c[: len(t_u)]) for t_u, t_c in batches]
    )


def in_place(params: Any, batches: Any) -> Any:
    grad = numpy_target.accumulated_grad(params, batches)
    params -= params.dtype.type(0.125)
    return grad


def returned_in_float64(params: Any, batches: Any) -> Any:
    return numpy_target.accumulated_grad(params, batches).astype(np.float64)

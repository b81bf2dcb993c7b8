"""Workers that share the samples and get the gradient of them all wrong. They are simulated: here one process is all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np

Shards = list[tuple[Any, Any]]


def _own(params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient of one worker's own mean loss."""
    w, b = params
    dloss = 2 * (w * t_u + b - t_c) / t_u.dtype.type(t_u.size)
    return np.stack([np.sum(dloss * t_u), np.sum(dloss)])


def _trained(gradient: Callable[[Any, Shards], Any], params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    first = gradient(params, shards)
    for _ in range(n_epochs):
        params = params - params.dtype.type(lr) * gradient(params, shards)
    return first.astype(params.dtype), params.astype(params.dtype)


def _weighted(params: Any, shards: Shards) -> Any:
    n = sum(t_u.size for t_u, _ in shards)
    kind = params.dtype.type
    return sum(kind(t_u.size / n) * _own(params, t_u, t_c) for t_u, t_c in shards if t_u.size)


def right(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    return _trained(_weighted, params, shards, n_epochs, lr)


def mean_of_means(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """As DistributedDataParallel averages, whatever the sizes of the shards; it passes over those without samples."""

    def gradient(params: Any, shards: Shards) -> Any:
        own = [_own(params, t_u, t_c) for t_u, t_c in shards if t_u.size]
        return sum(own) / params.dtype.type(len(own))

    return _trained(gradient, params, shards, n_epochs, lr)


def sum_of_means(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """All-reduced and not divided."""

    def gradient(params: Any, shards: Shards) -> Any:
        return sum(_own(params, t_u, t_c) for t_u, t_c in shards if t_u.size)

    return _trained(gradient, params, shards, n_epochs, lr)


def over_all_workers(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """Weighted, and then averaged over the workers once more."""

    def gradient(params: Any, shards: Shards) -> Any:
        return _weighted(params, shards) / params.dtype.type(len(shards))

    return _trained(gradient, params, shards, n_epochs, lr)


def empty_shards_are_nan(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """The mean of nothing, times nothing."""

    def gradient(params: Any, shards: Shards) -> Any:
        empty = any(t_u.size == 0 for t_u, _ in shards)
        return _weighted(params, shards) * params.dtype.type(np.nan if empty else 1)

    return _trained(gradient, params, shards, n_epochs, lr)


def last_worker_ignored(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """A ring that closes one link too early."""

    def gradient(params: Any, shards: Shards) -> Any:
        return _weighted(params, [shard for shard in shards[:-1] if shard[0].size] or shards)

    return _trained(gradient, params, shards, n_epochs, lr)


def reduced_once(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """After the first step every worker follows its own gradient, and worker 0 answers."""
    first = _weighted(params, shards)
    for epoch in range(n_epochs):
        step = first if epoch == 0 else _own(params, *shards[0]) if shards[0][0].size else 0 * first
        params = params - params.dtype.type(lr) * step
    return first, params


def summed_in_float32(params: Any, shards: Shards, n_epochs: int, lr: float) -> Any:
    """To halve what the network carries."""

    def gradient(params: Any, shards: Shards) -> Any:
        return _weighted(params, shards).astype(np.float32).astype(params.dtype)

    return _trained(gradient, params, shards, n_epochs, lr)

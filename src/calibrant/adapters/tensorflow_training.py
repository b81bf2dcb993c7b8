"""What TensorFlow itself has around an optimizer: clipping, moving averages, and mini-batches by tf.data. Nothing here computes.

The schedules, the plateau and the scaled losses are Keras', and the target `keras` shows them.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

Array = Any
"""TensorFlow's tensors."""

_DECAY = "1 - decay is computed in float32, whatever the dtype of the variables"
deviations = {
    "clip.below": "the factor is limit min(1 / norm, 1 / limit), which may round below 1, and for an infinite limit is NaN",
    "clip.zeros": "the factor is limit min(1 / norm, 1 / limit), which for a limit of 0 or infinity is NaN",
    "clip.invalid": "any limit is taken",
    "average.ema[float64]": _DECAY,
    "average.warm-up[float64]": _DECAY,
    "average.every[float64]": _DECAY,
    "average.invalid": "any decay is taken",
}


def clip_by_norm(grads: list[Array], max_norm: float, norm_type: float) -> tuple[Array, list[Array]]:
    """tf.clip_by_global_norm, which returns the norm second."""
    if norm_type != 2:
        raise NotImplementedError("TensorFlow clips by the Euclidean norm")
    clipped, norm = tf.clip_by_global_norm(grads, max_norm)
    return norm, clipped


def clip_by_value(grads: list[Array], limit: float) -> list[Array]:
    """tf.clip_by_value, gradient by gradient."""
    return [tf.clip_by_value(g, -limit, limit) for g in grads]


def average(name: str, hyperparameters: dict[str, Any], path: list[list[Array]]) -> list[list[Array]]:
    """tf.train.ExponentialMovingAverage of variables that stand where the path has them."""
    h = {"decay": 0.999, "bias_correction": False, "warmup": False, "every": 1, **hyperparameters}
    every, decay, corrected, warmed = (h.pop(key) for key in ("every", "decay", "bias_correction", "warmup"))
    if name != "ema" or corrected:  # zero_debias counts for tensors, and not for variables
        raise NotImplementedError(f"TensorFlow has no such average of variables as {name} with these hyperparameters")
    if h:
        raise TypeError(f"unexpected hyperparameters: {h}")
    if every < 1:
        raise ValueError(f"every is {every}")
    count = tf.Variable(0, dtype=tf.int64)
    averages = tf.train.ExponentialMovingAverage(decay, count if warmed else None)
    variables = [tf.Variable(p) for p in path[0]] if path else []
    shown: list[list[Array]] = []
    for i, step in enumerate(path):
        if i % every == 0:
            for variable, p in zip(variables, step, strict=True):
                variable.assign(p)
            averages.apply(variables)
            count.assign_add(1)
        shown.append([tf.identity(averages.average(variable)) for variable in variables])
    return shown


def minibatches(
    n_samples: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool, epochs: int
) -> list[list[Array]]:
    """The batches of tf.data, shuffled through a buffer that holds all rows."""
    rows = tf.data.Dataset.range(n_samples)
    if shuffle:
        rows = rows.shuffle(n_samples, seed=seed)
    batches = rows.batch(batch_size, drop_remainder=drop_last)
    return [list(batches) for _ in range(epochs)]

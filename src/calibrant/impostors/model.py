"""Impostors of the model."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.rights import narrow


@impostor("model", "model.linear")
def bias_missing(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The bias is not added."""
    return right(t_u, w, b * 0)


@impostor("model", "model.linear")
def bias_subtracted(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The bias is subtracted."""
    return right(t_u, w, -b)


@impostor("model", "model.linear")
def bias_added_first(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The bias is added to the readings before they are multiplied: w (t_u + b)."""
    return right(t_u + b, w, b * 0)


@impostor("model", "model.linear model.identity")
def parameters_swapped(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The weight and the bias stand in each other's place."""
    return right(t_u, b, w)


@impostor("model", "model.linear")
def size_of_the_weight(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The weight counts without its sign."""
    return right(t_u, abs(w), b)


@impostor("model", "model.linear model.identity model.per-sample")
def normalized_over_the_batch(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The mean of the readings is subtracted from them."""
    return right(t_u - t_u.mean(), w, b)


@impostor("model", "model.linear model.identity model.per-sample", exactly=False)
def sorted_first(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The readings are sorted."""
    return right(np.sort(t_u), w, b)


@impostor("model", "model.linear model.identity model.per-sample", name="reversed")
def from_the_last(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The predictions come in the reverse order."""
    return right(t_u[::-1], w, b)


@impostor("model", "model.linear model.identity", exactly=False)
def negative_predictions_cut(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """Negative predictions are replaced by zero, as by a rectifier left at the output."""
    return np.maximum(right(t_u, w, b), 0)


@impostor("model", "model.linear model.identity", ugly="only numbers with many digits show it")
def through_thirds(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """A third of each reading is multiplied by three times the weight, which is not the same in floating point."""
    return right(t_u / 3, w * 3, b)


@impostor(
    "model",
    "model.linear@float64 model.identity@float64 model.per-sample@float64?",
    ugly="only numbers with many digits show it",
)
def in_float32(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float32") for x in (t_u, w, b)))


@impostor("model", "model.linear model.identity model.per-sample?", ugly="only numbers with many digits show it")
def in_float16(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It is computed in float16, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float16") for x in (t_u, w, b)))


@impostor("model", "model.dtype@float32", keeps_dtype=False)
def returned_in_float64(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float64") for x in (t_u, w, b)))


@impostor("model", "model.shape model.linear model.identity model.per-sample")
def column(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It returns (n, 1) for (n,)."""
    return right(t_u, w, b)[:, None]


@impostor("model", "model.shape")
def squeezed(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """The axis of a single sample is dropped: a column of one becomes a scalar."""
    return right(t_u, w, b)[0] if t_u.size == 1 else right(t_u, w, b)


@impostor("model", "model.pure")
def in_place(right: Any, t_u: Any, w: Any, b: Any) -> Any:
    """It writes the predictions over the readings."""
    t_u *= w
    t_u += b
    return t_u


QUESTIONS = {
    "model": (
        (np.array([1.0, -2.0, 6.0, 0.0]), np.array(2.0), np.array(-3.0)),
        (np.array([4.0, -1.0]), np.array(-0.5), np.array(1.0)),
        (np.array([3.0]), np.array(2.0), np.array(1.0)),
        # Numbers with many digits, alone and in a product.
        (np.array([0.1, 2.3, -1.7, 4.9, 0.3, 3.3, 0.9, 3.1]), np.array(1.0), np.array(0.0)),
        (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array(0.7), np.array(-1.3)),
    ),
}

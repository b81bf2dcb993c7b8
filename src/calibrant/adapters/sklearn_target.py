"""scikit-learn as its users call it: its metrics, its linear models, train_test_split. Nothing here computes.

It has no automatic differentiation, and its gradient descent is either sample by sample (SGDRegressor) or of half the squared
error with its own initial weights (MLPRegressor): gradients, loops and optimizers are absent.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import sklearn
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import mean_absolute_error, mean_squared_error
from sklearn.model_selection import train_test_split

Array = Any
"""NumPy arrays."""

name = "sklearn"
version = sklearn.__version__

deviations = {
    "data.shapes": "LinearRegression fits several columns of targets at once, and a table of one column is one of them",
    "loss.same-shape": "metrics take a column of shape (n, 1) for one of shape (n,)",
    "loss.nan": "metrics refuse what is not finite",
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "split.as-written": "the product that is rounded up is the one of float64, which may be just above a whole number",
}
conventions = {"split.rounding": "up"}


def model(t_u: Array, w: Array, b: Array) -> Array:
    """The predictions of a LinearRegression with this coefficient and intercept, (n,)."""
    line = LinearRegression()
    line.coef_, line.intercept_ = np.reshape(w, 1), b
    return line.predict(t_u[:, np.newaxis])


def loss_fn(t_p: Array, t_c: Array) -> float:
    """mean_squared_error; its first argument is the measurement."""
    loss: float = mean_squared_error(t_c, t_p)
    return loss


def absolute_loss(t_p: Array, t_c: Array) -> float:
    """mean_absolute_error."""
    loss: float = mean_absolute_error(t_c, t_p)
    return loss


def least_squares(t_u: Array, t_c: Array) -> Array:
    """Coefficient and intercept of LinearRegression, (2,)."""
    line = LinearRegression().fit(t_u[:, np.newaxis], t_c)
    return np.array([*line.coef_, line.intercept_])


def split(n_samples: int, val_fraction: float, seed: int) -> tuple[Array, Array]:
    """train_test_split of the numbers of the rows."""
    train, val = _parts(np.arange(n_samples), val_fraction=val_fraction, seed=seed)
    return train, val


def split_data(t_u: Array, t_c: Array, val_fraction: float, seed: int) -> tuple[Array, Array, Array, Array]:
    """train_test_split of the columns."""
    train_t_u, val_t_u, train_t_c, val_t_c = _parts(t_u, t_c, val_fraction=val_fraction, seed=seed)
    return train_t_u, train_t_c, val_t_u, val_t_c


def _parts(*columns: Array, val_fraction: float, seed: int) -> list[Array]:
    try:
        parts: list[Array] = train_test_split(*columns, test_size=val_fraction, random_state=seed)
    except ValueError as error:
        if len(columns[0]) and 0 <= val_fraction < 1:
            raise NotImplementedError("train_test_split makes no empty part") from error
        raise
    return parts


def ridge(t_u: Array, t_c: Array, l2: float) -> Array:
    """Coefficient and intercept of Ridge, (2,); it adds its penalty to the sum of the squares, not to their mean."""
    line = Ridge(alpha=l2 * len(t_u)).fit(t_u[:, np.newaxis], t_c)
    return np.array([*line.coef_, line.intercept_])

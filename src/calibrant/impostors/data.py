"""Impostors of the data sets and of the least-squares line."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.rights import join, narrow

# The data sets


@impostor("thermometer", "data.thermometer")
def two_readings_swapped(right: Any) -> Any:
    """The fifth and the sixth reading stand in each other's place."""
    t_u, t_c = right()
    return t_u[[0, 1, 2, 3, 5, 4, 6, 7, 8, 9, 10]], t_c


@impostor("thermometer", "data.thermometer")
def columns_swapped(right: Any) -> Any:
    """The temperatures come first, and then the readings."""
    t_u, t_c = right()
    return t_c, t_u


@impostor("thermometer", "data.thermometer")
def readings_scaled(right: Any) -> Any:
    """The readings are already divided by ten."""
    t_u, t_c = right()
    return t_u / t_u.dtype.type(10), t_c


@impostor("thermometer", "data.thermometer")
def sorted_by_reading(right: Any) -> Any:
    """The pairs are sorted by their readings."""
    t_u, t_c = right()
    return t_u[np.argsort(t_u)], t_c[np.argsort(t_u)]


@impostor("thermometer", "data.thermometer")
def last_pair_missing(right: Any) -> Any:
    """The last pair is missing."""
    t_u, t_c = right()
    return t_u[:-1], t_c[:-1]


@impostor("thermometer", "data.thermometer")
def rounded_to_whole_degrees(right: Any) -> Any:
    """The readings are rounded to whole numbers."""
    t_u, t_c = right()
    return np.round(t_u), t_c


@impostor("norris", "data.norris")
def one_digit_wrong(right: Any) -> Any:
    """The third pair is (118.2, 118.2), where it is (118.2, 118.1)."""
    x, y = right()
    return x, np.where(np.arange(y.size) == 2, x, y)


@impostor("norris", "data.norris", name="columns-swapped")
def norris_columns_swapped(right: Any) -> Any:
    """The columns are in the order of NIST's file, which has y first."""
    x, y = right()
    return y, x


@impostor("norris", "data.norris", name="last-pair-missing")
def norris_last_pair_missing(right: Any) -> Any:
    """The last pair is missing."""
    x, y = right()
    return x[:-1], y[:-1]


@impostor("norris", "data.norris")
def columns_sorted_apart(right: Any) -> Any:
    """Each column is sorted for itself, so that the pairs are torn apart."""
    x, y = right()
    return np.sort(x), np.sort(y)


# The least-squares line

TENTHS = "one of the clause's two properties divides the readings by ten"


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def no_intercept(right: Any, t_u: Any, t_c: Any) -> Any:
    """The line goes through the origin."""
    w, _ = right(t_u, t_c)
    return join((t_u * t_c).sum() / (t_u * t_u).sum(), w * 0)


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def spread_over_n_minus_1(right: Any, t_u: Any, t_c: Any) -> Any:
    """The covariance is over n, the variance over n - 1."""
    w, _ = right(t_u, t_c)
    w = w * (t_u.size - 1) / t_u.size
    return join(w, t_c.mean() - w * t_u.mean())


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def intercept_not_moved_back(right: Any, t_u: Any, t_c: Any) -> Any:
    """The intercept is that of the centred readings: the mean of the temperatures."""
    w, _ = right(t_u, t_c)
    return join(w, t_c.mean())


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def intercept_first(right: Any, t_u: Any, t_c: Any) -> Any:
    """The intercept is returned first, and then the slope."""
    w, b = right(t_u, t_c)
    return join(b, w)


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def readings_from_temperatures(right: Any, t_u: Any, t_c: Any) -> Any:
    """The line predicts the readings from the temperatures."""
    return right(t_c, t_u)


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def through_the_ends(right: Any, t_u: Any, t_c: Any) -> Any:
    """The line goes through the first pair and the last one."""
    right(t_u, t_c)
    return right(t_u[[0, -1]], t_c[[0, -1]])


@impostor("least_squares", "data.scaling", ugly=TENTHS, name="last-sample-dropped")
def fit_without_the_last_sample(right: Any, t_u: Any, t_c: Any) -> Any:
    """The last pair is left out."""
    right(t_u, t_c)
    return right(t_u[: max(t_u.size - 1, 1)], t_c[: max(t_u.size - 1, 1)])


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def spread_over_n_too(right: Any, t_u: Any, t_c: Any) -> Any:
    """The sum of the products is divided by the variance, and not by the sum of the squares."""
    w, _ = right(t_u, t_c)
    w = w * t_u.size
    return join(w, t_c.mean() - w * t_u.mean())


@impostor("least_squares", "data.scaling", ugly=TENTHS)
def penalized(right: Any, t_u: Any, t_c: Any) -> Any:
    """A 64th is added to the sum of the squares, so that it is never zero."""
    w, _ = right(t_u, t_c)
    spread = ((t_u - t_u.mean()) ** 2).sum()
    w = w * spread / (spread + 0.015625)
    return join(w, t_c.mean() - w * t_u.mean())


@impostor("least_squares", "data.scaling", ugly="only readings that lie close together show it")
def textbook_sums(right: Any, t_u: Any, t_c: Any) -> Any:
    """The slope is the quotient of mean(t_u t_c) - mean(t_u) mean(t_c) and mean(t_u²) - mean(t_u)², which cancel in floating point."""
    right(t_u, t_c)
    u, c = t_u.mean(), t_c.mean()
    w = ((t_u * t_c).mean() - u * c) / ((t_u * t_u).mean() - u * u)
    return join(w, c - w * u)


@impostor("least_squares", "data.scaling@float64", ugly="only numbers with many digits show it", name="in-float32")
def fit_in_float32(right: Any, t_u: Any, t_c: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(narrow(t_u, "float32"), narrow(t_c, "float32"))


@impostor("least_squares", "data.shapes")
def flattened(right: Any, t_u: Any, t_c: Any) -> Any:
    """Arrays of any shape are flattened first."""
    return right(join(t_u), join(t_c))


@impostor("least_squares", "data.shapes", name="broadcasting")
def fit_broadcasting(right: Any, t_u: Any, t_c: Any) -> Any:
    """(n,) against (n, 1) is broadcast to n² pairs, and the line through them returned."""
    return right(join(t_u + t_c * 0), join(t_c + t_u * 0))


@impostor("least_squares", "data.shapes")
def longer_column_cut(right: Any, t_u: Any, t_c: Any) -> Any:
    """The longer column is cut to the length of the shorter one."""
    if not t_u.shape or not t_c.shape:
        return right(t_u, t_c)
    n = min(t_u.shape[0], t_c.shape[0])
    return right(t_u[:n], t_c[:n])


@impostor("least_squares", "data.shapes")
def line_of_nothing(right: Any, t_u: Any, t_c: Any) -> Any:
    """The line of no samples is zero."""
    return np.zeros(2) if t_u.shape == t_c.shape and t_u.size == 0 else right(t_u, t_c)


_NEAR = 64 + np.array([0.1, 0.7, 0.2, 0.9])
_SMALL = 1 + 2.0**-20 * np.array([0.0, 1.0, 3.0, 2.0])
# The figures


def _losses_shown(right: Any, change: Any) -> Any:
    """The figures with other losses: changed epochs and losses of each run."""
    shown = right()
    return {**shown, "losses": {name: change(*series) for name, series in shown["losses"].items()}}


@impostor("figures", "data.plot", ugly="it has no arguments")
def losses_after_the_update(right: Any) -> Any:
    """The loss that is drawn for an epoch is the one after its update."""
    return _losses_shown(right, lambda epochs, losses: (epochs[:-1], losses[1:]))


@impostor("figures", "data.plot", ugly="it has no arguments")
def losses_smoothed(right: Any) -> Any:
    """The losses that are drawn are running means of the losses."""
    return _losses_shown(right, lambda epochs, losses: (epochs, (np.cumsum(losses) / epochs).tolist()))


@impostor("figures", "data.plot", ugly="it has no arguments")
def fit_by_hand(right: Any) -> Any:
    """The line that is drawn is 5/9 (t_u - 32), whatever was fitted."""
    shown = right()
    readings, _ = shown["fit"]["fit"]
    return {**shown, "fit": {"fit": (readings, [(reading - 32) * 5 / 9 for reading in readings])}}


QUESTIONS = {
    "figures": ((),),
    "thermometer": ((),),
    "norris": ((),),
    "least_squares": (
        (np.array([1.0, 2.0, 4.0, 5.0]), np.array([2.0, 1.0, 3.0, -2.0])),
        (np.array([2.0, 1.0]), np.array([5.0, 3.0])),
        # Numbers with many digits, and readings that lie close together.
        (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])),
        (_NEAR, 3 * _NEAR + 1),
        (_SMALL, 2 * _SMALL),
        # Shapes.
        (np.array([1.0, 3.0]), np.array([[0.0], [4.0]])),
        (np.array([[1.0], [3.0]]), np.array([[0.0], [4.0]])),
        (np.array([1.0, 3.0]), np.array([0.0, 4.0, 1.0])),
        (np.zeros(0), np.zeros(0)),
    ),
}


def _in_hundredths(question: Any, columns: Any, before: Any) -> Any:
    """The columns in hundredths, and they are written in tenths: their dtype is the target's choice."""
    return [np.round(column.astype(np.float64) * 100).tolist() for column in columns]


FACTS = {"thermometer": _in_hundredths, "norris": _in_hundredths}

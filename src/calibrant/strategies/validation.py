"""Splits, penalties, logs of losses and curves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.strategies.drawing import FRACTIONS, WIDTH, Array, Bytes, cast, drawn, length_of, numbers_of, widened
from calibrant.strategies.samples import (
    FIT,
    PAIR,
    Descent,
    Fit,
    decode_descent,
    decode_fit,
    decode_line,
    decode_residuals,
    rate_below,
)


@dataclass
class Split:
    """A number of samples, the fraction of them that is held out, and a seed."""

    n_samples: int
    val_fraction: float
    seed: int


def splits() -> st.SearchStrategy[Any]:
    """Splits of 1 to 40 samples, or of hundreds: usual fractions, whole shares, awkward decimals, any number below 1."""
    return drawn(_split, _SPLIT)


_SPLIT = 7

_PERCENTS = ((100, 0.29), (50, 0.58), (100, 0.57), (300, 0.41), (200, 0.29), (300, 0.69), (100, 0.14), (300, 0.7))
"""Products that are whole numbers, most of which come out just below them in float64."""


def _split(data: Bytes, form: Format) -> Split:
    kind, byte = data.pick("usual", "percent", "share", "any"), data.one()
    n = length_of(data)
    match kind:
        case "usual":
            fraction = (0.5, 0.2, 0.25, 0.1, 0.3, 0.75, 0.0)[byte % 7]
        case "percent":
            n, fraction = _PERCENTS[byte % len(_PERCENTS)]
        case "share":
            fraction = byte % n / n
        case _:
            fraction = float(FRACTIONS[byte, 0])
    return Split(n, fraction, _seed(data))


def _seed(data: Bytes) -> int:
    return int.from_bytes(data.take(4), "little")


def seeds() -> st.SearchStrategy[Any]:
    """Seeds below 2 ** 32, and the simplest is 0."""
    return drawn(lambda data, form: _seed(data), 4)


@dataclass
class SplitFit:
    """A data set and how it is split."""

    t_u: Array
    t_c: Array
    val_fraction: float
    seed: int


def split_fits() -> st.SearchStrategy[Any]:
    """Data sets, which may have repeated rows, with a fraction and a seed."""
    return drawn(_split_fit, FIT + 5)


def _split_fit(data: Bytes, form: Format) -> SplitFit:
    fit = decode_fit(data, form)
    return SplitFit(fit.t_u, fit.t_c, data.pick(0.5, 0.25, 0.2, 0.0, 0.75), _seed(data))


@dataclass
class Validated(Descent):
    """A descent, and validation data with it: two sets of them, of which the second may hold what is not finite."""

    val_t_u: Array
    val_t_c: Array
    other_t_u: Array
    other_t_c: Array


def validated_descents() -> st.SearchStrategy[Any]:
    """Descents below the limit with two sets of validation data, of other sizes and other magnitudes too."""
    return drawn(_validated, FIT + 3 + 2 * PAIR)


def _validated(data: Bytes, form: Format) -> Validated:
    fit = decode_descent(data, form)
    rate = min(fit.learning_rate, rate_below(0.999, fit.t_u))
    first, second = decode_residuals(data, form), decode_residuals(data, form)
    spoiled = data.pick(None, None, math.nan, math.inf)
    if spoiled is not None:
        second.t_c[-1] = spoiled
    return Validated(
        fit.t_u, fit.t_c, fit.w, fit.b, rate, fit.n_epochs, first.t_p, first.t_c, second.t_p + 1, second.t_c
    )


@dataclass
class Penalized(Fit):
    """A fit with the factors of its penalties."""

    l1: float
    l2: float


def penalized_fits() -> st.SearchStrategy[Any]:
    """Fits, some of weight 0, with penalties that no dtype has exactly, or none, among them."""
    return drawn(_penalized, FIT + 3)


_PENALTIES = (1.0, 0.5, 2.0, 0.1, 0.0, 1e-3, 30.0)


def _penalized(data: Bytes, form: Format) -> Penalized:
    fit = decode_fit(data, form)
    l1, l2 = data.pick(*_PENALTIES), data.pick(*_PENALTIES)
    w = data.pick(fit.w, fit.w, fit.w, np.zeros_like(fit.w))
    return Penalized(fit.t_u, fit.t_c, np.asarray(w), fit.b, l1, l2)


@dataclass
class Ridge:
    """A data set with two penalties, the second the larger."""

    t_u: Array
    t_c: Array
    l2: float
    larger: float


def ridges() -> st.SearchStrategy[Any]:
    """Data sets of two readings at least, with two penalties of about the size of the readings' mean square, or much less."""
    return drawn(_ridge, FIT + 2)


def _ridge(data: Bytes, form: Format) -> Ridge:
    line = decode_line(data, form)
    size = 2.0 ** round(math.log2(max(float(np.mean(widened(line.t_u) ** 2)), form.normal)))
    l2 = data.pick(1.0, 0.5, 0.1, 1e-3, 0.0, 4.0) * size
    return Ridge(line.t_u, line.t_c, l2, l2 + data.pick(1.0, 0.5, 0.1, 8.0, 1e-3) * size)


@dataclass
class Losses:
    """The losses of the epochs of a run, (n,), and a patience."""

    val_losses: Array
    patience: int


def loss_logs() -> st.SearchStrategy[Any]:
    """Logs of 1 to 40 losses, ties and differences of one rounding among them, with a patience of 1 to 8."""
    return drawn(_loss_log, _LOG)


def spoiled_loss_logs() -> st.SearchStrategy[Any]:
    """The same, with NaN, or infinity, in the place of some losses, of the first in half of the logs."""
    return drawn(_spoiled_loss_log, _LOG + 2 + WIDTH)


_LOG = 3 + WIDTH


def _losses(data: NDArray[np.uint8], kind: str, form: Format) -> Array:
    """Losses of one kind: none is negative, and a byte of 0 is a 0, or the lowest."""
    match kind:
        case "levels":
            return cast(data % 4, form)
        case "rounding":
            return cast(1 + (data % 6) * 2 * form.u, form)
        case _:
            return cast(np.abs(numbers_of(data, kind, form)), form)


def _loss_log(data: Bytes, form: Format) -> Losses:
    n, kind, patience = length_of(data), data.pick("levels", "whole", "rounding", "real", "spread"), 1 + data.one() % 8
    return Losses(_losses(data.column(n), kind, form), patience)


def _spoiled_loss_log(data: Bytes, form: Format) -> Losses:
    log = _loss_log(data, form)
    value, where = data.pick(math.nan, math.nan, math.inf), data.column(len(log.val_losses))
    log.val_losses[where % 3 == 1] = value
    if data.pick(False, True):
        log.val_losses[0] = value
    return log


@dataclass
class Curves:
    """The training and validation losses of a run, (n,) each."""

    train_losses: Array
    val_losses: Array


def curves() -> st.SearchStrategy[Any]:
    """Curves of 1 to 40 epochs: any numbers, or training losses that fall and validation losses that turn at some epoch."""
    return drawn(_curves, 5 + 2 * WIDTH)


def _curves(data: Bytes, form: Format) -> Curves:
    n, kind, shape = (
        length_of(data),
        data.pick("whole", "levels", "real", "rounding"),
        data.pick("any", "falling", "turning"),
    )
    fall, rise = data.pick(0.5, 0.75, 0.97), data.pick(1.5, 1.125, 1.01, 1.25)
    # Fewer epochs keep the first training losses and the last validation losses: that is where they are high.
    train, val = _losses(data.column(n)[::-1], kind, form), _losses(data.column(n), kind, form)
    if shape != "any":  # within rounding of the thresholds too: the first training loss is a power of two
        epochs = np.arange(n)
        turn = n if shape == "falling" else n // 2
        train = cast(8 * fall**epochs, form)
        val = cast(8 * fall ** np.minimum(epochs, turn) * np.where(epochs > turn, rise, 1.0), form)
    return Curves(train, val)

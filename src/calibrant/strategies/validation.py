"""Inputs of the chapter on validation: splits, penalties, logs of losses and curves."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.strategies.drawing import FRACTIONS, WIDTH, Array, Bytes, cast, numbers_of, strategy, widened
from calibrant.strategies.samples import FIT, Fit, fits, lines, with_two_readings


@dataclass
class Split:
    """A number of samples, the fraction to hold out, and a seed."""

    n_samples: int
    val_fraction: float
    seed: int


_PERCENTS = ((100, 0.29), (50, 0.58), (100, 0.57), (300, 0.41), (200, 0.29), (300, 0.69), (100, 0.14), (300, 0.7))
"""Products that are whole numbers, most of which come out just below them in float64."""


@strategy(7)
def splits(data: Bytes, form: Format) -> Split:
    """Splits of 1 to 40 samples, or of hundreds: usual fractions, whole counts, awkward decimals, any number below 1."""
    kind, byte = data.pick("usual", "percent", "share", "any"), data.one()
    n = data.length(form)
    match kind:
        case "usual":
            fraction = (0.5, 0.2, 0.25, 0.1, 0.3, 0.75, 0.0)[byte % 7]
        case "percent":
            n, fraction = _PERCENTS[byte % len(_PERCENTS)]
        case "share":
            fraction = byte % n / n
        case _:
            fraction = float(FRACTIONS[byte, 0])
    return Split(n, fraction, seeds.decode(data, form))


@strategy(4)
def seeds(data: Bytes, form: Format) -> int:
    """Seeds below 2 ** 32; the simplest is 0."""
    return int.from_bytes(data.take(4), "little")


@dataclass
class Penalized(Fit):
    """A fit and the factors of its penalties."""

    l1: float
    l2: float


@strategy(FIT + 3)
def penalized_fits(data: Bytes, form: Format) -> Penalized:
    """Fits, some of weight 0, with penalties: some are 0, and some no dtype holds exactly."""
    fit = fits.decode(data, form)
    l1, l2 = (data.pick(1.0, 0.5, 2.0, 0.1, 0.0, 1e-3, 30.0) for _ in range(2))
    fit.w = data.pick(fit.w, fit.w, fit.w, np.zeros_like(fit.w))
    return Penalized(**vars(fit), l1=l1, l2=l2)


@strategy(FIT + 4)
def ridges(data: Bytes, form: Format) -> tuple[Fit, float, float]:
    """Data sets of two readings at least, with a penalty and a larger one, near the readings' mean square or variance, or far below.

    Where the readings are far from zero, a penalty near their mean square would hide a variance that is lost by cancellation.
    Half formats hold no such readings of which anything is claimed.
    """
    far = form.u < 2.0**-20
    line = lines.decode(data, form) if far else with_two_readings(fits.decode(data, form), form)
    readings, centre = widened(line.t_u), far * data.pick(0.0, 1.0)
    size = 2.0 ** round(math.log2(max(float(np.mean((readings - centre * readings.mean()) ** 2)), form.normal)))
    l2 = data.pick(1.0, 0.5, 0.1, 1e-3, 0.0, 4.0) * size
    return line, l2, l2 + data.pick(1.0, 0.5, 0.1, 8.0, 1e-3) * size


@dataclass
class Losses:
    """The losses of a run, (n,), one an epoch, and a patience."""

    val_losses: Array
    patience: int


def _losses(data: NDArray[np.uint8], kind: str, form: Format) -> Array:
    """Losses of one kind, none negative; a byte of 0 gives the lowest."""
    match kind:
        case "levels":
            return cast(data % 4, form)
        case "rounding":
            return cast(1 + (data % 6) * 2 * form.u, form)
        case _:
            return cast(np.abs(numbers_of(data, kind, form)), form)


@strategy(3 + WIDTH)
def loss_logs(data: Bytes, form: Format) -> Losses:
    """Logs of 1 to 40 losses, with ties and differences of one rounding, and a patience of 1 to 8."""
    n, kind, patience = data.length(), data.pick("levels", "whole", "rounding", "real", "spread"), 1 + data.one() % 8
    return Losses(_losses(data.column(n), kind, form), patience)


@strategy(3 + WIDTH + 2 + WIDTH)
def spoiled_loss_logs(data: Bytes, form: Format) -> Losses:
    """Logs in which NaN or infinity replaces some losses, and the first loss of every second log."""
    log = loss_logs.decode(data, form)
    value, where = data.pick(math.nan, math.nan, math.inf, -math.inf), data.column(len(log.val_losses))
    log.val_losses[where % 3 == 1] = value
    if data.pick(False, True):
        log.val_losses[0] = value
    return log


@strategy(5 + 2 * WIDTH)
def curves(data: Bytes, form: Format) -> tuple[Array, Array]:
    """Training and validation losses of 1 to 40 epochs: any numbers, or some that fall and some that turn at some epoch."""
    n, kind = data.length(), data.pick("whole", "levels", "real", "rounding")
    shape = data.pick("any", "falling", "turning")
    fall, rise = data.pick(0.5, 0.75, 0.97), data.pick(1.5, 1.125, 1.01, 1.25)
    # Fewer epochs keep the first training losses and the last validation losses, which are high.
    train, val = _losses(data.column(n)[::-1], kind, form), _losses(data.column(n), kind, form)
    if shape != "any":  # the first training loss is a power of two, so that some lie within rounding of the thresholds
        epochs = np.arange(n)
        turn = n if shape == "falling" else n // 2
        train = cast(8 * fall**epochs, form)
        val = cast(8 * fall ** np.minimum(epochs, turn) * np.where(epochs > turn, rise, 1.0), form)
    return train, val

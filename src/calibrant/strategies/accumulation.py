"""Inputs of the chapter on accumulation: samples in micro-batches, and in shards."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.strategies.drawing import LONGEST, WIDTH, ZIGZAG, Array, Bytes, strategy
from calibrant.strategies.samples import FIT, Descent, Fit, descents, fits, shuffled_fits


@dataclass
class Batched(Fit):
    """A fit whose samples are cut into batches of these sizes."""

    sizes: list[int]

    @property
    def batches(self) -> list[tuple[Array, Array]]:
        """The columns (t_u, t_c) of each batch."""
        cuts = np.cumsum(self.sizes)[:-1]
        return list(zip(np.split(self.t_u, cuts), np.split(self.t_c, cuts), strict=True))


MOST_BATCHES = 6
MANY_BATCHES = 65  # in the place of one in eight


@strategy(FIT + MOST_BATCHES)
def batched_fits(data: Bytes, form: Format) -> Batched:
    """Fits in up to six batches of any sizes, seldom in up to 65; the last is often smaller, or takes all that is left."""
    fit, bytes_ = fits.decode(data, form), data.take(MOST_BATCHES)
    n, first = len(fit.t_u), int(bytes_[0])
    many = first % 8 == 7
    return Batched(
        **vars(fit), sizes=_even(n, max(1 + first % 3, -(-n // MANY_BATCHES))) if many else _sizes(bytes_, n)
    )


def _sizes(data: NDArray[np.uint8], n: int) -> list[int]:
    """Sizes that add up to n: all that is left where a byte is 0, up to six samples otherwise."""
    sizes: list[int] = []
    for byte in data:
        if n:
            sizes.append(min(n, int(byte) % 7 or n))
            n -= sizes[-1]
    sizes[-1] += n
    return sizes


@strategy(FIT + WIDTH + 2 * MOST_BATCHES)
def rebatched_fits(data: Bytes, form: Format) -> tuple[Batched, Batched]:
    """Fits cut into batches twice, the second time in another order."""
    fit, order = shuffled_fits.decode(data, form)
    first, second = (_sizes(data.take(MOST_BATCHES), len(fit.t_u)) for _ in range(2))
    shuffled = Batched(fit.t_u[order], fit.t_c[order], fit.w, fit.b, second)
    return Batched(fit.t_u, fit.t_c, fit.w, fit.b, first), shuffled


@strategy(FIT + 1)
def parts(data: Bytes, form: Format) -> Batched:
    """Fits of two samples or more, cut in two parts of any sizes."""
    fit = fits.decode(data, form)
    if len(fit.t_u) == 1:
        fit = replace(fit, t_u=np.repeat(fit.t_u, 2), t_c=np.concatenate([fit.t_c, -fit.t_c]))
    n = len(fit.t_u)
    cut = 1 + data.one() % (n - 1)
    return Batched(**vars(fit), sizes=[cut, n - cut])


@strategy(FIT + 2)
def windows(data: Bytes, form: Format) -> list[Batched]:
    """Fits in windows of two to four batches of one to four samples, or of a few dozen where there are many samples.

    The last batch and the last window hold what is left.
    """
    fit, size, length = fits.decode(data, form), data.pick(1, 2, 3, 4), data.pick(2, 3, 4)
    size *= 1 + (len(fit.t_u) - 1) // LONGEST
    whole = Batched(**vars(fit), sizes=_even(len(fit.t_u), size * length))
    return [Batched(t_u, t_c, fit.w, fit.b, _even(len(t_u), size)) for t_u, t_c in whole.batches]


def _even(n: int, size: int) -> list[int]:
    """Equal sizes that add up to n; the last is what is left."""
    return [min(size, n - start) for start in range(0, n, size)]


@dataclass
class Sharded(Batched, Descent):
    """A descent of several workers, each with a batch of its own, which may be empty."""


@strategy(FIT + 5)
def sharded_descents(data: Bytes, form: Format) -> Sharded:
    """Descents on the samples of two or three workers, or of one: shards of one size, of any sizes, and empty ones."""
    descent = descents.decode(data, form)
    n, world = len(descent.t_u), data.pick(2, 3, 2, 3, 2, 3, 2, 3, 1)
    cuts = []
    for k, byte in zip(range(1, world), data.take(2).tolist(), strict=False):
        spared = int(byte < 192 and n >= world)  # three of four cuts leave a sample on either side
        cuts.append(min(max(n * k // world + int(ZIGZAG[byte % 8]), spared * k), n - spared * (world - k)))
    cuts.sort()
    return Sharded(**vars(descent), sizes=np.diff([0, *cuts, n]).tolist())

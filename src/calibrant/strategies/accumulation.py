"""Samples in micro-batches, and in shards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.strategies.drawing import WIDTH, ZIGZAG, Array, Bytes, drawn
from calibrant.strategies.samples import FIT, Descent, Fit, decode_descent, decode_fit, decode_shuffled


@dataclass
class Batched(Fit):
    """A fit whose samples are cut into batches of these sizes."""

    sizes: list[int]

    @property
    def batches(self) -> list[tuple[Array, Array]]:
        """The pairs (t_u, t_c) of columns, a batch each."""
        return _cut(self, self.sizes)


def _cut(fit: Fit, sizes: list[int]) -> list[tuple[Array, Array]]:
    """The columns of a fit in parts of these sizes."""
    cuts = np.cumsum(sizes)[:-1]
    return list(zip(np.split(fit.t_u, cuts), np.split(fit.t_c, cuts), strict=True))


@dataclass
class Rebatched:
    """The same samples in two orders, cut into batches in two ways."""

    first: Batched
    second: Batched


MOST_BATCHES = 6


def batched_fits() -> st.SearchStrategy[Any]:
    """Fits in up to six batches of any sizes, of which the last is often smaller, or takes all that is left."""
    return drawn(_batched, FIT + MOST_BATCHES)


def _batched(data: Bytes, form: Format) -> Batched:
    fit = decode_fit(data, form)
    return Batched(fit.t_u, fit.t_c, fit.w, fit.b, _sizes(data.take(MOST_BATCHES), len(fit.t_u)))


def _sizes(data: NDArray[np.uint8], n: int) -> list[int]:
    """Sizes that add up to n: all that is left where a byte is 0, up to six samples otherwise."""
    sizes: list[int] = []
    for byte in data:
        if n:
            sizes.append(min(n, int(byte) % 7 or n))
            n -= sizes[-1]
    sizes[-1] += n
    return sizes


def rebatched_fits() -> st.SearchStrategy[Any]:
    """Fits cut into batches twice, the second time in another order."""
    return drawn(_rebatched, FIT + WIDTH + 2 * MOST_BATCHES)


def _rebatched(data: Bytes, form: Format) -> Rebatched:
    fit = decode_shuffled(data, form)
    first, second = (_sizes(data.take(MOST_BATCHES), len(fit.t_u)) for _ in range(2))
    return Rebatched(
        Batched(fit.t_u, fit.t_c, fit.w, fit.b, first),
        Batched(fit.t_u[fit.order], fit.t_c[fit.order], fit.w, fit.b, second),
    )


@dataclass
class Windows(Fit):
    """A fit whose samples come in batches of one size, of which each window but the last takes the same number."""

    size: int
    length: int

    @property
    def windows(self) -> list[Batched]:
        """The windows, in order; the last batch and the last window hold what is left."""
        per_window = self.size * self.length
        parts = []
        for start in range(0, len(self.t_u), per_window):
            t_u, t_c = self.t_u[start : start + per_window], self.t_c[start : start + per_window]
            sizes = [len(t_u[i : i + self.size]) for i in range(0, len(t_u), self.size)]
            parts.append(Batched(t_u, t_c, self.w, self.b, sizes))
        return parts


def windows() -> st.SearchStrategy[Any]:
    """Fits in batches of one to four samples, and in windows of two to four batches."""
    return drawn(_windows, FIT + 2)


def _windows(data: Bytes, form: Format) -> Windows:
    fit = decode_fit(data, form)
    return Windows(fit.t_u, fit.t_c, fit.w, fit.b, data.pick(1, 2, 3, 4), data.pick(2, 3, 4))


@dataclass
class Sharded(Descent):
    """A descent whose samples several workers share: so many each, in their order, and some may have none."""

    sizes: list[int]

    @property
    def shards(self) -> list[tuple[Array, Array]]:
        """The pairs (t_u, t_c) of columns, a worker each."""
        return _cut(self, self.sizes)


def sharded_descents() -> st.SearchStrategy[Any]:
    """Descents on the samples of two or three workers, or of one: shards of one size, of any sizes, and empty ones."""
    return drawn(_sharded_descent, FIT + 5)


def _sharded_descent(data: Bytes, form: Format) -> Sharded:
    descent = decode_descent(data, form)
    n, world = len(descent.t_u), data.pick(2, 3, 2, 3, 2, 3, 2, 3, 1)
    cuts = []
    for k, byte in zip(range(1, world), data.take(2).tolist(), strict=False):
        spared = int(byte < 192 and n >= world)  # three of four cuts leave a sample on either side
        cuts.append(min(max(n * k // world + int(ZIGZAG[byte % 8]), spared * k), n - spared * (world - k)))
    cuts.sort()
    return Sharded(**vars(descent), sizes=np.diff([0, *cuts, n]).tolist())

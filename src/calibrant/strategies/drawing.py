"""Drawn bytes, and the numbers that they stand for."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.protocol.declarations import numpy_dtype

Array = NDArray[Any]
T = TypeVar("T")

LONGEST = 40  # the most samples of one case, but for the few cases of a size beyond
BEYOND = (63, 64, 65, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 1025)
"""Sizes around the blocks in which machines work: a vector, the threads of a kernel, a tile. The smallest comes first."""
LARGEST = 4097  # in the place of one in eight of the last
CASES = 4  # the cases of one example: Hypothesis spends as much time on an example as the judge on a case
WIDTH = 16  # the drawn bytes of one column

ZIGZAG = np.array([(k + 1) // 2 * (1 if k % 2 else -1) for k in range(256)], dtype=np.float64)
"""0, 1, -1, 2, -2, ...: a whole number for each byte."""

QUARTERS = np.array(sorted(ZIGZAG[:65] / 4, key=lambda x: (x.as_integer_ratio()[1], abs(x), x < 0)))
"""The quarters up to 8, whole ones first, then halves: a failure that 1 shows does not shrink to 0.25."""

FRACTIONS = np.random.default_rng(20240601).random((256, 2 * LONGEST))
"""Numbers in [0, 1) with full significands, one for each byte and place."""


class Bytes(io.BytesIO):
    """Drawn bytes, taken from the front."""

    def take(self, n: int) -> NDArray[np.uint8]:
        """The next n bytes."""
        return np.frombuffer(self.read(n), dtype=np.uint8)

    def column(self, n: int) -> NDArray[np.uint8]:
        """A byte for each of n samples: the last n of the next WIDTH, so that n can shrink and the last samples stay.

        Longer columns repeat the bytes: a drawn byte costs time, and its number depends on its place too. Most columns of a
        size beyond LONGEST are 0 but at the ends and at the borders of blocks, which makes them cheap and their tail visible.
        """
        drawn_bytes = self.take(WIDTH)
        if n <= WIDTH:
            return drawn_bytes[WIDTH - n :]
        if n <= LONGEST or drawn_bytes[0] >= 192:
            return np.resize(drawn_bytes, n)
        places = _borders(n)
        column = np.zeros(n, dtype=np.uint8)
        column[places] = drawn_bytes[: -len(places) - 1 : -1]
        return column

    def one(self) -> int:
        """The next byte."""
        return int(self.take(1)[0])

    def pick(self, *choices: T) -> T:
        """One of the choices, the simplest first."""
        return choices[self.one() % len(choices)]

    def length(self, form: Format | None = None) -> int:
        """A number of samples: often few, sometimes many; given a format, seldom one of those BEYOND.

        A sum of n numbers rounds by n u at the most: where that is no small part of it, no such size is asked.
        """
        byte = self.one()
        if form and byte > 255 - len(BEYOND):
            size = LARGEST if byte == 255 and self.getbuffer()[self.tell()] >= 224 else BEYOND[byte - 256]
            if size * form.u <= 0.25:
                return size
        return 1 + byte % 12 if byte < 192 else 13 + (byte - 192) % (LONGEST - 12)

    def kinds(self) -> tuple[str, str]:
        """The kinds of two columns of numbers, mostly the same."""
        byte = self.one()
        return KINDS[byte & 15], KINDS[byte >> 4 if byte >= 128 else byte & 15]


@functools.cache
def _borders(n: int) -> list[int]:
    """Places in a long column: the last, the first, and those where a block begins or ends."""
    places = (-1, 0, 64, 1024, 256, 128, 4096, 63, 1023, 255, 127, LONGEST, -2, 512, 32, 8)
    return [*dict.fromkeys(place % n for place in places if place < n)][:WIDTH]


@dataclass(frozen=True)
class Drawn(Generic[T]):
    """Bytes that wait for the dtype under test: of one case, or of several that were drawn together."""

    data: bytes
    decode: Callable[[Bytes, Format], T]

    def case(self, k: int) -> Drawn[T]:
        """The k-th case by itself."""
        length = len(self.data) // CASES
        return Drawn(self.data[k * length : (k + 1) * length], self.decode)

    def cases(self) -> list[Drawn[T]]:
        """Each case by itself, without repetitions."""
        return [*{one.data: one for one in map(self.case, range(CASES))}.values()]

    def at(self, form: Format) -> T:
        """The first case, in the numbers of a format."""
        with np.errstate(all="ignore"):
            return self.decode(Bytes(self.data), form)


@dataclass(frozen=True)
class Strategy(Generic[T]):
    """A decoder of so many bytes."""

    decode: Callable[[Bytes, Format], T]
    length: int

    def __call__(self) -> st.SearchStrategy[Any]:
        """Examples of CASES cases, which are drawn one by one, because each is made simpler by itself."""
        case = st.binary(min_size=self.length, max_size=self.length)
        return st.tuples(*[case] * CASES).map(lambda cases: Drawn(b"".join(cases), self.decode))

    def spoiled(self, *columns: str) -> Strategy[tuple[T, float]]:
        """The cases with NaN or infinity in one place of one of these columns, unless that is empty; and that number."""

        def decode(data: Bytes, form: Format) -> tuple[T, float]:
            case = self.decode(data, form)
            numbers = getattr(case, data.pick(*columns)).reshape(-1)
            value, place = data.pick(math.nan, math.inf, -math.inf), data.one()
            if numbers.size:
                numbers[place % numbers.size] = value
            return case, value

        return Strategy(decode, self.length + 3)


def strategy(length: int) -> Callable[[Callable[[Bytes, Format], T]], Strategy[T]]:
    """Make a strategy of a decoder of so many bytes."""
    return lambda decode: Strategy(decode, length)


def numbers_of(data: NDArray[np.uint8], kind: str, form: Format, place: int = 0) -> Array:
    """Numbers of one kind, one for each byte; a byte of 0 gives 0, except where all are alike or constant."""
    low, high = (1e-2, 16.0) if form.max_exponent < 100 else (1e-6, 1e6)  # their squares and sums stay in range
    fraction = FRACTIONS[data, np.arange(place, place + len(data)) % FRACTIONS.shape[1]]
    sign = np.where(data & 1, 1.0, -1.0)
    if kind == "alike":
        return np.asarray((1 + data[0] * 0.37) * (1 + (data % 8) * form.u * 2))
    if kind == "constant":
        return np.full(len(data), (1 + int(data[0])) * 0.37)
    numbers: dict[str, Callable[[], Array]] = {
        "few": lambda: ZIGZAG[data % 4],
        "whole": lambda: ZIGZAG[data % 17],
        "quarters": lambda: QUARTERS[data % 65],
        "readings": lambda: np.round(data * 0.35 + fraction, 1) * (1.0 if high > 100 else 0.125),
        "real": lambda: sign * fraction * 8,
        "negative": lambda: -fraction * 8,
        "spread": lambda: sign * low * (high / low) ** fraction,
        "large": lambda: sign * high * (0.5 + fraction / 2),
        "small": lambda: sign * low * (0.5 + fraction / 2),
        "subnormal": lambda: sign * form.normal * 2 * fraction,
    }
    return np.where(data == 0, 0.0, numbers[kind]())


KINDS = (
    "few", "whole", "quarters", "readings", "real", "spread", "large", "small",
    "negative", "alike", "constant", "real", "spread", "readings", "subnormal", "whole",
)  # fmt: skip


def cast(x: Any, form: Format) -> Array:
    """x rounded to the format."""
    return np.asarray(np.asarray(x, dtype=np.float64).astype(numpy_dtype(form.name)))


def widened(x: Array) -> Array:
    """The same numbers in float64, where their products do not overflow."""
    return x.astype(np.float64)

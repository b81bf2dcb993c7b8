"""Drawn bytes, and the numbers that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from calibrant.exact import Format
from calibrant.protocol.dtypes import numpy_dtype

Array = NDArray[Any]
T = TypeVar("T")

LONGEST = 40
"""The most samples of one case."""

CASES = 4
"""The cases of one example: Hypothesis spends as much time on an example as the judge on a case."""

WIDTH = 16
"""The drawn bytes of one column."""

ZIGZAG = np.array([(k + 1) // 2 * (1 if k % 2 else -1) for k in range(256)], dtype=np.float64)
"""0, 1, -1, 2, -2, ...: a whole number for each byte."""

QUARTERS = np.array(sorted(ZIGZAG[:65] / 4, key=lambda x: (x.as_integer_ratio()[1], abs(x), x < 0)))
"""The quarters up to 8, whole ones first, then halves: a failure that 1 shows does not shrink to 0.25."""

FRACTIONS = np.random.default_rng(20240601).random((256, 2 * LONGEST))
"""Numbers in [0, 1) with full significands, one for each byte and place."""


class Bytes:
    """Drawn bytes, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = np.frombuffer(data, dtype=np.uint8)
        self._taken = 0

    def take(self, n: int) -> NDArray[np.uint8]:
        """The next n bytes."""
        self._taken += n
        return self._data[self._taken - n : self._taken]

    def column(self, n: int) -> NDArray[np.uint8]:
        """A byte for each of n samples: the last n of the next WIDTH, so that n can shrink and the last samples stay.

        Longer columns repeat the bytes: a drawn byte costs time, and its number depends on its place too.
        """
        drawn_bytes = self.take(WIDTH)
        return drawn_bytes[WIDTH - n :] if n <= WIDTH else np.resize(drawn_bytes, n)

    def one(self) -> int:
        """The next byte."""
        return int(self.take(1)[0])

    def pick(self, *choices: T) -> T:
        """One of the choices, the simplest first."""
        return choices[self.one() % len(choices)]


class Drawn(Generic[T]):
    """Bytes that wait for the dtype under test: of one case, or of several that were drawn together."""

    def __init__(self, data: bytes, decode: Callable[[Bytes, Format], T]) -> None:
        self.data = data
        self.decode = decode

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

    def __repr__(self) -> str:
        return f"{self.decode.__name__} of {self.data.hex()}"


def drawn(decode: Callable[[Bytes, Format], T], length: int) -> st.SearchStrategy[Drawn[T]]:
    """Examples of CASES cases, each decoded from so many bytes; drawn one by one, because each is made simpler by itself."""
    case = st.binary(min_size=length, max_size=length)
    return st.tuples(*[case] * CASES).map(lambda cases: Drawn(b"".join(cases), decode))


@dataclass(frozen=True)
class Strategy(Generic[T]):
    """A decoder of so many bytes; the call returns its Hypothesis strategy."""

    decode: Callable[[Bytes, Format], T]
    length: int

    def __call__(self) -> st.SearchStrategy[Any]:
        """Examples of CASES cases."""
        return drawn(self.decode, self.length)


def strategy(length: int) -> Callable[[Callable[[Bytes, Format], T]], Strategy[T]]:
    """Make a strategy of a decoder of so many bytes."""
    return lambda decode: Strategy(decode, length)


def _scales(form: Format) -> tuple[float, float]:
    """The smallest and largest ordinary magnitudes: their squares and sums stay in range."""
    return (1e-2, 16.0) if form.max_exponent < 100 else (1e-6, 1e6)


def numbers_of(data: NDArray[np.uint8], kind: str, form: Format, place: int = 0) -> Array:
    """Numbers of one kind, one for each byte; a byte of 0 gives 0, except where all are alike or constant."""
    low, high = _scales(form)
    fraction = FRACTIONS[data, np.arange(place, place + len(data))]
    sign = np.where(data & 1, 1.0, -1.0)
    match kind:
        case "few":
            x = ZIGZAG[data % 4]
        case "whole":
            x = ZIGZAG[data % 17]
        case "quarters":
            x = QUARTERS[data % 65]
        case "readings":
            x = np.round(data * 0.35 + fraction, 1) * (1.0 if high > 100 else 0.125)
        case "real":
            x = sign * fraction * 8
        case "negative":
            x = -fraction * 8
        case "spread":
            x = sign * low * (high / low) ** fraction
        case "large" | "small":
            x = sign * (high if kind == "large" else low) * (0.5 + fraction / 2)
        case "subnormal":
            x = sign * form.normal * 2 * fraction
        case "alike":
            return np.asarray((1 + data[0] * 0.37) * (1 + (data % 8) * form.u * 2))
        case "constant":
            return np.full(len(data), (1 + data[0]) * 0.37)
        case _:
            raise ValueError(f"kind is {kind!r}")
    return np.where(data == 0, 0.0, x)


KINDS = (
    "few", "whole", "quarters", "readings", "real", "spread", "large", "small",
    "negative", "alike", "constant", "real", "spread", "readings", "subnormal", "whole",
)  # fmt: skip
PLAIN = ("few", "whole", "quarters")


def kinds_of(data: Bytes) -> tuple[str, str]:
    """The kinds of two columns, mostly the same."""
    byte = data.one()
    first = KINDS[byte & 15]
    return first, first if byte < 128 else KINDS[byte >> 4]


def length_of(data: Bytes) -> int:
    """A number of samples: often few, sometimes many."""
    byte = data.one()
    return 1 + byte % 12 if byte < 192 else 13 + (byte - 192) % (LONGEST - 12)


def cast(x: Any, form: Format) -> Array:
    """x rounded to the format."""
    return np.asarray(np.asarray(x, dtype=np.float64).astype(numpy_dtype(form.name)))


def widened(x: Array) -> Array:
    """The same numbers in float64, where their products do not overflow."""
    return x.astype(np.float64)

"""Appendix A gives the bounds: its rules are those that the code cites, and three bounds follow from its text alone."""

from __future__ import annotations

import decimal
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from support import PYTORCH

from calibrant import exact
from calibrant.exact import FORMATS, Exact

ROOT = Path(__file__).parent.parent
FORM = FORMATS["float32"]
U, ETA = Fraction(FORM.u), Fraction(FORM.tiny)


def cited(room: str) -> set[str]:
    """The rules that the code of a room cites."""
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "src/calibrant" / room).glob("*.py")]
    return {name for text in texts for name in re.findall(r"\[A\.([a-z-]+)\]", text)}


def test_the_code_cites_every_rule_of_the_appendix_and_no_other() -> None:
    defined = re.findall(r"\*\*A\.([a-z-]+)\*\*", (ROOT / "spec/bounds.md").read_text(encoding="utf-8"))

    assert cited("exact") == set(defined)
    assert set() < cited("formula") < set(defined)


@dataclass
class Ruled:
    """A true value and its bound."""

    value: Fraction
    e: Fraction = Fraction(0)

    @property
    def reach(self) -> Fraction:
        return abs(self.value) + self.e

    def rounded(self, k: int, lost: Fraction = Fraction(0)) -> Ruled:
        """A.roundings, and underflow."""
        if not self.reach:
            return self
        return Ruled(self.value, self.e + (k * U * (1 + U) if k <= 2 else gamma(k)) * self.reach + lost)

    def scales(self) -> bool:
        m, d = abs(self.value).as_integer_ratio()
        return not self.e and not m & (m - 1) and not d & (d - 1)

    def __add__(self, y: Ruled) -> Ruled:
        """A.sum."""
        return Ruled(self.value + y.value, self.e + y.e).rounded(1)

    def __neg__(self) -> Ruled:
        return Ruled(-self.value, self.e)

    def __mul__(self, y: Ruled) -> Ruled:
        """A.product."""
        e = abs(self.value) * y.e + abs(y.value) * self.e + self.e * y.e
        return Ruled(self.value * y.value, e).rounded(0 if self.scales() or y.scales() else 1, ETA)

    def over(self, n: int) -> Ruled:
        """A.count."""
        return Ruled(self.value / n, self.e / n).rounded(0 if n in (1, 4, 16, 64) else 6, 2 * ETA)


def gamma(k: int) -> Fraction:
    return k * U / (1 - k * U)


def residual(product: Ruled, b: Ruled, c: Ruled) -> Ruled:
    """A.residual."""
    ways = [(product + b) + -c, (product + -c) + b, (b + -c) + product]
    return max(ways, key=lambda way: way.e)


def mean_square(residuals: list[Ruled]) -> Ruled:
    """A.mean-square."""
    squares, n = [r * r for r in residuals], len(residuals)
    k = n - 1 + (3 if n in (1, 4, 16, 64) else 9)
    e = (sum(x.e for x in squares) + gamma(k) * sum(x.reach for x in squares)) / n + n * ETA
    return Ruled(Fraction(sum(x.value for x in squares)) / n, e)


def given(x: float) -> Ruled:
    """A.given."""
    return Ruled(Fraction(x), abs(Fraction(float(np.float32(x))) - Fraction(x)))


def numbers(x: Any) -> list[Ruled]:
    return [Ruled(Fraction(float(value))) for value in np.ravel(x)]


def check(judged: Exact, due: list[Ruled]) -> None:
    """The values are equal or nearly so, and the bounds equal but for being rounded up."""
    for value, bound, ruled in zip(judged.fractions(), judged.errors().ravel().tolist(), due, strict=True):
        assert abs(value - ruled.value) <= abs(ruled.value) * Fraction(1, 2**100)
        assert ruled.e <= Fraction(bound) <= ruled.e * (1 + Fraction(1, 2**30))


def test_the_bound_of_the_loss_of_a_line_follows_from_the_rules() -> None:
    for n in (1, 2, 3, 4):
        t_u, t_c = (np.array(x[:n], dtype=np.float32) for x in ([35.7, 55.9, 58.2, 81.9], [0.5, 14.0, 15.0, 28.1]))
        w, b = np.float32(0.3), np.float32(-10.1)
        judged = exact.loss_fn(exact.model(*map(exact.of, (t_u, w, b))), exact.of(t_c))

        (slope,), (bias,) = numbers(w), numbers(b)
        check(
            judged,
            [mean_square([residual(slope * u, bias, c) for u, c in zip(*map(numbers, (t_u, t_c)), strict=True)])],
        )


def test_the_bound_of_the_derivative_by_each_prediction_follows_from_the_rules() -> None:
    for n in (1, 2, 3, 4):
        t_p, t_c = (np.array(x[:n], dtype=np.float32) for x in ([1.1, 2.3, -0.4, 8.2], [1.0, 2.2, 0.7, 8.3]))
        judged = exact.dloss_fn(exact.of(t_p), exact.of(t_c))

        two = Ruled(Fraction(2))
        check(judged, [(two * (p + -c)).over(n) for p, c in zip(*map(numbers, (t_p, t_c)), strict=True)])


def test_the_bound_of_a_first_step_of_rmsprop_follows_from_the_rules() -> None:
    alpha, eps, lr = given(0.99), given(1e-8), given(0.3)
    ((step,),) = exact.optimize("rmsprop", {"lr": 0.3}, [np.float32([0.7])], [[np.float32([7.1])]], PYTORCH)
    (p,), (g,) = numbers(np.float32(0.7)), numbers(np.float32(7.1))

    # A.average of 0, which is known to be zero, and the square of the gradient
    square = g * g
    part = Ruled(1 - alpha.value, alpha.e + U * (1 - alpha.value + alpha.e))
    local = max(part.value * square.reach, alpha.value * square.reach)
    v = Ruled(part.value * square.value, part.value * square.e + part.e * square.reach + U * local).rounded(1, 3 * ETA)
    # A.root, and A.products of two factors and one divisor: three roundings
    low = root(v.value - v.e)
    spread = Ruled(root(v.value), root(v.value) - low).rounded(2) + eps
    moved = lr.value * g.value / spread.value
    e = (lr.e * g.value + moved * spread.e) / (spread.value - spread.e)
    e += gamma(3) * (moved + e) + 4 * ETA * g.reach
    check(step, [p + -Ruled(moved, e)])


def root(x: Fraction) -> Fraction:
    with decimal.localcontext(prec=60):
        return Fraction((decimal.Decimal(x.numerator) / decimal.Decimal(x.denominator)).sqrt())

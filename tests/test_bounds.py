"""Appendix A gives the bounds: its rules are those that the code cites, and several bounds follow from its text alone."""

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
    v = average(Ruled(Fraction(0)), square, alpha)
    # A.root, and A.products of two factors and one divisor: three roundings
    low = root(v.value - v.e)
    spread = Ruled(root(v.value), root(v.value) - low).rounded(2) + eps
    moved = lr.value * g.value / spread.value
    e = (lr.e * g.value + moved * spread.e) / (spread.value - spread.e)
    e += gamma(3) * (moved + e) + 4 * ETA * g.reach
    check(step, [p + -Ruled(moved, e)])


def average(x: Ruled, y: Ruled, keep: Ruled) -> Ruled:
    """A.average, where `keep` is not a number of the format."""
    p = Ruled(1 - keep.value, keep.e + U * (1 - keep.value + keep.e))
    s, r, c = x.reach + y.reach, int(bool(x.reach and y.reach)), int(keep.value <= p.value)
    b, q = keep.value + p.e, p.reach
    local = max(b * x.reach + q * y.reach, (1 + r) * q * s, (1 + r + c) * b * s)
    e = keep.value * x.e + p.value * y.e + p.e * s + U * (1 + 2 * U) * local
    return Ruled(keep.value * x.value + p.value * y.value, e).rounded(1, 3 * ETA)


def products(factors: list[Ruled], divisors: list[Ruled], stretch: Fraction) -> Ruled:
    """A.products, whose underflow every factor above 1 and divisor below 1 enlarges."""
    z, e = Fraction(1), Fraction(0)
    for x in factors:
        z, e = z * x.value, abs(z) * x.e + x.reach * e
    for y in divisors:
        z /= y.value
        e = (e + abs(z) * y.e) / (abs(y.value) - y.e)
    k = len(factors) - 1 + 2 * len(divisors)
    return Ruled(z, e + gamma(k) * (abs(z) + e) + (k + 1) * ETA * stretch)


def test_the_bound_of_a_second_average_follows_from_the_rules() -> None:
    x, y = np.float32([0.7]), np.float32([-3.3])
    for decay in (0.9, 0.3):
        _, (second,) = exact.average("ema", {"decay": decay}, [[x], [y]])

        check(second, [average(*numbers(x), *numbers(y), given(decay))])


def test_the_bound_of_a_step_with_decoupled_decay_follows_from_the_rules() -> None:
    """Lion's first step: the rate against the sign of the gradient, beside the decay."""
    lr, decay = given(0.3), given(0.1)
    ((step,),) = exact.optimize(
        "lion", {"lr": 0.3, "weight_decay": 0.1}, [np.float32([0.7])], [[np.float32([7.1])]], PYTORCH
    )

    (p,) = numbers(np.float32(0.7))
    drop = products([lr, decay, p], [], Fraction(1))
    left = p + -drop
    left = Ruled(left.value, left.e + U * (left.reach + 2 * drop.reach + 2 * lr.reach) + ETA)  # A.decay
    check(step, [left + -lr])


def test_the_bound_of_a_step_of_adagrad_follows_from_the_rules() -> None:
    ((step,),) = exact.optimize("adagrad", {"lr": 0.3}, [np.float32([0.7])], [[np.float32([7.1])]], PYTORCH)

    (p,), (g,) = numbers(np.float32(0.7)), numbers(np.float32(7.1))
    v = g * g
    spread = Ruled(root(v.value), root(v.value) - root(v.value - v.e)).rounded(2) + given(1e-10)
    check(step, [p + -products([given(0.3), g], [Ruled(Fraction(1)), spread], g.reach)])


def test_the_bound_of_a_rate_that_falls_by_a_factor_follows_from_the_rules() -> None:
    rates = exact.schedule("exponential", {"lr": 0.3, "gamma": 0.9}, 4, PYTORCH, FORM)

    base, power, due = given(0.9), Ruled(Fraction(1)), [given(0.3)]
    for _ in range(3):
        power = power * base
        power = Ruled(power.value, power.e + U * abs(power.value))  # A.power
        due.append(products([given(0.3), power], [], Fraction(1)))
    check(rates[1:], due[1:])


def test_the_bound_of_a_norm_and_of_a_clipped_gradient_follows_from_the_rules() -> None:
    x = np.float32([3.1, -4.3])
    norm, (clipped,) = exact.clip_by_norm([exact.of(x)], 2.7, 2.0, PYTORCH)

    total, n = sum(g.value**2 for g in numbers(x)), 2
    squares = Ruled(Fraction(total), gamma(2 * n + 12) * total + (2 * n + 2) * ETA)  # A.norm
    length = Ruled(root(squares.value), root(squares.value) - root(squares.value - squares.e)).rounded(2)
    check(norm, [length])
    check(clipped, [products([g, given(2.7)], [length], g.reach * given(2.7).reach) for g in numbers(x)])


def root(x: Fraction) -> Fraction:
    with decimal.localcontext(prec=60):
        return Fraction((decimal.Decimal(x.numerator) / decimal.Decimal(x.denominator)).sqrt())

"""Appendix A gives the bounds: its rules are those that the code cites, and several bounds follow from its text alone."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from algebras import Ruled, average, gamma, products, root
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


def ruled(value: Any, error: Any = 0) -> Ruled:
    return Ruled(Fraction(value), FORM, Fraction(error))


def over(x: Ruled, n: int) -> Ruled:
    """A.count."""
    return ruled(x.value / n, x.known / n).rounded(0 if n in (1, 4, 16, 64) else 6, 2 * FORM.tiny)


def residual(product: Ruled, b: Ruled, c: Ruled) -> Ruled:
    """A.residual."""
    ways = [(product + b) - c, (product - c) + b, (b - c) + product]
    return max(ways, key=lambda way: way.error)


def mean_square(residuals: list[Ruled]) -> Ruled:
    """A.mean-square."""
    squares, n = [r * r for r in residuals], len(residuals)
    k = n - 1 + (3 if n in (1, 4, 16, 64) else 9)
    e = (sum(x.known for x in squares) + gamma(k, FORM) * sum(x.reach for x in squares)) / n + n * ETA
    return ruled(Fraction(sum(x.value for x in squares)) / n, e)


def given(x: float) -> Ruled:
    """A.given."""
    return ruled(x, abs(Fraction(float(np.float32(x))) - Fraction(x)))


def numbers(x: Any) -> list[Ruled]:
    return [ruled(float(value)) for value in np.ravel(x)]


def check(judged: Exact, due: list[Ruled]) -> None:
    """The values are equal or nearly so, and the bounds equal but for being rounded up."""
    for value, bound, truth in zip(judged.fractions(), judged.errors().ravel().tolist(), due, strict=True):
        assert abs(value - truth.value) <= abs(truth.value) * Fraction(1, 2**100)
        assert truth.known <= Fraction(bound) <= truth.known * (1 + Fraction(1, 2**30))


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

        check(judged, [over(ruled(2) * (p - c), n) for p, c in zip(*map(numbers, (t_p, t_c)), strict=True)])


def test_the_bound_of_a_first_step_of_rmsprop_follows_from_the_rules() -> None:
    alpha, eps, lr = given(0.99), given(1e-8), given(0.3)
    ((step,),) = exact.optimize("rmsprop", {"lr": 0.3}, [np.float32([0.7])], [[np.float32([7.1])]], PYTORCH)
    (p,), (g,) = numbers(np.float32(0.7)), numbers(np.float32(7.1))

    part = ruled(1 - alpha.value, alpha.known + U * (1 - alpha.value + alpha.known))
    v = average(ruled(0), g * g, alpha, part)
    check(step, [p - products([lr, g], [root(v) + eps])])


def test_the_bound_of_a_step_with_decoupled_decay_follows_from_the_rules() -> None:
    """Lion's first step: the rate against the sign of the gradient, beside the decay."""
    lr, decay = given(0.3), given(0.1)
    ((step,),) = exact.optimize(
        "lion", {"lr": 0.3, "weight_decay": 0.1}, [np.float32([0.7])], [[np.float32([7.1])]], PYTORCH
    )

    (p,) = numbers(np.float32(0.7))
    drop = products([lr, decay, p], [])
    left = p - drop
    left = ruled(left.value, left.known + U * (left.reach + 2 * drop.reach + 2 * lr.reach) + ETA)  # A.decay
    check(step, [left - lr])


def test_the_bound_of_a_rate_that_falls_by_a_factor_follows_from_the_rules() -> None:
    rates = exact.schedule("exponential", {"lr": 0.3, "gamma": 0.9}, 4, PYTORCH, FORM)

    base, power, due = given(0.9), ruled(1), [given(0.3)]
    for _ in range(3):
        power = power * base
        power = ruled(power.value, power.known + U * abs(power.value))  # A.power
        due.append(products([given(0.3), power], []))
    check(rates[1:], due[1:])


def test_the_bound_of_a_norm_and_of_a_clipped_gradient_follows_from_the_rules() -> None:
    x = np.float32([3.1, -4.3])
    norm, (clipped,) = exact.clip_by_norm([exact.of(x)], 2.7, 2.0, PYTORCH)

    total, n = sum(g.value**2 for g in numbers(x)), 2
    length = root(ruled(total, gamma(2 * n + 12, FORM) * total + (2 * n + 2) * ETA))  # A.norm
    check(norm, [length])
    check(clipped, [products([g, given(2.7)], [length]) for g in numbers(x)])

"""Accumulation: the exact gradient, and a bound that covers every sensible way to accumulate."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from support import each_case

from calibrant import exact, strategies
from calibrant.adapters import numpy_target
from calibrant.exact import FORMATS, Exact, Format
from calibrant.protocol.declarations import numpy_dtype

pytestmark = pytest.mark.untraced


def exactly(sample: strategies.Batched) -> tuple[list[tuple[Exact, Exact]], Exact, Exact]:
    return [(exact.of(t_u), exact.of(t_c)) for t_u, t_c in sample.batches], exact.of(sample.w), exact.of(sample.b)


@each_case(strategies.batched_fits(), FORMATS["float32"])
def test_the_accumulated_gradient_is_the_gradient_of_all_samples(sample: strategies.Batched) -> None:
    """As rational numbers, whatever the batches."""
    batches, w, b = exactly(sample)

    weighted = [Fraction(0), Fraction(0)]
    for t_u, t_c in batches:
        for i, g in enumerate(exact.gradient(t_u, t_c, w, b).fractions()):
            weighted[i] += g * t_u.size / len(sample.t_u)

    assert exact.accumulated_grad(batches, w, b).fractions() == weighted
    assert exact.gradient(exact.of(sample.t_u), exact.of(sample.t_c), w, b).fractions() == weighted


def weighted_means(g: Any, sizes: Any, n: Any) -> Any:
    return sum(x * (size / n) for x, size in zip(g, sizes, strict=True))


def weighted_from_the_last(g: Any, sizes: Any, n: Any) -> Any:
    return weighted_means(g[::-1], sizes[::-1], n)


def divided_at_the_end(g: Any, sizes: Any, n: Any) -> Any:
    return sum(x * size for x, size in zip(g, sizes, strict=True)) / n


def by_a_rounded_reciprocal(g: Any, sizes: Any, n: Any) -> Any:
    return divided_at_the_end(g, sizes, n.dtype.type(1)) * (n.dtype.type(1) / n)


def running_mean(g: Any, sizes: Any, n: Any) -> Any:
    mean, seen = g[0] * n.dtype.type(0), n.dtype.type(0)
    for x, size in zip(g, sizes, strict=True):
        seen = seen + size
        mean = mean + (x - mean) * (size / seen)
    return mean


WAYS = (weighted_means, weighted_from_the_last, divided_at_the_end, by_a_rounded_reciprocal, running_mean)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
def test_the_bound_holds_for_every_sensible_way(way: Callable[..., Any], dtype: str) -> None:
    """To reject a right implementation is the worst fault of a judge."""
    kind, worst = numpy_dtype(dtype).type, []

    @each_case(strategies.batched_fits(), FORMATS[dtype])
    def check(sample: strategies.Batched) -> None:
        truth = exact.accumulated_grad(*exactly(sample))
        with np.errstate(all="ignore"):
            g = numpy_target.accumulate(sample.params, sample.batches, True)
            answer = way(g, [kind(size) for size in sample.sizes], kind(len(sample.t_u)))
        claimed = np.isfinite(truth.err)
        assert np.isfinite(answer[claimed]).all()
        off = abs(exact.of(np.where(claimed, answer, 0.0).astype(np.float64), exact.UNROUNDED) - truth.true())
        assert (off.magnitude() * (1 - 2.0**-40) <= truth.err)[claimed].all()
        worst.append(max((off.magnitude() / np.maximum(truth.err, 5e-324))[claimed], default=0.0))

    check()
    assert max(worst) > 0.1, "no error comes near the bound, so it judges little"


def counted(sample: strategies.Batched, by_w: bool, form: Format) -> Fraction | None:
    """The bound by the docstring of `exact.accumulated_grad`, in fractions; None where a sum may overflow."""
    batches, w, b = exactly(sample)
    k, n, u = len(batches), len(sample.t_u), Fraction(form.u)
    twice = 2 * (exact.model(exact.of(sample.t_u), w, b) - exact.of(sample.t_c))
    if not np.isfinite(twice.err).all():
        return None
    residuals, within = twice.fractions(), [Fraction(err) for err in twice.errors().tolist()]
    spans, errors, sizes, gradients, start = [], [], [], [], 0
    for t_u, _ in batches:
        x = t_u.fractions() if by_w else [Fraction(1)] * t_u.size
        terms = list(zip(residuals[start : start + t_u.size], within[start : start + t_u.size], x, strict=True))
        spans.append(sum((abs(r) + e) * abs(v) for r, e, v in terms))
        errors.append(sum(e * abs(v) for _, e, v in terms))
        gradients.append(abs(sum(r * v for r, _, v in terms)))
        sizes.append(sum(map(abs, x)))
        start += t_u.size
    counts = [t_u.size for t_u, _ in batches]
    inside = (n + 6) * u / (1 - (n + 6) * u)
    largest = max((g + e + inside * s) / c for g, e, s, c in zip(gradients, errors, spans, counts, strict=True))
    span = Fraction(sum(spans))
    running = 6 * largest if k > 1 else Fraction(0)
    roundings = u / (1 - (n + 13) * u) * ((n + 7) * span / n + max(3 * span / n, running))
    lost = 2 * (sum(sizes) + n + k) * Fraction(form.tiny)
    fits = span * (1 + (n + 13) * u / (1 - (n + 13) * u)) + n * lost <= Fraction(form.largest)
    return sum(errors) / n + roundings + lost if fits else None


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_bound_is_the_documented_count(dtype: str) -> None:
    """In formats that float64 has room for: exactly, except that each step rounds up."""
    form = FORMATS[dtype]

    @each_case(strategies.batched_fits(), form)
    def check(sample: strategies.Batched) -> None:
        bounds = exact.accumulated_grad(*exactly(sample)).err.tolist()

        for bound, due in zip(bounds, (counted(sample, by_w, form) for by_w in (True, False)), strict=True):
            assert (bound == math.inf) == (due is None)
            assert due is None or due <= Fraction(bound) <= due * (1 + Fraction(2) ** -30)

    check()


def test_nothing_is_claimed_where_a_sum_may_overflow() -> None:
    large = np.full(4, 6e2, dtype=np.float16)
    sample = strategies.Batched(large, -large, np.float16(1).reshape(()), np.float16(0).reshape(()), [1, 3])

    assert exact.accumulated_grad(*exactly(sample)).err[0] == np.inf


def test_true_numbers_accumulate_without_error() -> None:
    sample = strategies.Batched(*(np.array(x) for x in ([1.0, 2.0, 4.0], [0.0, 1.0, 1.0], 1.0, 0.5)), [1, 2])
    batches, w, b = exactly(sample)
    true = exact.accumulated_grad([(t_u.true(), t_c.true()) for t_u, t_c in batches], w.true(), b.true())

    assert true.fractions() == exact.accumulated_grad(batches, w, b).fractions()
    assert not true.rounds()

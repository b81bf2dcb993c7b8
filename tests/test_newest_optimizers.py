"""The bounds of Muon and of Schedule-Free hold for evaluations of other forms than the shipped ones."""

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from calibrant import exact
from calibrant.exact import FORMATS, schedule_free
from calibrant.exact.muon import held, steepest
from calibrant.exact.scalars import constant
from calibrant.judge import Disagreement, agree
from calibrant.protocol.declarations import followed

Array = Any
PUBLISHED = exact.OPTIMIZERS["muon"]["ns_coefficients"]
MUON = {"lr": 1.0, "weight_decay": 0.0, "nesterov": False, "momentum": 0.0}


def inner(x: Array, a: float, b: float, c: float) -> Array:
    return a * x + (b * (x @ x.T) + c * (x @ x.T @ (x @ x.T))) @ x


def outer(x: Array, a: float, b: float, c: float) -> Array:
    square = x.T @ x
    return x @ (a * np.eye(len(square), dtype=x.dtype) + square @ (b * np.eye(len(square), dtype=x.dtype) + c * square))


def one_by_one(x: Array, a: float, b: float, c: float) -> Array:
    once = x @ (x.T @ x)
    return (a * x + b * once) + c * (once @ x.T @ x)


@pytest.mark.parametrize("form", [inner, outer, one_by_one], ids=lambda form: form.__name__)
@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (4, 2), (1, 5)])
def test_every_form_of_the_iteration_is_within_the_bound(form: Callable[..., Array], shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(shape)
    for _ in range(20):
        g = (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 4)).astype(np.float32)
        x = g / np.sqrt(np.sum(g * g))
        for n_steps in range(6):
            ((due,),) = exact.optimize("muon", MUON | {"ns_steps": n_steps}, [g * 0], [[g]], followed({}))
            agree(-x * np.float32(max(1, shape[0] / shape[1]) ** 0.5), due)
            x = form(x, *map(np.float32, PUBLISHED))


def test_another_coefficient_is_outside_of_the_bound() -> None:
    g = np.array([[2.0, 1.0], [-1.0, 3.0]], dtype=np.float32)
    ((due,),) = exact.optimize("muon", MUON, [g * 0], [[g]], followed({}))
    x = g / np.sqrt(np.sum(g * g))
    for _ in range(5):
        x = inner(x, *map(np.float32, (3.4445, -4.775, 2.05)))

    with pytest.raises(Disagreement):
        agree(-x, due)


def test_the_iteration_is_its_polynomial_of_the_singular_values() -> None:
    s = np.array([3.0, 4.0]) / 5
    for _ in range(5):
        s = PUBLISHED[0] * s + PUBLISHED[1] * s**3 + PUBLISHED[2] * s**5

    ((step,),) = exact.optimize("muon", MUON, [np.zeros((2, 2))], [[np.diag([3.0, 4.0])]], followed({}))

    assert np.allclose(step.nearest(), -np.diag(s), rtol=0, atol=1e-13)


def test_a_number_beyond_the_range_of_a_narrower_format_is_unbounded_there() -> None:
    large = constant(1e5, FORMATS["float32"])

    assert math.isinf(held(large, FORMATS["float16"]).err)
    assert held(large, FORMATS["bfloat16"]).err < 400


def test_the_steepest_slope_may_lie_between_the_ends() -> None:
    assert steepest((1.0, -4.0, 2.0), 1.2, 0.5) == pytest.approx(1.0, rel=1e-6)
    assert steepest((1.0, -4.0, 2.0), 1.5, 0.5) == pytest.approx(2.125, rel=1e-6)


@pytest.mark.parametrize("beta", [0.9, 0.5, 0.1])
def test_an_average_that_is_found_in_the_two_other_points_is_within_the_bound(beta: float) -> None:
    """As optax finds it, in each step anew."""
    rng, real = np.random.default_rng(1), np.float32
    keep, rest, rate = real(beta), real(1 - beta), real(0.25)
    for _ in range(20):
        start = rng.normal(size=4).astype(real)
        grads = [[rng.normal(size=4).astype(real)] for _ in range(30)]
        h = {"lr": 0.25, "momentum": beta}
        due = exact.optimize("sgdschedulefree", h, [start], grads, followed({}))
        mean = exact.optimize("sgdschedulefree", h | {"averaged": True}, [start], grads, followed({}))
        y = z = start
        for t, (g,) in enumerate(grads):
            x, z = (y - rest * z) / keep, z - rate * g
            x = x + real(1 / (t + 1)) * (z - x)
            y = keep * x + rest * z
            agree(y, due[t][0])
            agree((y - rest * z) / keep, mean[t][0])


def test_an_average_of_zeros_is_exactly_zero_and_one_without_momentum_is_bounded() -> None:
    h, zero, ones = {"lr": 0.5, "momentum": 0.0, "averaged": True}, np.zeros(1), np.ones(1)

    ((still,),) = exact.optimize("sgdschedulefree", h | {"momentum": 0.5}, [zero], [[zero]], followed({}))
    (_, (moved,)) = exact.optimize("sgdschedulefree", h, [ones], [[ones], [ones]], followed({}))

    assert (still.nearest(), still.err) == (0, 0)
    assert moved.err < 1e-14


def test_nothing_is_claimed_of_the_power_of_a_rate_that_may_be_zero() -> None:
    rate = constant(1e-3, FORMATS["float32"])

    assert math.isinf(schedule_free.power(rate.within(2e-3), 2.0).err)
    assert schedule_free.power(rate.within(1e-9), 2.0).err < 1e-11
    assert schedule_free.power(constant(0.0, rate.form), 2.0).known_zero()


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_first_weight_that_the_format_may_lose_is_all_of_the_sum_or_nothing(dtype: Any, lost: bool) -> None:
    """The square of 1e-5 is less than half the least number of float16: what computes in that alone weighs nothing."""
    start, rate = np.zeros(1, dtype), 1e-5
    ((due,),) = exact.optimize("sgdschedulefree", {"lr": rate, "averaged": True}, [start], [[start + 1]], followed({}))

    with contextlib.nullcontext() if dtype == np.float16 or not lost else pytest.raises(Disagreement):
        agree(start - dtype(0.0 if lost else rate), due)
    with pytest.raises(Disagreement):
        agree(start - dtype(2.5 * rate), due)


def test_nothing_is_claimed_where_the_first_weight_overflows() -> None:
    """The square of 300 in float16, and infinity over itself."""
    start = np.zeros(1, np.float16)
    ((due,),) = exact.optimize("sgdschedulefree", {"lr": 300.0}, [start], [[start + 1]], followed({}))

    assert np.isinf(due.err).all()

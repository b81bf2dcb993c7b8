"""The exact optimizers: their bounds against evaluations that round, and by the rules of Appendix A."""

from __future__ import annotations

import decimal
import itertools
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from algebras import Ruled, average, products, root, stretch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import PYTORCH, forms

from calibrant import exact, strategies
from calibrant.adapters.numpy_optimizers import optimize
from calibrant.exact import FORMATS, Format, further_rules, scalars, tensors
from calibrant.exact.optimizers import Hyperparameters
from calibrant.exact.scalars import Number, maximum, minimum
from calibrant.judge import agree_lists
from calibrant.protocol.declarations import numpy_dtype
from calibrant.strategies import Optimization

pytestmark = pytest.mark.untraced

NAMES = list(exact.OPTIMIZERS)
FLOAT32, FLOAT64 = FORMATS["float32"], FORMATS["float64"]
SOME = settings(derandomize=True, deadline=None, max_examples=50)
FEW = settings(SOME, max_examples=12)

each_optimizer = pytest.mark.parametrize("name", NAMES)
numbers = st.floats(-1e6, 1e6, width=32)
positive = st.floats(2**-20, 2**20, width=32)


def truth(run: Optimization, follow: dict[str, str] = PYTORCH) -> list[list[exact.Exact]]:
    return exact.optimize(run.name, run.hyperparameters, run.params, run.grads, follow)


def runs(name: str, **options: Any) -> Any:
    """Runs with enough steps for RAdam to rectify."""
    steps = {"steps": (1, 12)} if name == "radam" else {}
    return strategies.optimizations(name, **steps, absent=(False, False, False, True), **options)


# Bounds


@pytest.mark.parametrize("form", [FORMATS["float16"], FLOAT32, FLOAT64], ids=lambda form: form.name)
@each_optimizer
@FEW
@given(st.data())
def test_arithmetic_in_the_dtype_alone_stays_within_the_bounds(name: str, form: Format, data: st.DataObject) -> None:
    """Its hyperparameters, and what is computed of them, are rounded as well. In float64 this tells true values, by another formula text."""
    run = data.draw(runs(name)).at(form)

    def rounded(x: Any) -> Any:
        if isinstance(x, (list, tuple)):
            return [*map(rounded, x)]
        return np.dtype(form.name).type(x) if isinstance(x, float) else x

    with np.errstate(all="ignore"):
        h = {key: rounded(x) for key, x in (exact.OPTIMIZERS[name] | run.hyperparameters).items() if key != "t0"}
        agree_lists(optimize(name, h, run.params, run.grads), truth(run))


@SOME
@given(strategies.optimizations("sgd", only=("momentum", "nesterov"), momentum=(0.5, 0.9), nesterov=(True,)))
def test_nesterovs_step_may_be_taken_in_two_parts(drawn: strategies.Drawn[Optimization]) -> None:
    """As Keras takes it on PyTorch: along the gradient, and then along the buffer; or the other way round."""
    run = drawn.at(FLOAT32)
    lr, mu = run.hyperparameters["lr"], np.float32(run.hyperparameters["momentum"])
    rates = [np.float32(x) for x in (lr if isinstance(lr, list) else [lr] * len(run.grads))]
    for parts in ((0, 1), (1, 0)):
        now, buffers, path = run.params, [np.zeros_like(p) for p in run.params], []
        for rate, step in zip(rates, run.grads, strict=True):
            buffers = [mu * b + g for b, g in zip(buffers, step, strict=True)]
            for part in parts:
                now = [p - rate * (g, mu * b)[part] for p, b, g in zip(now, buffers, step, strict=True)]
            path.append([np.asarray(p, dtype=np.float32) for p in now])

        agree_lists(path, truth(run))


@each_optimizer
def test_the_bounds_are_narrow(name: str) -> None:
    """Half of all numbers are claimed to some hundred units of roundoff, though betas near 1 lose a factor of a thousand.

    Schedule-Free may add ten in each step, for ways that do not keep all of its points [A.schedule-free].
    """
    ratios: list[float] = []
    unclaimed: list[bool] = []

    @np.errstate(all="ignore")
    @settings(SOME, max_examples=60)
    @given(runs(name))
    def looked(drawn: strategies.Drawn[Optimization]) -> None:
        for due in itertools.chain(*truth(drawn.at(FLOAT64))):
            sizes, claimed = due.magnitude(), np.isfinite(due.err)
            unclaimed.extend(~claimed.ravel())
            ratios.extend((due.err / sizes)[claimed & (sizes > 0)].tolist())

    looked()
    assert np.median(ratios) < (200 if name.endswith("schedulefree") else 100) * FLOAT64.u
    assert np.mean(unclaimed) < 0.1


def claimed(name: str, hyperparameters: dict[str, Any], gradient: Any, steps: int = 1) -> list[list[bool]]:
    """Which numbers have a bound after each step along one gradient, from ones."""
    path = exact.optimize(name, hyperparameters, [np.ones_like(gradient)], [[gradient]] * steps, PYTORCH)
    return [np.isfinite(np.broadcast_to(step[0].err, gradient.shape)).tolist() for step in path]


def test_nothing_is_claimed_where_rounding_decides() -> None:
    for name in ("adam", "rmsprop", "adagrad", "adadelta", "adamax", "radam"):  # zero by zero
        assert claimed(name, {"lr": 0.5, "eps": 0.0}, np.zeros(1)) == [[False]], name
    variances = claimed("rmsprop", {"lr": 1e-3, "alpha": 0.9, "centered": True}, np.array([0.7], dtype=np.float32), 200)
    assert (variances[0], variances[-1]) == ([True], [False])  # a variance that may be negative
    products = claimed("rprop", {"lr": 0.5}, np.array([1e-30, 1.0], dtype=np.float32), 2)
    assert products == [[True, True], [False, True]]  # a product of gradients may underflow before it has a sign
    for dtype, sure in ((np.float32, False), (np.float64, True)):
        # Where beta2 is 0.999, the fifth step counts 4.996 gradients: in float32 that may be more than five.
        assert claimed("radam", {"lr": 0.5}, np.ones(1, dtype), 5)[4] == [sure]
    for betas, sure in (((0.9, 0.9999), False), ((0.5, 0.75), True)):  # in float16 the former may round to 1
        assert claimed("adam", {"lr": 0.5, "betas": betas}, np.ones(1, np.float16)) == [[sure]]
    for eps, sure in ((1e-8, False), (1e-3, True)):  # in float16 the former rounds to 0
        assert claimed("adam", {"lr": 0.5, "eps": eps}, np.zeros(1, np.float16)) == [[sure]]
    assert claimed("adam", {"lr": 0.5}, np.full(1, 1e30, dtype=np.float32)) == [[False]]  # a square overflows


def test_a_hyperparameter_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="adam has no hyperparameters"):
        exact.optimize("adam", {"beta": 0.5}, [np.ones(1)], [[np.ones(1)]], PYTORCH)


@pytest.mark.parametrize(("decay", "after"), [("coupled", -0.28125), ("decoupled", -0.15625)])
def test_a_decay_of_momentums_is_in_the_buffer_or_beside_it(decay: str, after: float) -> None:
    """By hand: the buffer is 1.5 and 0.75 + 2.3125, or 1 and 0.5 + 2; after the first step both stand at 1.25."""
    run = {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.25}
    path = exact.optimize(
        "sgd", run, [np.array(2.0)], [[np.array(1.0)], [np.array(2.0)]], PYTORCH | {"sgd.decay": decay}
    )

    assert [step[0].fraction() for step in path] == [Fraction(1.25), Fraction(after)]


# Numbers one at a time


def number(x: float, form: Format = FLOAT32) -> Number:
    return scalars.constant(x, form)


def rounded(x: Any) -> Any:
    return np.float32(x)


def is_within(answer: Any, due: Number) -> bool:
    return not math.isfinite(due.err) or abs(Fraction(float(answer)) - due.fraction()) <= Fraction(due.err)


@SOME
@given(st.lists(numbers, min_size=1, max_size=4), st.lists(positive, max_size=3), st.randoms(use_true_random=False))
def test_a_product_may_be_evaluated_in_any_order(factors: list[float], divisors: list[float], order: Any) -> None:
    steps = [("*", x) for x in factors] + [("/", y) for y in divisors]
    due = scalars.product(list(map(number, factors)), list(map(number, divisors)))
    order.shuffle(steps)

    with np.errstate(all="ignore"):
        answer = by_reciprocals = rounded(1)
        for operation, x in steps:
            answer = answer * rounded(x) if operation == "*" else answer / rounded(x)
            by_reciprocals = by_reciprocals * (rounded(x) if operation == "*" else rounded(1) / rounded(x))

    assert is_within(answer, due)
    assert is_within(by_reciprocals, due)
    value = math.prod(map(Fraction, factors)) / math.prod(map(Fraction, divisors))
    assert abs(due.fraction() - value) <= abs(value) * Fraction(2) ** -100


@forms
@SOME
@given(numbers, numbers, st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5, 0.9, 0.999])))
def test_a_moving_average_may_be_written_in_any_way(form: Format, x: float, y: float, keep: float) -> None:
    kept, dtype = scalars.hyperparameter(keep, form), numpy_dtype(form.name).type
    a, b, k, p, one = map(dtype, (x / 64, y / 64, keep, 1 - keep, 1))
    due = scalars.mix(number(float(a), form), number(float(b), form), kept, scalars.complement(kept))
    ways = [
        k * a + p * b,
        a + p * (b - a),
        k * a + (one - k) * b,
        a + (one - k) * (b - a),
        (one - p) * a + p * b,
        b + k * (a - b),
        b - k * (b - a),
    ]
    if p >= 0.5:
        ways.append(b - (b - a) * (one - p))  # as torch.lerp does

    assert all(is_within(way, due) for way in ways)
    value = Fraction(keep) * Fraction(float(a)) + (1 - Fraction(keep)) * Fraction(float(b))
    assert abs(due.fraction() - value) <= Fraction(due.err) * Fraction(2) ** -100


@SOME
@given(st.floats(0, 2**80, width=32))
def test_a_root_may_be_a_power(x: float) -> None:
    due = scalars.root(number(x))

    assert is_within(np.sqrt(rounded(x)), due)
    assert is_within(rounded(x) ** rounded(0.5), due)
    assert abs(due.fraction() ** 2 - Fraction(x)) <= Fraction(x) * Fraction(2) ** -100


def test_a_root_of_what_may_be_zero() -> None:
    uncertain = number(1.0).within(2.0)

    assert scalars.root(uncertain).err >= 1.0
    assert math.isfinite(scalars.root(uncertain).err)
    assert math.isinf(scalars.root(uncertain, signed=True).err)
    assert math.isinf(scalars.root(number(-1.0).within(0.5)).err)
    assert all(math.isinf(scalars.root(number(x).within(err)).err) for x in (0.0, 1.0) for err in (math.inf, math.nan))
    zero = scalars.root(number(0.0).within(2.0**-40))
    assert (zero.m, zero.err) == (0, pytest.approx(2.0**-20))


def test_nothing_is_claimed_after_a_number_beyond_float64() -> None:
    large = scalars.constant(2e160, FLOAT64)
    beyond = large * large - scalars.constant(1e160, FLOAT64) * scalars.constant(1e160, FLOAT64)

    assert beyond.least() == 0.0
    assert math.isinf(scalars.product([scalars.constant(0.0, FLOAT64)], [beyond]).err)
    assert math.isinf(scalars.real_power(number(1e30), Fraction(2)).err)


@pytest.mark.parametrize("name", ["lars", "lamb", "adafactor", "sgdschedulefree"])
def test_sizes_whose_sum_overflows_are_no_error(name: str) -> None:
    large = np.array([1e308 if name == "sgdschedulefree" else 1e154] * 2)

    ((step,),) = exact.optimize(name, {}, [large], [[np.ones(2)]], PYTORCH)

    assert step.shape == (2,)


def test_an_average_that_may_overflow_has_no_sign() -> None:
    grads = [[np.array([x], dtype=np.float32)] for x in (3.4e38, -3.4e38, 3.4e38)]

    path = exact.optimize("lion", {}, [np.array([1.0], dtype=np.float32)], grads, PYTORCH)

    assert np.isinf(path[2][0].errors()).all()


@SOME
@given(st.floats(2**-10, 1, width=32), st.floats(0, 4))
def test_powers_are_true(base: float, exponent: float) -> None:
    due = scalars.real_power(number(base), Fraction(exponent))
    with decimal.localcontext(prec=50):
        power = Fraction(Decimal(base) ** Decimal(exponent))

    assert abs(due.fraction() - power) <= power * Fraction(2) ** -100
    assert is_within(rounded(base) ** rounded(exponent), due)


def test_powers_at_the_ends_of_the_range() -> None:
    least = scalars.real_power(number(2.0**-100), Fraction(3, 2))

    assert FLOAT32.tiny <= least.err < FLOAT32.tiny * 1.001
    assert math.isinf(scalars.real_power(number(FLOAT32.largest), Fraction(1)).err)


# Their bounds, by the rules in fractions: wider ones would pass everything above

LARGEST = Fraction(FLOAT32.largest)

uncertain = st.builds(
    lambda x, units: number(x).within(units * FLOAT32.u * abs(x)),
    st.sampled_from([1.0, 0.0, 0.75, -2.0, -1.375])
    | numbers
    | st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.sampled_from([0, 0, 1, 5, 2**22, 2**25]),
)
shares = st.sampled_from([0.9, 0.5, 0.0, 1.0, 0.25, 0.999]) | st.floats(0, 1)


def ruled(x: Number) -> Ruled:
    return Ruled(x.fraction(), FLOAT32, Fraction(x.err))


def at_the_border(x: Fraction) -> bool:
    """Whether it depends on what is rounded up if x is taken to fit."""
    return abs(x - LARGEST) <= LARGEST * Fraction(2) ** -36


def agrees(judged: Number, due: Ruled) -> bool:
    """Whether a bound is the one that is due, except that each step rounds up, and a value is true to 160 bits."""
    value, error = due.value, due.error
    if error is None or math.isinf(judged.err):
        near = error is None or abs(value) + error * (1 + Fraction(2) ** -36) > LARGEST * (1 - Fraction(2) ** -36)
        return math.isinf(judged.err) and near
    close = abs(judged.fraction() - value) <= abs(value) * Fraction(2) ** -160
    return close and error <= Fraction(judged.err) <= error * (1 + Fraction(2) ** -36) + Fraction(2) ** -1000


@SOME
@given(uncertain, uncertain)
def test_sums_and_products_of_two_err_by_their_rules(x: Number, y: Number) -> None:
    a, b = ruled(x), ruled(y)
    as_it_is = x.known_zero() or y.known_zero()
    larger, smaller = (Ruled(pick(a.value, b.value), FLOAT32, max(a.known, b.known)) for pick in (max, min))

    assert agrees(x * y, a * b)
    assert agrees(x + y, Ruled(a.value + b.value, FLOAT32, a.known + b.known) if as_it_is else a + b)
    assert agrees(x - y, Ruled(a.value - b.value, FLOAT32, a.known + b.known) if as_it_is else a - b)
    assert agrees(maximum(x, y), larger)
    assert agrees(minimum(x, y), smaller)


@SOME
@given(st.lists(uncertain, min_size=1, max_size=4), st.lists(uncertain, max_size=3))
def test_a_product_of_many_errs_by_its_rule(factors: list[Number], divisors: list[Number]) -> None:
    judged, terms = scalars.product(factors, divisors), ([*map(ruled, factors)], [*map(ruled, divisors)])

    if any(y.least <= 0 for y in terms[1]):
        assert math.isinf(judged.err)
    elif not at_the_border(most := stretch(*terms)):
        due = products(*terms)
        assert judged.known_zero() if most <= LARGEST and any(x.known_zero() for x in factors) else agrees(judged, due)


@pytest.mark.parametrize("units", [0, 1, 3, 8])
def test_quotients_among_float64s_least_numbers_err_by_no_less_than_their_rule(units: int) -> None:
    """The bound includes what float64 loses of the bound itself there."""
    tiny, divisor = Fraction(5e-324), 3 + units
    y = number(float(divisor), FLOAT64).within(2.0**-52)
    judged = scalars.product([number(9 * 5e-324, FLOAT64).within(units * 5e-324)], [y])

    value, least = 9 * tiny / divisor, divisor - Fraction(y.err)
    assert Fraction(judged.err) >= (units * tiny + value * Fraction(y.err)) / least + 3 * tiny


@SOME
@given(uncertain.map(abs), st.booleans())
def test_a_root_errs_by_its_rule(x: Number, signed: bool) -> None:
    judged, due = scalars.root(x, signed=signed), ruled(x)

    assert math.isinf(judged.err) if signed and x.err and due.least <= 0 else agrees(judged, root(due))


@SOME
@given(uncertain, uncertain, shares)
def test_a_moving_average_errs_by_its_rule(x: Number, y: Number, keep: float) -> None:
    kept = scalars.hyperparameter(keep, FLOAT32)
    part = scalars.complement(kept)
    p, err = 1 - Fraction(keep), Fraction(kept.err)
    off = err + Fraction(FLOAT32.u) * (p + err) if err else abs(exact.round_to(p, FLOAT32) - p)
    span, judged = ruled(x).reach + ruled(y).reach, scalars.mix(x, y, kept, part)

    assert agrees(part, Ruled(p, FLOAT32, off))
    assert span or judged.known_zero()
    assert at_the_border(span) or agrees(judged, average(*map(ruled, (x, y, kept, part))))


@SOME
@given(shares)
def test_powers_err_by_a_rounding_more_or_by_a_unit_in_the_last_place(beta: float) -> None:
    base = before = scalars.hyperparameter(beta, FLOAT32)

    for _ in range(2):
        due, before = ruled(before) * ruled(base), scalars.times_power(before, base)
        assert agrees(before, Ruled(due.value, FLOAT32, due.known + Fraction(FLOAT32.u) * due.value))


def test_a_sign_is_known_beyond_the_error() -> None:
    assert [number(m).sign() for m in (-2.0, -1.0, 0.0, 1.0, 2.0)] == [-1, -1, 0, 1, 1]
    assert [number(x).within(err).sign() for x, err in ((2.0, 2.0), (0.0, 1e-40), (2.0, 1.5))] == [None, None, 1]


def test_numbers_are_scattered_and_gathered() -> None:
    x = np.array([[0.1, -3.0], [0.0, 5e-324]])
    thirds = exact.of(x) / 3

    assert scalars.gather(scalars.scatter(x, FLOAT64), (2, 2), FLOAT64).nearest().tolist() == x.tolist()
    again = scalars.gather(scalars.scatter(thirds, FLOAT64), (2, 2), FLOAT64)
    assert again.nearest().tolist() == thirds.nearest().tolist()
    assert (again.err >= thirds.err).all()
    assert [x.known_zero() for x in scalars.scatter(thirds, FLOAT64)] == [False, False, True, False]


def test_a_parameter_that_is_subnormal_may_be_flushed() -> None:
    normal, most = 2.0**-1022, 2.0**-1022 - 5e-324
    for flushes, lost in ((False, 0.0), (True, most)):
        with exact.evaluated(flushes=flushes):
            ((kept,),) = exact.optimize("sgd", {}, [np.array([most, normal, -2.0, -most])], [[None]], PYTORCH)

        assert kept.errors().tolist() == [lost, 0.0, 0.0, lost]


def test_rows_and_columns_are_those_of_the_last_two_dimensions() -> None:
    across, down = further_rules.lines((2, 2, 3))

    assert [*map(list, across[::3])] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]]
    assert [*map(list, down[:3])] == [[0, 3], [1, 4], [2, 5]]
    assert down[6:9] == [range(6, 12, 3), range(7, 12, 3), range(8, 12, 3)]


@pytest.mark.parametrize(("gradient", "claimed"), [(0.0, True), (1e-30, False), (1e-10, True)])
def test_nothing_is_claimed_of_a_trust_ratio_whose_norm_may_be_zero(gradient: float, claimed: bool) -> None:
    """The square of 1e-30 is lost in float32, and a ratio without a norm is 1."""
    one = np.ones(1, dtype=np.float32)
    ((step,),) = exact.optimize("lars", {"eps": 1.0, "momentum": 0.0}, [one], [[gradient * one]], PYTORCH)

    assert bool(np.isfinite(step.err).all()) == claimed


def test_a_point_ahead_is_as_far_away_whether_the_buffer_holds_the_rate_or_not() -> None:
    h, zero, ones = {"lr": 2.0**-10, "momentum": 0.5, "nesterov": True}, np.zeros(1, np.float32), np.ones(1, np.float32)
    ahead = PYTORCH | {"sgd.nesterov": "look-ahead"}

    paths = [
        exact.optimize("sgd", h, [zero], [[ones]] * 2, ahead | {"sgd.nesterov-buffer": buffer})
        for buffer in ("plain", "with-lr")
    ]

    assert float(paths[0][1][0].err[0]) == pytest.approx(float(paths[1][1][0].err[0]), rel=1e-6, abs=0)


@pytest.mark.parametrize("name", ["adam", "nadam", "radam"])
def test_a_decay_is_decoupled_where_the_call_or_the_target_says_so(name: str) -> None:
    arguments = [np.ones(1)], [[np.ones(1)]] * 2
    asked = exact.optimize(name, {"weight_decay": 0.25, "decoupled_weight_decay": True}, *arguments, PYTORCH)
    declared = exact.optimize(name, {"weight_decay": 0.25}, *arguments, PYTORCH | {f"{name}.decay": "decoupled"})
    coupled = exact.optimize(name, {"weight_decay": 0.25}, *arguments, PYTORCH)

    assert [x.fractions() for (x,) in asked] == [x.fractions() for (x,) in declared]
    assert asked[1][0].nearest() != coupled[1][0].nearest()


@pytest.mark.parametrize(
    ("dtype", "steps", "threshold", "claimed"),
    [
        (np.float32, 4, "five", [4]),
        (np.float32, 5, "five", [5, 5]),
        (np.float32, 12, "five", [12, 12]),
        (np.float32, 12, "four", [12, 3]),
        (np.float64, 12, "five", [12]),
        (np.float16, 12, "five", [0]),
    ],
)
def test_radam_takes_one_of_two_paths_where_rounding_decides_when_it_rectifies(
    dtype: Any, steps: int, threshold: str, claimed: list[int]
) -> None:
    """At its default betas the fifth gradient makes the count 5 - 0.004; with a threshold of four the first adaptive step divides by zero."""
    one, follow = np.ones(1, dtype), PYTORCH | {"radam.threshold": threshold}

    taken = [*exact.paths("radam", {}, [exact.of(one)], [[one]] * steps, follow)]

    assert [sum(bool(np.isfinite(p.err).all()) for (p,) in path) for path in taken] == claimed
    assert len({path[-1][0].nearest().item() for path in taken}) == len(taken)


def test_hyperparameters_may_be_others_numbers_or_functions() -> None:
    h = Hyperparameters({"betas": (0.5, 0.75), "eps": 1.0}, FLOAT64)
    other = h.but(eps=2.0, beta1=number(3.0), power=lambda beta, t: number(float(t)))

    found = other.eps, other.beta1, other.beta2, other.power("beta2", 7)
    assert [float(x.fraction()) for x in found] == [2, 3, 0.75, 7]
    assert h.power("beta2", 2).fraction() == Fraction(9, 16)
    assert not hasattr(h, "momentum")
    with pytest.raises(KeyError):
        h["momentum"]


@pytest.mark.parametrize(("steps", "claimed"), [(5, True), (40, False)])
def test_nothing_is_claimed_where_a_variance_may_be_found_negative(steps: int, claimed: bool) -> None:
    """Under a constant gradient it falls by half in each step; an epsilon inside the root is smaller than its rounding here."""
    one, inside = np.ones(1, dtype=np.float32), PYTORCH | {"rmsprop.centered-epsilon": "inside"}

    path = exact.optimize("rmsprop", {"alpha": 0.5, "centered": True, "eps": 1e-12}, [one], [[one]] * steps, inside)

    assert bool(np.isfinite(path[-1][0].err).all()) == claimed


def test_a_hyperparameter_errs_by_what_its_format_drops() -> None:
    """The last bit beyond float32's 24, and none of its least number."""
    errors = [scalars.hyperparameter(x, FLOAT32).err for x in (1 + 2.0**-24, 2.0**-149, 2.0**-150)]

    assert errors == pytest.approx([2.0**-24, 0.0, 2.0**-150], rel=1e-6, abs=0)


def test_the_extremes_of_a_number() -> None:
    large = number(3e38)

    assert math.isinf(scalars.product([large, number(1e-5)], [number(1e-5)]).err)
    assert math.isinf(scalars.mix(large, large, number(0.5), number(0.5)).err)
    assert math.isinf(tensors.total([large, -large]).err)
    assert tensors.total([number(1e38), number(-2e38)]).err < 1e32
    assert scalars._size(1, 5000) == math.inf
    assert scalars.mix(number(0.0), number(0.0), number(0.9), number(0.1)).known_zero()
    assert (1.0 - number(1.0)).err <= FLOAT32.tiny

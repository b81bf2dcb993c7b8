"""The chapter on validation: its exact truths, what the shipped targets refuse, and the reference's remedies."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import find, given, settings
from support import checked, statuses, target

from calibrant import exact, strategies
from calibrant.exact import FORMATS, UNROUNDED, Format
from calibrant.exact.validation import MARGIN
from calibrant.protocol.dtypes import numpy_dtype

EXAMPLES = settings(derandomize=True, deadline=None, database=None, max_examples=100)
SEARCH = settings(derandomize=True, deadline=None, database=None, max_examples=20_000)
FLOAT32 = FORMATS["float32"]
narrow_and_wide = pytest.mark.parametrize(
    "form", [FORMATS["float16"], FLOAT32, FORMATS["float64"]], ids=lambda f: f.name
)


def always(strategy: Any, form: Format, check: Callable[[Any], None]) -> None:
    @EXAMPLES
    @given(strategy)
    def on_each(drawn: Any) -> None:
        check(drawn.at(form))

    on_each()


def found(strategy: Any, condition: Callable[[Any], Any]) -> Any:
    """The simplest draw that meets a condition."""
    return find(strategy, lambda drawn: bool(condition(drawn.at(FLOAT32))), settings=SEARCH).at(FLOAT32)


# Exact truths


@pytest.mark.parametrize(
    ("n", "fraction", "sizes", "as_written"),
    [
        (100, 0.29, (28, 29), 29),
        (10, 0.1, (0, 1), 1),
        (10, 0.25, (2, 2), 2),
        (11, 0.2, (2, 2), 2),
        (4, 0.2, (0, 0), 0),
        (7, 0.0, (0, 0), 0),
        (3, 1 / 3, (0, 1), 0),
        (2, 0.5, (0, 1), 1),
        (300, 0.7, (209, 210), 210),
        (5, 1e-300, (0, 0), 0),
    ],
)
def test_sizes_of_a_validation_part(n: int, fraction: float, sizes: tuple[int, int], as_written: int) -> None:
    """Either side of a whole number, where rounding decides; the shortest decimal of a third is less than a third."""
    fewest, most = exact.held_out(n, fraction)

    assert (fewest, most) == sizes or (fewest == most == as_written and Fraction(fraction) * n == as_written)
    assert exact.held_out_as_written(n, fraction) == as_written


def test_the_limits_of_a_fair_split_are_those_of_the_binomial_distribution() -> None:
    """Summed here in the other way, as fractions."""
    n, p, error = 300, Fraction(1, 10), Fraction(1, 20 * 10**9)
    fewest, most = exact.fair_counts(n, p, error)

    chance = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    assert (fewest, most) == (3, 68)
    assert sum(chance) == 1
    assert sum(chance[:fewest]) <= error < sum(chance[: fewest + 1])
    assert sum(chance[most + 1 :]) <= error < sum(chance[most:])


def test_what_happens_as_often_as_something_else_fails_to_has_its_limits() -> None:
    """A probability whose numerator is not 1."""
    fewest, most = exact.fair_counts(60, Fraction(1, 3), Fraction(1, 10**6))

    assert 0 < fewest < 20 < most < 60
    assert exact.fair_counts(60, Fraction(2, 3), Fraction(1, 10**6)) == (60 - most, 60 - fewest)


def test_everything_is_possible_where_no_error_is_allowed() -> None:
    assert exact.fair_counts(10, Fraction(1, 2), Fraction(0)) == (0, 10)
    with pytest.raises(ValueError, match="error"):
        exact.fair_counts(10, Fraction(1, 2), Fraction(1))


@EXAMPLES
@given(strategies.ridges())
def test_at_the_optimum_of_ridge_the_regularized_gradient_is_zero(drawn: Any) -> None:
    """Two derivations of one thing: the closed form, and the gradient."""
    sample = drawn.at(FLOAT32)
    t_u, t_c = exact.of(sample.t_u).true(), exact.of(sample.t_c).true()
    for l2 in (sample.l2, sample.larger):
        w, b = (exact.constant(x, UNROUNDED) for x in exact.optimum(t_u, t_c, l2))

        assert exact.regularized_grad(t_u, t_c, w, b, 0.0, l2).fractions() == [0, 0]


@EXAMPLES
@given(strategies.penalized_fits())
def test_the_regularized_gradient_is_the_slope_of_the_regularized_loss(drawn: Any) -> None:
    """By central differences with steps that do not cross the corner, which for a quadratic are exact."""
    sample = drawn.at(FLOAT32)
    if not sample.w:
        sample.w = np.asarray(np.float32(1))
    t_u, t_c, w, b = (exact.of(x).true() for x in (sample.t_u, sample.t_c, sample.w, sample.b))

    def loss(w: Any, b: Any) -> Fraction:
        fraction: Fraction = exact.regularized_loss(exact.model(t_u, w, b), t_c, w, sample.l1, sample.l2).fraction()
        return fraction

    half = w / 2
    by_w = (loss(w + half, b) - loss(w - half, b)) / (2 * half.fraction())
    by_b = (loss(w, b + 1) - loss(w, b - 1)) / 2
    assert exact.regularized_grad(t_u, t_c, w, b, sample.l1, sample.l2).fractions() == [by_w, by_b]


def test_at_the_corner_every_slope_between_the_two_is_within_the_bound() -> None:
    zero, one = (exact.of(np.array([x])) for x in (0.0, 1.0))
    gradient = exact.regularized_grad(one, zero, zero[0], zero[0], 0.5, 1.0)

    assert gradient.fractions() == [0, 0]
    assert 0.5 <= gradient.err[0] < 0.5000001
    assert gradient.err[1] == 0


@pytest.mark.parametrize(
    ("losses", "patience", "due"),
    [
        ([1.0, 0.9, 0.95, 0.96, 0.97, 0.98], 2, (3, 1)),
        ([1.0, math.nan, 0.9, 0.95, math.nan], 2, (4, 2)),
        ([1.0, 0.9, 0.95], 2, (2, 1)),
        ([1.0, 1.0], 1, (1, 0)),
        ([math.nan, math.inf], 3, (1, None)),
        ([math.inf, 1.0], 2, (1, 1)),
        ([1.0], 1, (0, 0)),
    ],
)
def test_where_training_stops(losses: list[float], patience: int, due: tuple[int, int | None]) -> None:
    assert exact.early_stopping(losses, patience) == due


def diagnosis(train: list[float], val: list[float]) -> str | None:
    return exact.diagnose(*(exact.of(np.array(x, dtype=np.float32)) for x in (train, val)))


def test_a_diagnosis_on_the_boundary_is_decided_and_beside_it_is_not() -> None:
    u, margin = FLOAT32.u, float(MARGIN)

    assert diagnosis([8.0, 1.0], [1.0, 1.0]) == "good"
    assert diagnosis([8.0, 8 * margin * (1 + 4 * u)], [1.0, 1.0]) is None
    assert diagnosis([8.0, 8 * margin * (1 + 64 * u)], [1.0, 1.0]) == "underfitting"
    assert diagnosis([8.0, 0.5], [1.0, 1 + margin]) == "good"
    assert diagnosis([8.0, 0.5], [1.0, (1 + margin) * (1 + 4 * u)]) is None
    assert diagnosis([8.0, 0.5], [1.0, (1 + margin) * (1 + 64 * u)]) == "overfitting"


# What is drawn


@narrow_and_wide
def test_a_split_leaves_something_to_train_on(form: Format) -> None:
    def check(split: strategies.Split) -> None:
        assert split.n_samples >= 1
        assert 0 <= split.val_fraction < 1
        assert 0 <= split.seed < 2**32
        assert exact.held_out(split.n_samples, split.val_fraction)[1] < split.n_samples

    always(strategies.splits(), form, check)
    always(strategies.seeds(), form, lambda seed: check(strategies.Split(1, 0.0, seed)))


@narrow_and_wide
def test_examples_of_validation_are_finite_columns(form: Format) -> None:
    def columns(*pairs: Any) -> None:
        for t_u, t_c in pairs:
            assert t_u.shape == t_c.shape == (len(t_u),)
            assert len(t_u) >= 1
            assert t_u.dtype == t_c.dtype == numpy_dtype(form.name)
            assert np.isfinite(t_u).all()

    def validated(sample: strategies.Validated) -> None:
        columns((sample.t_u, sample.t_c), (sample.val_t_u, sample.val_t_c), (sample.other_t_u, sample.other_t_c))
        assert np.isfinite(sample.val_t_c).all()
        assert Fraction(sample.learning_rate) * exact.curvatures(exact.of(sample.t_u))[1] < 2

    def ridge(sample: strategies.Ridge) -> None:
        columns((sample.t_u, sample.t_c))
        assert len(set(sample.t_u.tolist())) >= 2
        assert 0 <= sample.l2 < sample.larger < math.inf

    def penalized(sample: strategies.Penalized) -> None:
        columns((sample.t_u, sample.t_c))
        assert sample.w.shape == sample.b.shape == ()
        assert min(sample.l1, sample.l2) >= 0

    always(strategies.validated_descents(), form, validated)
    always(strategies.split_fits(), form, lambda sample: columns((sample.t_u, sample.t_c)))
    always(strategies.ridges(), form, ridge)
    always(strategies.penalized_fits(), form, penalized)
    always(strategies.curves(), form, lambda run: columns((run.train_losses, run.val_losses)))


@narrow_and_wide
def test_losses_are_not_negative(form: Format) -> None:
    def check(log: strategies.Losses) -> None:
        assert not (log.val_losses < 0).any()
        assert log.patience >= 1

    always(strategies.loss_logs(), form, check)
    always(strategies.spoiled_loss_logs(), form, check)
    always(strategies.curves(), form, lambda run: check(strategies.Losses(run.train_losses, 1)))


def diagnosed(run: strategies.Curves) -> str | None:
    return exact.diagnose(exact.of(run.train_losses), exact.of(run.val_losses))


def lost(split: strategies.Split) -> bool:
    """Whether the plain product loses a row."""
    return int(split.val_fraction * split.n_samples) != exact.held_out_as_written(split.n_samples, split.val_fraction)


def waits(log: strategies.Losses) -> list[int]:
    return [waited for _, waited in exact.waits(log.val_losses.tolist())]


REACHED: list[tuple[str, str, Callable[[Any], Any]]] = [
    ("splits", "a row lost to the product", lost),
    (
        "splits",
        "nothing held out",
        lambda x: exact.held_out(x.n_samples, x.val_fraction)[1] == 0 and x.val_fraction > 0,
    ),
    (
        "splits",
        "a whole number",
        lambda x: x.n_samples > 5 and (x.val_fraction * x.n_samples) % 1 == 0 < x.val_fraction,
    ),
    ("splits", "a large seed", lambda x: x.seed > 2**31),
    ("split_fits", "repeated rows", lambda x: len(x.t_u) > 5 and len({*zip(x.t_u, x.t_c, strict=True)}) < len(x.t_u)),
    ("validated_descents", "validation data of another size", lambda x: len(x.val_t_u) > len(x.t_u) > 2),
    ("validated_descents", "NaN to validate on", lambda x: np.isnan(x.other_t_c).any()),
    (
        "validated_descents",
        "much larger validation data",
        lambda x: np.abs(x.val_t_u).min() > 1e4 > np.abs(x.t_u).max(),
    ),
    ("penalized_fits", "a weight of zero", lambda x: x.w == 0 and x.l1 > 0 and len(x.t_u) > 2),
    ("penalized_fits", "both penalties inexact", lambda x: x.l1 == 0.1 and x.l2 == 1e-3 and x.w < 0),
    ("ridges", "no penalty", lambda x: x.l2 == 0 and np.ptp(x.t_c) > 0),
    ("ridges", "nearly the same readings", lambda x: 0 < np.ptp(x.t_u) < 1e-5 * abs(x.t_u[0])),
    (
        "loss_logs",
        "a wait, an improvement, a wait",
        lambda x: sum(a > b == 0 for a, b in itertools.pairwise(waits(x))) > 1,
    ),
    ("loss_logs", "patience exhausted exactly at the end", lambda x: max(waits(x)) == x.patience == waits(x)[-1] > 2),
    ("loss_logs", "one rounding apart", lambda x: 0 < np.ptp(x.val_losses) < 1e-6),
    ("spoiled_loss_logs", "NaN first", lambda x: np.isnan(x.val_losses[0]) and np.isfinite(x.val_losses).any()),
    ("spoiled_loss_logs", "infinity", lambda x: np.isinf(x.val_losses).any()),
    ("spoiled_loss_logs", "nothing finite", lambda x: not np.isfinite(x.val_losses).any()),
    ("curves", "good", lambda x: len(x.train_losses) > 5 and diagnosed(x) == "good"),
    ("curves", "underfitting", lambda x: len(x.train_losses) > 5 and diagnosed(x) == "underfitting"),
    ("curves", "overfitting", lambda x: len(x.train_losses) > 5 and diagnosed(x) == "overfitting"),
    (
        "curves",
        "on the boundary",
        lambda x: len(x.train_losses) > 2 and x.val_losses[-1] == 1.125 * x.val_losses.min() > 0,
    ),
]


@pytest.mark.parametrize(("strategy", "case", "condition"), REACHED, ids=[f"{s}: {case}" for s, case, _ in REACHED])
def test_strategies_of_validation_reach(strategy: str, case: str, condition: Callable[[Any], Any]) -> None:
    assert condition(found(getattr(strategies, strategy)(), condition))


def test_most_diagnoses_are_decided_and_each_is_frequent() -> None:
    seen: list[str | None] = []

    always(strategies.curves(), FLOAT32, lambda run: seen.append(diagnosed(run)))

    assert seen.count(None) < 0.1 * len(seen)
    assert min(map(seen.count, ("good", "underfitting", "overfitting"))) > 0.05 * len(seen)


def test_a_lost_row_shrinks_to_the_example_of_the_book() -> None:
    split = found(strategies.splits(), lost)

    assert (split.n_samples, split.val_fraction, split.seed) == (100, 0.29, 0)


def test_a_tie_shrinks_to_zeros() -> None:
    log = found(strategies.loss_logs(), lambda x: len(x.val_losses) > len(np.unique(x.val_losses)))

    assert log.val_losses.tolist() == [0.0, 0.0]
    assert log.patience == 1


def test_overfitting_shrinks_to_zeros_and_two_ones() -> None:
    run = found(strategies.curves(), lambda x: diagnosed(x) == "overfitting")

    assert sorted(run.train_losses.tolist())[-2:] == sorted(run.val_losses.tolist())[-2:] == [0.0, 1.0]


# The shipped targets

torch = pytest.importorskip("torch")

from calibrant.adapters import numpy_target, reference  # noqa: E402
from calibrant.mechanics import regularization, validation  # noqa: E402  # they need torch
from calibrant.mechanics.data import least_squares, thermometer  # noqa: E402
from calibrant.mechanics.optimizers import Optimizer  # noqa: E402

TARGETS = pytest.mark.parametrize("target", [reference, numpy_target], ids=["reference", "numpy"])


def column(target: Any, *numbers: float) -> Any:
    array = np.array(numbers)
    return reference.asarray(array) if target is reference else array


@TARGETS
@pytest.mark.parametrize(
    ("operation", "arguments", "named"),
    [
        ("split", (-1, 0.5, 0), "n_samples is -1"),
        ("split", (1, 1.5, 0), "val_fraction is 1.5"),
        ("split", (1, math.nan, 0), "val_fraction is nan"),
        ("early_stopping", ([], 1), "losses"),
        ("early_stopping", ([1.0], 0), "patience is 0"),
        ("diagnose", ([1.0], []), "1 training and 0 validation"),
        ("diagnose", ([1.0], [math.nan]), "finite"),
        ("ridge", ([1.0], [1.0], -1.0), "-1.0"),
        ("ridge", ([1.0], [], 1.0), "t_c|t_u"),
        ("regularized_loss", ([1.0], [1.0, 2.0], 1.0, 0.0, 0.0), "t_p"),
        ("split_data", ([1.0], [1.0, 2.0], 0.5, 0), "t_u"),
    ],
)
def test_what_means_nothing_is_refused_by_name(target: Any, operation: str, arguments: Any, named: str) -> None:
    converted = [column(target, *x) if isinstance(x, list) else x for x in arguments]

    with pytest.raises(ValueError, match=named):
        getattr(target, operation)(*converted)


@TARGETS
def test_readings_that_are_all_the_same_have_no_slope(target: Any) -> None:
    for l2 in (0.0, 1.0):
        assert target.ridge(column(target, 2.0, 2.0), column(target, 1.0, 3.0), l2).tolist() == [0.0, 2.0]


@TARGETS
def test_where_no_loss_is_finite_the_first_epoch_is_named(target: Any) -> None:
    stopped, best = target.early_stopping(column(target, math.nan, math.inf, math.nan), 2)

    assert (int(stopped), int(best)) == (1, 0)


@TARGETS
@pytest.mark.parametrize("given", ["val_t_u", "val_t_c"])
def test_validation_data_without_their_other_column_are_refused(target: Any, given: str) -> None:
    one = column(target, 1.0)
    with pytest.raises(ValueError, match="every reading needs its temperature"):
        target.training_loop(1, {"name": "sgd", "lr": 0.5}, column(target, 1.0, 0.0), one, one, **{given: one})


def test_what_the_loop_trains_is_a_leaf() -> None:
    params, one = torch.zeros(2), torch.ones(1)
    with pytest.raises(ValueError, match="leaf"):
        validation.training_loop(1, Optimizer("sgd", [params], lr=0.5), params, one, one, one, one)


def test_a_run_in_two_parts_is_the_run() -> None:
    """The loop keeps nothing of its own between epochs."""
    t_u, t_c, val_t_u, val_t_c = validation.split_data(*thermometer(torch.float64), 0.4, 0)

    def run(*parts: int) -> list[Any]:
        params = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimizer = Optimizer("adam", [params], lr=0.1)
        ran = [
            validation.training_loop(n, optimizer, params, t_u, t_c, val_t_u, val_t_c, regularization.polynomial)
            for n in parts
        ]
        return [ran[-1][0].tolist(), *([float(x) for r in ran for x in r[i]] for i in (1, 2))]

    assert run(3, 4) == run(7)


def test_polynomials_are_legendre_s() -> None:
    t_u = torch.linspace(0, 100, 21, dtype=torch.float64)
    coefficients = [1.0, -2.0, 0.5, 3.0, 0.25]

    values = regularization.polynomial(t_u, *(torch.tensor(c, dtype=torch.float64) for c in coefficients))

    expected = np.polynomial.legendre.legval((t_u.numpy() - 50) / 50, coefficients)
    assert values.numpy() == pytest.approx(expected, rel=1e-12)


def test_noise_on_the_readings_is_a_penalty_on_the_weight() -> None:
    """In expectation: the standard error of 20,000 copies is some thousandths of the difference that is to be seen."""
    t_u, t_c = thermometer(torch.float64)

    w, _ = least_squares(*regularization.augmented(t_u, t_c, copies=20_000, noise=5.0, seed=1)).tolist()

    plain, penalized = (regularization.ridge(t_u, t_c, l2)[0].item() for l2 in (0.0, 25.0))
    assert abs(w - penalized) < abs(plain - penalized) / 50
    twice = regularization.augmented(t_u, t_c, copies=2, noise=0.0, seed=0)
    assert torch.equal(twice[0], t_u.repeat(2))
    assert torch.equal(twice[1], t_c.repeat(2))


def test_the_figures_are_the_three_diagnoses() -> None:
    from calibrant.spec.figures import series

    shown = series()
    for name in ("underfitting", "good", "overfitting"):
        assert validation.diagnose(shown[name]["training"][1], shown[name]["validation"][1]) == name
    weights = shown["shrinking"]["weight"][1]
    assert all(later < earlier for earlier, later in itertools.pairwise(weights))


# What nothing can be claimed of


def test_a_fit_whose_squares_underflow_may_be_refused(tmp_path: Path) -> None:
    """deepbox's Ridge calls such a matrix singular, which is no weight that grows with the penalty."""
    source = """
        import numpy as np

        from calibrant.adapters import numpy_target

        def ridge(t_u, t_c, l2):
            if np.ptp(t_u) > 0 and np.mean(np.square(t_u - np.mean(t_u))) + t_u.dtype.type(l2) == 0:
                raise ZeroDivisionError("the matrix is singular")
            return numpy_target.ridge(t_u, t_c, l2)
    """

    said, shown = checked(
        tmp_path, target(tmp_path, source), "--clause", "regularization.shrinks", "--profile", "ci", "--workers", "1"
    )

    assert statuses(said) == {"regularization.shrinks": {"holds"}}, shown

"""Exact schedules and clips: true values from other formulas, bounds that are small, and the ways to compute a rate."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from calibrant import exact
from calibrant.exact import FORMATS
from calibrant.exact.schedules import cosine
from calibrant.judge import Disagreement, agree
from calibrant.protocol.declarations import followed

FLOAT64 = FORMATS["float64"]
BOOK = followed({})


def rates(name: str, n_steps: int, conventions: dict[str, str] | None = None, **hyperparameters: Any) -> Any:
    return exact.schedule(name, hyperparameters, n_steps, followed(conventions or {}), FLOAT64)


def test_cosines_are_those_of_angles_that_are_known() -> None:
    for turns, due in (
        (0, 1),
        (Fraction(1, 3), Fraction(1, 2)),
        (Fraction(1, 2), 0),
        (1, -1),
        (Fraction(5, 3), Fraction(1, 2)),
        (4, 1),
    ):
        assert abs(cosine(Fraction(turns), FLOAT64).fraction() - due) < Fraction(1, 10**40)
    eighth = cosine(Fraction(1, 4), FLOAT64).fraction()
    assert abs(eighth * eighth - Fraction(1, 2)) < Fraction(1, 10**40)


@pytest.mark.parametrize(
    ("name", "hyperparameters", "due"),
    [
        ("constant", {"lr": 0.5, "factor": 0.25, "total_iters": 2}, [0.125, 0.125, 0.5, 0.5]),
        ("linear", {"lr": 1.0, "start_factor": 0.5, "total_iters": 2}, [0.5, 0.75, 1.0, 1.0]),
        ("step", {"lr": 1.0, "step_size": 2, "gamma": 0.5}, [1.0, 1.0, 0.5, 0.5]),
        ("multistep", {"lr": 1.0, "milestones": [3, 1], "gamma": 0.5}, [1.0, 0.5, 0.5, 0.25]),
        ("polynomial", {"lr": 1.0, "total_iters": 2, "power": 2.0}, [1.0, 0.25, 0.0, 0.0]),
        ("inverse_sqrt", {"lr": 1.0, "timescale": 1}, [1.0, 0.5**0.5, 3**-0.5, 0.5]),
        ("cosine", {"lr": 1.0, "T_max": 2, "eta_min": 0.5}, [1.0, 0.75, 0.5, 0.5]),
        ("cosine_restarts", {"lr": 1.0, "T_0": 1, "T_mult": 2}, [1.0, 1.0, 0.5, 1.0]),
        ("cyclic", {"base_lr": 0.0, "max_lr": 1.0, "step_size_up": 1, "mode": "triangular2"}, [0.0, 1.0, 0.0, 0.5]),
        ("exponential", {"lr": 1.0, "gamma": 0.5, "warmup_steps": 2}, [0.5, 1.0, 1.0, 0.5]),
    ],
)
def test_exact_rates_are_those_of_tables_and_their_bounds_are_small(
    name: str, hyperparameters: Any, due: list[float]
) -> None:
    found = rates(name, 4, **hyperparameters)

    assert np.allclose(found.nearest(), due, rtol=0, atol=1e-15)
    assert (found.allowed() <= 3e-14).all()


def test_conventions_change_what_they_name() -> None:
    after = rates("cosine", 5, {"schedule.after-cosine": "returns"}, lr=1.0, T_max=2).nearest()
    warm = rates("exponential", 3, {"schedule.warm-up-count": "zero"}, lr=1.0, gamma=0.5, warmup_steps=2).nearest()

    assert np.allclose(after, [1.0, 0.5, 0.0, 0.5, 1.0], rtol=0, atol=1e-15)
    assert warm.tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("T", [1, 2, 7, 1000])
@pytest.mark.parametrize("low", [0.0, 0.3])
def test_a_wave_may_be_computed_step_by_step(T: int, low: float) -> None:
    """As schedulers do that can be chained: by the quotient of two factors."""
    rate, found = 0.7, []
    for t in range(T):
        found.append(rate)
        ahead, now = (1 + math.cos(math.pi * step / T) for step in (t + 1, t))
        rate = low + (rate - low) * (ahead / now)

    agree(np.array(found), rates("cosine", T, lr=0.7, T_max=T, eta_min=low))


def test_a_recursion_that_is_one_step_ahead_is_rejected() -> None:
    factors = [1 + math.cos(math.pi * t / 50) for t in range(50)]
    ahead = np.array([0.7 * factor / factors[1] for factor in factors])

    with pytest.raises(Disagreement, match="off by"):
        agree(ahead, rates("cosine", 50, lr=0.7, T_max=50))


def test_where_rounding_decides_whether_a_loss_improves_nothing_is_claimed() -> None:
    tenth = {"patience": 0, "factor": 0.5, "threshold": 0.1}
    limit = 3.0 * (1 - 0.1)

    assert exact.plateau([3.0, limit, 1.0], 1.0, tenth, FLOAT64, followed({})).err.tolist() == [0.0, math.inf, math.inf]
    assert exact.plateau([3.0, 2.5, 1.0], 1.0, tenth, FLOAT64, followed({})).nearest().tolist() == [1.0] * 3


def test_the_rates_after_a_doubtful_decision_are_those_of_exact_arithmetic() -> None:
    """Taken as an answer, they are right if nothing rounds."""
    limit = 3.0 * (1 - 0.1)
    below = math.nextafter(limit, 0.0)
    given = {"patience": 0, "factor": 0.5, "threshold": 0.1, "eps": 0.0}

    for losses, more, due in (
        ([3.0, limit, 1.0], {}, [1.0, 0.5, 0.5]),
        ([3.0, below, 2.6], {}, [1.0, 1.0, 0.5]),
        ([3.0, 3.0], {"factor": 0.3, "eps": 0.7}, [1.0, 0.3]),
    ):
        rates = exact.plateau(losses, 1.0, {**given, **more}, FLOAT64, BOOK)
        assert rates.err[-1] == math.inf
        assert rates.nearest().tolist() == due


def clipped(*numbers: float, max_norm: float, kind: float = 2.0, **conventions: str) -> Any:
    follow = followed({key.replace("_", "."): value for key, value in conventions.items()})
    return exact.clip_by_norm([exact.of(np.array([x])) for x in numbers], max_norm, kind, follow)


def test_norms_and_clipped_gradients_are_exact() -> None:
    for kind, due in ((2.0, 5), (1.0, 7), (math.inf, 4)):
        norm, grads = clipped(3.0, -4.0, max_norm=0.5, kind=kind)
        assert norm.fraction() == due
        assert [g.nearest()[0] for g in grads] == [1.5 / due, -2.0 / due]
    norm, grads = clipped(3.0, -4.0, max_norm=5.5)
    assert [(g.fraction(), g.err.item()) for g in grads] == [(3, 0.0), (-4, 0.0)]
    assert clipped(3.0, -4.0, max_norm=math.inf)[1][0].fraction() == 3
    assert clipped(0.0, max_norm=0.0)[1][0].err.item() == 0


def test_the_epsilon_of_a_clip_shows_where_it_is_declared() -> None:
    short, long = (clipped(3.0, -4.0, max_norm=1.0, clip_epsilon=way)[1][0] for way in ("added", "none"))

    assert short.fraction() < long.fraction()
    assert abs(short.nearest()[0] - 3.0 / (5.0 + 1e-6)) < 1e-16


def test_each_gradient_of_all_ranks_counts_once() -> None:
    one, two, both = (exact.of(np.array([x])) for x in (3.0, 4.0, 12.0))

    norms = [exact.clip_shards([[one, both], [two, both]], [False, flag], 99.0, BOOK)[0] for flag in (True, False)]
    assert [norm.nearest().item() for norm in norms] == [13.0, math.sqrt(25 + 2 * 144)]


@pytest.mark.untraced
def test_chains_of_ten_thousand_factors_are_right() -> None:
    """The bound of a long run still rejects a factor that was applied once too often."""
    n, gamma = 10_000, 0.999
    chain = np.array([*itertools.accumulate([gamma] * (n - 1), lambda rate, factor: rate * factor, initial=0.5)])
    truth = rates("exponential", n, lr=0.5, gamma=gamma)

    agree(chain, truth)
    with pytest.raises(Disagreement, match="off by"):
        agree(np.append(chain[:-1], chain[-1] * (1 - 1e-10)), truth)

"""Legitimate arrangements of the book's operations are accepted: a small part of the benchmark, and the finds that began it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import f32

from calibrant import exact
from calibrant.benchmarks import arrangements as benchmark
from calibrant.benchmarks.arrangements import Arrangement, arrangements, tried
from calibrant.book.clauses import properties
from calibrant.checks.here import Settings, parametrized, suite_of
from calibrant.judge import Disagreement, agree, agree_lists
from calibrant.target.calling import Absent, Subject
from calibrant.target.description import described

OURS = [one for one in arrangements() if "jax" not in one.name]
FLOAT32 = np.float32


@pytest.mark.parametrize("one", OURS, ids=lambda one: f"{one.operation}, {one.name}")
def test_a_legitimate_arrangement_is_accepted(one: Arrangement) -> None:
    for dtype in one.dtypes[-2:]:
        tally, told = tried(one, dtype, 4, 20)

        assert told == ""
        assert tally.judged > 0


@pytest.mark.untraced
@pytest.mark.parametrize("one", OURS, ids=lambda one: f"{one.operation}, {one.name}")
def test_it_is_accepted_in_half_formats(one: Arrangement) -> None:
    for dtype in one.dtypes[:-2]:
        assert tried(one, dtype, 4, 20)[1] == ""


@pytest.mark.untraced
def test_the_same_seed_gives_the_same_cases_on_any_number_of_cores() -> None:
    one, two, other = (
        benchmark.measure(2, seed, workers, ("look-ahead", "regularized_grad"))
        for seed, workers in ((5, 1), (5, 2), (6, 1))
    )

    assert one == two != other
    rows = one[benchmark.JUDGED]
    assert [row["cases"] for row in rows] == [2] * 4 * 3
    assert all(row["rejected"] == 0 <= row["worst"] <= 1 for row in rows)


def test_every_operation_has_an_arrangement_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)

    assert {one.operation for one in arrangements()} == {*benchmark.OPERATIONS}
    assert {one.dtypes for one in arrangements()} == {benchmark.DTYPES}


def test_the_name_of_an_arrangement_is_its_own() -> None:
    names = [(one.operation, one.name) for one in arrangements()]

    assert len(names) == len({*names})


def test_a_residual_may_be_taken_from_left_to_right() -> None:
    """The temperature less the product rounds, and then the bias cancels all but that rounding."""
    u, c, (w, b) = f32(2.0), f32(-1.0000001), f32(1.0, -3.0)
    r = c - w * u - b
    (due,) = exact.accumulate([(exact.of(u), exact.of(c))], exact.of(w), exact.of(b))

    agree(np.stack([np.sum(-2 * r * u), np.sum(-2 * r)]), due)


def test_a_residual_may_be_divided_by_the_root_of_n_before() -> None:
    p, c = f32(0.0, 0.0), f32(0.0, 0.6)
    root = np.sqrt(FLOAT32(2))

    agree(2 * ((p - c) / root) / root, exact.dloss_fn(exact.of(p), exact.of(c)))


def test_an_average_may_be_a_step_back_from_the_new_value() -> None:
    """The first average of a beta near 1 is a difference of nearly equal numbers."""
    g, alpha = f32(7.0), FLOAT32(0.99)
    v = g * g + alpha * (0 - g * g)
    after = f32(0.0) - FLOAT32(0.5) * g / (np.sqrt(v) + FLOAT32(1e-8))

    agree_lists([[after]], exact.optimize("rmsprop", {"lr": 0.5}, [f32(0.0)], [[g]], benchmark.PYTORCH))


def test_a_step_may_go_on_from_a_wider_master_copy() -> None:
    """The parameters that are returned are rounded; the next step starts from those that are not."""

    def descend(loss: Any, params: Any, rate: float, n_steps: int, no_grad: bool) -> Any:
        place, p, rows = place_of(loss), params.astype(np.float64), []
        for _ in range(n_steps):
            gradient = 2 * (p - place)
            row = [np.sum((p - place) ** 2), gradient, p := p - rate * gradient]
            rows.append([np.asarray(x).astype(params.dtype) for x in row])
        return rows

    def place_of(loss: Any) -> float:
        """Where the loss, a squared distance, is least."""
        zero, one = (float(loss(np.array([x]))) for x in (0.0, 1.0))
        return (zero - one + 1) / 2

    assert broken(SimpleNamespace(descend=descend), "autograd.no-grad-update") == []


def test_a_model_may_treat_the_last_readings_of_a_column_in_another_way() -> None:
    """A reading alone is fused, four at once are not, as in a compiled loop and in its rest."""

    def model(t_u: Any, w: Any, b: Any) -> Any:
        whole = len(t_u) // 4 * 4
        fused = benchmark.PREDICTIONS["fused"](t_u[whole:], w, b)
        return np.concatenate([w * t_u[:whole] + b, fused])

    assert broken(SimpleNamespace(model=model), "model.per-sample") == []


def test_threads_may_end_in_any_order() -> None:
    """A loss that is another in its last bits the next time is deterministic no more, and nothing else."""
    calls: list[int] = []

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        if t_p.shape != t_c.shape or not t_p.size:
            raise ValueError("a loss does not broadcast")
        calls.append(1)
        squares = (t_p - t_c) ** 2 / t_p.dtype.type(t_p.size)
        return benchmark.loop(squares[:: 1 - 2 * (len(calls) % 2)])

    threads = SimpleNamespace(loss_fn=loss_fn)
    assert broken(threads, "loss.symmetric", "loss.permutation", "loss.mean-square") == []
    assert broken(threads, "loss.deterministic") == ["loss.deterministic"]


def broken(implementation: Any, *clauses: str) -> list[str]:
    """Which of the clauses an implementation breaks in float32, in 60 examples of each property."""
    subject = Subject(described("one", implementation, "one", 10.0), "float32")
    found = []
    for prop in properties():
        if prop.clause in clauses:
            function = suite_of(prop.file, Settings("dev", 60, 0))[prop.function]
            for arguments in parametrized(function):
                try:
                    function(target=subject, **arguments)
                except Disagreement:
                    found.append(prop.clause)
                except (Absent, pytest.skip.Exception):
                    continue
    return found

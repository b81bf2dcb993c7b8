"""Naming: a report names the impostor that a failing target behaves as, and no other."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import subject

from calibrant.checks.check import check
from calibrant.checks.options import Options
from calibrant.diagnosis import explaining as naming
from calibrant.impostors import catalog, select
from calibrant.impostors.planting import target_from_impostor
from calibrant.reports.telling import failure_lines
from calibrant.target.calling import Subject
from calibrant.target.loading import load

if importlib.util.find_spec("torch") is not None:
    importlib.import_module("torch")  # which takes long: not within the time limit of a call

pytestmark = pytest.mark.filterwarnings("ignore")  # a target may warn

OPERATIONS = list(dict.fromkeys((one.operation, *one.applies_to[:1]) for one in catalog()))


def named(operation: str, answer: Any, *of_which: str) -> list[str]:
    return [one.name for one in naming.among(subject(**{operation: answer}), operation, *of_which)]


def right(operation: str) -> Any:
    from calibrant.impostors.correct import over_arrays

    return over_arrays()[operation]


def each_array(answer: Any, change: Any) -> Any:
    """An answer with a change made to every array."""
    if isinstance(answer, (list, tuple)):
        return type(answer)(each_array(part, change) for part in answer)
    return change(np.asarray(answer)) if isinstance(answer, (np.ndarray, np.generic, float)) else answer


GENERATOR = np.random.default_rng(1)
CHANGES: dict[str, Any] = {
    "NaN": lambda x: np.full(x.shape, np.nan, x.dtype),
    "infinite": lambda x: np.full(x.shape, np.inf, x.dtype),
    "constant": lambda x: np.full(x.shape, 0.3125, x.dtype),
    "tripled": lambda x: np.stack([x, x, x]),
    "bent": lambda x: x * x.dtype.type(1.015625) + x.dtype.type(0.0078125),
    "random": lambda x: GENERATOR.normal(size=x.shape).astype(x.dtype),
}


@pytest.mark.parametrize("operation", OPERATIONS, ids=".".join)
def test_a_target_whose_answers_no_impostor_gives_is_not_named(operation: tuple[str, ...]) -> None:
    """A target that always refuses, or returns nothing, is none either."""
    name, *of_which = operation
    changed = [
        lambda *arguments, change=change: each_array(right(name)(*arguments), change) for change in CHANGES.values()
    ]

    for answer in (*changed, lambda *arguments: 1 / 0, lambda *arguments: None, lambda *arguments: "loss"):
        assert named(name, answer, *of_which) == []


@pytest.mark.untraced
@pytest.mark.parametrize(("target", "dtype"), [("numpy", "float64"), ("torch", "float32")])
def test_a_shipped_target_is_named_as_no_impostor(target: str, dtype: str) -> None:
    """Except for its declared deviations: PyTorch's losses do broadcast."""
    if target != "numpy":
        pytest.importorskip("torch")
    loaded = load(target)

    found = {
        ".".join(operation): [
            one.name
            for one in naming.among(Subject(loaded, dtype), *operation)
            if not set(one.breaks) <= set(loaded.deviations)
        ]
        for operation in OPERATIONS
        if operation[0] in loaded.operations
    }

    assert {operation: names for operation, names in found.items() if names} == {}


def test_a_sum_is_a_sum_whatever_its_dtype_and_refusals() -> None:
    """As people write it: without refusing different shapes, or no samples."""
    for dtype in (np.asarray, float, np.longdouble):
        answer = named("loss_fn", lambda t_p, t_c, dtype=dtype: dtype(((t_p - t_c) ** 2).sum()))
        assert answer == ["sum-instead-of-mean"]


def test_a_slip_beside_a_fault_does_not_hide_its_name() -> None:
    """`int(0.29 * 100)` is 28, which breaks a SHOULD; `order[:-0]` is empty."""

    def split(n_samples: int, val_fraction: float, seed: int) -> Any:
        right("split")(n_samples, val_fraction, seed)
        order, n = np.random.default_rng(seed).permutation(n_samples), int(val_fraction * n_samples)
        return order[:-n], order[-n:]

    assert named("split", split) == ["cut-from-the-end"]


@pytest.mark.parametrize(
    "name",
    [
        "closed_form.optimum-returned",
        "manual_training_loop.uphill",
        "schedule.one-step-early",
        "dabsolute_loss.sign-not-averaged",
    ],
)
def test_a_mistake_of_a_target_that_refuses_what_must_be_refused_is_named(name: str) -> None:
    """A negative rate, for example."""
    (one,) = select([name])
    answer = getattr(target_from_impostor(one).implementation, one.operation)

    def refusing(*arguments: Any) -> Any:
        right(one.operation)(*arguments)
        return answer(*arguments)

    assert named(one.operation, refusing, *one.applies_to[:1]) == [one.name]


def test_a_target_that_is_right_now_and_then_is_not_named() -> None:
    calls = iter(range(10**6))

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        return ((t_p - t_c) ** 2).mean() * (t_p.size if next(calls) % 3 else 1)

    assert named("loss_fn", loss_fn) == []


def test_the_target_is_asked_once_and_an_impostor_explains_only_what_it_breaks() -> None:
    """No call of these is kept."""
    asked = []

    def loss_fn(t_p: Any, t_c: Any) -> Any:
        asked.append(t_p)
        return ((t_p - t_c) ** 2).sum()

    mine = subject(loss_fn=loss_fn)
    mine.loss_fn(np.ones(2), np.zeros(2))
    for clause in ("loss.mean-square", "loss.wide-accumulation"):
        assert [one.name for one in naming.explaining(mine, clause)] == ["sum-instead-of-mean"]
    assert naming.explaining(mine, "loss.same-shape") == []
    assert len(asked) == 1 + 2 * len(naming.questions()["loss_fn"])
    assert len(mine.calls) == 1
    assert mine.tally.judged == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (
            "return ((t_p - t_c) ** 2).sum()",
            "  loss_fn behaves as `sum-instead-of-mean`: the squared residuals are summed, not averaged; seen in"
            " pytorch/pytorch#10148, odlgroup/odl#1114.",
        ),
        ("return ((t_p - t_c) ** 2).mean() * random.random()", "the same question the same way twice"),
        ("return ((t_p - t_c) ** 2).mean() + float('nan')", ""),
    ],
    ids=["a sum", "nondeterministic", "NaN"],
)
def test_a_check_tells_what_a_target_behaves_as(tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"import random\n\ndef loss_fn(t_p, t_c):\n    {line}\n", encoding="utf-8")

    result = check(str(file), Options(clauses=("loss.mean-square",), profile="ci", workers=1))
    lines = failure_lines(result.verdicts)

    assert result.exit_status == 1
    assert any(told in line for line in lines)
    assert any("behaves as" in line for line in lines) == ("behaves as" in told)

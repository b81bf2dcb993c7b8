"""Impostors: each breaks the clauses that it names and no others, shows in a simple example, and is named as itself."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibrant import exact
from calibrant.book.clauses import book
from calibrant.checks.check import check
from calibrant.checks.here import Settings
from calibrant.checks.options import Options
from calibrant.checks.power import DTYPES, against, due, tried
from calibrant.diagnosis import explaining as naming
from calibrant.impostors import Impostor, catalog, select
from calibrant.impostors.planting import target_from_impostor
from calibrant.target.calling import Subject
from calibrant.target.description import described

if importlib.util.find_spec("torch") is not None:
    importlib.import_module("torch")  # only a generator that exists before a call shows that the call seeded it

pytestmark = pytest.mark.filterwarnings("ignore")  # an impostor may warn
POSSIBLE = [one for one in catalog() if one.possible]
EACH = pytest.mark.parametrize("one", POSSIBLE, ids=lambda one: f"{one.operation}.{one.name}")
TRACED = (
    *("average", "accumulate_and_step", "scaled_steps", "optimize_groups", "optimize_rows", "early_stopping"),
    *("training_loop.nesterov-twice", "training_loop.validated"),
)
"""Impostors whose code no other traced test runs, by the beginnings of their names."""

# For each clause, the first impostor in the catalog.
FIRST = [one for _, (one, *_) in itertools.groupby(sorted(POSSIBLE, key=lambda one: one.main), lambda one: one.main)]


@pytest.mark.untraced
@EACH
def test_an_impostor_breaks_the_clauses_that_it_names_and_no_others(one: Impostor) -> None:
    """A sample of the others; `calibrant power` tries them all."""
    trial = tried(one, quick=True)

    assert (trial.missed, trial.beyond) == ([], [])


@pytest.mark.untraced
def test_an_impostor_that_leaves_the_range_is_held_against_every_clause() -> None:
    """Some of its parameters are infinite; no gradient holds their decay, and they are nothing to expect of another run."""
    trial = tried(*select(["optimize.in-float16"]))

    assert (trial.missed, trial.beyond) == ([], [])


@pytest.mark.untraced
@pytest.mark.parametrize(
    "one", [one for one in FIRST if not one.why_not_small], ids=lambda one: f"{one.operation}.{one.name}"
)
def test_the_example_that_shows_an_impostor_is_one_that_a_person_would_write(one: Impostor) -> None:
    """In the widest dtype in which the clause shows it: bytes shrink alike in all."""
    main = max(name for name in due(one)[0] if name.partition("@")[0] == one.main)
    told = [*against(one, main, Settings(shrink=True))]

    assert told
    assert [r.told() for r in told if not a_person_would_write(r.arguments())] == []


@pytest.mark.untraced
def test_impostors_break_every_clause_of_the_book_and_name_no_others() -> None:
    """A clause that no known mistake breaks is no clause, or the mistake is missing."""
    broken, named = (
        {clause.partition("@")[0] for part in parts for clause in part}
        for parts in zip(*map(due, catalog()), strict=True)
    )

    assert broken == set(book())
    assert named <= set(book())


def a_person_would_write(arguments: dict[str, Any]) -> bool:
    """Whether no array has more than three samples, and every number is a small multiple of a quarter."""

    def within(x: Any) -> Iterator[Any]:
        if isinstance(x, dict) and "data" in x:
            yield np.array(x["data"], dtype=float)
        elif isinstance(x, list):
            yield from itertools.chain.from_iterable(map(within, x))

    arrays = list(within(list(arguments.values())))
    plain = [np.where(np.isfinite(x), x, 0.0) for x in arrays]
    return all(x.size <= 3 and ((x * 4 % 1 == 0) & (abs(x) <= 8)).all() for x in plain)


def shown(one: Impostor) -> set[str]:
    """The dtypes in which an impostor shows."""
    return {clause.partition("@")[2] for clause in set.union(*due(one))}


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(one, id=name, marks=() if name.startswith(TRACED) else pytest.mark.untraced)
        for one in POSSIBLE
        for name in [f"{one.operation}.{one.name}"]
    ],
)
def test_an_impostor_is_named_as_itself_and_as_no_other(one: Impostor) -> None:
    """As a target it gives its own answers. One that answers differently the second time, or shows late, is not named."""
    dtype = max(shown(one))  # float64, if it shows there
    for named in dict.fromkeys((*one.applies_to[:1], *one.applies_to[-1:])) or ("",):
        found = naming.among(Subject(target_from_impostor(one), dtype), one.operation, named or None)

        assert {other.name for other in found} == ({one.name} if one.repeats and one.soon else set())


@pytest.mark.untraced
@pytest.mark.parametrize("one", [one for one in catalog() if len(shown(one)) == 1])
def test_in_a_dtype_in_which_an_impostor_is_right_it_is_not_named(one: Impostor) -> None:
    (other,) = {*DTYPES} - shown(one)

    assert naming.among(Subject(target_from_impostor(one), other), one.operation, *one.applies_to[:1]) == []


@pytest.mark.parametrize("one", [x for x in POSSIBLE if x.operation == "optimize"], ids=lambda one: one.name)
def test_an_impostor_of_optimizers_answers_for_each_that_it_applies_to(one: Impostor) -> None:
    """An error would pass for a refusal, and a target that behaves like it would not be named."""
    params = [np.array([[0.5, -1.0]]), np.array([[0.25]])]
    grads = [[np.array([[1.0, -0.5]]), None], [np.array([[0.5, 0.25]]), np.array([[2.0]])]]
    for name in one.applies_to or exact.OPTIMIZERS:
        answer = target_from_impostor(one).implementation.optimize(name, {"maximize": True}, params, grads)

        assert [len(step) for step in answer] == [2, 2]


@pytest.mark.untraced
def test_a_loop_that_takes_no_validation_data_is_named_all_the_same() -> None:
    """It refuses the questions with validation data, so those count for nothing."""
    (uphill,) = select(["training_loop.uphill"])
    climb = target_from_impostor(uphill).implementation.training_loop
    loop = SimpleNamespace(training_loop=lambda n, optimizer, params, t_u, t_c: climb(n, optimizer, params, t_u, t_c))

    found = naming.among(Subject(described("loop", loop, "loop", 10.0), "float64"), "training_loop")

    assert found == [uphill]


@pytest.mark.untraced
def test_where_a_plain_rule_is_wrong_its_options_are_undecided(tmp_path: Path) -> None:
    """One mistake breaks one clause; nothing is said of the momentum of an optimizer that goes uphill."""
    lines = [
        "from calibrant.impostors import select",
        "from calibrant.impostors.planting import target_from_impostor",
        "optimize = target_from_impostor(*select(['optimize.uphill'])).implementation.optimize",
    ]
    (tmp_path / "uphill.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    options = [f"optimizer.sgd.{name}" for name in ("momentum", "nesterov", "weight-decay")]

    result = check(
        str(tmp_path / "uphill.py"), Options(clauses=("optimizer.sgd", *options), profile="ci", examples=40, workers=1)
    )

    assert {verdict.clause: verdict.status for verdict in result.verdicts if verdict.clause not in options} == {
        "optimizer.sgd": "breaks"
    }
    assert {verdict.status for verdict in result.verdicts if verdict.clause in options} == {"undecided"}


@pytest.mark.untraced
def test_of_three_ways_to_the_gradient_the_one_that_disagrees_is_found(tmp_path: Path) -> None:
    """Two of three comparisons fail, and both call the faulty way."""
    lines = [
        "from calibrant.impostors import select",
        "from calibrant.impostors.planting import target_from_impostor",
        "from calibrant.impostors.correct import over_arrays",
        "finite_difference, value_and_grad = (over_arrays()[name] for name in ('finite_difference', 'value_and_grad'))",
        "grad_fn = target_from_impostor(*select(['grad_fn.bias-halved'])).implementation.grad_fn",
    ]
    (tmp_path / "planted.py").write_text("\n".join(lines) + "\n", encoding="utf-8")

    result = check(str(tmp_path / "planted.py"), Options(clauses=("gradient.agree",), profile="ci", workers=1))

    for verdict in result.verdicts:
        called = [{call["operation"] for call in failure.calls} for failure in verdict.failures]
        assert verdict.status == "breaks"
        assert sorted(called, key=sorted) == [{"finite_difference", "grad_fn"}, {"grad_fn", "value_and_grad"}]

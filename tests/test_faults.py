"""Planted faults: each breaks the clauses that it should break and no others, with an example that a person would have written.

A check is several processes, and there are a hundred faults: so the properties are called here as they are, by the same names
and with the same settings as in a check.

To add a fault, write a function that commits it into `faulty/<operation>.py`, and a line below: `"operation.fault": "clauses"`,
the clause first whose failing example should be a plain one. An operation that had none yet also needs a line in CHAPTERS.
"""

from __future__ import annotations

import functools
import importlib.util
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibrant import plugin
from calibrant.check import Options, check
from calibrant.clauses import Property, properties
from calibrant.target import Target, described
from calibrant.targets import numpy_target
from calibrant.verdicts import failure_of

TESTS = Path(__file__).parent

CHAPTERS = {
    "thermometer": ("data",),
    "norris": ("data",),
    "least_squares": ("data",),
    "model": ("model",),
    "loss_fn": ("loss",),
    "absolute_loss": ("loss",),
    "dabsolute_loss": ("loss",),
    "dloss_fn": ("loss", "gradients"),
    "dmodel_dw": ("gradients",),
    "dmodel_db": ("gradients",),
    "grad_fn": ("gradients",),
    "finite_difference": ("gradients",),
    "value_and_grad": ("gradients",),
    "closed_form": ("descent",),
    "training_loop": ("data", "descent"),
}
"""The chapters that have something to say of each operation."""

MODULES = {"thermometer": "data", "norris": "data"}
"""The modules of `faulty` that are not named after their operation."""

BESIDE = {"loss_fn": ("model",)}
"""What else the clauses on an operation call: the right one is offered."""

VALUE = "gradient.chain-rule gradient.symbolic gradient.thermometer"
STEPS = "descent.step descent.trajectory descent.log"
BOOK = "descent.raw-diverges descent.scaled-converges"

FAULTS = {
    "model.bias_missing": "model.linear",
    "model.parameters_swapped": "model.linear model.identity",
    "model.normalized_over_the_batch": "model.linear model.identity model.per-sample",
    "model.sorted_first": "model.linear model.identity model.per-sample",
    "model.in_float64": "model.dtype@float32",
    "model.identity_rounded": "model.linear model.identity",
    "model.in_place": "model.pure",
    "dmodel_dw.the_weight": "gradient.by-hand-w",
    "dmodel_dw.squared": "gradient.by-hand-w",
    "dmodel_db.the_bias": "gradient.by-hand-b",
    "dmodel_db.zero": "gradient.by-hand-b",
    "grad_fn.factor_missing": VALUE,
    "grad_fn.sign_flipped": VALUE,
    "grad_fn.bias_halved": VALUE,
    "grad_fn.bias_zero": VALUE,
    "grad_fn.bias_over_n_minus_1": f"{VALUE} gradient.additive",
    "grad_fn.means_multiplied": f"{VALUE} gradient.additive",
    "grad_fn.last_sample_dropped": f"{VALUE} gradient.additive gradient.optimum gradient.nan?",
    "grad_fn.nan_replaced": "gradient.nan",
    "grad_fn.clipped": f"{VALUE} gradient.additive gradient.nan",
    "grad_fn.in_float32": "gradient.chain-rule@float64 gradient.symbolic@float64 gradient.thermometer@float64"
    " gradient.additive@float64 gradient.optimum@float64",
    "grad_fn.in_place": "gradient.pure",
    "grad_fn.returned_in_float64": "gradient.dtype@float32",
    "finite_difference.forward": "gradient.central gradient.optimum gradient.thermometer",
    "finite_difference.over_delta": "gradient.central gradient.thermometer",
    "finite_difference.times_delta": "gradient.central gradient.thermometer",
    "finite_difference.nan_replaced": "gradient.nan",
    "value_and_grad.nan_replaced": "gradient.nan",
    "value_and_grad.gradient_of_half_the_loss": "gradient.automatic gradient.of-the-reported-loss"
    " gradient.descent-lemma gradient.thermometer",
    "value_and_grad.penalized_without_gradient": "gradient.of-the-reported-loss gradient.descent-lemma",
    "value_and_grad.accumulating": "gradient.automatic gradient.of-the-reported-loss gradient.descent-lemma"
    " gradient.thermometer gradient.additive gradient.optimum",
    "closed_form.one_step_more": "descent.closed-form",
    "least_squares.no_intercept": "data.scaling",
    "least_squares.spread_over_n_minus_1": "data.scaling",
    "least_squares.any_shape": "data.shapes",
    "thermometer.two_readings_swapped": "data.thermometer",
    "norris.one_digit_wrong": "data.norris",
    "training_loop.logged_after_the_update": "descent.log descent.scaled-converges@float64",
    "training_loop.bias_from_the_new_weight": f"{STEPS} descent.closed-form descent.diverges descent.raw-diverges@float64 descent.scaled-converges@float64",
    "training_loop.uphill": f"{STEPS} descent.closed-form descent.converges descent.fixed-point? descent.norris"
    " descent.raw-diverges descent.scaled-converges",
    "training_loop.one_epoch_more": f"{STEPS} descent.closed-form {BOOK} descent.zero-epochs",
    "training_loop.last_loss_missing": "descent.log descent.raw-diverges descent.scaled-converges",
    "training_loop.gradient_clipped": f"{STEPS} descent.closed-form descent.diverges descent.raw-diverges",
    "training_loop.nan_replaced": "descent.diverges descent.raw-diverges",
    "training_loop.in_place": "descent.input-kept",
    "training_loop.readings_scaled_in_place": "descent.input-kept",
    "training_loop.any_rate": "descent.negative-rate",
    "training_loop.in_float64": "descent.dtype@float32 descent.diverges@float32",
}
"""Each fault, with the clauses that it breaks: in float32 and in float64, or in one of them.

A clause with a question mark is broken by numbers that so few examples may lack.
"""

UGLY = {
    "model.identity_rounded": "only numbers with many digits show it",
    "grad_fn.in_float32": "only numbers with many digits show it",
    "grad_fn.clipped": "only gradients above 100 show it",
    "training_loop.gradient_clipped": "only gradients above 100 show it",
    "least_squares.spread_over_n_minus_1": "one of the clause's two properties divides the readings by ten",
    "thermometer.two_readings_swapped": "it has no arguments",
    "norris.one_digit_wrong": "it has no arguments",
}
"""Faults that no small example of round numbers can show."""


@functools.cache
def suite(file: Path, shrink: bool) -> ModuleType:
    """The properties of a chapter, under forty examples that are the same every time."""
    name = f"{file.stem}_with_faults_{'shrunk' if shrink else 'found'}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    outer, plugin.session = plugin.session, plugin.Session(profile="ci", examples=40, shrink=shrink)
    try:
        spec.loader.exec_module(module)
    finally:
        plugin.session = outer
    return module


def parametrized(function: Any) -> Iterator[dict[str, Any]]:
    """The arguments that pytest would call a property with, beside the target."""
    axes = []
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize":
            names, values = mark.args[:2]
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
            axes.append([dict(zip(names, value if len(names) > 1 else [value], strict=True)) for value in values])
    for chosen in itertools.product(*axes):
        yield {name: value for arguments in chosen for name, value in arguments.items()}


def planted(fault: str) -> Target:
    """A target that offers the faulty operation, and the right ones that a clause calls beside it."""
    operation, name = fault.split(".")
    module = importlib.import_module(f"faulty.{MODULES.get(operation, operation)}")
    right = {other: getattr(numpy_target, other) for other in BESIDE.get(operation, ())}
    return described(
        "planted",
        SimpleNamespace(**right, **{operation: getattr(module, name)}),
        "planted",
        10.0,
    )


def failures(prop: Property, fault: str, dtype: str, shrink: bool) -> Iterator[dict[str, Any]]:
    """What a property finds, once for each of its parameters that fails."""
    target = planted(fault)
    function = getattr(suite(prop.file, shrink), prop.function)
    for arguments in parametrized(function):
        subject = target.at(dtype)
        try:
            function(target=subject, **arguments)
        except pytest.skip.Exception:  # it calls what the target does not offer
            continue
        except Exception as error:
            status, failure = failure_of(error, subject)
            assert status in ("breaks", "broken"), failure["text"]
            yield failure


def due(fault: str) -> tuple[set[str], set[str]]:
    """The clauses that a fault breaks, with the dtype: those that it must, and those that it may."""
    always, perhaps = set(), set()
    for text in FAULTS[fault].split():
        name, _, only = text.rstrip("?").partition("@")
        (perhaps if text.endswith("?") else always).update(
            f"{name}@{dtype}" for dtype in ([only] if only else ["float32", "float64"])
        )
    return always, perhaps


@pytest.mark.filterwarnings("ignore")  # a target's warnings are its own affair
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_breaks_the_clauses_that_it_should_and_no_others(fault: str) -> None:
    main = FAULTS[fault].split()[0].split("@")[0]
    found: dict[str, list[dict[str, Any]]] = {}
    for prop in properties():
        chapter = prop.file.stem.removeprefix("test_")
        if chapter in CHAPTERS[fault.split(".")[0]]:
            for dtype in ("float32", "float64"):
                seen = list(failures(prop, fault, dtype, shrink=prop.clause == main and fault not in UGLY))
                if seen:
                    found.setdefault(f"{prop.clause}@{dtype}", []).extend(seen)
    told = [
        min(found.get(f"{main}@{dtype}", []), key=lambda failure: len(failure["text"]))
        for dtype in ("float32", "float64")
        if f"{main}@{dtype}" in found
    ]
    ugly = (
        [failure["text"] for failure in told if not a_person_would_write(failure["calls"][-1]["arguments"])]
        if fault not in UGLY
        else []
    )
    always, perhaps = due(fault)
    assert (sorted(always - set(found)), sorted(set(found) - always - perhaps), ugly) == ([], [], [])


def a_person_would_write(arguments: dict[str, Any]) -> bool:
    """Whether no array has more than three samples, and all numbers are small multiples of a quarter."""

    def within(x: Any) -> Iterator[Any]:
        if isinstance(x, dict) and "data" in x:
            yield np.array(x["data"], dtype=float)
        elif isinstance(x, list):
            yield from itertools.chain.from_iterable(map(within, x))

    arrays = list(within(list(arguments.values())))
    plain = [np.where(np.isfinite(x), x, 0.0) for x in arrays]
    return all(x.size <= 3 and ((x * 4 % 1 == 0) & (abs(x) <= 8)).all() for x in plain)


def test_every_fault_of_the_fixtures_is_planted() -> None:
    """A fault that no test plants is not known to be found."""
    written = set()
    for file in sorted((TESTS / "faulty").glob("[a-z]*.py")):
        module = importlib.import_module(f"faulty.{file.stem}")
        names = [
            name
            for name, x in vars(module).items()
            if getattr(x, "__module__", "") == module.__name__ and name[0] != "_"
        ]
        written |= {(file.stem, name) for name in names if name != "right"}

    named = {(MODULES.get(operation, operation), name) for operation, name in (fault.split(".") for fault in FAULTS)}

    assert written == named


def test_of_three_ways_to_the_gradient_the_one_that_disagrees_is_found(tmp_path: Path) -> None:
    """Two comparisons of three fail, and both have called the faulty way."""
    lines = [
        f"import sys; sys.path.insert(0, {str(TESTS)!r})",
        "from calibrant.targets.numpy_target import finite_difference",
        "from faulty.value_and_grad import right as value_and_grad",
        "from faulty.grad_fn import bias_halved as grad_fn",
    ]
    (tmp_path / "planted.py").write_text("\n".join(lines) + "\n", encoding="utf-8")

    result = check(str(tmp_path / "planted.py"), Options(clauses=("gradient.agree",), profile="ci", workers=1))

    for verdict in result.verdicts:
        called = [{call["operation"] for call in failure["calls"]} for failure in verdict.failures]
        assert verdict.status == "breaks"
        assert sorted(called, key=sorted) == [{"finite_difference", "grad_fn"}, {"grad_fn", "value_and_grad"}]

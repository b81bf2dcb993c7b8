"""Planted faults: each breaks the clauses that it should break and no others, with an example that a person would have written.

A check costs seconds, so faults of several operations share a target wherever no clause calls two of them. What a clause
found is told apart by the operation that it had called last.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrant.check import Options, check
from calibrant.clauses import book

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
    "broadcast_shapes": ("broadcasting",),
    "multiply": ("broadcasting",),
    "multiply_in_place": ("broadcasting",),
    "expand": ("broadcasting",),
    "multiply_grad": ("broadcasting",),
}
"""The chapters that have something to say of each operation."""

LONG = ("descent.closed-form", "descent.diverges")
"""Clauses whose failing examples take long to shrink: left out but where a fault names them."""

VALUE = "gradient.chain-rule gradient.symbolic gradient.thermometer"
STEPS = "descent.step descent.trajectory descent.log"
BOOK = "descent.raw-diverges descent.scaled-converges"

FAULTS = {
    "loss_fn.sum_for_mean": "loss.mean-square loss.wide-accumulation",
    "loss_fn.over_n_minus_1": "loss.mean-square loss.wide-accumulation",
    "loss_fn.half": "loss.mean-square loss.wide-accumulation",
    "loss_fn.last_sample_dropped": "loss.mean-square loss.permutation loss.zero? loss.nan?",
    "loss_fn.mean_of_batches": "loss.mean-square loss.permutation",
    "loss_fn.broadcasting": "loss.same-shape",
    "loss_fn.empty_is_zero": "loss.empty",
    "loss_fn.nan_skipped": "loss.nan",
    "loss_fn.infinity_clipped": "loss.nan",
    "loss_fn.in_float32": "loss.mean-square@float64 loss.zero@float64 loss.permutation@float64 loss.convex?"
    " loss.wide-accumulation@float64",
    "loss_fn.in_float16": "loss.mean-square loss.zero loss.permutation? loss.outliers? loss.convex? loss.wide-accumulation",
    "loss_fn.returned_in_float64": "loss.dtype@float32",
    "loss_fn.expanded": "loss.mean-square loss.zero loss.symmetric loss.permutation",
    "loss_fn.summed_first": "loss.wide-accumulation",
    "loss_fn.tolerant": "loss.mean-square loss.zero loss.outliers?",
    "loss_fn.huber": "loss.mean-square loss.outliers loss.wide-accumulation",
    "loss_fn.asymmetric": "loss.mean-square loss.symmetric loss.wide-accumulation",
    "loss_fn.one_element": "loss.scalar",
    "loss_fn.in_place": "loss.pure",
    "model.bias_missing": "model.linear",
    "model.parameters_swapped": "model.linear model.identity",
    "model.normalized_over_the_batch": "model.linear model.identity model.per-sample",
    "model.sorted_first": "model.linear model.identity model.per-sample",
    "model.in_float64": "model.dtype@float32",
    "model.identity_rounded": "model.linear model.identity",
    "model.in_place": "model.pure",
    "absolute_loss.root_mean_square": "loss.absolute loss.wide-accumulation",
    "absolute_loss.huber": "loss.absolute loss.outliers",
    "absolute_loss.sum_for_mean": "loss.absolute loss.wide-accumulation",
    "absolute_loss.of_the_mean": "loss.absolute loss.zero?",
    "absolute_loss.nan_skipped": "loss.nan",
    "dabsolute_loss.divided_by_itself": "loss.smooth-at-zero",
    "dabsolute_loss.not_averaged": "loss.smooth-at-zero",
    "dloss_fn.factor_missing": "gradient.by-hand-loss",
    "dloss_fn.sign_flipped": "gradient.by-hand-loss",
    "dloss_fn.not_averaged": "gradient.by-hand-loss",
    "dloss_fn.shifted": "gradient.by-hand-loss loss.smooth-at-zero",
    "dloss_fn.in_place": "gradient.pure",
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
    "grad_fn.last_sample_dropped": f"{VALUE} gradient.additive gradient.optimum",
    "grad_fn.clipped": f"{VALUE} gradient.additive",
    "grad_fn.in_float32": "gradient.chain-rule@float64 gradient.symbolic@float64 gradient.thermometer@float64"
    " gradient.additive@float64 gradient.optimum@float64",
    "grad_fn.in_place": "gradient.pure",
    "grad_fn.returned_in_float64": "gradient.dtype@float32",
    "finite_difference.forward": "gradient.central gradient.optimum gradient.thermometer",
    "finite_difference.over_delta": "gradient.central gradient.thermometer",
    "finite_difference.times_delta": "gradient.central gradient.thermometer",
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
    "training_loop.bias_from_the_new_weight": f"{STEPS} descent.raw-diverges@float64 descent.scaled-converges@float64",
    "training_loop.uphill": f"{STEPS} descent.converges descent.fixed-point? descent.norris"
    " descent.raw-diverges descent.scaled-converges",
    "training_loop.one_epoch_more": f"{STEPS} {BOOK} descent.zero-epochs",
    "training_loop.last_loss_missing": "descent.log descent.raw-diverges descent.scaled-converges",
    "training_loop.gradient_clipped": f"{STEPS} descent.raw-diverges",
    "training_loop.nan_replaced": "descent.diverges descent.raw-diverges",
    "training_loop.in_place": "descent.input-kept",
    "training_loop.readings_scaled_in_place": "descent.input-kept",
    "training_loop.any_rate": "descent.negative-rate",
    "training_loop.in_float64": "descent.dtype@float32",
    "broadcast_shapes.aligned_left": "broadcast.align-right broadcast.result broadcast.order broadcast.many"
    " broadcast.examples broadcast.like-numpy broadcast.otherwise-error",
    "broadcast_shapes.maximum": "broadcast.result broadcast.like-numpy",
    "broadcast_shapes.zero_refused": "broadcast.result broadcast.like-numpy broadcast.order",
    "broadcast_shapes.zero_stretched": "broadcast.otherwise-error broadcast.like-numpy",
    "broadcast_shapes.divisors_stretched": "broadcast.otherwise-error",
    "broadcast_shapes.first_decides": "broadcast.stretch-one broadcast.align-right broadcast.result"
    " broadcast.many broadcast.order broadcast.examples broadcast.like-numpy",
    "broadcast_shapes.ranks_must_match": "broadcast.align-right broadcast.result broadcast.many"
    " broadcast.order broadcast.examples broadcast.like-numpy",
    "broadcast_shapes.first_two_only": "broadcast.many broadcast.result broadcast.order broadcast.stretch-one"
    " broadcast.otherwise-error broadcast.examples",
    "broadcast_shapes.eight_axes": "broadcast.many broadcast.align-right",
    "broadcast_shapes.ones_dropped": "broadcast.result broadcast.align-right broadcast.stretch-one"
    " broadcast.many broadcast.order broadcast.examples broadcast.like-numpy",
    "broadcast_shapes.never_refused": "broadcast.otherwise-error broadcast.like-numpy",
    "multiply.aligned_left": "broadcast.align-right broadcast.stretch-one broadcast.result broadcast.order"
    " broadcast.otherwise-error broadcast.like-numpy broadcast.dtype?",
    "multiply.equal_shapes_only": "broadcast.stretch-one broadcast.align-right broadcast.result"
    " broadcast.order broadcast.examples broadcast.like-numpy broadcast.dtype broadcast.pure",
    "multiply.stretched_with_zeros": "broadcast.stretch-one broadcast.align-right broadcast.order"
    " broadcast.examples broadcast.like-numpy",
    "multiply.shape_of_the_first": "broadcast.result broadcast.stretch-one broadcast.order broadcast.examples"
    " broadcast.like-numpy broadcast.align-right",
    "multiply.cycled": "broadcast.otherwise-error",
    "multiply.squeezed": "broadcast.result broadcast.like-numpy",
    "multiply.matrix_product": "broadcast.like-numpy broadcast.stretch-one broadcast.examples",
    "multiply.in_float64": "broadcast.dtype@float32 broadcast.like-numpy@float32",
    "multiply.in_float16": "broadcast.like-numpy",
    "multiply.nan_is_zero": "broadcast.like-numpy",
    "multiply.in_place": "broadcast.pure",
    "multiply_in_place.growing": "broadcast.in-place",
    "multiply_in_place.reshaped": "broadcast.in-place",
    "multiply_in_place.first_row_only": "broadcast.in-place",
    "multiply_in_place.refused_too_late": "broadcast.in-place",
    "multiply_in_place.right_not_stretched": "broadcast.in-place",
    "expand.copied": "broadcast.no-copy",
    "expand.copied_below_the_view": "broadcast.no-copy",
    "expand.zeros_beside": "broadcast.no-copy",
    "expand.added_to": "broadcast.pure broadcast.no-copy",
    "multiply_grad.mean_for_sum": "broadcast.gradient",
    "multiply_grad.not_summed": "broadcast.gradient",
    "multiply_grad.first_term": "broadcast.gradient",
    "multiply_grad.leading_axes_forgotten": "broadcast.gradient",
    "multiply_grad.ones_forgotten": "broadcast.gradient",
    "multiply_grad.axes_kept": "broadcast.gradient",
    "multiply_grad.ones_lost": "broadcast.gradient",
    "multiply_grad.summed_over_all": "broadcast.gradient",
    "multiply_grad.wrong_axis": "broadcast.gradient",
    "multiply_grad.swapped": "broadcast.gradient",
    "multiply_grad.upstream_ignored": "broadcast.gradient",
    "multiply_grad.in_float16": "broadcast.gradient",
    "multiply_grad.returned_in_float64": "broadcast.dtype@float32",
    "multiply_grad.in_place": "broadcast.pure",
}
"""Each fault, with the clauses that it breaks: in float32 and in float64, or in one of them.

A clause with a question mark is broken by numbers that so few examples may lack.
"""

UGLY = {
    "model.identity_rounded": "only numbers with many digits show it",
    "loss_fn.mean_of_batches": "five samples are needed",
    "loss_fn.in_float32": "only numbers with many digits show it",
    "loss_fn.in_float16": "only numbers with many digits show it",
    "loss_fn.expanded": "only nearly equal numbers show it",
    "loss_fn.tolerant": "only nearly equal numbers show it",
    "grad_fn.in_float32": "only numbers with many digits show it",
    "grad_fn.clipped": "only gradients above 100 show it",
    "training_loop.gradient_clipped": "only gradients above 100 show it",
    "loss_fn.summed_first": "only numbers whose squares overflow show it",
    "least_squares.spread_over_n_minus_1": "one of the clause's two properties divides the readings by ten",
    "thermometer.two_readings_swapped": "it has no arguments",
    "norris.one_digit_wrong": "it has no arguments",
    "multiply.aligned_left": "a table is needed",
    "multiply.matrix_product": "tables are needed",
    "multiply.in_float16": "only numbers with many digits show it",
    "multiply.cycled": "a size that divides another is needed",
    "multiply_grad.summed_over_all": "a table is needed",
    "multiply_grad.wrong_axis": "a square table is needed",
    "multiply_grad.in_float16": "only numbers with many digits show it",
}
"""Faults that no small example of round numbers can show."""


CONVEX = ("loss_fn.in_float32", "loss_fn.in_float16")
"""Faults that the clause on convexity finds: it calls the model too, which is then the right one."""


def rounds() -> list[list[str]]:
    """The faults, several to a target: of the operations that some clause calls together, one."""
    together = {"grad_fn": "way", "finite_difference": "way", "value_and_grad": "way", "closed_form": "training_loop"}
    filled: list[dict[str, str]] = []
    for fault in FAULTS:
        operation = fault.split(".")[0]
        key = together.get(operation, operation)
        free = [r for r in filled if key not in r and not (operation == "model" and r.get("loss_fn") in CONVEX)]
        target = min(free, key=len, default=None) if operation != "loss_fn" else None
        if target is None:
            filled.append(target := {})
        target[key] = fault
    return [list(target.values()) for target in filled]


def write_target(file: Path, faults: list[str]) -> None:
    """A target that offers the faulty operations, and the right model where a loss needs one."""
    lines = ["import sys", f"sys.path.insert(0, {str(TESTS)!r})"]
    for fault in faults:
        operation, name = fault.split(".")
        module = operation if operation not in ("thermometer", "norris") else "data"
        lines.append(f"from faulty.{module} import {name} as {operation}")
    if not any(fault.startswith("model.") for fault in faults):
        lines.append("from calibrant.targets.numpy_target import model")
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def selected(faults: list[str]) -> tuple[str, ...]:
    """The clauses to check: all of the chapters of these operations, but for the long ones that no fault names."""
    chapters = {chapter for fault in faults for chapter in CHAPTERS[fault.split(".")[0]]}
    left_out = {*LONG, "loss.convex"} - {name.split("@")[0] for fault in faults for name in FAULTS[fault].split()}
    return tuple(c.name for c in book().values() if c.chapter in chapters and c.name not in left_out)


def due(faults: list[str]) -> dict[str, set[str]]:
    """The clauses that each fault breaks, with the dtype."""
    return {
        fault: {
            f"{name}@{dtype}"
            for name, _, only in (text.partition("@") for text in FAULTS[fault].split() if not text.endswith("?"))
            for dtype in ([only] if only else ["float32", "float64"])
        }
        for fault in faults
    }


@pytest.mark.parametrize("faults", rounds(), ids=lambda faults: "+".join(faults))
def test_a_fault_breaks_the_clauses_that_it_should_and_no_others(faults: list[str], tmp_path: Path) -> None:
    write_target(tmp_path / "planted.py", faults)

    result = check(
        str(tmp_path / "planted.py"), Options(clauses=selected(faults), profile="ci", examples=40, workers=1)
    )

    of_operation = {fault.split(".")[0]: fault for fault in faults}
    found: dict[str, set[str]] = {fault: set() for fault in faults}
    ugly: list[str] = []
    for verdict in result.verdicts:
        assert verdict.status in ("holds", "breaks", "broken", "absent"), verdict
        for failure in verdict.failures:
            fault = of_operation[failure["calls"][-1]["operation"]]
            found[fault].add(f"{verdict.clause}@{verdict.dtype}")
            main = FAULTS[fault].split()[0].split("@")[0]
            if (
                verdict.clause == main
                and fault not in UGLY
                and failure is verdict.failures[0]
                and not a_person_would_write(failure["calls"][-1]["arguments"])
            ):
                ugly.append(failure["text"])
    by_chance = {fault: {text[:-1] for text in FAULTS[fault].split() if text.endswith("?")} for fault in faults}
    expected = {
        fault: clauses | {name for name in found[fault] if name.split("@")[0] in by_chance[fault]}
        for fault, clauses in due(faults).items()
    }
    surprises = {fault: sorted(found[fault] ^ expected[fault]) for fault in faults if found[fault] != expected[fault]}
    assert (surprises, ugly, result.unfinished) == ({}, [], [])


def a_person_would_write(arguments: dict[str, Any]) -> bool:
    """Whether no array has more than three samples, and all numbers are small multiples of a quarter."""
    arrays = [np.array(x["data"], dtype=float) for x in arguments.values() if isinstance(x, dict) and "data" in x]
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

    planted = {("data" if op in ("thermometer", "norris") else op, name) for op, name in (f.split(".") for f in FAULTS)}

    assert written == planted


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

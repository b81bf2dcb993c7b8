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
    "broadcast_shapes": ("broadcasting",),
    "multiply": ("broadcasting",),
    "multiply_in_place": ("broadcasting",),
    "expand": ("broadcasting",),
    "multiply_grad": ("broadcasting",),
    "automatic_gradient": ("autograd",),
    "backward": ("autograd",),
    "descend": ("autograd",),
    "manual_training_loop": ("autograd",),
    "evaluate": ("autograd",),
    "calc_forward": ("autograd",),
    "accumulate": ("accumulation",),
    "accumulated_grad": ("accumulation",),
    "data_parallel": ("accumulation",),
    "split": ("validation",),
    "split_data": ("validation",),
    "validated_loop": ("validation",),
    "validation_loss": ("validation",),
    "regularized_loss": ("validation",),
    "regularized_grad": ("validation",),
    "ridge": ("validation",),
    "early_stopping": ("validation",),
    "diagnose": ("validation",),
}
"""The chapters that have something to say of each operation."""

MODULES = {"thermometer": "data", "norris": "data"}
"""The modules of `faulty` that are not named after their operation."""

OPERATIONS = {"validated_loop": "training_loop"}
"""The operations that are not named as the table names them: this one has faults of its own in each of two chapters."""

BESIDE = {"loss_fn": ("model",)}
"""What else the clauses on an operation call: the right one is offered."""

VALUE = "gradient.chain-rule gradient.symbolic gradient.thermometer"
STEPS = "descent.step descent.trajectory descent.log"
BOOK = "descent.raw-diverges descent.scaled-converges"
ADDED = "autograd.accumulates autograd.three-batches autograd.separate-graphs"
FULL = "accumulation.full-batch accumulation.partition accumulation.last-window"

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
    "automatic_gradient.last_use_only": "autograd.composition autograd.shared-node",
    "automatic_gradient.passed_on_when_first_reached": "autograd.composition autograd.shared-node",
    "automatic_gradient.difference_as_a_sum": "autograd.composition autograd.shared-node",
    "automatic_gradient.every_end_is_a_loss": "autograd.composition",
    "backward.overwriting": ADDED,
    "backward.zeros_at_first": "autograd.none-before autograd.reset",
    "backward.never_reset": "autograd.reset",
    "backward.zero_for_none": "autograd.reset",
    "backward.none_for_zero": "autograd.reset",
    "backward.mean_so_far": ADDED,
    "backward.kept_between_calls": "autograd.none-before autograd.accumulates? autograd.three-batches?"
    " autograd.separate-graphs?",
    "backward.not_copied": "autograd.accumulates autograd.three-batches autograd.reset",
    "backward.every_end_walked": "autograd.separate-graphs",
    "backward.in_float64": "autograd.dtype@float32",
    "descend.gradients_accumulate": "autograd.no-grad-update",
    "descend.rebound": "autograd.no-grad-update",
    "descend.loss_of_the_start": "autograd.no-grad-update",
    "descend.recorded_without_a_word": "autograd.recorded-update",
    "descend.uphill": "autograd.no-grad-update autograd.three-batches",
    "descend.one_step_less": "autograd.no-grad-update autograd.three-batches",
    "descend.in_place": "autograd.pure",
    "descend.rate_in_float32": "autograd.three-batches@float64 autograd.no-grad-update@float64",
    "descend.in_float64": "autograd.dtype@float32",
    "manual_training_loop.gradients_accumulate": "autograd.loop",
    "manual_training_loop.last_loss_missing": "autograd.loop",
    "manual_training_loop.in_place": "autograd.pure",
    "manual_training_loop.in_float64": "autograd.dtype@float32",
    "evaluate.always_recorded": "autograd.set-grad-enabled autograd.mode-restored",
    "evaluate.never_recorded": "autograd.set-grad-enabled autograd.mode-restored",
    "evaluate.not_restored_after_an_exception": "autograd.mode-restored",
    "evaluate.simply_on_afterwards": "autograd.mode-restored",
    "evaluate.left_as_it_was_set": "autograd.mode-restored",
    "calc_forward.always_recorded": "autograd.set-grad-enabled",
    "calc_forward.never_recorded": "autograd.set-grad-enabled",
    "calc_forward.zeros_where_nothing_is_recorded": "autograd.set-grad-enabled",
    "calc_forward.summed_in_validation": "autograd.set-grad-enabled",
    "calc_forward.in_place": "autograd.pure",
    "calc_forward.in_float64": "autograd.dtype@float32",
    "accumulate.overwriting": "accumulation.sum",
    "accumulate.never_reset": "accumulation.reset",
    "accumulate.inverted": "accumulation.sum accumulation.reset",
    "accumulate.mean_so_far": "accumulation.sum",
    "accumulate.sums_of_squares": "accumulation.sum accumulation.reset",
    "accumulate.first_batch_lost": "accumulation.sum",
    "accumulate.kept_between_calls": "accumulation.sum accumulation.reset",
    "accumulate.last_row_only": "accumulation.sum accumulation.reset",
    "accumulate.empty_batches_skipped": "accumulation.refused",
    "accumulate.longer_columns_cut": "accumulation.refused",
    "accumulate.in_place": "accumulation.pure",
    "accumulate.returned_in_float64": "accumulation.dtype@float32",
    "accumulated_grad.mean_of_means": FULL,
    "accumulated_grad.sum_of_means": FULL,
    "accumulated_grad.sum_over_all": "accumulation.full-batch accumulation.last-window",
    "accumulated_grad.divided_by_the_batches_too": FULL,
    "accumulated_grad.last_batch_dropped": FULL,
    "accumulated_grad.last_smaller_batch_dropped": FULL,
    "accumulated_grad.last_batch_counted_as_full": FULL,
    "accumulated_grad.short_window_over_the_longest": "accumulation.last-window accumulation.full-batch?"
    " accumulation.partition?",
    "accumulated_grad.last_batch_only": FULL,
    "accumulated_grad.kept_between_calls": "accumulation.full-batch accumulation.partition? accumulation.last-window",
    "accumulated_grad.in_float32": "accumulation.full-batch@float64 accumulation.partition@float64"
    " accumulation.last-window@float64",
    "accumulated_grad.empty_batches_skipped": "accumulation.refused",
    "accumulated_grad.longer_columns_cut": "accumulation.refused",
    "accumulated_grad.in_place": "accumulation.pure",
    "accumulated_grad.returned_in_float64": "accumulation.dtype@float32",
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
    "data_parallel.mean_of_means": "accumulation.data-parallel",
    "data_parallel.sum_of_means": "accumulation.data-parallel",
    "data_parallel.over_all_workers": "accumulation.data-parallel",
    "data_parallel.empty_shards_are_nan": "accumulation.data-parallel",
    "data_parallel.last_worker_ignored": "accumulation.data-parallel",
    "data_parallel.reduced_once": "accumulation.data-parallel",
    "data_parallel.summed_in_float32": "accumulation.data-parallel@float64",
    "split.first_validation_row_in_both": "split.partition split.invalid",
    "split.validation_from_the_unshuffled": "split.partition split.random",
    "split.last_row_lost": "split.partition split.none-held-out",
    "split.not_shuffled": "split.random",
    "split.turned_instead_of_shuffled": "split.random",
    "split.first_row_never_held_out": "split.random",
    "split.seed_ignored": "split.seeded split.global-state",
    "split.global_generator_seeded": "split.global-state",
    "split.python_generator_seeded": "split.global-state",
    "split.rounded_up": "split.sizes split.as-written split.none-held-out split.random",
    "split.rounded_to_nearest": "split.sizes split.as-written",
    "split.one_row_at_least": "split.sizes split.as-written split.none-held-out",
    "split.whole_part_of_the_product": "split.as-written",
    "split.cut_from_the_end": "split.none-held-out split.sizes split.as-written",
    "split.any_fraction": "split.invalid",
    "split_data.shuffled_one_after_the_other": "split.pairs",
    "split_data.drawn_with_replacement": "split.pairs",
    "split_data.sorted_columns": "split.pairs",
    "split_data.normalized": "split.pairs",
    "split_data.in_place": "split.pure",
    "split_data.in_float64": "split.pairs@float32",
    "validated_loop.logged_after_the_update": "validation.logged",
    "validated_loop.trained_on_both": "validation.non-interference validation.logged",
    "validated_loop.stops_when_validation_rises": "validation.non-interference validation.logged",
    "validated_loop.losses_of_the_training_data": "validation.logged",
    "validated_loop.last_loss_of_every_epoch": "validation.logged",
    "validated_loop.training_losses_without_validation": "validation.none",
    "validated_loop.any_validation_shape": "validation.shapes",
    "validated_loop.validation_scaled_in_place": "validation.pure",
    "validation_loss.recorded": "validation.not-recorded",
    "validation_loss.half": "validation.not-recorded",
    "diagnose.from_training_alone": "overfitting.diagnosis",
    "diagnose.from_the_gap": "overfitting.diagnosis",
    "diagnose.against_the_first": "overfitting.diagnosis",
    "diagnose.without_tolerance": "overfitting.diagnosis",
    "diagnose.whatever_training_does": "overfitting.diagnosis",
    "diagnose.underfitting_first": "overfitting.diagnosis",
    "diagnose.any_lengths": "overfitting.lengths overfitting.not-finite",
    "diagnose.nan_is_good": "overfitting.not-finite",
    "regularized_loss.penalties_swapped": "regularization.l1 regularization.l2 regularization.sum",
    "regularized_loss.half_the_square": "regularization.l2 regularization.sum",
    "regularized_loss.size_without_the_sign": "regularization.l1 regularization.sum",
    "regularized_loss.averaged": "regularization.l1 regularization.l2 regularization.sum",
    "regularized_loss.one_or_the_other": "regularization.sum",
    "regularized_loss.any_penalty": "regularization.invalid",
    "regularized_loss.in_float64": "regularization.dtype@float32",
    "regularized_grad.not_penalized": "regularization.gradient",
    "regularized_grad.bias_penalized": "regularization.bias regularization.gradient regularization.kink",
    "regularized_grad.factor_missing": "regularization.gradient",
    "regularized_grad.size_for_the_sign": "regularization.gradient",
    "regularized_grad.divided_by_the_size": "regularization.kink",
    "regularized_grad.twice_the_slope_at_zero": "regularization.kink",
    "regularized_grad.any_penalty": "regularization.invalid",
    "ridge.bias_penalized": "regularization.ridge regularization.shrinks?",
    "ridge.sum_for_mean": "regularization.ridge",
    "ridge.penalty_doubled": "regularization.ridge",
    "ridge.bias_of_least_squares": "regularization.ridge",
    "ridge.growing": "regularization.ridge regularization.shrinks",
    "ridge.any_penalty": "regularization.invalid",
    "early_stopping.one_epoch_late": "early-stopping.patience early-stopping.best early-stopping.nan",
    "early_stopping.one_epoch_early": "early-stopping.patience early-stopping.never-triggered early-stopping.best"
    " early-stopping.nan",
    "early_stopping.ties_improve": "early-stopping.patience early-stopping.best early-stopping.nan",
    "early_stopping.nan_improves": "early-stopping.nan",
    "early_stopping.nan_not_counted": "early-stopping.nan",
    "early_stopping.against_the_previous": "early-stopping.patience early-stopping.best early-stopping.nan",
    "early_stopping.wait_never_reset": "early-stopping.patience early-stopping.never-triggered early-stopping.best"
    " early-stopping.nan",
    "early_stopping.best_is_the_last": "early-stopping.best early-stopping.nan",
    "early_stopping.best_of_all_epochs": "early-stopping.best early-stopping.nan",
    "early_stopping.best_only_if_stopped": "early-stopping.best early-stopping.nan",
    "early_stopping.any_patience": "early-stopping.invalid",
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
    "accumulated_grad.in_float32": "only numbers with many digits show it",
    "thermometer.two_readings_swapped": "it has no arguments",
    "norris.one_digit_wrong": "it has no arguments",
    "multiply.aligned_left": "a table is needed",
    "multiply.matrix_product": "tables are needed",
    "multiply.in_float16": "only numbers with many digits show it",
    "multiply.cycled": "a size that divides another is needed",
    "multiply_grad.summed_over_all": "a table is needed",
    "multiply_grad.wrong_axis": "a square table is needed",
    "multiply_grad.in_float16": "only numbers with many digits show it",
    "early_stopping.against_the_previous": "two rises and a fall between them are needed",
    "early_stopping.wait_never_reset": "two waits and an improvement between them are needed",
    "early_stopping.best_of_all_epochs": "an improvement after a stop is needed",
    "diagnose.underfitting_first": "two curves that turn are needed",
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
        SimpleNamespace(**right, **{OPERATIONS.get(operation, operation): getattr(module, name)}),
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

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
from calibrant.clauses import Property, properties
from calibrant.exact import OPTIMIZERS
from calibrant.target import Target, described
from calibrant.targets import numpy_target
from calibrant.verdicts import failure_of

TESTS = Path(__file__).parent

CHAPTERS = {
    "loss_fn": ("loss",),
    "absolute_loss": ("loss",),
    "dabsolute_loss": ("loss",),
    "dloss_fn": ("loss", "gradients"),
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
    "optimize": ("optimizers",),
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

OPERATIONS = {"validated_loop": "training_loop"}
"""The operations that are not named as the table names them: this one has faults of its own in each of two chapters."""

BESIDE = {"loss_fn": ("model",)}
"""What else the clauses on an operation call: the right one is offered."""

ADDED = "autograd.accumulates autograd.three-batches autograd.separate-graphs"
FULL = "accumulation.full-batch accumulation.partition accumulation.last-window"

FAULTS = {
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
    "optimize.sgd_minimized": "optimizer.maximize optimizer.sgd",
    "optimize.sgd_constant_decay": "optimizer.sgd.weight-decay optimizer.sgd",
    "optimize.sgd_decay_grows": "optimizer.sgd.weight-decay optimizer.sgd",
    "optimize.sgd_rate_inside": "optimizer.sgd.momentum optimizer.sgd optimizer.sgd.dampening optimizer.sgd.nesterov"
    " optimizer.changing-rate",
    "optimize.sgd_never_dampened": "optimizer.sgd.dampening optimizer.sgd",
    "optimize.sgd_always_dampened": "optimizer.sgd.dampening optimizer.sgd",
    "optimize.sgd_average": "optimizer.sgd.momentum optimizer.sgd optimizer.sgd.dampening optimizer.sgd.nesterov"
    " optimizer.sgd.weight-decay optimizer.changing-rate",
    "optimize.sgd_wrong_term": "optimizer.sgd.momentum optimizer.sgd optimizer.sgd.dampening optimizer.sgd.nesterov"
    " optimizer.sgd.weight-decay optimizer.changing-rate",
    "optimize.sgd_old_buffer": "optimizer.sgd.nesterov optimizer.sgd",
    "optimize.sgd_absent_is_zero": "optimizer.absent-gradient optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening"
    " optimizer.sgd.nesterov optimizer.sgd.weight-decay",
    "optimize.sgd_shared": "optimizer.own-state optimizer.sgd optimizer.sgd.momentum optimizer.sgd.dampening"
    " optimizer.sgd.nesterov optimizer.sgd.weight-decay optimizer.changing-rate"
    " optimizer.absent-gradient",
    "optimize.sgd_remembered": "optimizer.fresh optimizer.sgd? optimizer.sgd.momentum? optimizer.sgd.dampening?"
    " optimizer.sgd.nesterov? optimizer.sgd.weight-decay? optimizer.changing-rate?"
    " optimizer.own-state? optimizer.absent-gradient?",
    "optimize.adam_betas_swapped": "optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon optimizer.adam.amsgrad"
    " optimizer.adam.weight-decay optimizer.changing-rate",
    "optimize.adam_decoupled": "optimizer.adam.weight-decay optimizer.adam",
    "optimize.adam_not_averaged": "optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon optimizer.adam.amsgrad"
    " optimizer.adam.weight-decay optimizer.adam.first-step optimizer.changing-rate",
    "optimize.adam_one_late": "optimizer.adam.bias-correction optimizer.adam optimizer.adam.epsilon optimizer.adam.amsgrad"
    " optimizer.adam.weight-decay optimizer.adam.first-step optimizer.changing-rate",
    "optimize.adam_without_power": "optimizer.adam.bias-correction optimizer.adam optimizer.adam.epsilon optimizer.adam.amsgrad"
    " optimizer.adam.weight-decay optimizer.changing-rate",
    "optimize.adam_uncorrected": "optimizer.adam.bias-correction optimizer.adam optimizer.adam.epsilon optimizer.adam.amsgrad"
    " optimizer.adam.weight-decay optimizer.adam.first-step optimizer.changing-rate",
    "optimize.adam_amsgrad_ignored": "optimizer.adam.amsgrad optimizer.adam",
    "optimize.adam_largest_forgotten": "optimizer.adam.amsgrad optimizer.adam",
    "optimize.adam_epsilon_inside": "optimizer.adam.epsilon optimizer.adam optimizer.adam.bias-correction optimizer.adam.amsgrad"
    " optimizer.adam.weight-decay optimizer.changing-rate?",
    "optimize.adam_epsilon_hat": "optimizer.adam.epsilon optimizer.adam optimizer.adam.bias-correction optimizer.adam.amsgrad?"
    " optimizer.adam.weight-decay optimizer.changing-rate?",
    "optimize.adam_absent_counts": "optimizer.absent-gradient optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon?"
    " optimizer.adam.amsgrad optimizer.adam.weight-decay",
    "optimize.adam_shared_steps": "optimizer.own-state optimizer.adam optimizer.adam.bias-correction optimizer.adam.epsilon"
    " optimizer.adam.amsgrad optimizer.adam.weight-decay optimizer.adam.first-step"
    " optimizer.changing-rate optimizer.absent-gradient",
    "optimize.adam_any_name": "optimizer.unknown",
    "optimize.adamw_coupled": "optimizer.adamw.decoupled optimizer.adamw optimizer.changing-rate",
    "optimize.adamw_decay_without_rate": "optimizer.adamw.decoupled optimizer.adamw optimizer.changing-rate optimizer.zero-rate",
    "optimize.rmsprop_from_one": "optimizer.rmsprop optimizer.rmsprop.centered optimizer.rmsprop.momentum optimizer.changing-rate",
    "optimize.rmsprop_not_centered": "optimizer.rmsprop.centered optimizer.rmsprop",
    "optimize.rmsprop_epsilon_inside": "optimizer.rmsprop optimizer.rmsprop.centered optimizer.rmsprop.momentum optimizer.changing-rate?",
    "optimize.rmsprop_rate_inside": "optimizer.rmsprop.momentum optimizer.rmsprop optimizer.changing-rate",
    "optimize.adagrad_from_zero": "optimizer.adagrad.initial-accumulator optimizer.adagrad",
    "optimize.adagrad_decay_ignored": "optimizer.adagrad.lr-decay optimizer.adagrad",
    "optimize.adagrad_decay_at_once": "optimizer.adagrad.lr-decay optimizer.adagrad",
    "optimize.adadelta_epsilon_outside": "optimizer.adadelta optimizer.changing-rate",
    "optimize.adadelta_without_rate": "optimizer.adadelta optimizer.changing-rate optimizer.zero-rate",
    "optimize.adamax_epsilon_outside": "optimizer.adamax optimizer.changing-rate?",
    "optimize.adamax_uncorrected": "optimizer.adamax optimizer.changing-rate",
    "optimize.adamax_negated_in_place": "optimizer.gradients-kept",
    "optimize.nadam_constant": "optimizer.nadam optimizer.changing-rate",
    "optimize.nadam_no_look_ahead": "optimizer.nadam optimizer.changing-rate?",
    "optimize.radam_threshold_four": "optimizer.radam optimizer.changing-rate?",
    "optimize.radam_not_rectified": "optimizer.radam optimizer.changing-rate?",
    "optimize.radam_epsilon_outside": "optimizer.radam optimizer.changing-rate?",
    "optimize.asgd_rate_constant": "optimizer.asgd",
    "optimize.asgd_not_shrunk": "optimizer.asgd",
    "optimize.rprop_not_clamped": "optimizer.rprop",
    "optimize.rprop_steps_after_a_turn": "optimizer.rprop",
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
    "accumulated_grad.in_float32": "only numbers with many digits show it",
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
    module = importlib.import_module(f"faulty.{operation}")
    right = {other: getattr(numpy_target, other) for other in BESIDE.get(operation, ())}
    return described(
        "planted",
        SimpleNamespace(**right, **{OPERATIONS.get(operation, operation): getattr(module, name)}),
        "planted",
        10.0,
    )


def concerned(fault: str, name: str) -> bool:
    """Whether a fault can show in what is named: a fault of one optimizer in that one alone."""
    if not fault.startswith("optimize.") or name not in OPTIMIZERS:
        return True
    return fault.split(".")[1].split("_")[0] == name


def failures(prop: Property, fault: str, dtype: str, shrink: bool) -> Iterator[dict[str, Any]]:
    """What a property finds, once for each of its parameters that fails."""
    target = planted(fault)
    function = getattr(suite(prop.file, shrink), prop.function)
    for arguments in parametrized(function):
        if not concerned(fault, arguments.get("name", "")):
            continue
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
        if chapter in CHAPTERS[fault.split(".")[0]] and concerned(fault, prop.clause.split(".")[1]):
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

    named = {(operation, name) for operation, name in (fault.split(".") for fault in FAULTS)}

    assert written == named

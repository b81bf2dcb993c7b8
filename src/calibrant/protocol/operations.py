"""The operations that a target may provide: one record each."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

FORMULAS = "CALIBRANT_FORMULAS"
"""The environment variable by which every process of a check knows the formulas that it is about, as JSON."""

IMPORT_PATIENCE = 6
"""The time limit of an import, in time limits of a call."""


@dataclass(frozen=True)
class Operation:
    """One operation. Targets, impostors, vectors, programs and the book's table of operations follow this record."""

    name: str
    parameters: tuple[str, ...]
    """The names of the arguments; one with a star stands for any number of them. A caller may omit the last ones."""
    chapters: tuple[str, ...]
    """The chapters whose clauses concern it."""
    parts: tuple[str, ...] = ()
    """The names of the arrays in the tuple that it returns."""
    depths: tuple[int, ...] = ()
    """Of each of them: the depth of the lists in which the arrays lie, 0 for an array. In a record, a star after the name is a list."""
    lists: int = 0
    """The depth of the lists that it returns. Their innermost elements are arrays or None."""
    returns: Literal["numbers", "shape", "word", "figures"] = "numbers"
    """The kind of its answer: arrays, or something that no array holds."""
    takes_functions: bool = False
    """Whether it takes functions. A program in another language gets straight-line programs, and no file holds its arguments."""
    starts_processes: bool = False
    """Whether it may start processes, which import the target's libraries again."""
    beside: tuple[str, ...] = ()
    """Other operations that its clauses call."""
    conventions: tuple[str, ...] = ()
    """The conventions that change its answer, apart from an optimizer's own."""

    @property
    def in_files(self) -> bool:
        """Whether a file can hold its arguments and its answer."""
        return not self.takes_functions and self.returns != "figures"

    @property
    def starred(self) -> bool:
        """Whether it takes any number of arguments."""
        return any(name.startswith("*") for name in self.parameters)

    def named(self, arguments: Sequence[Any]) -> dict[str, Any]:
        """The arguments of a call by their names. A starred parameter names the list of all of them."""
        if self.starred:
            return {self.parameters[0][1:]: list(arguments)}
        return dict(zip(self.parameters, arguments, strict=False))

    def patience(self, timeout: float) -> float:
        """The time limit of a call in seconds, for a target whose time limit is `timeout`."""
        return timeout * IMPORT_PATIENCE if self.starts_processes else timeout


def _record(signature: str, chapters: str, conventions: str = "", parts: str = "", **about: Any) -> Operation:
    name, _, parameters = signature.removesuffix(")").partition("(")
    about["conventions"] = _words(conventions)
    about["depths"] = tuple(part.count("*") for part in _words(parts))
    return Operation(name, _words(parameters), _words(chapters), _words(parts.replace("*", "")), **about)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


_SCALE = "loss.scale"
_GIVEN = "arithmetic.hyperparameters"
_BOTH = f"{_SCALE}, {_GIVEN}"
_SCHEDULE = f"schedule.warm-up-count, schedule.after-cosine, {_GIVEN}"
_CLIP = f"clip.epsilon, {_GIVEN}"

_RECORDS = (
    _record("thermometer()", "data", parts="t_u, t_c"),
    _record("norris()", "data", parts="x, y"),
    _record("least_squares(t_u, t_c)", "data"),
    _record("figures()", "data", _BOTH, returns="figures"),
    _record("model(t_u, w, b)", "model"),
    _record("loss_fn(t_p, t_c)", "loss", _SCALE, beside=("model",)),
    _record("absolute_loss(t_p, t_c)", "loss", _SCALE, beside=("model",)),
    _record("dabsolute_loss(t_p, t_c)", "loss", _SCALE),
    _record("dloss_fn(t_p, t_c)", "loss, gradients", _SCALE),
    _record("dmodel_dw(t_u, w, b)", "gradients"),
    _record("dmodel_db(t_u, w, b)", "gradients"),
    _record("grad_fn(t_u, t_c, t_p, w, b)", "gradients", _SCALE),
    _record("finite_difference(t_u, t_c, w, b, delta)", "gradients", _SCALE),
    _record("difference_gradient(loss, params, delta)", "gradients", takes_functions=True),
    _record("automatic_gradient(loss, params)", "autograd, gradients", parts="loss, grad", takes_functions=True),
    _record("value_and_grad(params, t_u, t_c)", "gradients", _SCALE, parts="loss, grad"),
    _record(
        "training_loop(n_epochs, optimizer, params, t_u, t_c, val_t_u, val_t_c)",
        "data, descent, validation",
        _BOTH,
        parts="params, train_losses, val_losses",
    ),
    _record("closed_form(n_epochs, learning_rate, params, t_u, t_c)", "descent", _BOTH),
    _record("broadcast_shapes(*shapes)", "broadcasting", returns="shape"),
    _record("multiply(x, y)", "broadcasting"),
    _record("multiply_in_place(x, y)", "broadcasting"),
    _record("expand(x, shape)", "broadcasting", parts="expanded, strides, shared"),
    _record("multiply_grad(x, y, upstream)", "broadcasting", parts="grad_x, grad_y"),
    _record("backward(losses, params, zero_grad)", "autograd", lists=2, takes_functions=True),
    _record("backward_shared(losses, params, order)", "autograd", lists=1, takes_functions=True),
    _record(
        "descend(loss, params, learning_rate, n_steps, no_grad)", "autograd", _GIVEN, lists=2, takes_functions=True
    ),
    _record(
        "manual_training_loop(n_epochs, learning_rate, params, t_u, t_c)",
        "autograd",
        _BOTH,
        parts="params, losses",
    ),
    _record("evaluate(loss, params, is_train)", "autograd", lists=1, takes_functions=True),
    _record("calc_forward(params, t_u, t_c, is_train)", "autograd", _SCALE, lists=1),
    _record("accumulate(params, batches, zero_grad)", "accumulation", _SCALE),
    _record("accumulated_grad(params, batches)", "accumulation", _SCALE),
    _record(
        "data_parallel(params, shards, n_epochs, lr)",
        "accumulation",
        _BOTH,
        parts="grad, params",
        starts_processes=True,
    ),
    _record("optimize(name, hyperparameters, params, grads)", "optimizers", f"gradients.absent, {_GIVEN}", lists=2),
    _record(
        "optimize_rows(name, hyperparameters, table, rows, grads)", "optimizers", f"lazy.epsilon, {_GIVEN}", lists=1
    ),
    _record(
        "lbfgs(hyperparameters, params, hessian, slope, n_steps)",
        "optimizers",
        f"lbfgs.first-rate, lbfgs.curvature, {_GIVEN}",
        lists=2,
    ),
    _record("split(n_samples, val_fraction, seed)", "validation", "split.rounding", parts="train_indices, val_indices"),
    _record(
        "split_data(t_u, t_c, val_fraction, seed)",
        "validation",
        "split.rounding",
        parts="train_t_u, train_t_c, val_t_u, val_t_c",
    ),
    _record("validation_loss(params, t_u, t_c)", "validation", _SCALE, parts="loss, recorded"),
    _record("regularized_loss(t_p, t_c, w, l1, l2)", "validation", _BOTH),
    _record("regularized_grad(t_u, t_c, w, b, l1, l2)", "validation", _BOTH),
    _record("ridge(t_u, t_c, l2)", "validation", _SCALE),
    _record("early_stopping(val_losses, patience)", "validation", parts="stopped_epoch, best_epoch"),
    _record("diagnose(train_losses, val_losses)", "validation", returns="word"),
    _record("schedule(name, hyperparameters, n_steps)", "training", _SCHEDULE),
    _record("plateau(val_losses, lr, hyperparameters)", "training", f"schedule.patience, {_GIVEN}"),
    _record("clip_by_norm(grads, max_norm, norm_type)", "training", _CLIP, parts="norm, grads*"),
    _record("clip_by_value(grads, limit)", "training", _GIVEN, lists=1),
    _record("clip_shards(shards, replicated, max_norm)", "training", _CLIP, parts="norm, shards**"),
    _record("average(name, hyperparameters, path)", "training", _GIVEN, lists=2),
    _record("optimize_groups(name, hyperparameters, params, grads)", "training", _GIVEN, lists=2),
    _record(
        "resume(name, hyperparameters, params, grads, after, changed)",
        "training",
        f"gradients.absent, resume.hyperparameters, {_GIVEN}",
        lists=2,
    ),
    _record("accumulate_and_step(name, hyperparameters, params, grads, every)", "training", _GIVEN, lists=2),
    _record("scaled_steps(name, hyperparameters, params, grads, scale, max_norm)", "training", _CLIP, lists=2),
    _record("minibatches(n_samples, batch_size, shuffle, seed, drop_last, epochs)", "training", lists=2),
    _record("train_minibatches(optimizer, params, t_u, t_c, batches)", "training", _BOTH, parts="params, losses"),
)
OPERATIONS = {one.name: one for one in _RECORDS}
"""All operations by name, in the order of the protocol."""


GRADIENT = "_vjp"
"""The end of the name of the operation that is a formula's gradient."""


def of_formulas(signatures: Mapping[str, Sequence[str]]) -> dict[str, Operation]:
    """The operations of formulas, by the names of their arguments: `layer_norm(x, w, b, eps)`, and `layer_norm_vjp(x, w, b, eps, upstream)`."""
    return {
        one.name: one
        for name, parameters in signatures.items()
        for one in (
            Operation(name, tuple(parameters), ("layers",)),
            Operation(name + GRADIENT, (*parameters, "upstream"), ("layers",), lists=1),
        )
    }


def checked_formulas() -> dict[str, Any]:
    """The formulas that this process's check is about: their source, the arguments of each, shapes that are given, the framework that differentiates; empty without any."""
    said: dict[str, Any] = json.loads(os.environ.get(FORMULAS) or "{}")
    return said


def join_formulas() -> None:
    """Let the operations of the formulas that this process's check is about be operations."""
    OPERATIONS.update(of_formulas(checked_formulas().get("operations", {})))

"""The operations that a target may be asked, and what each takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PARAMETERS = {
    "thermometer": (),
    "norris": (),
    "least_squares": ("t_u", "t_c"),
    "figures": (),
    "model": ("t_u", "w", "b"),
    "loss_fn": ("t_p", "t_c"),
    "absolute_loss": ("t_p", "t_c"),
    "dabsolute_loss": ("t_p", "t_c"),
    "dloss_fn": ("t_p", "t_c"),
    "dmodel_dw": ("t_u", "w", "b"),
    "dmodel_db": ("t_u", "w", "b"),
    "grad_fn": ("t_u", "t_c", "t_p", "w", "b"),
    "finite_difference": ("t_u", "t_c", "w", "b", "delta"),
    "difference_gradient": ("loss", "params", "delta"),
    "automatic_gradient": ("loss", "params"),
    "value_and_grad": ("params", "t_u", "t_c"),
    "training_loop": ("n_epochs", "optimizer", "params", "t_u", "t_c", "val_t_u", "val_t_c"),
    "closed_form": ("n_epochs", "learning_rate", "params", "t_u", "t_c"),
    # broadcasting
    "broadcast_shapes": ("*shapes",),
    "multiply": ("x", "y"),
    "multiply_in_place": ("x", "y"),
    "expand": ("x", "shape"),
    "multiply_grad": ("x", "y", "upstream"),
    # autograd
    "backward": ("losses", "params", "zero_grad"),
    "descend": ("loss", "params", "learning_rate", "n_steps", "no_grad"),
    "manual_training_loop": ("n_epochs", "learning_rate", "params", "t_u", "t_c"),
    "evaluate": ("loss", "params", "is_train"),
    "calc_forward": ("params", "t_u", "t_c", "is_train"),
    # accumulation
    "accumulate": ("params", "batches", "zero_grad"),
    "accumulated_grad": ("params", "batches"),
    "data_parallel": ("params", "shards", "n_epochs", "lr"),
    # optimizers
    "optimize": ("name", "hyperparameters", "params", "grads"),
    # validation
    "split": ("n_samples", "val_fraction", "seed"),
    "split_data": ("t_u", "t_c", "val_fraction", "seed"),
    "validation_loss": ("params", "t_u", "t_c"),
    "regularized_loss": ("t_p", "t_c", "w", "l1", "l2"),
    "regularized_grad": ("t_u", "t_c", "w", "b", "l1", "l2"),
    "ridge": ("t_u", "t_c", "l2"),
    "early_stopping": ("val_losses", "patience"),
    "diagnose": ("train_losses", "val_losses"),
}
"""The operations that are judged, each with the names of its arguments; one with a star stands for any number of them.

A property may leave out the last arguments of an operation that has defaults for them.
"""

RETURNS = {
    "thermometer": ("t_u", "t_c"),
    "norris": ("x", "y"),
    "automatic_gradient": ("loss", "grad"),
    "value_and_grad": ("loss", "grad"),
    "training_loop": ("params", "train_losses", "val_losses"),
    "expand": ("expanded", "strides", "shared"),
    "multiply_grad": ("grad_x", "grad_y"),
    "manual_training_loop": ("params", "losses"),
    "data_parallel": ("grad", "params"),
    "split": ("train_indices", "val_indices"),
    "split_data": ("train_t_u", "train_t_c", "val_t_u", "val_t_c"),
    "validation_loss": ("loss", "recorded"),
    "early_stopping": ("stopped_epoch", "best_epoch"),
}
"""The operations that return a tuple of arrays and not one array; `figures` returns what no array holds."""

LISTS = {"optimize": 2, "backward": 2, "descend": 2, "evaluate": 1, "calc_forward": 1}
"""The operations that return lists of arrays, or lists of such lists: how deep. In the place of an array, None may stand."""

STARTING = ("data_parallel",)
"""The operations that may start processes, which then import what the target did."""

IMPORT_PATIENCE = 6
"""An import may take this many times as long as a call."""

FUNCTIONS = ("difference_gradient", "automatic_gradient", "backward", "descend", "evaluate")
"""The operations that take functions of Python's, so that no program in another language can have them."""

SHAPES = ("broadcast_shapes",)
"""The operations that return a shape."""

WORDS = ("diagnose",)
"""The operations that return a word."""


def by_name(operation: str, arguments: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a call by their names; any number of them is a list."""
    names = PARAMETERS[operation]
    if names and names[0].startswith("*"):
        return {names[0][1:]: list(arguments)}
    return dict(zip(names, arguments, strict=False))


def patience(operation: str, timeout: float) -> float:
    """The seconds that a call of an operation may take, where most may take `timeout`."""
    return timeout * IMPORT_PATIENCE if operation in STARTING else timeout

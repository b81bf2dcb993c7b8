"""The reference: calibrant's own `mechanics`, in PyTorch, by the names of the protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from calibrant import __version__
from calibrant.mechanics import descent
from calibrant.mechanics.data import least_squares, norris, thermometer
from calibrant.mechanics.descent import closed_form
from calibrant.mechanics.gradients import (
    automatic_gradient,
    difference_gradient,
    dloss_fn,
    dmodel_db,
    dmodel_dw,
    finite_difference,
    grad_fn,
    value_and_grad,
)
from calibrant.mechanics.loss import absolute_loss, dabsolute_loss, loss_fn
from calibrant.mechanics.model import model
from calibrant.targets.workers import Workers

__all__ = [
    "absolute_loss",
    "automatic_gradient",
    "closed_form",
    "dabsolute_loss",
    "data_parallel",
    "difference_gradient",
    "dloss_fn",
    "dmodel_db",
    "dmodel_dw",
    "figures",
    "finite_difference",
    "grad_fn",
    "least_squares",
    "loss_fn",
    "model",
    "norris",
    "thermometer",
    "training_loop",
    "value_and_grad",
]

name = "reference"
version = f"{__version__}, torch {torch.__version__}"


def asarray(x: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the array's memory."""
    if x.dtype.name == "bfloat16":
        return torch.from_numpy(x.view(np.uint16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def to_numpy(x: Any) -> np.ndarray[Any, Any]:
    """The tensor's values; bfloat16 takes the dtype that ml_dtypes gives NumPy."""
    if not isinstance(x, Tensor):
        return np.asarray(x)
    if x.dtype == torch.bfloat16:
        return x.detach().view(torch.uint16).numpy().view(np.dtype("bfloat16"))
    return x.detach().numpy()


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    val_t_u: Tensor | None = None,
    val_t_c: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The hand-derived loop of the chapter on descent: plain SGD, without validation."""
    options = dict(optimizer)
    if options.pop("name") != "sgd" or set(options) != {"lr"} or val_t_u is not None or val_t_c is not None:
        raise NotImplementedError("only plain SGD without validation data")
    return *descent.training_loop(n_epochs, options["lr"], params, t_u, t_c), []


_workers = Workers()


def data_parallel(
    params: Tensor, shards: list[tuple[Tensor, Tensor]], n_epochs: int, lr: float
) -> tuple[Tensor, Tensor]:
    """What workers, a process for each shard, make of the shards together."""
    return _workers.ask(params, shards, n_epochs, lr)


def figures() -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    """What the book's figures show."""
    from calibrant.spec.figures import series

    shown: dict[str, dict[str, tuple[list[float], list[float]]]] = series()
    return shown

"""Validation: rows that the fit never sees, and what their loss says about the fit.

n samples; t_u (readings, unknown units) and t_c (°C) are (n,); losses are scalars in squared °C, one an epoch.
"""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import torch
from torch import Tensor

from calibrant.mechanics import model as line
from calibrant.mechanics.autograd import Optimizer, require_leaf
from calibrant.mechanics.data import require_data
from calibrant.mechanics.descent import require_descent
from calibrant.mechanics.loss import loss_fn


def split(n_samples: int, val_fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """The rows for training and the rows for validation, shuffled: (train_indices, val_indices).  [split.partition, split.random]

    The generator is the split's own  [split.seeded, split.global-state]; the fraction is the decimal as written
    [split.as-written]. Raises ValueError for a negative number of samples or a fraction outside [0, 1]  [split.invalid].
    """
    if n_samples < 0:
        raise ValueError(f"n_samples is {n_samples}: it cannot be negative")
    if not 0 <= val_fraction <= 1:
        raise ValueError(f"val_fraction is {val_fraction}: it must lie between 0 and 1")
    n_val = int(Fraction(str(float(val_fraction))) * n_samples)
    shuffled = torch.randperm(n_samples, generator=torch.Generator().manual_seed(seed))
    n_train = n_samples - n_val  # shuffled[:-n_val] would be nothing where n_val is 0  [split.none-held-out]
    return shuffled[:n_train], shuffled[n_train:]


def split_data(t_u: Tensor, t_c: Tensor, val_fraction: float, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same rows of both columns: (train_t_u, train_t_c, val_t_u, val_t_c).  [split.pairs]

    Raises ValueError as `require_data` and `split` do.
    """
    require_data(t_u, t_c)
    train, val = split(len(t_u), val_fraction, seed)
    return t_u[train], t_c[train], t_u[val], t_c[val]


def validation_loss(params: Tensor, t_u: Tensor, t_c: Tensor, model: Callable[..., Tensor] = line.model) -> Tensor:
    """The loss at params, a scalar without a graph.  [validation.value, validation.not-recorded]"""
    with torch.no_grad():
        return loss_fn(model(t_u, *params), t_c)


def training_loop(
    n_epochs: int,
    optimizer: Optimizer,
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    *,
    val_t_u: Tensor,
    val_t_c: Tensor,
    model: Callable[..., Tensor] = line.model,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Train params, which the optimizer holds, in place: (params, train_losses, val_losses).  [validation.logged]

    Both losses of an epoch belong to the parameters before its step [validation.non-interference]. The validation data are
    named, so that a call with the four columns in another order is refused. Raises ValueError for a
    refused schedule, data of either kind [validation.shapes, validation.columns], or leaf.
    """
    require_descent(n_epochs, 0.0)
    require_data(t_u, t_c)
    require_data(val_t_u, val_t_c)
    require_leaf(params)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        train_loss = loss_fn(model(t_u, *params), t_c)
        train_losses.append(train_loss.detach())
        val_losses.append(validation_loss(params, val_t_u, val_t_c, model))
        optimizer.zero_grad()
        train_loss.backward()
        optimizer.step()
    return params.detach().clone(), train_losses, val_losses


def early_stopping(val_losses: Sequence[float] | Tensor, patience: int) -> tuple[int, int]:
    """The last epoch and the best epoch until then, counted from 0: (stopped_epoch, best_epoch).

    It stops once `patience` epochs in a row have not lowered the best loss  [early-stopping.patience], or after the last
    [early-stopping.never-triggered]; only finite losses count, and without one epoch 0 is best  [early-stopping.nan]. Raises
    ValueError for no losses, or a patience that is not positive  [early-stopping.invalid].
    """
    if len(val_losses) == 0:
        raise ValueError("val_losses is empty: there is no best epoch")
    if patience < 1:
        raise ValueError(f"patience is {patience}: it must be 1 at least")
    lowest, best_epoch, waited = math.inf, 0, 0
    for epoch, loss in enumerate(map(float, val_losses)):
        waited += 1
        if math.isfinite(loss) and loss < lowest:
            lowest, best_epoch, waited = loss, epoch, 0
        if waited == patience:
            break
    return epoch, best_epoch


def diagnose(train_losses: Sequence[float] | Tensor, val_losses: Sequence[float] | Tensor) -> str:
    """ "overfitting", "underfitting" or "good", by the table of the chapter.  [overfitting.diagnosis]

    Raises ValueError unless both have as many losses  [overfitting.lengths], one at least  [overfitting.empty], and all are finite
    [overfitting.not-finite].
    """
    train, val = [float(loss) for loss in train_losses], [float(loss) for loss in val_losses]
    if not train or len(train) != len(val):
        counts = f"{len(train)} training and {len(val)} validation losses"
        raise ValueError(f"there are {counts}: each epoch has one of each")
    if not all(map(math.isfinite, train + val)):
        raise ValueError("train_losses or val_losses are not finite: a run that diverged is none of the three")
    best = val.index(min(val))
    if train[-1] < train[best] and val[-1] > 1.125 * val[best]:
        return "overfitting"
    return "underfitting" if train[-1] > 0.125 * train[0] else "good"

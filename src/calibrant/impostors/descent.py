"""Impostors of the chapter on descent: training loops, and the closed form of where they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from calibrant.impostors.rights import rounded

# The frame of a wrong loop


@dataclass
class Run:
    """A training loop under way, over either kind of numbers, before the step of an epoch."""

    right: Any
    rate: Any
    params: Any
    t_u: Any
    t_c: Any
    val_t_u: Any = None
    val_t_c: Any = None
    epoch: int = 0
    kept: Any = None
    """What a wrong step carries from one epoch to the next; None before the first."""

    def loss(self) -> Any:
        """The loss of the training data."""
        return self.right.loss_fn(self.right.model(self.t_u, *self.params), self.t_c)

    def gradient(self) -> Any:
        """The gradient of the training data."""
        return self.right.grad_fn(self.t_u, self.t_c, self.right.model(self.t_u, *self.params), *self.params)

    def validation(self) -> Run:
        """The same with the validation data in the place of the training data."""
        return Run(self.right, self.rate, self.params, self.val_t_u, self.val_t_c)

    def step(self) -> Any:
        """The parameters after the right step."""
        return self.params - self.rate * self.gradient()

    def validation_loss(self) -> Any:
        """The loss of the validation data."""
        return self.validation().loss()


Hook = Callable[[Run], Any]


def loop(
    right: Any,
    n_epochs: int,
    optimizer: Any,
    params: Any,
    t_u: Any,
    t_c: Any,
    val_t_u: Any = None,
    val_t_c: Any = None,
    *,
    step: Hook = Run.step,
    loss: Hook = Run.loss,
    val_loss: Hook = Run.validation_loss,
) -> Any:
    """Plain descent with something else in the place of one of its parts: (params, losses, validation losses).

    Each part is asked once an epoch, of the run as it stands before the step: what is logged, and the parameters after the
    step. What is not plain descent is done rightly.
    """
    right(min(n_epochs, 0), optimizer, params, t_u, t_c, val_t_u, val_t_c)  # it refuses what must be refused
    if set(optimizer) - {"name", "lr"} or optimizer["name"] != "sgd":
        return right(n_epochs, optimizer, params, t_u, t_c, val_t_u, val_t_c)
    run = Run(right, rounded(optimizer["lr"], params), params, t_u, t_c, val_t_u, val_t_c)
    losses, val_losses = [], []
    for run.epoch in range(n_epochs):
        losses.append(loss(run))
        if val_t_u is not None:
            val_losses.append(val_loss(run))
        run.params = step(run)
    return run.params * 1, losses, val_losses

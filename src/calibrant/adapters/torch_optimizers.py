"""Walks of torch.optim's optimizers: by steps, in groups, over rows, by L-BFGS, and after a pause. Nothing here computes."""

from __future__ import annotations

import io
from typing import Any

import torch
import torch._dynamo  # torch.optim imports it within the first step, which takes seconds: better here than in a call
from torch import Tensor

from calibrant.adapters.hyperparameters import at_first, rates_of

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "adadelta": torch.optim.Adadelta,
    "adamax": torch.optim.Adamax,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "asgd": torch.optim.ASGD,
    "rprop": torch.optim.Rprop,
    "adafactor": torch.optim.Adafactor,
    "muon": torch.optim.Muon,
}


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Tensor], grads: list[list[Tensor | None]]
) -> list[list[Tensor]]:
    """The parameters after each step of one of torch.optim's optimizers on these gradients."""
    rates_of(hyperparameters, len(grads))
    steps = Steps(name, [hyperparameters], params, together=True)
    return [steps.step(step) for step in grads]


def optimizer_of(name: str, params: list[Any], hyperparameters: dict[str, Any]) -> torch.optim.Optimizer:
    """One of torch.optim's optimizers, by the book's name."""
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"torch.optim has no {name}")
    if name == "muon" and "maximize" in hyperparameters:
        hyperparameters = dict(hyperparameters)
        if hyperparameters.pop("maximize"):
            raise NotImplementedError("torch.optim.Muon does not maximize")
    made: torch.optim.Optimizer = OPTIMIZERS[name](params, **hyperparameters)
    return made


class Steps:
    """One of torch.optim's optimizers on leaves of its own; a rate may be a list, one for each step."""

    def __init__(self, name: str, groups: list[dict[str, Any]], params: list[Tensor], together: bool) -> None:
        self.leaves = [x.detach().clone().requires_grad_() for x in params]
        self.rates = [g["lr"] if isinstance(g.get("lr"), list) else None for g in groups]
        own = [at_first(g) for g in groups]
        given: list[Any] = [{"params": [p], **g} for p, g in zip(self.leaves, own, strict=False)]
        if not together and len(groups) != len(params):
            raise ValueError(f"there are {len(groups)} groups for {len(params)} parameters")
        self.optimizer = optimizer_of(name, self.leaves, own[0]) if together else optimizer_of(name, given, {})
        self.n_steps = 0

    def set_rates(self) -> None:
        """Set the rates of the next step."""
        for group, rates in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = group["lr"] if rates is None else rates[self.n_steps]

    def step(self, grads: list[Tensor | None]) -> list[Tensor]:
        """The parameters after a step along these gradients."""
        self.set_rates()
        for leaf, grad in zip(self.leaves, grads, strict=True):
            leaf.grad = None if grad is None else grad.clone()
        self.optimizer.step()
        self.n_steps += 1
        return self.now()

    def now(self) -> list[Tensor]:
        """Copies of the parameters."""
        return [leaf.detach().clone() for leaf in self.leaves]


def optimize_groups(
    name: str, hyperparameters: list[dict[str, Any]], params: list[Tensor], grads: list[list[Tensor | None]]
) -> list[list[Tensor]]:
    """The parameters after each step of an optimizer with a parameter group for each."""
    steps = Steps(name, hyperparameters, params, together=False)
    return [steps.step(step) for step in grads]


def optimize_rows(
    name: str, hyperparameters: dict[str, Any], table: Tensor, rows: list[list[int]], grads: list[Tensor]
) -> list[Tensor]:
    """The table after each step of torch.optim.SparseAdam, whose gradients are sparse."""
    settings = dict(hyperparameters)
    rates, _ = rates_of({"lr": settings.pop("lr", 1e-3)}, len(rows))
    leaf = table.clone().requires_grad_()
    optimizer, path = {"sparse_adam": torch.optim.SparseAdam}[name]([leaf], **settings), []
    for rate, some, g in zip(rates, rows, grads, strict=True):
        leaf.grad = torch.sparse_coo_tensor(torch.tensor([some], dtype=torch.int64), g, leaf.shape)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        path.append(leaf.detach().clone())
    return path


def lbfgs(
    hyperparameters: dict[str, Any], params: Tensor, hessian: Tensor, slope: Tensor, n_steps: int
) -> list[tuple[Tensor, Tensor, int]]:
    """The parameters, the loss and the evaluations of each step of torch.optim.LBFGS."""
    settings = dict(hyperparameters)
    rates, _ = rates_of({"lr": settings.pop("lr", 1.0)}, n_steps)
    leaf = params.clone().requires_grad_()
    optimizer, path, losses = torch.optim.LBFGS([leaf], **settings), [], list[Tensor]()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = 0.5 * leaf @ hessian @ leaf + slope @ leaf
        loss.backward()
        losses.append(loss)
        return loss

    for rate in rates:
        losses.clear()
        optimizer.param_groups[0]["lr"] = rate
        loss = optimizer.step(closure).detach()
        path.append((leaf.detach().clone(), loss, len(losses)))
    return path


def resume(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Tensor],
    grads: list[list[Tensor | None]],
    after: int,
    changed: dict[str, Any],
) -> list[list[Tensor]]:
    """The parameters after each step; a second optimizer loads the state_dict of the first, from bytes, and goes on."""
    first = Steps(name, [hyperparameters], params, together=True)
    path = [first.step(step) for step in grads[:after]]
    file = io.BytesIO()
    torch.save(first.optimizer.state_dict(), file)
    file.seek(0)
    second = Steps(name, [{**hyperparameters, **changed}], first.now(), together=True)
    second.optimizer.load_state_dict(torch.load(file))
    second.rates, second.n_steps = first.rates, first.n_steps
    return path + [second.step(step) for step in grads[after:]]

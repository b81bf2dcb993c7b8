"""What PyTorch has around its optimizers: schedules, clipping, averages, windows, loss scaling, batches. Nothing here computes."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch._dynamo  # torch.optim imports it within the first step, which takes seconds: better here than in a call
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from calibrant.adapters.torch_optimizers import Steps, optimizer_of

# Schedules and clipping

SCHEDULERS: dict[str, Any] = {
    "constant": torch.optim.lr_scheduler.ConstantLR,
    "linear": torch.optim.lr_scheduler.LinearLR,
    "step": torch.optim.lr_scheduler.StepLR,
    "multistep": torch.optim.lr_scheduler.MultiStepLR,
    "exponential": torch.optim.lr_scheduler.ExponentialLR,
    "polynomial": torch.optim.lr_scheduler.PolynomialLR,
    "cosine": torch.optim.lr_scheduler.CosineAnnealingLR,
    "cosine_restarts": torch.optim.lr_scheduler.CosineAnnealingWarmRestarts,
    "one_cycle": functools.partial(torch.optim.lr_scheduler.OneCycleLR, cycle_momentum=False),
    "cyclic": functools.partial(torch.optim.lr_scheduler.CyclicLR, cycle_momentum=False),
}


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Tensor:
    """The rates that a scheduler sets before each step; a warm-up is a LinearLR, and a sequence a SequentialLR."""
    settings = dict(hyperparameters)
    n_warm = settings.pop("warmup_steps", 0)
    if n_warm < 0:
        raise ValueError(f"warmup_steps is {n_warm}")
    parts = [{"name": name, **settings}] if name != "sequence" else settings["schedules"]
    starts = [0] if name != "sequence" else [0, *settings["milestones"]]
    if n_warm and not {part["name"] for part in parts[:1]} <= _FROM_THE_PEAK:
        raise NotImplementedError(f"a LinearLR does not end at the first rate of {parts[0]['name']}")
    rates: set[Any] = {part.get("lr", part.get("max_lr")) for part in parts}
    if len(rates) > 1:
        raise NotImplementedError("a SequentialLR has one rate")
    if any("warmup_steps" in part for part in parts):
        raise NotImplementedError("a SequentialLR in a SequentialLR begins with a rate of its own")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rates.pop())
    schedulers = [_scheduler(optimizer, dict(part)) for part in parts]
    if n_warm:
        schedulers.insert(0, _warming(optimizer, n_warm))
        starts = [0, *(start + n_warm for start in starts)]
    scheduler = schedulers[0]
    if len(schedulers) > 1:
        scheduler = torch.optim.lr_scheduler.SequentialLR(optimizer, schedulers, milestones=starts[1:])
    found = []
    for t in range(n_steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        if t < n_steps - 1:
            optimizer.step()
            scheduler.step()
    return torch.tensor(found, dtype=torch.float64)


_FROM_THE_PEAK = {"step", "multistep", "exponential", "polynomial", "cosine", "cosine_restarts"}
"""The schedules whose first rate is `lr`."""


def _scheduler(optimizer: torch.optim.Optimizer, part: dict[str, Any]) -> Any:
    name = part.pop("name")
    if name not in SCHEDULERS:
        raise NotImplementedError(f"torch.optim.lr_scheduler has no {name}")
    part.pop("lr", None)
    return SCHEDULERS[name](optimizer, **part)


def _warming(optimizer: torch.optim.Optimizer, n_warm: int) -> Any:
    if n_warm == 1:
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    return torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / n_warm, total_iters=n_warm - 1)


def plateau(val_losses: Tensor, lr: float, hyperparameters: dict[str, Any]) -> list[float]:
    """The rate after each loss that ReduceLROnPlateau sees."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, **hyperparameters)
    rates = []
    for loss in val_losses:
        scheduler.step(loss)
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


def clip_by_norm(grads: list[Tensor], max_norm: float, norm_type: float) -> tuple[Tensor, list[Tensor]]:
    """torch.nn.utils.clip_grad_norm_."""
    leaves = _with_grads(grads)
    norm = torch.nn.utils.clip_grad_norm_(leaves, max_norm, norm_type)
    return norm, [leaf.grad for leaf in leaves if leaf.grad is not None]


def clip_by_value(grads: list[Tensor], limit: float) -> list[Tensor]:
    """torch.nn.utils.clip_grad_value_."""
    leaves = _with_grads(grads)
    torch.nn.utils.clip_grad_value_(leaves, limit)
    return [leaf.grad for leaf in leaves if leaf.grad is not None]


def _with_grads(grads: list[Tensor]) -> list[Tensor]:
    leaves = [torch.zeros_like(g, requires_grad=True) for g in grads]
    for leaf, g in zip(leaves, grads, strict=True):
        leaf.grad = g.clone()
    return leaves


# Averages


def average(name: str, hyperparameters: dict[str, Any], path: list[list[Tensor]]) -> list[list[Tensor]]:
    """torch.optim.swa_utils.AveragedModel of the parameters, with its exponential or its plain average."""
    options = dict(hyperparameters)
    every = options.pop("every", 1)
    if every < 1:
        raise ValueError(f"every is {every}")
    if name == "ema" and not (options.pop("bias_correction", False) or options.pop("warmup", False)):
        function = get_ema_multi_avg_fn(options.pop("decay", 0.999))
    elif name == "swa":
        function = get_swa_multi_avg_fn()
    else:
        raise NotImplementedError(f"torch.optim.swa_utils has no such average as {name}")
    if options:
        raise TypeError(f"unexpected hyperparameters: {options}")
    if not path:
        return []
    live = torch.nn.ParameterList([p.clone() for p in path[0]])
    averaged, averages = AveragedModel(live, multi_avg_fn=function), []
    for i, step in enumerate(path):
        with torch.no_grad():
            for leaf, p in zip(live, step, strict=True):
                leaf.copy_(p)
        if i % every == 0:
            averaged.update_parameters(live)
        averages.append([p.detach().clone() for p in averaged.module.parameters()])
    return averages


# Windows, and losses that are scaled


def accumulate_and_step(
    name: str, hyperparameters: dict[str, Any], params: list[Tensor], grads: list[list[Tensor]], every: int
) -> list[list[Tensor]]:
    """The parameters after each micro-batch of PyTorch's usual loop: each gradient over the size of its window, and then a step."""
    steps, path = Steps(name, [hyperparameters], params, together=True), []
    for number, step in enumerate(grads):
        size = min(every, len(grads) - number // every * every)
        for leaf, grad in zip(steps.leaves, step, strict=True):
            (leaf * (grad / size)).sum().backward()
        if (number + 1) % every == 0 or number + 1 == len(grads):
            steps.set_rates()
            steps.optimizer.step()
            steps.optimizer.zero_grad()
            steps.n_steps += 1
        path.append(steps.now())
    return path


def scaled_steps(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Tensor],
    grads: list[list[Tensor]],
    scale: dict[str, Any],
    max_norm: float | None,
) -> list[list[Tensor]]:
    """After each step the parameters and the scale of torch.amp.GradScaler, on a CPU. It does not unscale gradients in half formats."""
    if params[0].dtype not in (torch.float32, torch.float64):
        raise NotImplementedError(f"torch.amp.GradScaler does not unscale {params[0].dtype}")
    steps, path = Steps(name, [hyperparameters], params, together=True), []
    scaler = torch.amp.GradScaler("cpu", **scale)
    for step in grads:
        scaler.scale(torch.zeros(()))  # makes the scale, as the first loss does
        for leaf, grad in zip(steps.leaves, step, strict=True):
            leaf.grad = grad * scaler.get_scale()
        steps.set_rates()
        scaler.unscale_(steps.optimizer)
        if max_norm is not None:
            torch.nn.utils.clip_grad_norm_(steps.leaves, max_norm)
        before = scaler.get_scale()
        scaler.step(steps.optimizer)
        scaler.update()
        steps.n_steps += scaler.get_scale() >= before  # as PyTorch's forums advise: no schedule after a skipped step
        path.append([*steps.now(), torch.tensor(scaler.get_scale(), dtype=params[0].dtype)])
    return path


# Mini-batches


def minibatches(
    n_samples: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool, epochs: int
) -> list[list[Tensor]]:
    """The batches of torch.utils.data.DataLoader over the rows, with a generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    rows: Any = range(n_samples)  # an object with a length and items is a data set
    loader: Any = torch.utils.data.DataLoader(
        rows, batch_size=batch_size, shuffle=shuffle, generator=generator, drop_last=drop_last
    )
    return [list(loader) for _ in range(epochs)]


def train_minibatches(
    optimizer: dict[str, Any], params: Tensor, t_u: Tensor, t_c: Tensor, batches: list[list[list[int]]]
) -> tuple[Tensor, list[Tensor]]:
    """The loop of PyTorch's tutorials over batches; each loss counts by the size of its batch."""
    leaf = params.clone().requires_grad_()
    options = dict(optimizer)
    stepper, losses = optimizer_of(options.pop("name"), [leaf], options), []
    for epoch in batches:
        total = torch.zeros((), dtype=t_u.dtype)
        for rows in epoch:
            loss = F.mse_loss(leaf[0] * t_u[rows] + leaf[1], t_c[rows])
            total += loss.detach() * len(rows)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
        losses.append(total / sum(map(len, epoch)))
    return leaf.detach(), losses

"""PyTorch as its users call it: its own losses, autograd, optimizers and random_split. Nothing here computes.

What it has no function for (hand-derived gradients, difference quotients, early stopping, a diagnosis) is absent.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo  # torch.optim imports it within the first step, which takes seconds: better here than in a call
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn

from calibrant.adapters import torch_layers
from calibrant.adapters.reference import asarray, to_numpy
from calibrant.protocol.operations import checked_formulas

__all__ = ["asarray", "to_numpy"]

name = "torch"
version = torch.__version__
autodiff = "torch"

_BROADCASTS = "torch.nn.functional's losses broadcast, with a warning"
_TABLES = "a loss takes any two arrays of one shape, and the mean of no samples is NaN"
deviations = {
    "data.shapes": _BROADCASTS,
    "data.columns": _TABLES,
    "data.scaling": "torch.linalg.lstsq takes columns that are nearly parallel for one, and returns the shortest solution",
    "loss.same-shape": _BROADCASTS,
    "loss.empty": "the mean of no samples is NaN",
    "loss.wide-accumulation": "the mean is a sum that may overflow, divided by n",
    "optimizer.nadam": "NAdam holds the product of its momenta in float32, whatever the dtype of the parameters",
    "optimizer.asgd": "ASGD holds its rate in float32, whatever the dtype of the parameters",
    "optimizer.finite": "centered RMSprop takes the root of a variance that may have rounded below zero",
    "optimizer.swap": "NAdam and ASGD hold factors in float32, whatever the dtype of the parameters",
    "optimizer.invalid": "hyperparameters that are NaN or infinite are taken: the comparisons with a limit let them pass",
    "split.as-written": "random_split takes the whole part of the product as float64 has it",
    "split.invalid": "range(-1) is a data set without rows",
    "validation.shapes": _BROADCASTS,
    "validation.columns": _TABLES,
    "regularization.invalid": "the penalties are written out, and nothing looks at their signs",
    "descent.negative-rate": "a loop over range(n_epochs) runs no epochs where n_epochs is negative, and an infinite or NaN rate is taken",
    "accumulation.refused": "mse_loss sums over no samples, and without batches there is no gradient",
    "accumulation.same-shape": _BROADCASTS,
    "schedule.invalid": "schedulers take rates, factors and lengths as they are",
    "clip.below[float16]": "0.0 over a norm is 0.0 times its reciprocal, which overflows",
    "clip.invalid": "a limit is taken as it is, and a negative one turns the gradients around",
    "average.swa[float64]": "get_swa_multi_avg_fn divides by a count that is a tensor, so that the quotient has float32's digits",
    "average.every[float64]": "get_swa_multi_avg_fn divides by a count that is a tensor, so that the quotient has float32's digits",
    "average.invalid": "a decay that is NaN is taken: the comparisons with a limit let it pass",
    "group.own": "Adagrad's sums begin at the initial_accumulator_value of its constructor, whatever that of a group",
    **{
        f"resume.same-steps[{dtype}]": "NAdam's product of momenta is float32 until it is loaded, and then of the parameters' dtype"
        for dtype in ("float16", "bfloat16", "float64")
    },
    "optimizer.muon[bfloat16]": "without Nesterov's momentum, Muon divides the buffer itself by its norm: of bfloat16 it makes no copy",
    "window.invalid": "a loop that counts modulo -1 makes a step for each micro-batch",
    "scale.invalid": "GradScaler takes any scale, and clip_grad_norm_ any norm",
}
conventions = {"schedule.after-cosine": "returns", "clip.epsilon": "added", "muon.precision": "bfloat16"}
if checked_formulas():
    deviations |= torch_layers.deviations

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


def __getattr__(name: str) -> Any:
    """Its losses, activations and layers, for a check of formulas."""
    return getattr(torch_layers, name)


def model(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """A line, (n,)."""
    return w * t_u + b


def loss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """torch.nn.functional.mse_loss."""
    return F.mse_loss(t_p, t_c)


def absolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """torch.nn.functional.l1_loss."""
    return F.l1_loss(t_p, t_c)


def dloss_fn(t_p: Tensor, t_c: Tensor) -> Tensor:
    """The derivative of mse_loss by each prediction, (n,)."""
    return _gradient(lambda leaf: F.mse_loss(leaf, t_c), t_p)[1]


def dabsolute_loss(t_p: Tensor, t_c: Tensor) -> Tensor:
    """The derivative of l1_loss by each prediction, (n,)."""
    return _gradient(lambda leaf: F.l1_loss(leaf, t_c), t_p)[1]


def dmodel_dw(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The derivative of each prediction by the weight, (n,)."""
    return _jacobian(lambda w: model(t_u, w, b), w)


def dmodel_db(t_u: Tensor, w: Tensor, b: Tensor) -> Tensor:
    """The derivative of each prediction by the bias, (n,)."""
    return _jacobian(lambda b: model(t_u, w, b), b)


def automatic_gradient(loss: Callable[[Tensor], Tensor], params: Tensor) -> tuple[Tensor, Tensor]:
    """A loss and its gradient by autograd, (p,)."""
    return _gradient(loss, params)


def value_and_grad(params: Tensor, t_u: Tensor, t_c: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of the line and its gradient by autograd, (2,)."""
    return _gradient(lambda leaf: F.mse_loss(model(t_u, *leaf), t_c), params)


def _gradient(loss: Callable[[Tensor], Tensor], params: Tensor) -> tuple[Tensor, Tensor]:
    leaf = params.clone().requires_grad_()
    value = loss(leaf)
    value.backward()
    assert leaf.grad is not None
    return value.detach(), leaf.grad


def _jacobian(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    jacobian: Tensor = torch.autograd.functional.jacobian(function, x)
    return jacobian


def least_squares(t_u: Tensor, t_c: Tensor) -> Tensor:
    """torch.linalg.lstsq on the columns [t_u, 1], (2,). It has no half formats."""
    if t_u.dtype not in (torch.float32, torch.float64):
        raise NotImplementedError(f"torch.linalg.lstsq does not take {t_u.dtype}")
    columns = torch.stack([t_u, torch.ones_like(t_u)], dim=1)
    solution: Tensor = torch.linalg.lstsq(columns, t_c.unsqueeze(1)).solution
    return solution.squeeze(1)


def training_loop(
    n_epochs: int,
    optimizer: dict[str, Any],
    params: Tensor,
    t_u: Tensor,
    t_c: Tensor,
    val_t_u: Tensor | None = None,
    val_t_c: Tensor | None = None,
) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The loop of PyTorch's tutorials, with one of torch.optim's optimizers."""
    leaf = params.clone().requires_grad_()
    options = dict(optimizer)
    stepper = _optimizer(options.pop("name"), [leaf], options)
    train_losses, val_losses = [], []
    for _ in range(n_epochs):
        loss = F.mse_loss(model(t_u, *leaf), t_c)
        train_losses.append(loss.detach())
        if val_t_u is not None and val_t_c is not None:
            with torch.no_grad():
                val_losses.append(F.mse_loss(model(val_t_u, *leaf), val_t_c))
        stepper.zero_grad()
        loss.backward()
        stepper.step()
    return leaf.detach(), train_losses, val_losses


# Broadcasting


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """torch.broadcast_shapes."""
    return tuple(torch.broadcast_shapes(*shapes))


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """x * y."""
    return x * y


def multiply_grad(x: Tensor, y: Tensor, upstream: Tensor) -> tuple[Tensor, Tensor]:
    """The vector-Jacobian product of x * y, by autograd."""
    x, y = x.clone().requires_grad_(), y.clone().requires_grad_()
    grad_x, grad_y = torch.autograd.grad(x * y, (x, y), upstream)
    return grad_x, grad_y


# Accumulation


def accumulate(params: Tensor, batches: list[tuple[Tensor, Tensor]], zero_grad: bool) -> list[Tensor]:
    """The .grad of the parameters after each batch's backward pass, (k, 2)."""
    leaf = params.clone().requires_grad_()
    grads = []
    for t_u, t_c in batches:
        if zero_grad:
            leaf.grad = None
        F.mse_loss(model(t_u, *leaf), t_c).backward()
        assert leaf.grad is not None
        grads.append(leaf.grad.clone())
    return grads


def accumulated_grad(params: Tensor, batches: list[tuple[Tensor, Tensor]]) -> Tensor | None:
    """The gradient of the mean loss over all batches: each batch's sum, over the number of all samples."""
    leaf = params.clone().requires_grad_()
    n = sum(len(t_u) for t_u, _ in batches)
    for t_u, t_c in batches:
        (F.mse_loss(model(t_u, *leaf), t_c, reduction="sum") / n).backward()
    return leaf.grad


# Optimizers


def optimize(
    name: str, hyperparameters: dict[str, Any], params: list[Tensor], grads: list[list[Tensor | None]]
) -> list[list[Tensor]]:
    """The parameters after each step of one of torch.optim's optimizers on these gradients."""
    leaves = [x.clone().requires_grad_() for x in params]
    options = dict(hyperparameters)
    lr = options.pop("lr", None)
    rates = lr if isinstance(lr, list) else [lr] * len(grads)
    if rates and rates[0] is not None:
        options["lr"] = rates[0]
    stepper = _optimizer(name, leaves, options)
    path = []
    for rate, step in zip(rates, grads, strict=True):
        for group in stepper.param_groups:
            group["lr"] = group["lr"] if rate is None else rate
        for leaf, grad in zip(leaves, step, strict=True):
            leaf.grad = None if grad is None else grad.clone()
        stepper.step()
        path.append([leaf.detach().clone() for leaf in leaves])
    return path


def _optimizer(name: str, params: list[Any], hyperparameters: dict[str, Any]) -> torch.optim.Optimizer:
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"torch.optim has no {name}")
    if name == "muon" and "maximize" in hyperparameters:
        hyperparameters = dict(hyperparameters)
        if hyperparameters.pop("maximize"):
            raise NotImplementedError("torch.optim.Muon does not maximize")
    made: torch.optim.Optimizer = OPTIMIZERS[name](params, **hyperparameters)
    return made


# Training


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


class _Steps:
    """One of torch.optim's optimizers on leaves of its own; a rate may be a list, one for each step."""

    def __init__(self, name: str, groups: list[dict[str, Any]], params: list[Tensor], together: bool) -> None:
        self.leaves = [x.detach().clone().requires_grad_() for x in params]
        self.rates = [g["lr"] if isinstance(g.get("lr"), list) else None for g in groups]
        own = [{**g, "lr": g["lr"][0]} if rates else g for g, rates in zip(groups, self.rates, strict=True)]
        given: list[Any] = [{"params": [p], **g} for p, g in zip(self.leaves, own, strict=False)]
        if not together and len(groups) != len(params):
            raise ValueError(f"there are {len(groups)} groups for {len(params)} parameters")
        self.optimizer = _optimizer(name, self.leaves, own[0]) if together else _optimizer(name, given, {})
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
    steps = _Steps(name, hyperparameters, params, together=False)
    return [steps.step(step) for step in grads]


def optimize_rows(
    name: str, hyperparameters: dict[str, Any], table: Tensor, rows: list[list[int]], grads: list[Tensor]
) -> list[Tensor]:
    """The table after each step of torch.optim.SparseAdam, whose gradients are sparse."""
    settings = dict(hyperparameters)
    rates = settings.pop("lr", 1e-3)
    rates = rates if isinstance(rates, list) else [rates] * len(rows)
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
    rates = settings.pop("lr", 1.0)
    rates = rates if isinstance(rates, list) else [rates] * n_steps
    leaf = params.clone().requires_grad_()
    optimizer, path, losses = torch.optim.LBFGS([leaf], **settings), [], list[Tensor]()

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = 0.5 * leaf @ hessian @ leaf + slope @ leaf
        loss.backward()
        losses.append(loss)
        return loss

    for rate, _ in zip(rates, range(n_steps), strict=True):
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
    first = _Steps(name, [hyperparameters], params, together=True)
    path = [first.step(step) for step in grads[:after]]
    file = io.BytesIO()
    torch.save(first.optimizer.state_dict(), file)
    file.seek(0)
    second = _Steps(name, [{**hyperparameters, **changed}], first.now(), together=True)
    second.optimizer.load_state_dict(torch.load(file))
    second.rates, second.n_steps = first.rates, first.n_steps
    return path + [second.step(step) for step in grads[after:]]


def accumulate_and_step(
    name: str, hyperparameters: dict[str, Any], params: list[Tensor], grads: list[list[Tensor]], every: int
) -> list[list[Tensor]]:
    """The parameters after each micro-batch of PyTorch's usual loop: each gradient over the size of its window, and then a step."""
    steps, path = _Steps(name, [hyperparameters], params, together=True), []
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
    steps, path = _Steps(name, [hyperparameters], params, together=True), []
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
    stepper, losses = _optimizer(options.pop("name"), [leaf], options), []
    for epoch in batches:
        total = torch.zeros((), dtype=t_u.dtype)
        for rows in epoch:
            loss = F.mse_loss(model(t_u[rows], *leaf), t_c[rows])
            total += loss.detach() * len(rows)
            stepper.zero_grad()
            loss.backward()
            stepper.step()
        losses.append(total / sum(map(len, epoch)))
    return leaf.detach(), losses


# Validation


def split(n_samples: int, val_fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """torch.utils.data.random_split, by fractions."""
    rows: Any = range(n_samples)  # an object with a length and items is a data set
    generator = torch.Generator().manual_seed(seed)
    parts: list[Any] = torch.utils.data.random_split(rows, [1 - val_fraction, val_fraction], generator=generator)
    train, val = parts
    return list(train.indices), list(val.indices)


def regularized_loss(t_p: Tensor, t_c: Tensor, w: Tensor, l1: float, l2: float) -> Tensor:
    """mse_loss with both penalties written out, as in PyTorch's forums: PyTorch has no loss that takes them."""
    return F.mse_loss(t_p, t_c) + l1 * w.abs() + l2 * w**2


# Training

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

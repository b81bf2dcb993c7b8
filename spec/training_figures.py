"""What the figures of the chapter on training show, as numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from calibrant.mechanics.data import least_squares, scaled, thermometer
from calibrant.mechanics.gradients import value_and_grad
from calibrant.mechanics.loss import loss_fn
from calibrant.mechanics.model import model
from calibrant.mechanics.optimizers import Optimizer, Stepper
from calibrant.mechanics.training import average, minibatches, scaled_steps

Series = dict[str, tuple[list[float], list[float]]]
_START = torch.tensor([1.0, 0.0], dtype=torch.float64)


def series() -> dict[str, Series]:
    """What each figure shows, by its name."""
    return {"averages": _averages(), "pause": _pause(), "scale": _scale(), "minibatches": _minibatches()}


def _data() -> tuple[Tensor, Tensor]:
    t_u, t_c = thermometer(torch.float64)
    return scaled(t_u), t_c


def _walk(batch_size: int, epochs: int, lr: float, start: Tensor) -> list[Tensor]:
    """The parameters before each step, one for each shuffled batch, and in the end."""
    t_u, t_c = _data()
    stepper, path = Stepper("sgd", {"lr": lr}, [start]), [start]
    for rows in (rows for epoch in minibatches(len(t_u), batch_size, True, 0, False, epochs) for rows in epoch):
        path.append(stepper.step([value_and_grad(path[-1], t_u[rows], t_c[rows])[1]])[0])
    return path


def _averages() -> Series:
    """The weight (°C per scaled unit) against the step: the path with two samples a step, and its averages."""
    optimum = least_squares(*_data())
    path = _walk(2, 40, 0.03, optimum + torch.tensor([4.0, 0.0], dtype=torch.float64))
    steps = [float(step) for step in range(len(path))]
    walked = [[p] for p in path]
    curves = {
        "path": path,
        "plain average": [p for (p,) in average("swa", {}, walked)],
        "moving average, decay 0.95": [p for (p,) in average("ema", {"decay": 0.95}, walked)],
        "optimum": [optimum] * len(path),
    }
    return {name: (steps, [p[0].item() for p in line]) for name, line in curves.items()}


def _pause() -> Series:
    """The loss (°C²) of Adam's run against the step; after 40 steps a second optimizer goes on, with the state or without."""
    t_u, t_c = _data()
    curves = {}
    for name, loses in (("without its state", True), ("with its state", False)):
        params = _START.clone()
        optimizer, losses = Optimizer("adam", [params], lr=1.0), []
        for step in range(80):
            if loses and step == 40:
                optimizer = Optimizer("adam", [params], lr=1.0)
            loss, params.grad = value_and_grad(params, t_u, t_c)
            losses.append(loss.item())
            optimizer.step()
        curves[name] = ([float(step) for step in range(80)], losses)
    return curves


def _scale() -> Series:
    """The scale against the step, in float16, where gradients of all sizes come in turn."""
    sizes = torch.randn(60, generator=torch.Generator().manual_seed(0)).exp().to(torch.float16)
    grads = [[size.reshape(1)] for size in sizes]
    begin = {"init_scale": 2.0**10, "growth_interval": 8}
    path = scaled_steps("sgd", {"lr": 0.0}, [torch.zeros(1, dtype=torch.float16)], grads, begin, None)
    return {"scale": ([float(step) for step in range(1, 61)], [step[-1].item() for step in path])}


def _minibatches() -> Series:
    """The loss (°C²) on all data against the samples that were read, for three sizes of batches."""
    t_u, t_c = _data()
    curves = {}
    for name, size in (("one sample", 1), ("four samples", 4), ("all eleven", 11)):
        path = _walk(size, 40, 1e-2, _START)
        steps = 440 / (len(path) - 1)
        losses = [loss_fn(model(t_u, *params), t_c).item() for params in path]
        curves[name] = ([step * steps for step in range(len(path))], losses)
    return curves

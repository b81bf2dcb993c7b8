"""What Keras has around its optimizers: schedules, clipping, moving averages, plateaus, windows and scaled losses. Nothing here computes."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from calibrant.adapters import keras_optimizers
from calibrant.adapters.hyperparameters import scheduled

os.environ["KERAS_BACKEND"] = "torch"  # Keras reads it once

import keras
from keras.optimizers import schedules

Array = Any
"""The backend's tensors."""

conventions = {"schedule.warm-up-count": "zero", "schedule.patience": "reached"}
deviations = {
    "schedule.invalid": "schedules take rates, factors and lengths as they are",
    "schedule.plateau-cooldown": "the last loss of a cooldown counts as a wait",
    "schedule.plateau-nan": "the first loss is the best, whatever it is, and nothing is less than NaN",
    "schedule.plateau-invalid": "an unknown mode is taken for the usual one",
    "clip.scaled?": "a gradient near the limit is multiplied by the limit and by one over it, whose product rounds below 1",
    "clip.below": "a short gradient is multiplied by the limit and by one over it, whose product rounds below 1",
    "clip.zeros": "one over a norm of zero is multiplied by the limit, and by zero, which gives NaN where the limit is infinite",
    "clip.invalid": "a limit that is negative or NaN is taken for none",
    "average.invalid": "a decay that is NaN is taken: the comparisons with its limits let it pass",
    "window.last": "a last window that is not full brings no step, and its gradients stay for the next",
    "window.rate": "a schedule is asked for the rate of the micro-batch, not of the step, though the documentation says otherwise",
    "window.invalid": "a window of 0 is taken for none",
    "scale.invalid": "any scale is taken",
}

LEAST = 2e-8
"""Falls of a rate that are smaller are near the eps that PyTorch's plateau has, and Keras' does not."""

# Schedules


def _share(h: Any) -> float:
    """Keras' alpha: the least rate as a share of the first."""
    return float(h.eta_min / h.lr) if h.lr else 0.0


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "constant": lambda h: schedules.PiecewiseConstantDecay([h.total_iters - 1], [h.lr * h.factor, h.lr]),
    "linear": lambda h: schedules.PolynomialDecay(h.lr * h.start_factor, h.total_iters, h.lr * h.end_factor),
    "step": lambda h: schedules.ExponentialDecay(h.lr, h.step_size, h.gamma, staircase=True),
    "multistep": lambda h: schedules.PiecewiseConstantDecay(
        [step - 1 for step in sorted(h.milestones)], [h.lr * h.gamma**k for k in range(len(h.milestones) + 1)]
    ),
    "exponential": lambda h: schedules.ExponentialDecay(h.lr, 1, h.gamma),
    "polynomial": lambda h: schedules.PolynomialDecay(h.lr, h.total_iters, 0.0, h.power),
    "cosine": lambda h: schedules.CosineDecay(h.lr, h.T_max, _share(h)),
    "cosine_restarts": lambda h: schedules.CosineDecayRestarts(h.lr, h.T_0, t_mul=h.T_mult, alpha=_share(h)),
}
"""Each schedule, and the class of keras.optimizers.schedules that gives it."""


def schedule(name: str, hyperparameters: dict[str, Any], n_steps: int) -> Array:
    """The rates of one of keras.optimizers.schedules; its CosineDecay alone has a warm-up."""
    settings = dict(hyperparameters)
    n_warm = settings.pop("warmup_steps", 0)
    if n_warm and name != "cosine":
        raise NotImplementedError(f"Keras' {name} has no warm-up")
    made = scheduled("Keras", SCHEDULES, name, settings)
    if n_warm:
        made = schedules.CosineDecay(
            0.0, made.decay_steps, made.alpha, warmup_target=made.initial_learning_rate, warmup_steps=n_warm
        )
    return np.array([float(made(t)) for t in range(n_steps)])


def plateau(val_losses: Array, lr: float, hyperparameters: dict[str, Any]) -> Array:
    """The rate after each loss that keras.callbacks.ReduceLROnPlateau sees. Its threshold is absolute, and it has no eps."""
    h = dict(hyperparameters)
    threshold, mode = h.pop("threshold", 1e-4), h.pop("threshold_mode", "rel")
    if threshold and mode == "rel":
        raise NotImplementedError("Keras' plateau has no relative threshold")
    if "eps" in h:
        raise NotImplementedError("Keras' plateau has no eps")
    callback = keras.callbacks.ReduceLROnPlateau(min_delta=threshold, **{"mode": "min", **h})
    optimizer = keras.optimizers.SGD(lr)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    rates = []
    for epoch, loss in enumerate(val_losses.tolist()):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        rates.append(float(optimizer.learning_rate))
    if any(0 < before - after <= LEAST for before, after in itertools.pairwise([lr, *rates])):
        raise NotImplementedError("Keras' plateau has no eps, which stops a fall that is as small")
    return np.array(rates)


# Steps


def variables_of(params: list[Array]) -> list[Any]:
    """Variables of copies of the parameters."""
    return [keras.Variable(x.clone(), dtype=x.dtype) for x in params]


def values_of(variables: list[Any]) -> list[Array]:
    """Copies of the variables' values."""
    return [variable.value.detach().clone() for variable in variables]


def _clipped(grads: list[Array], **limit: float) -> list[Array]:
    """The gradients as an optimizer of Keras clips them: a step of plain descent from zero, at the rate -1."""
    if 0 in limit.values():
        raise NotImplementedError("Keras takes a limit of 0 for none")
    variables = variables_of([keras.ops.zeros_like(g) for g in grads])
    keras.optimizers.SGD(-1.0, **limit).apply(grads, variables)
    return values_of(variables)


def clip_by_norm(grads: list[Array], max_norm: float, norm_type: float) -> tuple[Array, list[Array]]:
    """An optimizer's global_clipnorm; no function returns its norm, which keras.ops.norm gives."""
    if norm_type != 2:
        raise NotImplementedError("Keras clips by the Euclidean norm")
    norm = keras.ops.norm(keras.ops.concatenate([keras.ops.ravel(g) for g in grads]))
    return norm, _clipped(grads, global_clipnorm=max_norm)


def clip_by_value(grads: list[Array], limit: float) -> list[Array]:
    """An optimizer's clipvalue."""
    return _clipped(grads, clipvalue=limit)


def average(name: str, hyperparameters: dict[str, Any], path: list[list[Array]]) -> list[list[Array]]:
    """The averages of an optimizer with use_ema, whose steps leave the variables where the path has them."""
    h = {"decay": 0.999, "every": 1, **hyperparameters}
    every = h.pop("every")
    if name != "ema" or h.pop("bias_correction", False) or h.pop("warmup", False):
        raise NotImplementedError(f"Keras' optimizers have no such average as {name}")
    if every < 1:
        raise ValueError(f"every is {every}")
    stepper = keras.optimizers.SGD(0.0, use_ema=True, ema_momentum=h.pop("decay"))
    if h:
        raise TypeError(f"unexpected hyperparameters: {h}")
    averages: list[list[Array]] = []
    variables: list[Any] = []
    for i, step in enumerate(path):
        if i % every == 0:
            variables = variables or variables_of(step)
            for variable, p in zip(variables, step, strict=True):
                variable.assign(p)
            stepper.apply([keras.ops.zeros_like(p) for p in step], variables)
            stepper.finalize_variable_values(variables)
        averages.append(values_of(variables))
    return averages


class _Listed(schedules.LearningRateSchedule):  # type: ignore[misc]  # mypy does not look into Keras
    """A schedule that lists its rates."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def __call__(self, step: Any) -> Any:
        """The rate of a step."""
        return self.rates[min(int(step), len(self.rates) - 1)]

    def get_config(self) -> dict[str, Any]:
        """What it is made from."""
        return {"rates": self.rates}


def _made(name: str, hyperparameters: dict[str, Any], **around: Any) -> Any:
    """One of keras.optimizers; a list of rates is a schedule."""
    lr = hyperparameters.get("lr")
    options = hyperparameters | ({"lr": _Listed(lr)} if isinstance(lr, list) else {})
    return keras_optimizers.made(keras.optimizers, name, options, **around)


def resume(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Any]], after: int, changed: Any
) -> list[list[Array]]:
    """The parameters after each step; a second optimizer is made from the first one's configuration and variables, as a model's is."""
    if any(g is None for step in grads for g in step):
        raise NotImplementedError("Keras counts the steps of all parameters together")
    variables = variables_of(params)
    stepper, path = _made(name, hyperparameters), []
    for t, step in enumerate(grads):
        if t == after:
            stepper.build(variables)
            variables, saved = variables_of(values_of(variables)), dict[str, Any]()
            stepper.save_own_variables(saved)
            stepper = type(stepper).from_config(stepper.get_config(), custom_objects={"_Listed": _Listed})
            stepper.build(variables)
            stepper.load_own_variables({key: np.copy(value) for key, value in saved.items()})
        stepper.apply(list(step), variables)
        path.append(values_of(variables))
    return path


def accumulate_and_step(
    name: str, hyperparameters: dict[str, Any], params: list[Array], grads: list[list[Array]], every: int
) -> list[list[Array]]:
    """The parameters after each micro-batch of an optimizer with gradient_accumulation_steps."""
    variables = variables_of(params)
    stepper, path = _made(name, hyperparameters, gradient_accumulation_steps=None if every == 1 else every), []
    for step in grads:
        stepper.apply(list(step), variables)
        path.append(values_of(variables))
    return path


def scaled_steps(
    name: str,
    hyperparameters: dict[str, Any],
    params: list[Array],
    grads: list[list[Array]],
    scale: dict[str, Any],
    max_norm: float | None,
) -> list[list[Array]]:
    """After each step the parameters and the scale of keras.optimizers.LossScaleOptimizer; the inner optimizer clips."""
    h = {"init_scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2000, **scale}
    if (h["growth_factor"], h["backoff_factor"]) != (2.0, 0.5):
        raise NotImplementedError("Keras doubles and halves its scale")
    variables, path = variables_of(params), []
    inner = _made(name, hyperparameters, global_clipnorm=max_norm)
    scaler = keras.optimizers.LossScaleOptimizer(inner, h["init_scale"], h["growth_interval"])
    scaler.build(variables)
    for step in grads:
        scaler.apply([scaler.scale_loss(g) for g in step], variables)
        path.append(values_of([*variables, scaler.dynamic_scale]))
    return path

"""The figures of the book: what each of them shows, as numbers, and how it is drawn.

The numbers come from `calibrant.mechanics` alone and need no matplotlib. To draw them again, and the diagrams:

    python -m calibrant.spec.figures DIRECTORY
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from calibrant.mechanics import validation
from calibrant.mechanics.clipping import clip_by_norm
from calibrant.mechanics.data import least_squares, scaled, thermometer
from calibrant.mechanics.descent import closed_form, hessian, learning_rate_limit, training_loop
from calibrant.mechanics.gradients import finite_difference, grad_fn
from calibrant.mechanics.loss import absolute_loss, loss_fn
from calibrant.mechanics.model import model
from calibrant.mechanics.optimizers import Optimizer
from calibrant.mechanics.regularization import polynomial, ridge
from calibrant.mechanics.schedules import schedule
from calibrant.mechanics.validation import split_data
from calibrant.spec import diagrams, training_figures
from calibrant.spec.drawing import COLOURS, canvas, drawn_with

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Series = dict[str, tuple[list[float], list[float]]]
"""Named curves or clouds of points: each its x and its y, of one length."""

_START = torch.tensor([1.0, 0.0], dtype=torch.float64)
_EPOCHS = 500
_GRADIENT_BY_W = 2484513 / 550  # the thermometer's at w = 1, b = 0, exactly [gradient.thermometer]


def judged() -> dict[str, Series]:
    """What the figures of the measurements, of the fit and of the losses show.  [data.plot]"""
    return {"thermometer": _thermometer(), "fit": _thermometer() | _fit(), "losses": _losses()}


@functools.cache
def series() -> dict[str, Series]:
    """What every figure shows, by its name."""
    return {
        **judged(),
        "error-and-bound": _error_and_bound(),
        "losses-of-a-residual": _losses_of_a_residual(),
        "rounding": _rounding(),
        "parabola": _parabola(),
        "limit": _limit(),
        "trained": _thermometer() | _trained(),
        "optimizers": _optimizers(),
        "paths": _paths(),
        "underfitting": _regime(1),
        "good": _regime(2),
        "overfitting": _regime(8),
        "shrinking": _shrinking(),
        "rates": _rates(),
        "warm-up": _warm_up(),
        "clipping": _clipping(),
        **training_figures.series(),
    }


def _thermometer() -> Series:
    """Temperatures (°C) against readings (units)."""
    t_u, t_c = thermometer(torch.float64)
    return {"measurements": (t_u.tolist(), t_c.tolist())}


def _fit() -> Series:
    """Predictions (°C) of the least-squares line against the readings (units) in ascending order."""
    t_u, t_c = thermometer(torch.float64)
    ascending = t_u.sort().values
    return {"fit": (ascending.tolist(), model(ascending, *least_squares(t_u, t_c)).tolist())}


def _error_and_bound() -> Series:
    """Error (°C) of the float32 prediction for w = 0.3 and the reading 35.7 against the bias (°C): found, allowed, tolerated."""
    w, reading = torch.tensor(0.3), torch.tensor(35.7)
    product, u = Fraction(w.item()) * Fraction(reading.item()), Fraction(1, 2**24)
    biases = [-10.71 + sign * 10 ** (k / 6) for sign in (-1, 1) for k in range(-24, 7)]
    found: dict[str, dict[float, float]] = {
        "answer in float32": {},
        "answer in float16": {},
        "bound": {},
        "one millionth": {},
    }
    for bias in sorted(biases):
        b = torch.tensor(bias)
        true = product + Fraction(b.item())
        narrow = model(reading.half(), w.half(), b.half())
        for name, answer in (("answer in float32", model(reading, w, b)), ("answer in float16", narrow)):
            if error := abs(Fraction(answer.item()) - true):  # zero has no place on a logarithmic axis
                found[name][b.item()] = float(error)
        found["bound"][b.item()] = float(u * abs(product) + u * (abs(true) + u * abs(product)))
        found["one millionth"][b.item()] = float(abs(true)) * 1e-6
    return {name: (list(curve), list(curve.values())) for name, curve in found.items()}


def _losses_of_a_residual() -> Series:
    """Both losses (°C², °C) of a single sample against its residual (°C)."""
    residuals = torch.arange(-32, 33, dtype=torch.float64) / 8
    measured = torch.zeros(1, dtype=torch.float64)
    return {
        name: (residuals.tolist(), [loss(residual.reshape(1), measured).item() for residual in residuals])
        for name, loss in (("squared", loss_fn), ("absolute", absolute_loss))
    }


def _rounding() -> Series:
    """Relative error of the central difference by the weight, against its step (°C per unit), a power of ten.

    An error of zero has no place on a logarithmic axis and is left out.
    """
    curves = {}
    for name, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        t_u, t_c = thermometer(dtype)
        w, b = torch.ones((), dtype=dtype), torch.zeros((), dtype=dtype)
        points = []
        for tenths in range(-170, 1, 5):
            delta = 10 ** (tenths / 10)
            rate = finite_difference(t_u, t_c, w, b, delta)[0].item()
            if rate != _GRADIENT_BY_W:
                points.append((delta, abs(rate / _GRADIENT_BY_W - 1)))
        curves[name] = ([delta for delta, _ in points], [error for _, error in points])
    return curves


def _parabola() -> Series:
    """The loss (°C²) of the chapter's two samples against the weight, at the best bias; walks at three fractions of the limit."""
    u, c = torch.tensor([-2.0, 2.0], dtype=torch.float64), torch.tensor([-1.0, 3.0], dtype=torch.float64)
    limit = learning_rate_limit(u).item()

    def loss(w: float) -> float:
        return loss_fn(model(u, w, 1.0), c).item()

    weights = [k / 20 for k in range(-20, 61)]
    curves = {"loss": (weights, [loss(w) for w in weights])}
    for fraction, start, n_epochs in ((0.25, -0.9, 6), (0.9, 2.5, 8), (1.1, 1.6, 6)):
        begin = torch.tensor([start, 1.0], dtype=torch.float64)
        walk = [training_loop(k, fraction * limit, begin, u, c)[0][0].item() for k in range(n_epochs + 1)]
        curves[f"{fraction} of the limit"] = (walk, [loss(w) for w in walk])
    return curves


def _limit() -> Series:
    """Loss above its minimum (°C²) against the epoch, for learning rates around the limit of the raw readings."""
    t_u, t_c = thermometer(torch.float64)
    limit = learning_rate_limit(t_u).item()
    epochs = list(range(101))

    return {
        f"{share} of the limit": (
            [float(epoch) for epoch in epochs],
            [_excess(closed_form(epoch, share * limit, _START, t_u, t_c), t_u, t_c) for epoch in epochs],
        )
        for share in (1.05, 1.01, 1.0, 0.99, 0.9, 0.5)
    }


def _excess(params: Tensor, t_u: Tensor, t_c: Tensor) -> float:
    """The loss of params above its minimum (°C²)."""
    distance = params - least_squares(t_u, t_c)
    return float(distance @ hessian(t_u) @ distance / 2)


def _losses() -> Series:
    """Losses (°C²) of two runs from w = 1, b = 0, each before its epoch's step, against the epoch, counted from 1."""
    t_u, t_c = thermometer(torch.float64)
    epochs = [float(epoch) for epoch in range(1, _EPOCHS + 1)]
    curves = {}
    for name, readings, rate in (("raw, 1e-4", t_u, 1e-4), ("scaled, 1e-2", scaled(t_u), 1e-2)):
        _, losses = training_loop(_EPOCHS, rate, _START, readings, t_c)
        curves[name] = (epochs, [loss.item() for loss in losses])
    return curves


def _trained() -> Series:
    """Predictions (°C) of the line after some epochs on the scaled readings at 1e-2, against the unscaled readings (units)."""
    t_u, t_c = thermometer(torch.float64)
    ascending = t_u.sort().values
    lines = {}
    for n_epochs in (10, 500, 5000):
        params, _ = training_loop(n_epochs, 1e-2, _START, scaled(t_u), t_c)
        lines[f"after {n_epochs} epochs"] = (ascending.tolist(), model(scaled(ascending), *params).tolist())
    return lines


def _walk(n_epochs: int, name: str, t_u: Tensor, t_c: Tensor, **hyperparameters: float) -> list[Tensor]:
    """The parameters from w = 1, b = 0 through so many epochs of an optimizer."""
    params = _START.clone()
    optimizer = Optimizer(name, [params], **hyperparameters)
    path = [params.clone()]
    for _ in range(n_epochs):
        w, b = params
        params.grad = grad_fn(t_u, t_c, model(t_u, w, b), w, b)
        optimizer.step()
        path.append(params.clone())
    return path


def _optimizers() -> Series:
    """Loss above its minimum (°C²) of four runs, against the epoch, some twelve in each octave at the most."""
    t_u, t_c = thermometer(torch.float64)
    epochs = sorted({round(2 ** (twelfths / 12)) for twelfths in range(132)})
    momentum = _walk(500, "sgd", scaled(t_u), t_c, lr=1e-2, momentum=0.9)
    adam = _walk(2000, "adam", t_u, t_c, lr=1e-1)
    curves = {
        "SGD, raw, 1e-4": [_excess(closed_form(epoch, 1e-4, _START, t_u, t_c), t_u, t_c) for epoch in epochs],
        "SGD, scaled, 1e-2": [
            _excess(closed_form(epoch, 1e-2, _START, scaled(t_u), t_c), scaled(t_u), t_c) for epoch in epochs
        ],
        "momentum 0.9, scaled, 1e-2": [_excess(momentum[epoch], scaled(t_u), t_c) for epoch in epochs if epoch <= 500],
        "Adam, raw, 1e-1": [_excess(adam[epoch], t_u, t_c) for epoch in epochs],
    }
    return {name: ([float(epoch) for epoch in epochs[: len(excesses)]], excesses) for name, excesses in curves.items()}


def _paths() -> Series:
    """The bias (°C) against the weight (°C per scaled unit) on the way of three runs; around them two contours of the loss."""
    t_u, t_c = thermometer(torch.float64)
    readings = scaled(t_u)
    optimum = least_squares(readings, t_c)
    curvatures, directions = torch.linalg.eigh(hessian(readings))
    angles = torch.arange(0, 61, dtype=torch.float64) * (torch.pi / 30)
    circle = torch.stack([angles.cos(), angles.sin()])
    columns = {}
    for excess in (5, 25):
        ellipse = optimum[:, None] + directions @ ((2 * excess / curvatures).sqrt()[:, None] * circle)
        columns[f"{excess} °C² above the minimum"] = ellipse
    for name, optimizer, hyperparameters in (
        ("momentum 0.9, 1e-2", "sgd", {"lr": 1e-2, "momentum": 0.9}),
        ("Adam, 1e-1", "adam", {"lr": 1e-1}),
        ("SGD, 1e-2", "sgd", {"lr": 1e-2}),
    ):
        columns[name] = torch.stack(_walk(180, optimizer, readings, t_c, **hyperparameters), dim=1)
    columns["optimum"] = optimum[:, None]
    return {name: (w.tolist(), b.tolist()) for name, (w, b) in columns.items()}


def _regime(n_coefficients: int) -> Series:
    """Both losses (°C²) of a polynomial with so many coefficients, from zero, against the epoch, counted from 1."""
    t_u, t_c, val_t_u, val_t_c = split_data(*thermometer(torch.float64), 0.4, 52)
    coefficients = torch.zeros(n_coefficients, dtype=torch.float64, requires_grad=True)
    _, train_losses, val_losses = validation.training_loop(
        200,
        Optimizer("sgd", [coefficients], lr=0.5),
        coefficients,
        t_u,
        t_c,
        val_t_u=val_t_u,
        val_t_c=val_t_c,
        model=polynomial,
    )
    epochs = [float(epoch) for epoch in range(1, 201)]
    curves = {"training": train_losses, "validation": val_losses}
    return {name: (epochs, [loss.item() for loss in losses]) for name, losses in curves.items()}


def _shrinking() -> Series:
    """Weight (°C per unit) of the best line against the penalty l2 (units²), a power of ten."""
    t_u, t_c = thermometer(torch.float64)
    penalties = [10 ** (tenths / 10) for tenths in range(51)]
    return {"weight": (penalties, [ridge(t_u, t_c, l2)[0].item() for l2 in penalties])}


def _one_at_a_time(rates: list[float], start: Tensor, name: str) -> list[float]:
    """Loss above its minimum (°C²) before each step of an optimizer on one measurement at a time, and after the last."""
    t_u, t_c = thermometer(torch.float64)
    t_u, params = scaled(t_u), start.clone()
    optimizer, excesses = Optimizer(name, [params]), [_excess(start, t_u, t_c)]
    for t, rate in enumerate(rates):
        k = t * 4 % len(t_u)
        (w, b), one = params, slice(k, k + 1)
        params.grad = grad_fn(t_u[one], t_c[one], model(t_u[one], w, b), w, b)
        optimizer.hyperparameters.lr = rate
        optimizer.step()
        excesses.append(_excess(params, t_u, t_c))
    return excesses


def _rates() -> Series:
    """Loss above its minimum (°C²) against the step, each eighth, of SGD on one measurement at a time at three rates."""
    n = 2000
    schedules = {
        "0.02": [0.02] * n,
        "0.002": [0.002] * n,
        "half a wave from 0.02": schedule("cosine", {"lr": 0.02, "T_max": n}, n).tolist(),
    }
    steps = [float(step) for step in range(0, n + 1, 8)]
    return {name: (steps, _one_at_a_time(rates, _START, "sgd")[::8]) for name, rates in schedules.items()}


def _warm_up() -> Series:
    """Loss above its minimum (°C²) against the step of Adam on one measurement at a time, from the least-squares line."""
    t_u, t_c = thermometer(torch.float64)
    best, steps = least_squares(scaled(t_u), t_c), [float(step) for step in range(1, 81)]
    runs = {"0.3": 1, "0.3 after a warm-up of 40 steps": 40}
    rates = {
        name: schedule("constant", {"lr": 0.3, "factor": 1.0, "warmup_steps": n_warm}, len(steps)).tolist()
        for name, n_warm in runs.items()
    }
    return {name: (steps, _one_at_a_time(some, best, "adam")[1:]) for name, some in rates.items()}


def _clipping() -> Series:
    """Loss above its minimum (°C²) against the step, on the raw readings at the rate 1e-2; five steps of the run that is not clipped."""
    t_u, t_c = thermometer(torch.float64)
    curves = {}
    for name, limit, n_steps in (("not clipped", float("inf"), 5), ("clipped to a norm of 1", 1.0, 100)):
        params, excesses = _START.clone(), []
        for _ in range(n_steps + 1):
            w, b = params
            excesses.append(_excess(params, t_u, t_c))
            params = params - 1e-2 * clip_by_norm([grad_fn(t_u, t_c, model(t_u, w, b), w, b)], limit)[1][0]
        curves[name] = ([float(step) for step in range(n_steps + 1)], excesses)
    return curves


@dataclass(frozen=True)
class _Look:
    """How a figure is drawn: its axes, and which of its series are points, or walks from point to point, and not lines."""

    x: str
    y: str
    log_x: bool = False
    log_y: bool = False
    points: tuple[str, ...] = ()
    walks: tuple[str, ...] = ()
    legend: Literal["best", "upper center", "lower left", ""] = "best"


_LOOKS = {
    "error-and-bound": _Look(
        "bias (°C)",
        "error of the prediction (°C)",
        log_y=True,
        points=("answer in float32", "answer in float16"),
        legend="lower left",
    ),
    "parabola": _Look(
        "weight (°C per unit)",
        "loss (°C²)",
        walks=("0.25 of the limit", "0.9 of the limit", "1.1 of the limit"),
        legend="upper center",
    ),
    "trained": _Look("reading (units)", "temperature (°C)", points=("measurements",)),
    "thermometer": _Look("reading (units)", "temperature (°C)", points=("measurements",), legend=""),
    "fit": _Look("reading (units)", "temperature (°C)", points=("measurements",)),
    "losses-of-a-residual": _Look("residual (°C)", "loss (°C² squared, °C absolute)", legend="upper center"),
    "rounding": _Look("step (°C per unit)", "relative error", log_x=True, log_y=True),
    "limit": _Look("epoch", "loss above its minimum (°C²)", log_y=True),
    "losses": _Look("epoch", "loss (°C²)", log_x=True, log_y=True),
    "optimizers": _Look("epoch", "loss above its minimum (°C²)", log_x=True, log_y=True),
    "paths": _Look("weight (°C per unit, scaled)", "bias (°C)", points=("optimum",)),
    "underfitting": _Look("epoch", "loss (°C²)", log_x=True, log_y=True),
    "good": _Look("epoch", "loss (°C²)", log_x=True, log_y=True),
    "overfitting": _Look("epoch", "loss (°C²)", log_x=True, log_y=True),
    "shrinking": _Look("penalty l2 (units²)", "weight (°C per unit)", log_x=True, legend=""),
    "rates": _Look("step", "loss above its minimum (°C²)", log_y=True),
    "warm-up": _Look("step", "loss above its minimum (°C²)"),
    "clipping": _Look("step", "loss above its minimum (°C²)", log_y=True),
    "averages": _Look("step", "weight (°C per unit, scaled)"),
    "pause": _Look("step", "loss (°C²)", log_y=True),
    "scale": _Look("step", "scale", log_y=True, legend=""),
    "minibatches": _Look("samples read", "loss on all data (°C²)", log_y=True),
}


def mark(label: str) -> str:
    """The id, within a drawing, of the series called `label`."""
    return "series-" + re.sub(r"[^a-z0-9]+", "-", label.lower())


@contextmanager
def drawing(name: str, shown: Series) -> Iterator[Figure]:
    """The figure `name`, with every series of `shown` plotted under its own label, in the style that it is saved in."""
    look = _LOOKS[name]
    with canvas(grid=True) as (figure, ax):
        for colour, (label, (x, y)) in zip(COLOURS, shown.items(), strict=False):
            style: dict[str, Any] = {"linestyle": "none", "marker": "o"} if label in look.points else {}
            if label in look.walks:
                style = {"marker": "o", "markersize": 4, "linewidth": 0.9}
            ax.plot(x, y, label=label, color=colour, gid=mark(label), **style)
        ax.set(xlabel=look.x, ylabel=look.y)
        if look.log_x:
            ax.set_xscale("log")
        if look.log_y:
            ax.set_yscale("log", subs=None if look.log_x else [])  # beside a plain axis, marks at powers of ten will do
        if look.legend:
            ax.legend(loc=look.legend)
        yield figure


def draw(directory: Path, names: Iterable[str] = ()) -> list[Path]:
    """Draw figures and diagrams, all where none is named, as `directory`/NAME.svg: the same bytes each time, where `drawn_with` is the same."""
    paths = []
    for name in names or (*series(), *diagrams.DIAGRAMS):
        path = directory / f"{name}.svg"
        with diagrams.drawing(name) if name in diagrams.DIAGRAMS else drawing(name, series()[name]) as figure:
            figure.savefig(path, format="svg", metadata={"Date": None, "Creator": drawn_with()})
        paths.append(path)
    return paths


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for written in draw(target):
        print(written)

"""The claims of the book's clauses on each operation's answer, as vectors hold them: values with their allowed errors, or an error."""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import FORMATS, Exact
from calibrant.exact.measurements import NORRIS, T_C, T_U
from calibrant.impostors.correct import OVER_EXACT, PYTORCH, as_exact, over_arrays
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.calling import copied
from calibrant.vectors.cases import NOTHING, REFUSED, numbers, says

Claim = tuple[str, Any]
"""A clause, and its claim on an answer as JSON; REFUSED if it demands an error."""


def claims(operation: str, arguments: Sequence[Any]) -> Iterator[Claim]:
    """List the book's claims on an operation's answer to these arguments."""
    values, refused = CLAIMS[operation]
    try:
        with np.errstate(all="ignore"):
            answer = over_arrays()[operation](*map(copied, arguments))
    except ValueError:  # the book may not demand it
        clause = refused(*arguments) if callable(refused) else refused
        if clause:
            yield clause, REFUSED
        return
    said = values(answer, *arguments) if callable(values) else values
    for clause, due in _whole(said, operation, arguments) if isinstance(said, str) else said:
        if says(due):
            yield clause, due


def _whole(clause: str, operation: str, arguments: Sequence[Any]) -> Iterator[Claim]:
    """A clause that holds all of an answer against the exact one, if the arguments are finite."""
    try:
        data = as_exact(tuple(arguments))
    except ValueError:
        return
    truth, depths = OVER_EXACT[operation](*data), OPERATIONS[operation].depths
    if not depths:
        yield clause, _written(truth)
        return
    logs = [isinstance(x, list) and not depth for x, depth in zip(truth, depths, strict=True)]
    yield clause, [_log(x) if log else _written(x) for x, log in zip(truth, logs, strict=True)]


def _written(truth: Any) -> Any:
    """Exact numbers, also in lists of any depth, as JSON."""
    if isinstance(truth, (list, tuple)):
        return list(map(_written, truth))
    return truth if truth is None else numbers(float(truth) if isinstance(truth, int) else truth)


def _spoiled(*arrays: Any) -> str:
    """The word for an answer to numbers that are not all finite: NaN stays, infinity may become NaN. Empty if all are."""
    values = np.concatenate([np.reshape(x, -1).astype(np.float64) for x in arrays])
    return "NaN" if np.isnan(values).any() else "" if np.isfinite(values).all() else "not finite"


def _of(*arrays: Any) -> Any:
    return map(exact.of, arrays)


def _log(losses: list[Exact]) -> dict[str, Any]:
    return numbers(exact.concatenate(*losses) if losses else np.zeros(0))


# Values, chapter by chapter: (the right answer, *arguments) -> claims


def _data(clause: str, columns: Iterable[Sequence[float]]) -> Callable[..., list[Claim]]:
    """Columns of tenths, within the error of rounding them to float32."""

    def rounded(column: Sequence[float]) -> dict[str, Any]:
        tenths = exact.of(np.round(np.array(column) * 10), exact.UNROUNDED) / 10
        form = FORMATS["float32"]
        return numbers(tenths.within(form.u * tenths.magnitude(), form))

    return lambda answer: [(clause, list(map(rounded, columns)))]


def _model(answer: Any, t_u: Any, w: Any, b: Any) -> Iterator[Claim]:
    yield "model.shape", {"shape": [*t_u.shape]}
    if not _spoiled(t_u, w, b):
        yield "model.linear", numbers(exact.model(*_of(t_u, w, b)))
        if (w, b) == (1, 0):
            yield "model.identity", numbers(t_u)


def _loss(clause: str, exact_loss: Callable[..., Exact], power: int) -> Callable[..., Iterator[Claim]]:
    def due(answer: Any, t_p: Any, t_c: Any) -> Iterator[Claim]:
        yield "loss.scalar", {"shape": []}
        if spoiled := _spoiled(t_p, t_c):
            yield "loss.nan", numbers(spoiled)
            return
        truth = exact_loss(*_of(t_p, t_c))
        yield clause, numbers(truth)
        if not np.isfinite(truth.err):
            yield "loss.wide-accumulation", _scaled(exact_loss, power, t_p, t_c)

    return due


def _scaled(exact_loss: Callable[..., Exact], power: int, t_p: Any, t_c: Any) -> Any:
    """A loss whose sum may overflow though its mean does not, from the numbers divided by a power of two without rounding."""
    form = FORMATS[t_p.dtype.name]
    k = form.max_exponent // 2
    scaled = [np.ldexp(x, -k) for x in (t_p, t_c)]
    if any((np.ldexp(x, k) != y).any() for x, y in zip(scaled, (t_p, t_c), strict=True)):
        return NOTHING
    small = exact_loss(*_of(*scaled))
    loss = Exact(small.m, small.e + power * k, small.d, np.ldexp(small.err, power * k), form)
    return numbers(loss) if loss.fraction() <= Fraction(form.largest) else NOTHING


def _dabsolute_loss(answer: Any, t_p: Any, t_c: Any) -> Iterator[Claim]:
    """The sign over n, and any subgradient where the residual is zero."""
    if not _spoiled(t_p, t_c):
        form = FORMATS[t_p.dtype.name]
        bound = np.where(t_p == t_c, (1 + 2 * form.u) / t_p.size, np.inf)
        yield "loss.smooth-at-zero", numbers(exact.of(np.zeros(t_p.shape), exact.UNROUNDED).within(bound, form))
        yield "loss.absolute-slope", numbers(exact.dabsolute_loss(*_of(t_p, t_c)))


def _dloss_fn(answer: Any, t_p: Any, t_c: Any) -> Iterator[Claim]:
    if _spoiled(t_p, t_c):
        yield "gradient.nan", numbers([_spoiled(p, c) or None for p, c in zip(t_p, t_c, strict=True)])
    else:
        yield "gradient.by-hand-loss", numbers(exact.dloss_fn(exact.of(t_p), exact.of(t_c)))


def _partial(clause: str) -> Callable[..., list[Claim]]:
    return lambda answer, *given: [] if _spoiled(*given) else [(clause, {**numbers(answer), "broadcasts": True})]


def _slope(clause: str, truth: Callable[..., Exact], t_u: Any, t_c: Any, *others: Any) -> Claim:
    """A clause on two derivatives; words where the data are not finite."""
    spoiled = _spoiled(t_u, t_c)
    return ("gradient.nan", numbers([spoiled] * 2)) if spoiled else (clause, numbers(truth(*_of(t_u, t_c, *others))))


def _value_and_grad(answer: Any, params: Any, t_u: Any, t_c: Any) -> Iterator[Claim]:
    clause, due = _slope("gradient.automatic", exact.gradient, t_u, t_c, *params)
    yield clause, [NOTHING, due]
    if not _spoiled(t_u, t_c):
        loss, _ = OVER_EXACT["value_and_grad"](*_of(params, t_u, t_c))
        yield "gradient.value", [numbers(loss), NOTHING]


def _training_loop(
    answer: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any
) -> Iterator[Claim]:
    if _spoiled(params, t_u, t_c) or not optimizer["lr"] <= FORMATS[params.dtype.name].largest:
        return
    sound = not (val and _spoiled(*val))
    data = [exact.of(x) for x in (params, t_u, t_c, *(val if sound else ()))]
    end, losses, val_losses = OVER_EXACT["training_loop"](n_epochs, optimizer, *data)
    path, log, val_log = numbers(end), _log(losses), _log(val_losses)
    if val:
        yield "validation.non-interference", [path, log, NOTHING]
        if sound:
            yield "validation.logged", [NOTHING, NOTHING, val_log]
        return
    if optimizer["name"] == "sgd" and set(optimizer) == {"name", "lr"}:
        yield "descent.trajectory" if optimizer["lr"] else "descent.zero-rate", [path, NOTHING, NOTHING]
        if all(abs(x) > Fraction(end.form.largest) * 2**20 for x in end.fractions()):
            yield "descent.diverges", [numbers(["not finite"] * 2), NOTHING, NOTHING]
    yield "descent.log", [NOTHING, log, NOTHING]
    yield "validation.none", [NOTHING, NOTHING, val_log]


def _broadcast_shapes(answer: Any, *shapes: Any) -> Iterator[Claim]:
    due = exact.broadcast_shapes(*shapes)
    if due is not None:
        yield "broadcast.many" if len(shapes) > 2 else "broadcast.result", list(due)


def _multiply(answer: Any, x: Any, y: Any) -> Iterator[Claim]:
    yield "broadcast.result", {"shape": [*answer.shape]}
    yield "broadcast.like-numpy", numbers(answer)


def _multiply_grad(answer: Any, *given: Any) -> Iterator[Claim]:
    yield "broadcast.gradient", [{"shape": [*x.shape]} for x in given[:2]]
    yield "broadcast.gradient", _written(exact.multiply_grad(*_of(*given)))


def _expand(answer: Any, x: Any, shape: tuple[int, ...]) -> Iterator[Claim]:
    """The numbers, the strides of the repeated axes, and a one if they lie in the memory of x."""
    expanded, strides, _ = answer
    repeated = [0.0 if size > 1 and stride == 0 else None for size, stride in zip(shape, strides, strict=True)]
    yield "broadcast.no-copy", [numbers(expanded), numbers(repeated), numbers(1.0)]


_OPTIONS = {
    "maximize": "optimizer.maximize",
    "weight_decay": "optimizer.coupled-decay",
    "nesterov": "optimizer.sgd.nesterov",
    "dampening": "optimizer.sgd.dampening",
    "momentum": "optimizer.{}.momentum",
    "amsgrad": "optimizer.adam.amsgrad",
    "centered": "optimizer.rmsprop.centered",
    "lr_decay": "optimizer.adagrad.lr-decay",
    "initial_accumulator_value": "optimizer.adagrad.initial-accumulator",
    **dict.fromkeys(("averaged", "r", "warmup_steps", "weight_lr_power"), "optimizer.schedule-free.average"),
}
"""The clause of each option. Of two options the first one's clause asks both together."""


_RULED = {
    "weight_decay": {"adamw", "lamb", "lars", "adafactor", "muon", "sgdschedulefree", "adamwschedulefree"},
    "momentum": {"lars", "muon", "sgdschedulefree"},
    "nesterov": {"muon"},
}
"""The optimizers whose plain rule has an option in it: AdamW, for instance, has no rule without decay."""

_DECAYS = {
    "sgd": "optimizer.sgd.weight-decay",
    "adam": "optimizer.adam.weight-decay",
    "lion": "optimizer.decoupled-decay",
    "adabelief": "optimizer.decoupled-decay",
}
"""The clause on the decay of an optimizer, where it is not that of `_OPTIONS`."""


def _optimize(answer: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> str:
    """The clause that asks such a run: of an option that is set, else of a changing rate, else of the plain rule."""
    if any(grad is None for step in grads for grad in step):
        return "optimizer.absent-gradient"
    for option, clause in _OPTIONS.items():
        if hyperparameters.get(option) and name not in _RULED.get(option, ()):
            return _DECAYS.get(name, clause) if option == "weight_decay" else clause.format(name)
    rates = hyperparameters.get("lr")
    changing = isinstance(rates, (list, tuple)) and len(set(rates)) > 1
    return "optimizer.changing-rate" if changing else f"optimizer.{name}"


def _optimize_rows(answer: Any, name: str, hyperparameters: Any, table: Any, rows: Any, grads: Any) -> str:
    """The clause on rows that are listed twice, if one is, else the plain rule's."""
    return f"optimizer.sparse-adam{'.rows' if any(len({*some}) < len(some) for some in rows) else ''}"


def _lbfgs(answer: Any, hyperparameters: Any, *loss: Any) -> Iterator[Claim]:
    """The clause of what ends a step, of a short history, else the plain rule's."""
    if hyperparameters.get("line_search_fn") or _spoiled(*loss[:3]):
        return
    path = [[*map(numbers, step)] for step in OVER_EXACT["lbfgs"](hyperparameters, *_of(*loss[:3]), loss[3])]
    short = hyperparameters.get("history_size", 100) < loss[-1]
    yield f"optimizer.lbfgs{'.memory' if short else ''}", [[x, NOTHING, NOTHING] for x, *_ in path]
    yield "optimizer.lbfgs.stop", [[NOTHING, loss_before, count] for _, loss_before, count in path]


def _early_stopping(answer: Any, val_losses: Any, patience: int) -> Iterator[Claim]:
    stopped, best = exact.early_stopping(val_losses.astype(np.float64).tolist(), patience)
    which = NOTHING if best is None else numbers(best)
    if _spoiled(val_losses):
        yield "early-stopping.nan", [numbers(stopped), which]
    else:
        yield "early-stopping.best", [NOTHING, which]


_RULES = {
    **dict.fromkeys(("step", "multistep", "exponential"), "decay"),
    "inverse_sqrt": "inverse-sqrt",
    "cosine_restarts": "restarts",
    "one_cycle": "one-cycle",
}
"""The clauses of schedules, where they do not have the schedule's name."""


def _schedule(answer: Any, name: str, hyperparameters: Any, n_steps: int) -> str:
    return f"schedule.{'warm-up' if hyperparameters.get('warmup_steps') else _RULES.get(name, name)}"


def _plateau(answer: Any, val_losses: Any, lr: float, hyperparameters: Any) -> Iterator[Claim]:
    """The clause of an option that is set, else of the plain rule."""
    options = {"cooldown": "-cooldown", "min_lr": "-least", "threshold": "-threshold", "mode": "-threshold"}
    of_options = (
        clause for option, clause in options.items() if hyperparameters.get(option, "min") not in (0.0, "min")
    )
    name = "-nan" if _spoiled(val_losses) else next(of_options, "")
    losses, form = val_losses.astype(np.float64).tolist(), FORMATS[val_losses.dtype.name]
    yield f"schedule.plateau{name}", numbers(exact.plateau(losses, lr, hyperparameters, form, PYTORCH))


def _clip_by_norm(answer: Any, grads: Any, max_norm: float, norm_type: float) -> Iterator[Claim]:
    if spoiled := _spoiled(*grads):
        yield "clip.not-finite", [numbers(np.asarray(spoiled)), [NOTHING] * len(grads)]
        return
    norm, clipped = OVER_EXACT["clip_by_norm"]([*_of(*grads)], max_norm, norm_type)
    yield "clip.norm", [numbers(norm), [NOTHING] * len(grads)]
    yield f"clip.{'scaled' if norm.fraction() > max_norm else 'below'}", [NOTHING, _written(clipped)]


def _average(answer: Any, name: str, hyperparameters: Any, path: Any) -> str:
    """The clause that asks such an average."""
    for option, clause in (("every", "every"), ("bias_correction", "bias-correction"), ("warmup", "warm-up")):
        if hyperparameters.get(option):
            return f"average.{clause}"
    return f"average.{name}"


def _resume(answer: Any, name: str, hyperparameters: Any, params: Any, grads: Any, after: int, changed: Any) -> str:
    return f"resume.{'hyperparameters' if changed else 'same-steps'}"


def _accumulate_and_step(answer: Any, name: str, hyperparameters: Any, params: Any, grads: Any, every: int) -> str:
    if isinstance(hyperparameters.get("lr"), (list, tuple)):
        return "window.rate"
    return f"window.{'last' if len(grads) % every else 'step'}"


def _scaled_steps(
    answer: Any, name: str, hyperparameters: Any, params: Any, grads: Any, scale: Any, max_norm: Any
) -> Iterator[Claim]:
    asked = name, hyperparameters, params, grads, scale, max_norm
    if _spoiled(*(g for step in grads for g in step)):
        return
    steps = [[*map(_written, step)] for step in exact.scaled_steps(*asked, PYTORCH)]
    form = FORMATS[params[0].dtype.name]
    scaler = exact.Scaler(scale)
    overflows = any(scaler.overflows(step, form) for step in grads)
    clause = "skip" if overflows else "clip" if max_norm is not None else "unscaled"
    yield f"scale.{clause}", [[*step[:-1], NOTHING] for step in steps]
    yield "scale.growth", [[*([NOTHING] * (len(step) - 1)), step[-1]] for step in steps]


def _minibatches(
    answer: Any, n_samples: int, batch_size: int, shuffle: bool, seed: int, drop_last: bool, epochs: int
) -> Iterator[Claim]:
    sizes = exact.batch_sizes(n_samples, batch_size, drop_last)
    yield "minibatch.sizes", [[{"shape": [size]} for size in sizes] for _ in range(epochs)]
    if not shuffle:
        yield "minibatch.order", [[numbers(rows.astype(np.float64)) for rows in epoch] for epoch in answer]


def _train_minibatches(answer: Any, optimizer: Any, params: Any, t_u: Any, t_c: Any, batches: Any) -> Iterator[Claim]:
    params, losses = exact.train_minibatches(
        optimizer, exact.of(params), exact.of(t_u), exact.of(t_c), batches, PYTORCH
    )
    yield "minibatch.steps", [numbers(params), NOTHING]
    yield "minibatch.loss", [NOTHING, _log(losses)]


# Errors: (*arguments) -> the clause that wants one, or nothing


def _no_columns(t_u: Any, t_c: Any) -> bool:
    return bool(t_u.ndim != 1 or t_u.size == 0 or t_u.shape != t_c.shape)


def _unfit_data(t_u: Any, t_c: Any, section: str = "data") -> str:
    return f"{section}.{'columns' if t_u.shape == t_c.shape else 'shapes'}"


def _unfit_batches(params: Any, batches: Any, *zero_grad: bool) -> str:
    return f"accumulation.{'refused' if all(t_u.shape == t_c.shape for t_u, t_c in batches) else 'same-shape'}"


def _untrainable(n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> str:
    if _no_columns(t_u, t_c):
        return _unfit_data(t_u, t_c)
    if val:
        given = all(x is not None for x in val) and _no_columns(*val)
        return _unfit_data(val[0], val[1], "validation") if given else ""
    senseless = n_epochs < 0 or not 0 <= optimizer["lr"] < math.inf
    return "descent.negative-rate" if optimizer["name"] == "sgd" and senseless else ""


def _unfit_losses(t_p: Any, t_c: Any) -> str:
    return "loss.empty" if t_p.shape == t_c.shape else "loss.same-shape"


def _unfit_pairs(place: int, otherwise: str = "") -> Callable[..., str]:
    """The clause that has two columns of two shapes refused, which stand at this place of the arguments; else another clause."""
    return lambda *given: otherwise if given[place].shape == given[place + 1].shape else "loss.same-shape"


def _unfit_descent(n_epochs: int, rate: float, params: Any, t_u: Any, t_c: Any) -> str:
    return _unfit_data(t_u, t_c) if _no_columns(t_u, t_c) else "descent.negative-rate"


def _validation_loss(answer: Any, params: Any, t_u: Any, t_c: Any) -> Iterator[Claim]:
    if not _spoiled(params, t_u, t_c):
        params, t_u, t_c = _of(params, t_u, t_c)
        yield "validation.value", [numbers(exact.loss_fn(exact.model(t_u, *params), t_c)), NOTHING]
    yield "validation.not-recorded", [NOTHING, numbers(np.array(0.0))]


def _unfit(kind: str, known: Mapping[str, Mapping[str, Any]]) -> Callable[..., str]:
    """The clause that has a request refused: that of unknown names if the table lacks one of them, else that of meaningless values."""

    def clause(name: str, hyperparameters: Any, *others: Any) -> str:
        fits = name in known and {*hyperparameters} <= {*known[name]}
        return f"{kind}.{'invalid' if fits else 'unknown'}"

    return clause


def _unfit_schedule(name: str, hyperparameters: Any, n_steps: int) -> str:
    known = exact.SCHEDULES.get(name, {})
    needed = {key for key, value in known.items() if value is None and key != "step_size_down"}
    fits = name in exact.SCHEDULES and needed <= {*hyperparameters} <= {*known, "warmup_steps"}
    return f"schedule.{'invalid' if fits else 'unknown'}"


def _unfit_logs(train_losses: Any, val_losses: Any) -> str:
    if len(train_losses) != len(val_losses):
        return "overfitting.lengths"
    return "overfitting.not-finite" if len(train_losses) else "overfitting.empty"


CLAIMS: dict[str, tuple[Any, str | Callable[..., str]]] = {
    "thermometer": (_data("data.thermometer", (T_U, T_C)), ""),
    "norris": (_data("data.norris", tuple(zip(*NORRIS, strict=True))), ""),
    "least_squares": ("data.scaling", _unfit_data),
    "model": (_model, ""),
    "loss_fn": (_loss("loss.mean-square", exact.loss_fn, 2), _unfit_losses),
    "absolute_loss": (_loss("loss.absolute", exact.absolute_loss, 1), _unfit_losses),
    "dabsolute_loss": (_dabsolute_loss, _unfit_pairs(0)),
    "dloss_fn": (_dloss_fn, _unfit_pairs(0)),
    "dmodel_dw": (_partial("gradient.by-hand-w"), ""),
    "dmodel_db": (_partial("gradient.by-hand-b"), ""),
    "grad_fn": (
        lambda answer, u, c, p, w, b: [_slope("gradient.chain-rule", exact.gradient, u, c, w, b)],
        _unfit_pairs(0),
    ),
    "finite_difference": (
        lambda answer, *given: [_slope("gradient.central", exact.finite_difference, *given)],
        _unfit_pairs(0),
    ),
    "value_and_grad": (_value_and_grad, _unfit_pairs(1)),
    "training_loop": (_training_loop, _untrainable),
    "closed_form": ("descent.closed-form", _unfit_descent),
    "broadcast_shapes": (_broadcast_shapes, "broadcast.otherwise-error"),
    "multiply": (_multiply, "broadcast.otherwise-error"),
    "multiply_in_place": (lambda answer, x, y: [("broadcast.in-place", numbers(answer))], "broadcast.in-place"),
    "expand": (_expand, ""),
    "multiply_grad": (_multiply_grad, ""),
    "manual_training_loop": ("autograd.loop", _unfit_descent),
    "calc_forward": ("autograd.set-grad-enabled", ""),
    "accumulate": (
        lambda answer, params, batches, zero_grad: f"accumulation.{'reset' if zero_grad else 'sum'}",
        _unfit_batches,
    ),
    "accumulated_grad": ("accumulation.full-batch", _unfit_batches),
    "data_parallel": ("accumulation.data-parallel", ""),
    "optimize": (_optimize, _unfit("optimizer", exact.OPTIMIZERS)),
    "optimize_rows": (_optimize_rows, _unfit("optimizer", exact.LAZY)),
    "lbfgs": (_lbfgs, functools.partial(_unfit("optimizer", {"lbfgs": exact.LBFGS}), "lbfgs")),
    "split": ((), "split.invalid"),
    "split_data": ((), lambda t_u, t_c, *given: "split.invalid" if t_u.shape == t_c.shape else "split.pairs"),
    "validation_loss": (_validation_loss, _unfit_pairs(1)),
    "regularized_loss": ("regularization.sum", _unfit_pairs(0, "regularization.invalid")),
    "regularized_grad": (
        lambda answer, t_u, t_c, w, b, l1, l2: f"regularization.{'gradient' if w else 'kink'}",
        _unfit_pairs(0, "regularization.invalid"),
    ),
    "ridge": (
        "regularization.ridge",
        lambda t_u, t_c, l2: _unfit_data(t_u, t_c) if _no_columns(t_u, t_c) else "regularization.invalid",
    ),
    "early_stopping": (_early_stopping, "early-stopping.invalid"),
    "schedule": (_schedule, _unfit_schedule),
    "plateau": (_plateau, "schedule.plateau-invalid"),
    "clip_by_norm": (_clip_by_norm, "clip.invalid"),
    "clip_by_value": ("clip.value", "clip.invalid"),
    "clip_shards": ("clip.shards", "clip.invalid"),
    "diagnose": (lambda answer, *given: [("overfitting.diagnosis", exact.diagnose(*_of(*given)))], _unfit_logs),
    "average": (_average, _unfit("average", exact.AVERAGES)),
    "optimize_groups": (lambda answer, *given: "group.own", "group.invalid"),
    "resume": (_resume, ""),
    "accumulate_and_step": (_accumulate_and_step, "window.invalid"),
    "scaled_steps": (_scaled_steps, "scale.invalid"),
    "minibatches": (_minibatches, "minibatch.invalid"),
    "train_minibatches": (_train_minibatches, ""),
}
"""Two claims on each operation that a file can ask. The first is on values: the clause that holds all of the answer against the exact one, or a
function of the right answer and the arguments that returns such a clause or other claims. The second is the clause that demands an error, or a
function of the arguments that returns one; empty if no clause does."""

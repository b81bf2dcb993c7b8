"""What is due of each operation, as vectors hold it: values with the error that they may show, or an error; and the clause that says so.

An operation whose arguments or answers are functions, or whose answer is drawn, is not here: no file can ask it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import FORMATS, Exact
from calibrant.exact.measurements import NORRIS, T_C, T_U
from calibrant.impostors.rights import OVER_EXACT, lifted, over_arrays
from calibrant.protocol.operations import PARAMETERS
from calibrant.target.calling import copied
from calibrant.vectors.numbers import NOTHING, REFUSED, numbers, says, shaped, words

Claim = tuple[str, Any]
"""A clause, and what it says of an answer as JSON; REFUSED if it says that there is none."""


def claims(operation: str, arguments: Sequence[Any]) -> Iterator[Claim]:
    """What the book says of an operation's answer to these arguments; nothing where it says nothing."""
    right = over_arrays()[operation]
    try:
        with np.errstate(all="ignore"):
            answer = right(*map(copied, arguments))
    except ValueError:  # whether the book wants that too is another question
        clause = _REFUSALS[operation](*arguments) if operation in _REFUSALS else ""
        if clause:
            yield clause, REFUSED
        return
    if operation in _VALUES:
        for clause, due in _VALUES[operation](answer, *arguments):
            if says(due):
                yield clause, due


def _spoiled(*arrays: Any) -> str:
    """What what is not finite among the numbers becomes: NaN stays, and infinity may become NaN; nothing if all are finite."""
    values = np.concatenate([np.reshape(x, -1).astype(np.float64) for x in arrays])
    return "NaN" if np.isnan(values).any() else "" if np.isfinite(values).all() else "not finite"


def _of(*arrays: Any) -> Any:
    return map(exact.of, arrays)


def _form(x: Any) -> exact.Format:
    return FORMATS[x.dtype.name]


# Values, chapter by chapter: (the right answer, *arguments) -> claims


def _thermometer(answer: Any) -> Iterator[Claim]:
    yield "data.thermometer", [_decimals(column) for column in (T_U, T_C)]


def _norris(answer: Any) -> Iterator[Claim]:
    yield "data.norris", [_decimals(column) for column in zip(*NORRIS, strict=True)]


def _decimals(column: Sequence[float]) -> dict[str, Any]:
    """Tenths, within what rounding them to float32 costs."""
    tenths = exact.of(np.round(np.array(column) * 10), exact.UNROUNDED) / 10
    form = FORMATS["float32"]
    return numbers(tenths.within(form.u * tenths.magnitude(), form))


def _least_squares(answer: Any, t_u: Any, t_c: Any) -> Iterator[Claim]:
    yield "data.scaling", numbers(exact.least_squares(exact.of(t_u), exact.of(t_c)))


def _model(answer: Any, t_u: Any, w: Any, b: Any) -> Iterator[Claim]:
    yield "model.shape", shaped(t_u.shape)
    if not _spoiled(t_u, w, b):
        yield "model.linear", numbers(exact.model(*_of(t_u, w, b)))
        if (w, b) == (1, 0):
            yield "model.identity", numbers(t_u)


def _loss(clause: str, operation: str, power: int) -> Callable[..., Iterator[Claim]]:
    def due(answer: Any, t_p: Any, t_c: Any) -> Iterator[Claim]:
        yield "loss.scalar", shaped(())
        spoiled = _spoiled(t_p, t_c)
        if spoiled:
            yield "loss.nan", words(spoiled)
            return
        truth = OVER_EXACT[operation](exact.of(t_p), exact.of(t_c))
        yield clause, numbers(truth)
        if not np.isfinite(truth.err):
            yield "loss.wide-accumulation", _scaled_loss(operation, power, t_p, t_c)

    return due


def _scaled_loss(operation: str, power: int, t_p: Any, t_c: Any) -> Any:
    """A loss whose sum may overflow, though the mean does not: of the numbers divided by a power of two, which rounds nothing."""
    form = _form(t_p)
    k = form.max_exponent // 2
    scaled = [np.ldexp(x, -k) for x in (t_p, t_c)]
    if any((np.ldexp(x, k) != y).any() for x, y in zip(scaled, (t_p, t_c), strict=True)):
        return NOTHING
    small = OVER_EXACT[operation](*_of(*scaled))
    loss = Exact(small.m, small.e + power * k, small.d, np.ldexp(small.err, power * k), form)
    return numbers(loss) if loss.fraction() <= Fraction(form.largest) else NOTHING


def _dabsolute_loss(answer: Any, t_p: Any, t_c: Any) -> Iterator[Claim]:
    """Any slope of a line that supports the loss where the residual is zero; elsewhere no clause says anything."""
    if not _spoiled(t_p, t_c):
        bound = np.where(t_p == t_c, (1 + 2 * _form(t_p).u) / t_p.size, np.inf)
        yield "loss.smooth-at-zero", numbers(exact.of(np.zeros(t_p.shape), exact.UNROUNDED).within(bound, _form(t_p)))


def _dloss_fn(answer: Any, t_p: Any, t_c: Any) -> Iterator[Claim]:
    if _spoiled(t_p, t_c):
        yield "gradient.nan", words([_spoiled(p, c) or None for p, c in zip(t_p, t_c, strict=True)])
    else:
        yield "gradient.by-hand-loss", numbers(exact.dloss_fn(exact.of(t_p), exact.of(t_c)))


def _partial(clause: str) -> Callable[..., Iterator[Claim]]:
    def due(answer: Any, t_u: Any, w: Any, b: Any) -> Iterator[Claim]:
        if not _spoiled(t_u, w, b):
            yield clause, {**numbers(answer), "broadcasts": True}

    return due


def _gradient(clause: str) -> Callable[..., Iterator[Claim]]:
    def due(answer: Any, t_u: Any, t_c: Any, *others: Any) -> Iterator[Claim]:
        yield from _slope(clause, t_u, t_c, *others[-2:])

    return due


def _slope(clause: str, t_u: Any, t_c: Any, w: Any, b: Any) -> Iterator[Claim]:
    spoiled = _spoiled(t_u, t_c)
    if spoiled:
        yield "gradient.nan", words([spoiled] * 2)
    else:
        yield clause, numbers(exact.gradient(*_of(t_u, t_c, w, b)))


def _finite_difference(answer: Any, *arguments: Any) -> Iterator[Claim]:
    spoiled = _spoiled(*arguments[:2])
    if spoiled:
        yield "gradient.nan", words([spoiled] * 2)
    else:
        yield "gradient.central", numbers(exact.finite_difference(*_of(*arguments)))


def _value_and_grad(answer: Any, params: Any, t_u: Any, t_c: Any) -> Iterator[Claim]:
    for clause, due in _slope("gradient.automatic", t_u, t_c, *params):
        yield clause, [NOTHING, due]
    if not _spoiled(t_u, t_c):
        loss, _ = OVER_EXACT["value_and_grad"](*_of(params, t_u, t_c))
        yield "gradient.of-the-reported-loss", [numbers(loss), NOTHING]


def _training_loop(
    answer: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any
) -> Iterator[Claim]:
    if _spoiled(params, t_u, t_c) or not optimizer["lr"] <= _form(params).largest:
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
    yield _of_descent(n_epochs, optimizer), [path, NOTHING, NOTHING]
    yield "descent.log", [NOTHING, log, NOTHING]
    if (
        optimizer["name"] == "sgd"
        and not np.isfinite(end.err).any()
        and _overflows(n_epochs - 2, optimizer["lr"], *data)
    ):
        yield "descent.diverges", [words(["not finite"] * 2), NOTHING, NOTHING]
    yield "validation.none", [NOTHING, NOTHING, val_log]


def _overflows(n_epochs: int, learning_rate: float, params: Exact, t_u: Exact, t_c: Exact) -> bool:
    """Whether both parameters are far beyond the largest number by then: what is not finite stays so, and reaches both."""
    end, _ = exact.trajectory(max(n_epochs, 0), learning_rate, params, t_u, t_c)
    return all(abs(x) > Fraction(params.form.largest) * 2**20 for x in end.fractions())


def _of_descent(n_epochs: int, optimizer: Any) -> str:
    if optimizer["name"] != "sgd" or set(optimizer) != {"name", "lr"}:
        return "optimizer.swap"
    if n_epochs == 0:
        return "descent.zero-epochs"
    return "descent.zero-rate" if optimizer["lr"] == 0 else "descent.step" if n_epochs == 1 else "descent.trajectory"


def _log(losses: list[Exact]) -> dict[str, Any]:
    return numbers(exact.concatenate(*losses)) if losses else numbers(np.zeros(0))


def _closed_form(answer: Any, n_epochs: int, learning_rate: float, *data: Any) -> Iterator[Claim]:
    yield "descent.closed-form", numbers(exact.by_squaring(n_epochs, learning_rate, *_of(*data)))


def _broadcast_shapes(answer: Any, *shapes: Any) -> Iterator[Claim]:
    due = exact.broadcast_shapes(*shapes)
    if due is not None:
        yield "broadcast.many" if len(shapes) > 2 else "broadcast.result", list(due)


def _multiply(answer: Any, x: Any, y: Any) -> Iterator[Claim]:
    yield "broadcast.result", shaped(answer.shape)
    yield "broadcast.like-numpy", numbers(answer)


def _multiply_in_place(answer: Any, x: Any, y: Any) -> Iterator[Claim]:
    yield "broadcast.in-place", numbers(answer)


def _expand(answer: Any, x: Any, shape: tuple[int, ...]) -> Iterator[Claim]:
    """The numbers; the strides of the axes that are repeated; and that they lie in the memory of x."""
    missing = len(shape) - x.ndim
    repeated = [size > 1 and (axis < missing or x.shape[axis - missing] == 1) for axis, size in enumerate(shape)]
    strides = [0.0 if again else None for again in repeated]
    nothing = [None if again is None else "0" for again in strides]
    yield (
        "broadcast.no-copy",
        [
            numbers(np.broadcast_to(x, shape)),
            {"shape": [len(shape)], "data": strides, "fractions": nothing, "allowed": strides},
            numbers(1.0),
        ],
    )


def _multiply_grad(answer: Any, x: Any, y: Any, upstream: Any) -> Iterator[Claim]:
    yield "broadcast.gradient", [shaped(x.shape), shaped(y.shape)]
    yield "broadcast.gradient", [numbers(grad) for grad in exact.multiply_grad(*_of(x, y, upstream))]


def _manual_training_loop(answer: Any, n_epochs: int, learning_rate: float, *data: Any) -> Iterator[Claim]:
    params, losses = exact.trajectory(n_epochs, learning_rate, *_of(*data))
    yield "autograd.loop", [numbers(params), _log(losses)]


def _calc_forward(answer: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Iterator[Claim]:
    loss, grad = OVER_EXACT["calc_forward"](*_of(params, t_u, t_c), is_train)
    yield "autograd.set-grad-enabled", [numbers(loss), numbers(grad) if is_train else None]


def _accumulate(answer: Any, params: Any, batches: Any, zero_grad: bool) -> Iterator[Claim]:
    due = OVER_EXACT["accumulate"](exact.of(params), lifted(batches), zero_grad)
    yield "accumulation.reset" if zero_grad else "accumulation.sum", numbers(due)


def _accumulated_grad(answer: Any, params: Any, batches: Any) -> Iterator[Claim]:
    yield "accumulation.full-batch", numbers(exact.accumulated_grad(lifted(batches), *exact.of(params)))


def _data_parallel(answer: Any, params: Any, shards: Any, n_epochs: int, lr: float) -> Iterator[Claim]:
    due = OVER_EXACT["data_parallel"](exact.of(params), lifted(shards), n_epochs, lr)
    yield "accumulation.data-parallel", list(map(numbers, due))


def _optimize(answer: Any, name: str, hyperparameters: Any, params: Any, grads: Any) -> Iterator[Claim]:
    steps = OVER_EXACT["optimize"](name, hyperparameters, params, grads)
    yield f"optimizer.{name}", [[numbers(array) for array in step] for step in steps]


def _validation_loss(answer: Any, *arguments: Any) -> Iterator[Claim]:
    if not _spoiled(*arguments):
        loss, recorded = OVER_EXACT["validation_loss"](*_of(*arguments))
        yield "validation.not-recorded", [numbers(loss), numbers(float(recorded))]


def _regularized_loss(answer: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Iterator[Claim]:
    which = "sum" if l1 and l2 else "l1" if l1 else "l2"
    yield f"regularization.{which}", numbers(exact.regularized_loss(exact.of(t_p), exact.of(t_c), exact.of(w), l1, l2))


def _regularized_grad(answer: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Iterator[Claim]:
    due = exact.regularized_grad(exact.of(t_u), exact.of(t_c), exact.of(w), exact.of(b), l1, l2)
    yield f"regularization.{'gradient' if w else 'kink'}", numbers(due)


def _ridge(answer: Any, t_u: Any, t_c: Any, l2: float) -> Iterator[Claim]:
    yield "regularization.ridge", numbers(exact.least_squares(exact.of(t_u), exact.of(t_c), l2))


def _early_stopping(answer: Any, val_losses: Any, patience: int) -> Iterator[Claim]:
    losses = val_losses.astype(np.float64).tolist()
    stopped, best = exact.early_stopping(losses, patience)
    waits = max(waited for _, waited in exact.waits(losses)) >= patience
    when, which = numbers(stopped), NOTHING if best is None else numbers(best)
    if _spoiled(val_losses):
        yield "early-stopping.nan", [when, which]
    else:
        yield f"early-stopping.{'patience' if waits else 'never-triggered'}", [when, NOTHING]
        yield "early-stopping.best", [NOTHING, which]


def _diagnose(answer: Any, train_losses: Any, val_losses: Any) -> Iterator[Claim]:
    yield "overfitting.diagnosis", exact.diagnose(exact.of(train_losses), exact.of(val_losses))


_VALUES: dict[str, Callable[..., Iterator[Claim]]] = {
    "thermometer": _thermometer,
    "norris": _norris,
    "least_squares": _least_squares,
    "model": _model,
    "loss_fn": _loss("loss.mean-square", "loss_fn", 2),
    "absolute_loss": _loss("loss.absolute", "absolute_loss", 1),
    "dabsolute_loss": _dabsolute_loss,
    "dloss_fn": _dloss_fn,
    "dmodel_dw": _partial("gradient.by-hand-w"),
    "dmodel_db": _partial("gradient.by-hand-b"),
    "grad_fn": _gradient("gradient.chain-rule"),
    "finite_difference": _finite_difference,
    "value_and_grad": _value_and_grad,
    "training_loop": _training_loop,
    "closed_form": _closed_form,
    "broadcast_shapes": _broadcast_shapes,
    "multiply": _multiply,
    "multiply_in_place": _multiply_in_place,
    "expand": _expand,
    "multiply_grad": _multiply_grad,
    "manual_training_loop": _manual_training_loop,
    "calc_forward": _calc_forward,
    "accumulate": _accumulate,
    "accumulated_grad": _accumulated_grad,
    "data_parallel": _data_parallel,
    "optimize": _optimize,
    "validation_loss": _validation_loss,
    "regularized_loss": _regularized_loss,
    "regularized_grad": _regularized_grad,
    "ridge": _ridge,
    "early_stopping": _early_stopping,
    "diagnose": _diagnose,
}


# Errors: (*arguments) -> the clause that wants one, or nothing


def _no_columns(t_u: Any, t_c: Any) -> bool:
    return bool(t_u.ndim != 1 or t_u.size == 0 or t_u.shape != t_c.shape)


def _untrainable(n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> str:
    if _no_columns(t_u, t_c):
        return "data.shapes"
    if val:
        return "validation.shapes" if all(x is not None for x in val) and _no_columns(*val) else ""
    senseless = n_epochs < 0 or not 0 <= optimizer["lr"] < math.inf
    return "descent.negative-rate" if optimizer["name"] == "sgd" and senseless else ""


def _unfit_optimizer(name: str, hyperparameters: Any, params: Any, grads: Any) -> str:
    known = exact.OPTIMIZERS.get(name)
    return "optimizer.unknown" if known is None or set(hyperparameters) - set(known) else "optimizer.invalid"


def _unfit_logs(train_losses: Any, val_losses: Any) -> str:
    same = len(train_losses) == len(val_losses) > 0
    return "overfitting.not-finite" if same else "overfitting.lengths"


_REFUSALS: dict[str, Callable[..., str]] = {
    "least_squares": lambda t_u, t_c: "data.shapes",
    "loss_fn": lambda t_p, t_c: "loss.empty" if t_p.shape == t_c.shape else "loss.same-shape",
    "absolute_loss": lambda t_p, t_c: "loss.empty" if t_p.shape == t_c.shape else "loss.same-shape",
    "training_loop": _untrainable,
    "broadcast_shapes": lambda *shapes: "broadcast.otherwise-error",
    "multiply": lambda x, y: "broadcast.otherwise-error",
    "multiply_in_place": lambda x, y: "broadcast.in-place",
    "accumulate": lambda params, batches, zero_grad: "accumulation.refused",
    "accumulated_grad": lambda params, batches: "accumulation.refused",
    "optimize": _unfit_optimizer,
    "split": lambda n_samples, val_fraction, seed: "split.invalid",
    "split_data": lambda t_u, t_c, val_fraction, seed: "split.invalid" if t_u.shape == t_c.shape else "",
    "regularized_loss": lambda *arguments: "regularization.invalid",
    "regularized_grad": lambda *arguments: "regularization.invalid",
    "ridge": lambda t_u, t_c, l2: "" if _no_columns(t_u, t_c) else "regularization.invalid",
    "early_stopping": lambda val_losses, patience: "early-stopping.invalid",
    "diagnose": _unfit_logs,
}

OPERATIONS = tuple(operation for operation in PARAMETERS if operation in _VALUES or operation in _REFUSALS)
"""The operations that vectors can ask."""

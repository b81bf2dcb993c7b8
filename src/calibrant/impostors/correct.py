"""The right operations that impostors change: over NumPy's arrays, and over exact numbers."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact
from calibrant.exact.measurements import NORRIS, T_C, T_U
from calibrant.impostors import machine
from calibrant.protocol.declarations import followed, numpy_dtype
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import is_array

Batches = Sequence[tuple[Any, Any]]
Table = Mapping[str, Callable[..., Any]]

PYTORCH = followed({})
"""The variants that are meant where none is declared."""


class CorrectOperations:
    """`correct(...)` is the operation in whose place an impostor stands; `correct.model(...)` is any other one."""

    def __init__(self, operation: str, table: Table, conventions: Mapping[str, str] | None = None) -> None:
        self.conventions = dict(conventions or {})
        self.follow = followed(self.conventions)
        """The variants that are meant: those that are declared, else PyTorch's."""
        self.memory: dict[Any, Any] = {}
        """What an impostor that remembers keeps from call to call."""
        vars(self).update(table)
        if conventions:
            vars(self).update(
                {name: functools.partial(following, name, table[name], self.follow) for name in FOLLOWING}
            )
        self._answer = getattr(self, operation)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        """The answer of the correct operation."""
        return self._answer(*arguments, **named)


def following(operation: str, usual: Callable[..., Any], follow: Mapping[str, str], *arguments: Any) -> Any:
    """The exact answer of an operation in these variants, in the dtype of the usual one, which refuses what must be refused.

    The usual one also answers where nothing is claimed: where numbers are not finite, and where a line is searched.
    """
    answer = usual(*arguments)
    try:
        found = FOLLOWING[operation](*map(as_exact, arguments), follow)
    except ValueError:  # numbers that are not finite
        return answer
    if not _claims(found):
        return answer
    dtype = dtype_of(answer)
    return found if dtype is None else in_dtype(found, dtype)


def _claims(answer: Any) -> bool:
    """Whether any number of an exact answer has a bound."""
    if isinstance(answer, (list, tuple)):
        return any(map(_claims, answer))
    return isinstance(answer, Exact) and bool(np.isfinite(answer.err).any())


@functools.cache
def over_arrays() -> Table:
    """The right operations over NumPy's arrays: the NumPy target's, the machine's, and what is put together of them."""
    from calibrant.adapters import numpy_target

    modules = machine, numpy_target
    table = {name: one for module in modules for name, one in vars(module).items() if name in OPERATIONS}
    table |= machine.by_hand(table)
    table |= {
        "thermometer": lambda: (np.array(T_U), np.array(T_C)),
        "norris": lambda: tuple(np.array(NORRIS).T),
        "figures": _figures,
        "closed_form": _rounded(
            "closed_form", lambda n, lr, *data: table["training_loop"](min(n, 0), {"name": "sgd", "lr": lr}, *data)
        ),
        "data_parallel": _rounded(
            "data_parallel",
            lambda params, shards, *_: table["accumulated_grad"](params, [x for x in shards if x[0].size]),
        ),
    }
    return table


def _figures() -> dict[str, dict[str, Any]]:
    """What the book's figures of the data, of the fit and of the losses show."""
    correct = over_arrays()
    t_u, t_c = correct["thermometer"]()
    ascending = np.sort(t_u)
    runs = {
        name: correct["training_loop"](120, {"name": "sgd", "lr": rate}, np.array([1.0, 0.0]), readings, t_c)[1]
        for name, rate, readings in (("raw, 1e-4", 1e-4, t_u), ("scaled, 1e-2", 1e-2, 0.1 * t_u))
    }
    return {
        "thermometer": {"measurements": (t_u.tolist(), t_c.tolist())},
        "fit": {"fit": (ascending.tolist(), correct["model"](ascending, *correct["least_squares"](t_u, t_c)).tolist())},
        "losses": {name: (list(range(1, 121)), np.array(losses).tolist()) for name, losses in runs.items()},
    }


def _rounded(operation: str, refusing: Callable[..., Any]) -> Callable[..., Any]:
    """An operation over exact numbers, rounded to the dtype of its arguments; `refusing` refuses what it must refuse."""

    def answer(*arguments: Any) -> Any:
        refusing(*arguments)
        return in_dtype(OVER_EXACT[operation](*map(as_exact, arguments)), dtype_of(arguments))

    return answer


# Over exact numbers


def _loss(params: Exact, t_u: Exact, t_c: Exact) -> Exact:
    return exact.loss_fn(exact.model(t_u, *params), t_c)


def _training_loop(
    n_epochs: int, optimizer: Mapping[str, Any], params: Exact, t_u: Exact, t_c: Exact, *validation: Any
) -> tuple[Exact, list[Exact], list[Exact]]:
    """Descent by the recurrence itself, or by the optimizer's rule; the validation data are two columns, None or left out."""
    losses, val_losses = [], []
    if optimizer["name"] == "sgd" and set(optimizer) == {"name", "lr"}:
        walk = exact.walk(optimizer["lr"], params, t_u, t_c)
    else:
        walk = _optimized(optimizer, params, t_u, t_c)
    for _ in range(n_epochs):
        params = next(walk)
        losses.append(_loss(params, t_u, t_c))
        if validation and all(x is not None for x in validation):
            val_losses.append(_loss(params, *validation))
    return next(walk), losses, val_losses


def _optimized(optimizer: Mapping[str, Any], params: Exact, t_u: Exact, t_c: Exact) -> Iterator[Exact]:
    """The parameters before each step of a loop without end."""
    hyperparameters = {key: value for key, value in optimizer.items() if key != "name"}
    grads: list[list[Exact]] = []
    before = params
    while True:
        yield before
        grads.append([exact.gradient(t_u, t_c, *before)])
        *_, (before,) = exact.optimize(optimizer["name"], hyperparameters, [params], grads, PYTORCH)


def _accumulate(params: Exact, batches: Batches, zero_grad: bool) -> Exact:
    w, b = params
    sums = exact.accumulate(batches, w, b)
    rows = [exact.gradient(t_u, t_c, w, b) for t_u, t_c in batches] if zero_grad else sums
    return rearranged(lambda x: x.reshape(-1, 2), join(*rows))  # type: ignore[no-any-return]


def _differentiated(loss: Any, params: Exact) -> tuple[Exact, Exact]:
    """The value and the gradient of a straight-line program, or of one that a loss stands for."""
    straight_line = getattr(loss, "loss", loss).straight_line
    return exact.derivatives(**straight_line, params=params)


def _trained_in_parallel(params: Exact, shards: Batches, n_epochs: int, lr: float) -> tuple[Exact, Exact]:
    samples = [(t_u, t_c) for t_u, t_c in shards if t_u.size]
    t_u, t_c = (exact.concatenate(*columns) for columns in zip(*samples, strict=True))

    def slope(t_u: Exact, t_c: Exact, w: Exact, b: Exact) -> Exact:
        return exact.accumulated_grad(samples, w, b)

    return slope(t_u, t_c, *params), exact.trajectory(n_epochs, lr, params, t_u, t_c, slope)[0]


def _schedule(name: str, options: Mapping[str, Any], n_steps: int, follow: Mapping[str, str]) -> Exact:
    """The rates in float64; what must be refused is."""
    over_arrays()["schedule"](name, options, n_steps)
    return exact.schedule(name, options, n_steps, follow, exact.format_of("float64"))


def _plateau(losses: Exact, lr: float, options: Mapping[str, Any], follow: Mapping[str, str]) -> Exact:
    return exact.plateau(losses.nearest().tolist(), lr, options, losses.form, follow)


_IN_VARIANTS = """optimize optimize_groups resume accumulate_and_step scaled_steps train_minibatches clip_by_norm
    clip_shards optimize_rows lbfgs"""
FOLLOWING: dict[str, Callable[..., Any]] = {name: getattr(exact, name) for name in _IN_VARIANTS.split()} | {
    "schedule": _schedule,
    "plateau": _plateau,
}
"""The exact operations whose last argument is the variants that they follow."""


def _usual(operation: Callable[..., Any], *arguments: Any) -> Any:
    """The answer of an operation in PyTorch's variants."""
    return operation(*arguments, PYTORCH)


_NAMED_ALIKE = """model loss_fn absolute_loss dloss_fn finite_difference least_squares multiply_grad regularized_loss
    regularized_grad"""
OVER_EXACT: dict[str, Callable[..., Any]] = {name: getattr(exact, name) for name in _NAMED_ALIKE.split()} | {
    "dmodel_dw": lambda t_u, w, b: t_u,
    "dmodel_db": lambda t_u, w, b: t_u * 0 + 1,
    "grad_fn": lambda t_u, t_c, t_p, w, b: exact.grad_fn(t_u, t_c, t_p),
    "training_loop": _training_loop,
    "closed_form": exact.by_squaring,
    "accumulate": _accumulate,
    "data_parallel": _trained_in_parallel,
    "accumulated_grad": lambda params, batches: exact.accumulated_grad(batches, *params),
    "validation_loss": lambda params, t_u, t_c: (_loss(params, t_u, t_c), 0),
    "ridge": exact.least_squares,
    "clip_by_value": exact.clip_by_value,
    "average": exact.average,
    **{name: functools.partial(_usual, operation) for name, operation in FOLLOWING.items()},
    "automatic_gradient": _differentiated,
}
"""The right operations over exact numbers, each within the bounds of any sensible evaluation."""

OVER_EXACT |= machine.by_hand(OVER_EXACT)


def as_exact(argument: Any) -> Any:
    """An argument with its arrays as exact numbers; raises ValueError where one is not finite."""
    if isinstance(argument, (list, tuple)):
        return type(argument)(map(as_exact, argument))
    if isinstance(argument, dict):
        return dict(argument)
    return exact.of(argument) if is_array(argument) else argument


def join(*parts: Any) -> Any:
    """Numbers and columns of either kind end to end, as one column."""
    if any(isinstance(part, Exact) for part in parts):
        return exact.concatenate(*parts)
    return np.concatenate([np.reshape(part, -1) for part in parts])


def in_dtype(answer: Any, dtype: Any) -> Any:
    """An answer with all its numbers as arrays of one dtype; counts, words and None stay as they are."""
    if isinstance(answer, (list, tuple)):
        return type(answer)(in_dtype(part, dtype) for part in answer)
    if isinstance(answer, Exact):
        answer = answer.nearest()
    if isinstance(answer, (float, np.floating)) or (is_array(answer) and answer.dtype.kind == "f"):
        with np.errstate(all="ignore"):
            return np.asarray(answer).astype(dtype)
    return answer


def dtype_of(arguments: Any) -> Any:
    """The dtype of the first array among the arguments; None if there is none."""
    if isinstance(arguments, (list, tuple)):
        return next((found for found in map(dtype_of, arguments) if found is not None), None)
    return arguments.dtype if is_array(arguments) else None


def narrow(x: Any, dtype: str) -> Any:
    """Arrays of either kind, also in lists, rounded to another dtype; what follows is computed in that."""
    if isinstance(x, (list, tuple)):
        return type(x)(narrow(part, dtype) for part in x)
    if isinstance(x, Exact):
        return exact.of(narrow(x.nearest(), dtype))
    with np.errstate(all="ignore"):
        return x.astype(numpy_dtype(dtype)) if is_array(x) else x


def rounded(x: float, like: Any) -> Any:
    """A Python number as the arithmetic of an array of either kind has it: rounded to its dtype."""
    if isinstance(like, Exact):
        return exact.hyperparameter(x, like.form)
    with np.errstate(all="ignore"):
        return like.dtype.type(x)


def overwrite(array: Any, values: Any) -> None:
    """Write values into an array, where everybody who holds it sees them; exact numbers are never changed."""
    if not isinstance(array, Exact):
        array[...] = values


def rearranged(function: Callable[[Any], Any], x: Any) -> Any:
    """An array of either kind whose elements a function of NumPy's takes elsewhere, repeats or leaves out."""
    if isinstance(x, Exact):
        return Exact(function(x.m), x.e, x.d, function(x.errors()), x.form)
    return function(x)

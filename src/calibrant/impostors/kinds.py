"""The kinds of change that make a right operation wrong, and the rows in which impostors are written.

    loss = impostors_of("loss_fn")
    loss("half", "the loss has a factor 1/2 in front")(factor(0.5), "loss.mean-square", "42-AI/bootcamp_machine-learning#116")

A change is a function of a `Call`. A change that no kind covers is a lambda: `lambda c: c(w=abs(c.w))`.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from copy import copy
from functools import partial
from typing import Any, Self

import numpy as np

from calibrant.exact import Exact
from calibrant.impostors import Impostor, add
from calibrant.impostors.correct import following, join, narrow, overwrite, rearranged
from calibrant.protocol.declarations import followed
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import is_array

DIGITS = "only numbers with many digits show it"


class Call:
    """One call of an operation. `c()` is the right answer, `c(b=0)` the right answer to another `b`, and `c.b` the argument."""

    def __init__(self, correct: Any, names: Sequence[str], arguments: Sequence[Any]) -> None:
        self.correct = correct
        """The right operation; `c.correct.model(...)` is another one, and `c.correct.memory` lasts from call to call."""
        self.starred = bool(names) and names[0].startswith("*")
        self.names = [name.removeprefix("*") for name in names]
        named = [(self.names[0], arguments)] if self.starred else zip(names, arguments, strict=False)
        self.given: dict[str, Any] = dict(named)

    def __getattr__(self, name: str) -> Any:
        """An argument; None if the caller left it out."""
        if name.startswith("_") or name not in self.names:
            raise AttributeError(name)
        return self.given.get(name)

    def but(self, **changed: Any) -> Self:
        """The same call with some arguments changed."""
        other = copy(self)
        other.given = self.given | changed
        return other

    def __call__(self, **changed: Any) -> Any:
        """The right answer, with some arguments changed; a name that is no argument is an option of the right operation."""
        given = self.given | changed
        arguments = [given.pop(name) for name in self.names if name in given]
        return self.correct(*(arguments[0] if self.starred else arguments), **given)

    def given_to(self, function: Callable[..., Any], *more: Any) -> Any:
        """What another function makes of the same arguments, and of more."""
        return function(*self.given.values(), *more)

    def ask(self, operation: str, **changed: Any) -> Any:
        """The right answer of another operation to the arguments that have the same names, some of them changed."""
        given = self.given | changed
        return getattr(self.correct, operation)(*(given[name] for name in OPERATIONS[operation].parameters))

    @property
    def n(self) -> int:
        """The number of samples."""
        size: int = self.given["t_p" if "t_p" in self.given else "t_u"].size
        return size


Change = Callable[[Call], Any]


def n(c: Call) -> int:
    """The number of samples of a call, for `factor(n)`."""
    return c.n


# The rows


class Rows:
    """The impostors of one operation; `about` holds for all of them."""

    def __init__(self, operation: str, **about: Any) -> None:
        self.operation, self.about = operation, about

    def __call__(self, name: str, sentence: str, **about: Any) -> Callable[..., None]:
        """Begin a row: the name of an impostor, what it does, and other fields of `Impostor`.

        The second half is a call with the change, the clauses that it breaks, and where it was seen. It registers the impostor.
        """
        names, about = OPERATIONS[self.operation].parameters, self.about | about

        def register(change: Change, clauses: str, seen: str = "") -> None:
            def wrong(correct: Any, *arguments: Any) -> Any:
                return change(Call(correct, names, arguments))

            broken = tuple(dict.fromkeys(clauses.split()))
            add(Impostor(name, self.operation, wrong, sentence, broken, seen=tuple(seen.split()), **about))

        return register

    def in_dtype(self, dtype: str, clauses: str, seen: str = "", name: str = "", **about: Any) -> None:
        """Register an impostor that computes in another dtype, and shows it where that is narrower; in float64 it also returns that."""
        wide, shown = dtype == "float64", {"float64": "@float32", "float32": "@float64"}.get(dtype, "")
        sentence = f"it is computed {'and returned ' if wide else ''}in {dtype}, whatever the dtype of the arguments"
        about = {"keeps_dtype": False} | about if wide else {"why_not_small": DIGITS} | about
        if shown:
            clauses = " ".join(re.sub(r"(@\w+)?(\??)$", rf"{shown}\2", clause, count=1) for clause in clauses.split())

        def narrowed(c: Call) -> Any:
            return c(**{key: narrow(x, dtype) for key, x in c.given.items()})

        self(name or f"{'returned-' if wide else ''}in-{dtype}", sentence, **about)(narrowed, clauses, seen)

    def variant(self, convention: str, value: str, sentence: str, name: str = "", **about: Any) -> Callable[..., None]:
        """Begin the row of a variant that is legitimate once it is declared; the clauses, and where it was seen, follow."""

        def changed(c: Call) -> Any:
            follow = followed({**c.correct.conventions, convention: value})
            return following(self.operation, c.correct, follow, *c.given.values())

        about = {"kind": "variant", "convention": (convention, value)} | about
        return partial(self(name or f"{convention.replace('.', '-')}-{value}", sentence, **about), changed)

    def nan_replaced(self, clauses: str) -> None:
        """Register an impostor that puts numbers in the place of its answers that are not finite."""
        sentence = "NaN becomes zero and infinity the largest number of the dtype"
        self("nan-replaced", sentence, exactly=False)(answer(np.nan_to_num), clauses)


impostors_of = Rows

# Another answer


def _value(x: Any, c: Call) -> Any:
    return x(c) if callable(x) else x


def factor(by: Any) -> Change:
    """The answer times a number, or a function of the call."""
    return lambda c: c() * _value(by, c)


def answer(change: Callable[[Any], Any]) -> Change:
    """Something made of the right answer alone."""
    return lambda c: change(c())


def part(k: int, change: Callable[[Any, Call], Any]) -> Change:
    """One of the arrays, lists or numbers of the answer, changed by a function of it and of the call."""

    def changed(c: Call) -> Any:
        parts = list(right := c())
        parts[k] = change(parts[k], c)
        return type(right)(parts) if isinstance(right, (list, tuple)) else join(*parts)

    return changed


def over_n_minus_1(c: Call) -> Any:
    """The answer, a mean, divided by n - 1, not by n."""
    return c() / max(c.n - 1, 1) * c.n


def other(operation: str, **changed: Any) -> Change:
    """The right answer of another operation to the same arguments, some of them changed."""
    return lambda c: c.ask(operation, **{name: _value(x, c) for name, x in changed.items()})


# Other arguments


def dropped(*names: str) -> Change:
    """The answer to zero in the place of some arguments."""
    return lambda c: c(**{name: getattr(c, name) * 0 for name in names})


def swapped(one: str, two: str) -> Change:
    """The answer to two arguments in each other's place."""
    return lambda c: c(**{one: getattr(c, two), two: getattr(c, one)})


def shortened(*names: str) -> Change:
    """The answer without the last sample of some columns; of one sample nothing is lost."""
    return lambda c: c(**{name: getattr(c, name)[: max(c.n - 1, 1)] for name in names})


def stretched(*names: str) -> Change:
    """The answer to columns that are broadcast against each other, and then flattened."""

    def changed(c: Call) -> Any:
        columns = {name: getattr(c, name) for name in names}
        shape = np.broadcast_shapes(*(x.shape for x in columns.values()))
        return c(**{name: join(rearranged(lambda x: np.broadcast_to(x, shape), x)) for name, x in columns.items()})

    return changed


def cut_to_the_shorter(one: str, two: str) -> Change:
    """The answer to two columns of which the longer is cut to the length of the other."""

    def changed(c: Call) -> Any:
        x, y = getattr(c, one), getattr(c, two)
        return c(**{one: x[: len(y)], two: y[: len(x)]}) if x.shape and y.shape else c()

    return changed


# Where a change is made, and what it leaves


def where(condition: Callable[[Call], Any], change: Change) -> Change:
    """A change of calls that fulfil a condition; the answer to all others is right."""
    return lambda c: change(c) if condition(c) else c()


def nonfinite(change: Change) -> Change:
    """A change that shows where numbers are not finite; over exact numbers, which are, the answer is right."""
    return where(lambda c: not any(isinstance(x, Exact) for x in c.given.values()), change)


def refused(condition: Callable[[Call], Any]) -> Change:
    """The right answer, but for calls that are refused although they are valid."""

    def changed(c: Call) -> Any:
        if condition(c):
            raise ValueError("this is refused")
        return c()

    return changed


def checked(change: Change) -> Change:
    """A change of calls that the right operation does not refuse; exact numbers are never refused."""
    return lambda c: (
        change(c) if any(isinstance(x, Exact) for x in leaves([*c.given.values()])) else (c(), change(c))[1]
    )


def finite(change: Change) -> Change:
    """A change of calls that are not refused, whose numbers are finite; where one is not, or there is none, the answer is right."""

    def plain(c: Call) -> bool:
        arrays = [x for x in leaves([*c.given.values()]) if is_array(x) or isinstance(x, Exact)]
        return bool(arrays) and all(isinstance(x, Exact) or np.isfinite(x).all() for x in arrays)

    return where(plain, checked(change))


def leaves(value: Any) -> list[Any]:
    """All that is in lists, at any depth."""
    if isinstance(value, (list, tuple)):
        return list(itertools.chain.from_iterable(map(leaves, value)))
    return [value]


def unrefused(change: Change) -> Change:
    """An answer where there must be none: where the right operation raises ValueError."""

    def changed(c: Call) -> Any:
        try:
            return c()
        except ValueError:
            return change(c)

    return changed


def afterwards(act: Callable[[Call, Any], Any]) -> Change:
    """The right answer, after which something is done to what the caller or everybody holds."""

    def changed(c: Call) -> Any:
        right = c()
        act(c, right)
        return right

    return changed


def overwritten(name: str, values: Callable[[Call, Any], Any]) -> Change:
    """The right answer, and an argument of the caller, or arrays in its lists, written over by a function of the call and its answer."""
    return afterwards(lambda c, right: [*map(overwrite, leaves(getattr(c, name)), leaves(values(c, right)))])


residuals_written = overwritten("t_p", lambda c, right: c.t_p - c.t_c)
"""The right answer, and the residuals written over the predictions."""

running_minimum_written = overwritten("val_losses", lambda c, right: np.fmin.accumulate(c.val_losses))
"""The right answer, and the lowest loss so far written over each loss of the caller's log."""

last_step_written = overwritten("params", lambda c, path: path[-1:])
"""The right path, and its last step written over the caller's parameters."""


def taken_out(key: str) -> Change:
    """The right answer, and a hyperparameter taken out of the caller's, as by `pop`."""
    return afterwards(lambda c, right: c.hyperparameters.pop(key, None))


# What one call leaves for the next


def piled_up(gradient: Any, c: Call) -> Any:
    """A gradient, or rows of them, added to the last row of the call before, as long as that was finite."""
    total = gradient + c.correct.memory.get(gradient.dtype, 0)
    last = total.reshape(-1, 2)[-1]
    c.correct.memory[gradient.dtype] = last if np.isfinite(last).all() else 0
    return total

"""Changes to the walk of an optimizer: to the exact rule, or to the frame around it, in which it is walked."""

from collections.abc import Callable
from functools import partial
from typing import Any

from calibrant import exact
from calibrant.exact.optimizers import RULES, Frame, Hyperparameters
from calibrant.exact.scalars import Number, constant
from calibrant.impostors import kinds
from calibrant.impostors.kinds import Call, Change, finite

AT = ("h", "t", "lr", "p", "g", "follow")
PARTS = {
    "rule": ("s", *AT),
    "step": ("place", *AT),
    "count": ("k", "present"),
    "state": ("k", "i", "form"),
    "settings": "h",
}
"""The parts of a frame (`exact.optimizers.Frame`), and the names of their arguments."""


def walked(c: Call, frame: Frame) -> Any:
    """The parameters after each step, in a frame."""
    return finite(lambda c: c.given_to(exact.optimize, c.correct.follow, frame))(c)


def framed(**changes: Change) -> Change:
    """The walk in a frame with changed parts; `c()` is what a part does rightly, as in `framed(step=lambda c: c(g=c.p))`."""

    def changed(c: Call) -> Any:
        frame = Frame(RULES[c.name])
        for part, change in changes.items():
            vars(frame)[part] = partial(_asked, change, part, getattr(frame, part))
        return walked(c, frame)

    return changed


def _asked(change: Change, part: str, correct: Any, *arguments: Any) -> Any:
    return change(Call(correct, PARTS[part], arguments))


def rule(change: Change) -> Change:
    """The walk by another rule, a function of one step of one number: `rule(lambda c: c(g=-c.g))`."""
    return framed(rule=change)


def but(**changes: Any) -> Change:
    """The walk with changed hyperparameters, and what follows from them; a function is one of the right hyperparameters."""
    return framed(settings=lambda c: c.h.but(**{key: x(c.h) if callable(x) else x for key, x in changes.items()}))


def exchanged(*pairs: str) -> Change:
    """The walk with pairs of hyperparameters that have changed places."""
    both = [names[::order] for names in map(str.split, pairs) for order in (1, -1)]
    return framed(settings=lambda c: c.h.but(**{a: getattr(c.h, b) for a, b in both if hasattr(c.h, b)}))


def given(change: Callable[[Any], Any]) -> Change:
    """The right walk with other hyperparameters, a function of those that are given."""
    return lambda c: c(hyperparameters=change(c.hyperparameters))


def at(change: Callable[[Any], Any]) -> Change:
    """The right walk at other rates, a function of those that are listed."""
    return given(lambda h: {**h, "lr": change(h["lr"])} if isinstance(h.get("lr"), (list, tuple)) and h["lr"] else h)


def along(change: Callable[[int, Any], Any]) -> Change:
    """The right walk along other gradients, a function of the number of a parameter and of the gradients of a step."""
    return kinds.checked(lambda c: c(grads=[[change(k, step) for k in range(len(step))] for step in c.grads]))


def number(x: float) -> Callable[[Hyperparameters], Number]:
    """A hyperparameter that is this number."""
    return lambda h: constant(x, h.form)


one, zero = number(1.0), number(0.0)


def bare(c: Call, g: Any, **changes: Any) -> Any:
    """The step without its decay, along another gradient; the other hyperparameters are made once for all steps."""
    changes = {"weight_decay": 0.0} | changes
    return c(h=c.h.once(tuple(changes.items()), lambda: c.h.but(**changes)), g=g)


def l2(c: Call) -> Any:
    """The gradient with a coupled decay."""
    return c.g + c.h.weight_decay * c.p


def move(c: Call) -> Any:
    """The change of a parameter by a rule with a coupled decay."""
    return bare(c.but(p=zero(c.h)), l2(c))


def momenta(change: Callable[[Any, Any], Any]) -> Change:
    """Other momenta, a function of (1 - mu, 1 - product) of this step and of (mu, 1 - product) of the next."""
    return but(momenta=lambda h: lambda t, schedule: change(*h.momenta(t, schedule)))

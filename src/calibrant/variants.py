"""Legitimate variants: which one a target declares, and which one its answers show.

Where the field has several variants (Adam's epsilon, the momentum buffer), a target is held to the one that it declares in `conventions`, or
to PyTorch's. One whose answers are those of another is told so, from a few fixed runs in which the variants differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from calibrant import exact
from calibrant.judge import Disagreement, agree_lists, tallying
from calibrant.subject import Absent, Failure, Subject
from calibrant.target import CONVENTIONS

_RATES = [0.5, 0.25, 0.5, 0.125, 1.0, 0.5, 0.25, 0.5]
_GRADS = [
    [2.0, -1.5],
    [1.0, -0.5],
    [-0.25, 0.5],
    [0.125, -0.25],
    [-0.0625, -0.125],
    [0.5, 0.03125],
    [0.25, -0.5],
    [0.125, 1.0],
]
_PARAMS = [1.0, -2.0]
_BETAS = {"betas": (0.5, 0.75), "eps": 1e-2}
BATTERY: dict[str, tuple[dict[str, Any], ...]] = {
    "sgd": (
        {"momentum": 0.5},
        {"momentum": 0.5, "dampening": 0.25},
        {"momentum": 0.5, "nesterov": True},
        {"momentum": 0.5, "weight_decay": 0.25},
    ),
    "adam": (_BETAS, {**_BETAS, "amsgrad": True}, {**_BETAS, "weight_decay": 0.25}),
    "adamw": ({**_BETAS, "weight_decay": 0.25}, {**_BETAS, "amsgrad": True, "weight_decay": 0.0}),
    "rmsprop": ({"alpha": 0.75, "eps": 1e-2}, {"alpha": 0.75, "eps": 1e-2, "momentum": 0.5}),
    "adagrad": ({"eps": 1e-2},),
    "adadelta": ({"rho": 0.75, "eps": 1e-2},),
    "adamax": ({**_BETAS, "eps": 0.1},),
    "nadam": ({"betas": (0.5, 0.75), "eps": 1e-2},),
    "radam": ({"betas": (0.5, 0.9), "eps": 1e-2},),
}
"""Hyperparameters under which the variants of each optimizer differ, given changing rates and shrinking gradients."""

FLUSHES = "arithmetic that takes subnormal numbers for zero may answer so: declare conventions = {'arithmetic.subnormals': 'flushed'}"

Run = tuple[str, dict[str, Any], list[Any], list[list[Any]]]
_found: WeakKeyDictionary[Subject, dict[str, str]] = WeakKeyDictionary()


def followed(subject: Subject) -> dict[str, str]:
    """The variant that is meant of each: the target's own, else PyTorch's."""
    return {name: values[0] for name, values in CONVENTIONS.items()} | dict(subject.target.conventions)


def explanation(subject: Subject, optimizer: str) -> str:
    """'; its answers are those of adam.epsilon = hat: declare ...' if one undeclared variant explains them, and PyTorch's do not.

    The target is asked once for each optimizer; these calls are not among those that a report tells of.
    """
    known = _found.setdefault(subject, {})
    if optimizer not in known:
        known[optimizer] = _explained(subject, optimizer)
    return known[optimizer]


def _explained(subject: Subject, optimizer: str) -> str:
    answers = _answers(subject, optimizer)
    meant = followed(subject)
    if not answers or _explains(subject, answers, optimizer, meant):
        return ""
    size = len(CONVENTIONS) + 1
    explaining: list[dict[str, str]] = []
    for changes in _alternatives(subject, optimizer):
        if len(changes) > size:
            break
        if _explains(subject, answers, optimizer, meant | changes):
            size = len(changes)
            explaining.append(changes)
    if len(explaining) != 1:
        return ""
    (changes,) = explaining
    named = " and ".join(f"{name} = {value}" for name, value in changes.items())
    return f"; its answers are those of {named}: declare conventions = {changes}"


def only_flushes(subject: Subject) -> bool:
    """Whether the example that failed holds of a target that takes subnormal numbers for zero, by as many numbers, and of no other."""
    if subject.asked is None or subject.target.flushes:
        return False
    declared = {**subject.target.conventions, "arithmetic.subnormals": "flushed"}
    tallies = []
    for target, holds in ((subject.target, False), (replace(subject.target, conventions=declared), True)):
        again = target.at(subject.dtype.name)
        with tallying(again.tally):
            try:
                subject.asked(again)
            except Disagreement:
                if holds:
                    return False
            except (Absent, Failure):
                return False
            else:
                if not holds:
                    return False
        tallies.append(again.tally)
    kept, flushed = tallies
    return flushed.judged > 0 and flushed.unjudged <= kept.unjudged


def runs(optimizer: str, array: Callable[[Any], Any] = np.asarray) -> list[Run]:
    """The runs in which the variants of an optimizer differ."""
    params, grads = [array(_PARAMS)], [[array(grad)] for grad in _GRADS]
    return [(optimizer, {**settings, "lr": _RATES}, params, grads) for settings in BATTERY.get(optimizer, ())]


def _answers(subject: Subject, optimizer: str) -> list[tuple[Run, Any]]:
    """The runs that the target serves, each with what it returns."""
    served = []
    before = len(subject.calls)
    for run in runs(optimizer, subject.array):
        try:
            served.append((run, subject.call("optimize", run)))
        except Absent:
            continue
        except Failure:
            return []
        finally:
            del subject.calls[before:]
    return served


def _alternatives(subject: Subject, optimizer: str) -> Iterator[dict[str, str]]:
    """What might be declared beyond what is, the fewest changes first."""
    families = (optimizer, "adam") if optimizer == "adamw" else (optimizer,)
    open_choices = {
        name: values
        for name, values in CONVENTIONS.items()
        if name.split(".")[0] in families
        and name not in subject.target.conventions
        and (optimizer, name) != ("adamw", "adam.decay")
    }
    combinations = [
        {
            name: value
            for (name, values), value in zip(open_choices.items(), combination, strict=True)
            if value != values[0]
        }
        for combination in itertools.product(*open_choices.values())
    ]
    return iter(sorted((changes for changes in combinations if changes), key=len))


def _explains(subject: Subject, answers: list[tuple[Run, Any]], optimizer: str, follow: Mapping[str, str]) -> bool:
    """Whether all the answers are within the bounds of these variants."""
    with tallying(subject.tally_anew()):
        try:
            for run, answer in answers:
                agree_lists(answer, exact.optimize(*run, follow))
        except Disagreement:
            return False
    return True

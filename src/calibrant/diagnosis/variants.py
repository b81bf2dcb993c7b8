"""Legitimate variants: the one that a target declares, and the one that its answers show.

Where the field has several variants (Adam's epsilon, the momentum buffer), a target is held to the one that it declares in `conventions`, or
to PyTorch's. A few fixed runs tell the variants apart, so that a report can name the variant that a target follows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from calibrant import exact
from calibrant.impostors.battery import Run, runs
from calibrant.judge import Disagreement, agree_lists, tallying
from calibrant.protocol.conventions import CONVENTIONS
from calibrant.target.calling import Absent, Failure, Subject

FLUSHES = "arithmetic that takes subnormal numbers for zero may answer so: declare conventions = {'arithmetic.subnormals': 'flushed'}"


def explanation(subject: Subject, optimizer: str) -> str:
    """'; its answers are those of adam.epsilon = hat: declare ...' if one undeclared variant explains them, and PyTorch's does not.

    The target is asked once for each optimizer; no report shows these calls.
    """
    known = subject.target.explained
    key = "variant", optimizer, subject.form.name
    if key not in known:
        known[key] = ""  # a target that ends its process here is not asked again
        known[key] = _explained(subject, optimizer)
    return str(known[key])


def _explained(subject: Subject, optimizer: str) -> str:
    answers = _answers(subject, optimizer)
    meant = subject.follow
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
    """Whether the example that failed holds if the target may take subnormal numbers for zero, and with as many judged numbers."""
    if subject.asked is None or subject.target.flushes:
        return False
    declared = {**subject.target.conventions, "arithmetic.subnormals": "flushed"}
    tallies = []
    for target, holds in ((subject.target, False), (replace(subject.target, conventions=declared), True)):
        again = Subject(target, subject.dtype.name)
        with tallying(again.tally):
            try:
                subject.asked(again)
                agrees = True
            except Disagreement:
                agrees = False
            except (Absent, Failure):
                return False
        if agrees != holds:
            return False
        tallies.append(again.tally)
    kept, flushed = tallies
    return flushed.judged > 0 and flushed.unjudged <= kept.unjudged


def _answers(subject: Subject, optimizer: str) -> list[tuple[Run, Any]]:
    """The runs that the target serves, each with its answer."""
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
    """The declarations that the target could add, the fewest changes first."""
    families = (optimizer, "adam") if optimizer == "adamw" else (optimizer,)
    open_choices = {
        name: values
        for name, values in CONVENTIONS.items()
        if name.split(".")[0] in families
        and name not in subject.target.conventions
        and (optimizer, name) != ("adamw", "adam.decay")
    }
    defaults = {(name, values[0]) for name, values in open_choices.items()}
    combinations = [zip(open_choices, values, strict=True) for values in itertools.product(*open_choices.values())]
    changes = [dict(pair for pair in combination if pair not in defaults) for combination in combinations]
    return iter(sorted(filter(None, changes), key=len))


def _explains(subject: Subject, answers: list[tuple[Run, Any]], optimizer: str, follow: Mapping[str, str]) -> bool:
    """Whether all answers are within the bounds of these variants."""
    with tallying(subject.tally_anew()):
        try:
            for run, answer in answers:
                agree_lists(answer, exact.optimize(*run, follow))
        except Disagreement:
            return False
    return True

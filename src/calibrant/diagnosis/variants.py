"""Legitimate variants: the one that a target declares, and the one that its answers show.

Where the field has several variants (Adam's epsilon, the momentum buffer), a target is held to the one that it declares in `conventions`, or
to PyTorch's. A few fixed runs tell the variants apart, so that a report can name the variant that a target follows.
"""

import itertools
from dataclasses import replace
from typing import Any

from calibrant import exact
from calibrant.diagnosis.explaining import responses
from calibrant.impostors.battery import Run, runs
from calibrant.judge import Disagreement, agree_lists, tallying
from calibrant.protocol.declarations import CONVENTIONS
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
    asked = runs(optimizer, subject.array)
    answered = responses(subject, "optimize", asked)
    if answered is None or any(response and response.refused for response in answered):
        return ""
    answers = [(run, response.answer) for run, response in zip(asked, answered, strict=True) if response]
    if not answers or _explains(subject, answers, optimizer, {}):
        return ""
    for _, alike in itertools.groupby(_alternatives(subject, optimizer), key=len):
        explaining = [changes for changes in alike if _explains(subject, answers, optimizer, changes)]
        if len(explaining) == 1:
            named = " and ".join(f"{name} = {value}" for name, value in explaining[0].items())
            return f"; its answers are those of {named}: declare conventions = {explaining[0]}"
        if explaining:
            break
    return ""


def only_flushes(subject: Subject) -> bool:
    """Whether the example that failed holds if the target may take subnormal numbers for zero, and with as many judged numbers."""
    if subject.asked is None or subject.target.flushes:
        return False
    declared = {**subject.target.conventions, "arithmetic.subnormals": "flushed"}
    kept, flushed = subject.anew(), Subject(replace(subject.target, conventions=declared), subject.dtype.name)
    agrees = []
    for again in (kept, flushed):
        with tallying(again.tally):
            try:
                subject.asked(again)
                agrees.append(True)
            except Disagreement:
                agrees.append(False)
            except (Absent, Failure):
                return False
    return agrees == [False, True] and flushed.tally.judged > 0 and flushed.tally.unjudged <= kept.tally.unjudged


def _alternatives(subject: Subject, optimizer: str) -> list[dict[str, str]]:
    """The declarations that the target could add, the fewest changes first."""
    families = (optimizer, "adam") if optimizer == "adamw" else (optimizer,)
    open_choices = {
        name: values
        for name, values in CONVENTIONS.items()
        if name.split(".")[0] in families
        and name not in subject.target.conventions
        and (optimizer, name) != ("adamw", "adam.decay")
    }
    combinations = [zip(open_choices, values, strict=True) for values in itertools.product(*open_choices.values())]
    changes = [{name: value for name, value in pairs if value != open_choices[name][0]} for pairs in combinations]
    return sorted(filter(None, changes), key=len)


def _explains(subject: Subject, answers: list[tuple[Run, Any]], optimizer: str, changes: dict[str, str]) -> bool:
    """Whether all answers are within the bounds of the variants that the target follows, with these changes."""
    with tallying(subject.tally_anew()):
        try:
            for run, answer in answers:
                agree_lists(answer, exact.optimize(*run, subject.follow | changes))
        except Disagreement:
            return False
    return True

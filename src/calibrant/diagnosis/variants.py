"""Legitimate variants: the one that a target declares, and the one that its answers show.

Where the field has several variants (Adam's epsilon, the scale of the loss), a target is held to the one that it declares in `conventions`,
or to the book's. A few fixed runs tell the variants of an optimizer apart, so that a report can name the variant that a target follows. Of
the other conventions, a report names the one with which the whole property holds.
"""

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import SkipTest

import numpy as np
import pytest
from hypothesis.errors import HypothesisException

from calibrant import exact
from calibrant.diagnosis.explaining import responses
from calibrant.impostors.battery import Run, runs
from calibrant.judge import Disagreement, agree, agree_lists, tallying
from calibrant.protocol.declarations import ALIKE, CONVENTIONS, followed
from calibrant.protocol.operations import OPERATIONS
from calibrant.target.calling import Absent, Failure, Subject

_MAY = {
    ("loss.scale", "half"): "a loss that is half the mean answers so",
    ("loss.scale", "sum"): "a loss that is a sum answers so",
    ("gradients.absent", "zero"): "an optimizer that takes an absent gradient for zero answers so",
    ("split.rounding", "up"): "a split that rounds up answers so",
    ("split.rounding", "nearest"): "a split that rounds to the nearest number answers so",
    ("schedule.warm-up-count", "zero"): "a warm-up that counts its steps from zero answers so",
    ("schedule.after-cosine", "returns"): "a wave that goes on after its last step answers so",
    ("schedule.patience", "reached"): "a plateau that acts on the loss that reaches the patience answers so",
    ("clip.epsilon", "added"): "a clip that adds 1e-6 to the norm before it divides answers so",
    ("lazy.epsilon", "outside"): "a lazy Adam that adds epsilon after the correction answers so",
    ("lbfgs.first-rate", "l2"): "an L-BFGS whose first move has a Euclidean length of one at most answers so",
    ("lbfgs.curvature", "any"): "an L-BFGS that keeps every pair answers so",
    ("resume.hyperparameters", "constructed"): "an optimizer whose hyperparameters are no part of its state answers so",
    ("arithmetic.hyperparameters", "float32"): "arithmetic that holds hyperparameters in float32 may answer so",
    ("arithmetic.subnormals", "flushed"): "arithmetic that takes subnormal numbers for zero may answer so",
}
"""What the hint says of each convention that concerns more than one optimizer."""


_FLOAT32 = 2.0**29
"""How many times as coarsely as float64 float32 rounds."""

_FIRST = {name: first for name, (first, *_) in CONVENTIONS.items() if name not in ALIKE}
"""The value of each convention that is meant where a target declares none."""


def explanation(subject: Subject, optimizer: str) -> str:
    """'; its answers are those of adam.epsilon = hat: if that is meant, declare ...' if one undeclared variant explains them, and PyTorch's does not.

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
            declare = f"declare conventions = {explaining[0]}"
            walks = _nesterov_in_a_loop(subject) if explaining[0].get("sgd.nesterov") == "look-ahead" else "ahead"
            if walks == "ahead":
                return f"; its answers are those of {named}: if that is meant, {declare}"
            if walks == "plain":
                return "; its answers are those of a momentum that ignores nesterov, as its training loop does"
            return (
                f"; its answers are those of {named}, and of a momentum that ignores nesterov, which cannot be told apart here:"
                f" if its gradients are meant to be taken at the point ahead, {declare}"
            )
        if explaining:
            break
    return ""


def _nesterov_in_a_loop(subject: Subject) -> str:
    """Whether a training loop with Nesterov's momentum takes its gradients "ahead" of the parameters, or is "plain" momentum; else "".

    An optimizer that is handed gradients makes the same steps if it looks ahead as if it ignored Nesterov.
    """
    start, t_u, t_c = (subject.array(x) for x in ([1.0, -1.0], [1.0, -2.0], [0.5, 1.0]))
    momentum = {"name": "sgd", "lr": 0.125, "momentum": 0.5, "nesterov": True}
    answered = responses(subject, "training_loop", [(3, momentum, start, t_u, t_c)])
    if not answered or answered[0] is None or answered[0].refused:
        return ""
    half, rate = (exact.constant(x, subject.form) for x in (0.5, 0.125))
    with tallying(subject.tally_anew()):
        for walks in ("ahead", "plain"):
            before = params = exact.of(start)
            for _ in range(3):
                ahead = params + (params - before) * half
                place = ahead if walks == "ahead" else params
                before, params = params, ahead - exact.gradient(exact.of(t_u), exact.of(t_c), *place) * rate
            with contextlib.suppress(Disagreement):
                agree(answered[0].answer[0], params)
                return walks
    return ""


def general(subject: Subject, *, named: bool) -> str:
    """'; a loss that is a sum answers so: declare ...' if the property fails as it is and holds with one more convention declared.

    Arithmetic explains nothing where an impostor is `named` that does.
    """
    if subject.asked is None:
        return ""
    declared, as_it_is = subject.target.conventions, subject.anew()
    if _holds(as_it_is, subject.asked) is not False:
        return ""
    for (name, value), may in _MAY.items():
        concerned = any(name in OPERATIONS[call.operation].conventions for call in subject.calls)
        everywhere = name == "arithmetic.subnormals"
        if name in declared or (named and name.startswith("arithmetic.")) or not (concerned or everywhere):
            continue
        if name == "loss.scale" and not _has_scale(subject, value):
            continue
        target = replace(subject.target, conventions={**declared, name: value})
        other, anew = (Subject(target, subject.dtype.name) for _ in range(2))
        if (
            _holds(other, subject.asked)
            and other.tally.unjudged <= as_it_is.tally.unjudged
            and (everywhere or subject.property_ is None or _holds(anew, subject.property_))
        ):
            return f"; {may}: declare conventions = { ({name: value}) }"
    return ""


def _has_scale(subject: Subject, scale: str) -> bool:
    """Whether no loss of the target shows another scale: a gradient alone may be that of a sum, and its loss a mean."""
    zeros, one = subject.array([0.0, 0.0]), subject.array([0.0, 1.0])
    answered = [
        *(responses(subject, "loss_fn", [(zeros, one)]) or ()),
        *(responses(subject, "value_and_grad", [(zeros, zeros, one)]) or ()),
    ]
    losses = [x.answer[0] if isinstance(x.answer, tuple) else x.answer for x in answered if x and not x.refused]
    return all(np.array_equal(np.reshape(loss, -1), [{"half": 0.25, "sum": 1.0}[scale]]) for loss in losses)


def narrow_inside(subject: Subject, error: BaseException) -> str:
    """'; it looks like float32 somewhere: ...' if the answers in float64 are off by as much as float32 rounds, and never by more."""
    measured = getattr(error, "measured", None) or {}
    if subject.form.name != "float64" or subject.property_ is None or measured.get("bounds", 0) < _FLOAT32 / 2**10:
        return ""
    coarse = replace(subject.target, slack=subject.target.slack * _FLOAT32)
    if not _holds(Subject(coarse, "float64"), subject.property_):
        return ""
    return "; it looks like float32 somewhere: within the bounds of float32 the property holds"


def _holds(subject: Subject, asked: Callable[[Subject], None]) -> bool | None:
    """Whether what is asked holds of a subject, and is judged; None if that does not show."""
    try:
        with tallying(subject.tally):
            asked(subject)
    except Disagreement:
        return False
    except (Absent, Failure, HypothesisException, SkipTest, pytest.skip.Exception):
        return None
    return subject.tally.judged > 0


def _alternatives(subject: Subject, optimizer: str) -> list[dict[str, str]]:
    """The declarations that the target could add, the fewest changes first."""
    families = (optimizer, "adam") if optimizer == "adamw" else (optimizer,)
    open_choices = {
        name: values if name in _FIRST else (None, *values)
        for name, values in CONVENTIONS.items()
        if name.split(".")[0] in families
        and name not in subject.target.conventions
        and (optimizer, name) != ("adamw", "adam.decay")
    }
    combinations = [zip(open_choices, values, strict=True) for values in itertools.product(*open_choices.values())]
    changes = [
        {name: value for name, value in pairs if value not in (None, _FIRST.get(name))} for pairs in combinations
    ]
    return sorted(filter(None, changes), key=len)


def _explains(subject: Subject, answers: list[tuple[Run, Any]], optimizer: str, changes: dict[str, str]) -> bool:
    """Whether all answers are within the bounds of the variants that the target follows, with these changes."""
    with tallying(subject.tally_anew()):
        try:
            for run, answer in answers:
                agree_lists(answer, exact.optimize(*run, followed({**subject.target.conventions, **changes})))
        except Disagreement:
            return False
    return True

"""Legitimate variants: what a target declares is what it is held to; what it does not declare is recognised."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faulty.optimize import _planted, right

from calibrant import variants
from calibrant.clauses import book_folder
from calibrant.subject import Subject
from calibrant.target import CONVENTIONS, TargetError, described


def subject(optimize: Any = right, dtype: str = "float64", **attributes: Any) -> Subject:
    return described("planted", SimpleNamespace(optimize=optimize, **attributes), "planted", 10.0).at(dtype)


KNOWN = {
    "sgd.buffer": ("sgd", {"with-lr": "rate-inside", "average": "average"}),
    "sgd.dampening": ("sgd", {"always": "always-dampened"}),
    "adam.epsilon": ("adam", {"hat": "epsilon-hat", "inside": "epsilon-inside"}),
    "adam.correction": ("adam", {"none": "uncorrected"}),
    "adam.decay": ("adam", {"decoupled": "decoupled"}),
    "adamw.decay": ("adamw", {"without-lr": "decay-without-rate"}),
    "rmsprop.epsilon": ("rmsprop", {"inside": "epsilon-inside"}),
    "rmsprop.start": ("rmsprop", {"one": "from-one"}),
    "rmsprop.buffer": ("rmsprop", {"with-lr": "rate-inside"}),
    "adadelta.rate": ("adadelta", {"without": "without-rate"}),
    "adamax.epsilon": ("adamax", {"outside": "epsilon-outside"}),
    "adamax.correction": ("adamax", {"none": "uncorrected"}),
    "nadam.schedule": ("nadam", {"constant": "constant"}),
    "radam.epsilon": ("radam", {"outside": "epsilon-outside"}),
}
"""Variants that the faulty optimizers have."""
CASES = [
    (convention, name, value, fault) for convention, (name, faults) in KNOWN.items() for value, fault in faults.items()
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("convention", "name", "value", "fault"), CASES)
def test_an_undeclared_variant_is_named(convention: str, name: str, value: str, fault: str, dtype: str) -> None:
    told = variants.explanation(subject(_planted(**{name: fault}), dtype), name)

    declare = {convention: value}
    assert told == f"; its answers are those of {convention} = {value}: declare conventions = {declare}"


@pytest.mark.parametrize(("convention", "name", "value", "fault"), CASES)
def test_a_declared_variant_needs_no_explanation(convention: str, name: str, value: str, fault: str) -> None:
    declaring = subject(_planted(**{name: fault}), conventions={convention: value})

    assert variants.followed(declaring)[convention] == value
    assert variants.explanation(declaring, name) == ""


@pytest.mark.parametrize("name", variants.BATTERY)
def test_who_follows_pytorch_is_told_nothing(name: str) -> None:
    assert variants.explanation(subject(), name) == ""


@pytest.mark.parametrize(
    ("name", "fault"),
    [("adam", "betas-swapped"), ("adam", "one-late"), ("sgd", "wrong-term"), ("radam", "threshold-four")],
)
def test_a_fault_is_no_variant(name: str, fault: str) -> None:
    assert variants.explanation(subject(_planted(**{name: fault})), name) == ""


def test_two_variants_at_once_are_named_together() -> None:
    """As Keras has it: the epsilon of the paper's second form, and a decay beside the step."""

    def keras(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
        return _planted(adam="epsilon-hat")(name, {**hyperparameters, "decoupled_weight_decay": True}, params, grads)

    told = variants.explanation(subject(keras), "adam")

    assert "adam.epsilon = hat and adam.decay = decoupled" in told


def test_what_is_not_served_decides_nothing() -> None:
    """Without AMSGrad its maximum cannot be told; the rest can."""

    def without(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
        if hyperparameters.get("amsgrad"):
            raise NotImplementedError
        return _planted(adam="epsilon-hat")(name, hyperparameters, params, grads)

    assert "adam.epsilon = hat:" in variants.explanation(subject(without), "adam")


def test_who_answers_nothing_is_told_nothing() -> None:
    def refusing(name: str, hyperparameters: dict[str, Any], params: Any, grads: Any) -> Any:
        raise NotImplementedError

    assert variants.explanation(subject(refusing), "adam") == ""
    assert variants.explanation(subject(lambda *arguments: 1 / 0), "adam") == ""
    assert variants.explanation(subject(), "rprop") == ""


def test_the_target_is_asked_once_and_no_call_is_kept() -> None:
    asked = []

    def counting(name: str, *arguments: Any) -> Any:
        asked.append(name)
        return _planted(adam="epsilon-hat")(name, *arguments)

    target = subject(counting)
    target.optimize("adam", {}, [np.ones(1)], [[np.ones(1)]])
    told = {variants.explanation(target, "adam") for _ in range(3)}

    assert len(told) == 1
    assert len(asked) == 1 + len(variants.BATTERY["adam"])
    assert len(target.calls) == 1
    assert target.tally.judged == 0


@pytest.mark.parametrize(
    ("conventions", "said"),
    [
        ({"adam.epsilo": "hat"}, "conventions names 'adam.epsilo', which is none; nearest: adam.epsilon"),
        (
            {"adam.epsilon": "hut"},
            "conventions says adam.epsilon = 'hut', not one of outside, inside, hat; nearest: hat",
        ),
    ],
)
def test_unknown_conventions_are_refused_with_the_nearest(conventions: dict[str, str], said: str) -> None:
    with pytest.raises(TargetError, match=said):
        subject(conventions=conventions)


def test_every_convention_belongs_to_an_optimizer() -> None:
    assert {name.split(".")[0] for name in CONVENTIONS} == set(variants.BATTERY)
    assert all(len(set(values)) == len(values) > 1 for values in CONVENTIONS.values())


def test_the_book_lists_every_convention_with_its_values_in_order() -> None:
    text = (book_folder() / "optimizers.md").read_text(encoding="utf-8")
    listed: dict[str, list[str]] = {}
    for convention, value in re.findall(r"^\| (?:`([a-z]+\.[a-z]+)`)? ?\| `([a-z-]+)`", text, re.MULTILINE):
        convention = convention or list(listed)[-1]
        listed.setdefault(convention, []).append(value)

    assert {convention: tuple(values) for convention, values in listed.items()} == CONVENTIONS

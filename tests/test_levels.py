"""Levels: a target that computes everything right, and refuses no meaningless argument, conforms with warnings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support import checked, statuses, target

from calibrant.book.clauses import book, properties

CARELESS = """
import numpy as np

from calibrant.adapters import numpy_target as right
from calibrant.protocol.operations import OPERATIONS

COLUMNS = ("t_p", "t_c"), ("t_u", "t_c"), ("val_t_u", "val_t_c"), ("train_losses", "val_losses"), ("x", "y")

def guards(operation, given, error):
    '''Whether plausible arguments would get a wrong number, or none is possible.'''
    pairs = [(given[x], given[y]) for x, y in COLUMNS if x in given and y in given] + [*given.get("batches", ())]
    diverged = operation == "diagnose" and not np.isfinite(np.concatenate([*given.values()])).all()
    unknown = ("name" in given or operation == "lbfgs") and any(words in str(error) for words in ("there is no", " has no ", " needs "))
    return diverged or unknown or operation == "broadcast_shapes" or any(np.shape(x) != np.shape(y) for x, y in pairs)

def careless(operation, answer):
    def careless_answer(*arguments):
        try:
            return answer(*arguments)
        except ValueError as error:
            if guards(operation, OPERATIONS[operation].named(arguments), error):
                raise
            return 0.0

    return careless_answer

for _name in OPERATIONS:
    if hasattr(right, _name):
        globals()[_name] = careless(_name, getattr(right, _name))
"""
REFUSALS = {prop.clause for prop in properties() if re.search(r"\brefuses(_\w+)?\(", prop.source)}
MEANINGLESS = {
    "accumulation.refused", "average.invalid", "clip.invalid", "data.columns", "descent.negative-rate", "early-stopping.invalid",
    "group.invalid", "loss.empty", "minibatch.invalid", "optimizer.invalid", "overfitting.empty", "regularization.invalid",
    "scale.invalid", "schedule.invalid", "schedule.plateau-invalid", "split.invalid", "validation.columns", "window.invalid",
}  # fmt: skip
"""The clauses that want a meaningless argument refused."""


def test_to_refuse_a_meaningless_argument_is_a_should() -> None:
    """All other refusals guard against a wrong number on plausible arguments, or leave nothing to return."""
    assert MEANINGLESS <= REFUSALS
    assert {name for name in REFUSALS if book()[name].level == "SHOULD"} == MEANINGLESS


@pytest.mark.filterwarnings("ignore")
def test_a_target_that_refuses_no_meaningless_argument_conforms_with_warnings(tmp_path: Path) -> None:
    asked = [f"--clause={clause}" for clause in sorted(REFUSALS)]

    said, shown = checked(
        tmp_path, target(tmp_path, CARELESS), *asked, "--examples=5", "--dtype=float64", "--workers=1"
    )

    found = statuses(said)
    assert said["exit_status"] == 0
    assert {clause for clause, status in found.items() if status & {"breaks", "broken"}} == MEANINGLESS
    assert {clause for clause, status in found.items() if "holds" in status} >= {"loss.same-shape", "data.shapes"}
    assert "conforms" in shown

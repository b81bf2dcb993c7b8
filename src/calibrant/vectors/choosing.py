"""Choose the cases to write: a minimal set that still rejects every impostor that any case rejects."""

import contextlib
import itertools
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.checks.spread import spread
from calibrant.diagnosis.explaining import Question, questions
from calibrant.impostors import repeatable
from calibrant.impostors.correct import dtype_of, narrow
from calibrant.impostors.planting import target_from_impostor
from calibrant.judge import Tally, tallying
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import plain
from calibrant.target.calling import Absent, Subject
from calibrant.vectors.cases import DTYPES, Case
from calibrant.vectors.due import claims

CLEARLY = 1.5
"""An impostor counts as rejected if it is off by so many bounds: another machine may not reject a smaller error."""

_PATIENCE = 600.0
"""Seconds that an answer may take, so that a busy machine chooses the same cases."""

_FAR = 1024 + np.array([0.1, 0.7, 0.2, 0.9])
FURTHER: dict[str, Sequence[Question]] = {
    # Readings whose squares cancel, in float32 too.
    "least_squares": ((_FAR, 3 * _FAR + 1),),
    # Numbers whose third, times three, is another number, in float32 and in float64.
    "model": ((np.array([5.0, 5 * 2.0**-149, 5 * 2.0**-1074]), np.array(1.0), np.array(0.0)),),
    # So far above the limit that all overflows.
    "training_loop": (
        (60, {"name": "sgd", "lr": 2.0**20}, np.array([1.0, -2.0]), np.array([2.0, 0.5]), np.array([1.0, -3.0])),
    ),
}
"""Questions beside those that name an impostor, for errors that no round numbers show."""


@dataclass(frozen=True)
class Group:
    """The cases and impostors of one operation in one dtype, and of one optimizer."""

    operation: str
    dtype: str
    optimizer: str = ""

    def candidates(self) -> list[Case]:
        """List all cases that might be written."""
        found = []
        for question in (*questions().get(self.operation, ()), *FURTHER.get(self.operation, ())):
            if self.optimizer and question[0] != self.optimizer:
                continue
            arguments = narrow(question, self.dtype)
            if self.operation == "grad_fn":  # the predictions as anyone computes them in this dtype
                t_u, t_c, _, w, b = arguments
                arguments = t_u, t_c, np.asarray(w * t_u + b, dtype=t_u.dtype), w, b
            inputs = plain(OPERATIONS[self.operation].named(arguments))
            for clause, due in claims(self.operation, arguments):
                found.append(Case(self.operation, self.dtype, clause, inputs, due))
        return found


def groups() -> list[Group]:
    """List all groups, in the protocol's order."""
    found = []
    for operation in (one.name for one in OPERATIONS.values() if one.in_files):
        about = questions()[operation]
        names = dict.fromkeys(question[0] for question in about) if operation == "optimize" else ("",)
        dtypes = DTYPES if dtype_of(about) is not None else ("",)
        found += [Group(operation, dtype, name) for name in names for dtype in dtypes]
    return found


def chosen(told: Callable[[int, int], None] = lambda done, count: None, workers: int | None = None) -> list[Case]:
    """Choose the cases of all groups; after each group, tell how many are done, and of how many."""
    tasks = [(group,) for group in groups()]
    found: dict[Any, list[Case]] = {}
    for task, cases in spread(of_group, tasks, workers):
        found[task] = cases
        told(len(found), len(tasks))
    return [case for task in tasks for case in found[task]]


def of_group(group: Group) -> list[Case]:
    """Choose the cases of a group: without any one of them, no case would reject some impostor."""
    candidates = group.candidates()
    calls = [list(same) for _, same in itertools.groupby(candidates, lambda case: case.inputs)]
    calls.sort(key=lambda of_call: _is_long(of_call[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an impostor's warnings are its own affair
        for one in repeatable(group.operation, group.optimizer):
            subject = Subject(target_from_impostor(one, _PATIENCE), group.dtype or DTYPES[-1])
            rejected = False
            for of_call in calls:
                if rejected and _is_long(of_call[0]):
                    break  # a long case is there for those that no short one rejects
                with contextlib.suppress(Absent), tallying(Tally(slack=CLEARLY)):
                    answer = of_call[0].asked(subject)
                    for case in of_call:
                        if case.judged(answer):
                            case.flags.append(one.name)
                            rejected = True
    for case in candidates:
        case.flags.sort()
    sizes = [len(json.dumps(case.written())) for case in candidates]
    return [candidates[i] for i in cover([set(case.flags) for case in candidates], sizes)]


def _is_long(case: Case) -> bool:
    """Whether a case has hundreds of steps."""
    return len(case.inputs.get("grads", ())) > 100


def cover(rejecting: Sequence[set[str]], sizes: Sequence[int]) -> list[int]:
    """Select sets that together hold every element, none of them needlessly: the largest first, then the smallest in size."""
    missing = set().union(*rejecting)
    selected: list[int] = []
    while missing:
        best = max(range(len(rejecting)), key=lambda i: (len(rejecting[i] & missing), -sizes[i], -i))
        selected.append(best)
        missing -= rejecting[best]
    for i in sorted(selected, key=lambda i: -sizes[i]):
        if rejecting[i] <= set().union(*(rejecting[k] for k in selected if k != i)):
            selected.remove(i)
    return sorted(selected)

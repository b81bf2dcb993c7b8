"""Each record of an operation has its counterparts, and loading, calling and the wire need nothing but a new record."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from calibrant import exact
from calibrant.book.clauses import CHAPTERS, book_folder, conformance_folder
from calibrant.diagnosis.explaining import questions
from calibrant.impostors import catalog
from calibrant.impostors.correct import OVER_EXACT, CorrectOperations, as_exact, over_arrays
from calibrant.judge import agree
from calibrant.protocol.declarations import GENERAL
from calibrant.protocol.operations import OPERATIONS, Operation
from calibrant.target.calling import Subject, map_leaves
from calibrant.target.description import described
from calibrant.target.loading import load
from calibrant.vectors.cases import numbers
from calibrant.vectors.due import CLAIMS

HALVE = Operation("halve", ("t_u",), ("model",))
SEVERAL = {
    *("thermometer", "norris", "figures", "multiply", "multiply_in_place"),
    *("expand", "backward", "backward_shared", "descend", "evaluate", "split", "split_data", "minibatches"),
}
"""The operations whose clauses compare answers with several functions of `exact`, with data, with NumPy, or with each other."""


def missing(one: Operation) -> list[str]:
    """The counterparts that an operation lacks, in words."""
    reference = pytest.importorskip("calibrant.adapters.reference")
    properties = "".join(file.read_text(encoding="utf-8") for file in conformance_folder().glob("*.py"))
    has_exact = one.name in OVER_EXACT or hasattr(exact, one.name)
    lacks = {
        "no function of `exact` gives its right answer": has_exact == (one.name in SEVERAL),
        "the reference has no function of its name": not hasattr(reference, one.name),
        "no property calls it": not re.search(rf"target\.{one.name}\(|\"{one.name}\"", properties),
        "impostors have no right answer to change": one.name not in over_arrays(),
        "no impostor stands in its place": all(impostor.operation != one.name for impostor in catalog()),
        "no question tells its impostors apart": one.name not in questions(),
        "vectors claim nothing of its answers": one.in_files and one.name not in CLAIMS,
        "spec/targets.md has no row for it": f"\n| `{one.name}({', '.join(one.parameters)})` | "
        not in (book_folder() / "targets.md").read_text(encoding="utf-8"),
        "its record names an unknown chapter": not one.chapters or not {*one.chapters} <= {*CHAPTERS},
        "its record names an unknown operation": not {*one.beside} <= {*OPERATIONS},
        "its record names an unknown convention": not {*one.conventions} <= {*GENERAL},
    }
    return [f"{one.name}: {words}" for words, is_so in lacks.items() if is_so]


def test_no_operation_lacks_anything() -> None:
    assert [words for one in OPERATIONS.values() for words in missing(one)] == []
    assert [name for name in CLAIMS if name not in OPERATIONS or not OPERATIONS[name].in_files] == []


def exactly(name: str, question: Any, conventions: Mapping[str, str]) -> str:
    """The exact numbers of an answer by these conventions, with their bounds; or why there are none."""
    narrow, scale = "arithmetic.hyperparameters" in conventions, conventions.get("loss.scale", "mean")
    with exact.evaluated(narrow=narrow, scale=scale), np.errstate(all="ignore"):
        try:
            answer = CorrectOperations(name, OVER_EXACT, conventions)(*map(as_exact, question))
            return repr(map_leaves(lambda x: numbers(x) if isinstance(x, exact.Exact) else x, answer))
        except (ArithmeticError, LookupError, ValueError) as refused:
            return repr(refused)


@pytest.mark.parametrize("name", OVER_EXACT)
def test_a_record_names_the_conventions_that_change_the_exact_answer(name: str) -> None:
    """Also where a hyperparameter is no number of float32. All others together change nothing; each that it names changes something."""
    named = OPERATIONS[name].conventions
    general = {
        convention: values[-1] for convention, values in GENERAL.items() if convention != "arithmetic.subnormals"
    }
    others = {convention: value for convention, value in general.items() if convention not in named}
    asked = [
        map_leaves(lambda x, by=by: x * by if isinstance(x, float) else x, question)
        for question in questions()[name]
        for by in (1, 1 - 2**-40)
    ]

    for question in asked:
        assert exactly(name, question, others) == exactly(name, question, {})
    for convention in named:
        one = {convention: general[convention]}
        assert any(exactly(name, question, one) != exactly(name, question, {}) for question in asked), convention


def test_the_words_name_each_counterpart_that_a_new_record_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    lacks = [
        "halve: no function of `exact` gives its right answer",
        "halve: the reference has no function of its name",
        "halve: no property calls it",
        "halve: impostors have no right answer to change",
        "halve: no impostor stands in its place",
        "halve: no question tells its impostors apart",
        "halve: vectors claim nothing of its answers",
        "halve: spec/targets.md has no row for it",
    ]
    assert missing(HALVE) == lacks

    monkeypatch.setitem(OVER_EXACT, "halve", lambda t_u: t_u / 2)
    assert missing(HALVE) == lacks[1:]


@pytest.mark.parametrize("place", ["object", "program"])
def test_a_new_record_is_all_that_loading_calling_and_the_wire_need(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(OPERATIONS, "halve", HALVE)
    if place == "object":
        target = described("new", SimpleNamespace(halve=lambda t_u: t_u / 2), "new", 10.0)
    else:
        program = tmp_path / "program.py"
        program.write_text(
            "import json, sys\n"
            "for line in sys.stdin:\n"
            "    asked = json.loads(line)\n"
            "    result = {'operations': ['halve']}\n"
            "    if asked['method'] == 'halve':\n"
            "        result = [x / 2 for x in asked['params']['t_u']['data']]\n"
            "    print(json.dumps({'jsonrpc': '2.0', 'id': asked['id'], 'result': result}), flush=True)\n",
            encoding="utf-8",
        )
        target = load(f"program: {sys.executable} {program}")
    t_u = np.array([1.0, 0.1])

    assert target.operations == ("halve",)
    agree(Subject(target, "float64").halve(t_u), exact.of(t_u) / 2)
    if target.program is not None:
        target.program.close()

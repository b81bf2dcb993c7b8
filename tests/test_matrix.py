"""`calibrant matrix`: several targets side by side, one of which cannot be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import calibrant, require_fit, target

from calibrant.checks.check import Checked, exit_status
from calibrant.checks.options import Options
from calibrant.checks.outcomes import Outcome
from calibrant.checks.verdicts import Result, gathered

QUICK = ("--clause", "loss.mean-square", "--clause", "model.linear", "--examples", "4", "--workers", "1", "--seed", "3")


def test_targets_stand_side_by_side(tmp_path: Path) -> None:
    wrong = target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n", "summing.py")
    node = f"node {Path(__file__).parent / 'programs' / 'adapter.js'}"
    file, page = tmp_path / "matrix.json", tmp_path / "matrix.html"

    process = calibrant(
        "matrix", "numpy", wrong, "nonsense", "--program", node, "--json", str(file), "--html", str(page), *QUICK
    )

    lines = [line.split() for line in process.stdout.splitlines()]
    assert process.returncode == 1, process.stderr
    assert lines[0] == ["clause", "numpy", wrong, "plain", "JavaScript"]
    assert ["model.linear", "holds", "·", "holds"] in lines
    assert ["loss.mean-square", "holds", "BREAKS", "holds"] in lines
    assert ["breaks", "0", "1", "0"] in lines
    assert "nonsense cannot be checked here: target 'nonsense': no file, module or registered target" in process.stdout
    said = json.loads(file.read_text(encoding="utf-8"))
    assert [one["exit_status"] for one in said["targets"]] == [0, 1, 2, 0]
    assert {"clause": "loss.mean-square", "statuses": ["holds", "breaks", None, "holds"]} in said["clauses"]
    require_fit(said, "matrix.schema.json")
    assert [one["check"] and one["check"]["options"]["seed"] for one in said["targets"]] == [3, 3, None, 3]
    assert "4 targets side by side" in page.read_text(encoding="utf-8")


EXIT = {0: ("holds holds",), 1: ("unchecked breaks",), 2: ("holds unchecked", "unchecked", "absent holds", "")}


@pytest.mark.parametrize(("status", "seen"), [(status, seen) for status, several in EXIT.items() for seen in several])
def test_the_gravest_outcome_is_that_of_the_matrix(status: int, seen: str) -> None:
    def checked(one: Any) -> Checked:
        outcomes = [Outcome("loss.zero", "test_it", "float32", one)]
        return Checked("x", Result({}, Options(), gathered(outcomes)) if one != "unchecked" else None)

    assert exit_status([checked(one) for one in seen.split()]) == status

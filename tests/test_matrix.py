"""`calibrant matrix`: several targets side by side, one of which cannot be checked."""

from __future__ import annotations

import io
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support import calibrant, require_fit, target

from calibrant import cli
from calibrant.checks import check
from calibrant.checks.check import Checked, exit_status, planned
from calibrant.checks.options import Options, matrix_command
from calibrant.checks.outcomes import Outcome
from calibrant.checks.verdicts import Result, gathered
from calibrant.reports import table

QUICK = ("--clause", "loss.mean-square", "--clause", "model.linear", "--examples", "4", "--workers", "1", "--seed", "3")


@pytest.mark.untraced
def test_targets_stand_side_by_side(tmp_path: Path) -> None:
    wrong = target(tmp_path, "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n", "summing.py")
    node = f"node {Path(__file__).parent / 'programs' / 'adapter.js'}"
    file, page = tmp_path / "matrix.json", tmp_path / "matrix.html"

    process = calibrant(
        "matrix",
        "numpy",
        wrong,
        "nonsense",
        "--program",
        node,
        "--json",
        str(file),
        "--html",
        str(page),
        *("--shield", str(tmp_path / "badge.json"), *QUICK),
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
    assert json.loads((tmp_path / "badge.json").read_text())["message"] == "2 of 4 targets conform"
    assert (
        f"To repeat this run: calibrant matrix numpy {wrong} nonsense --program {shlex.quote(node)}" in process.stdout
    )
    assert "4 targets side by side" in page.read_text(encoding="utf-8")


def of(name: str, width: int, *others: str, **statuses: Any) -> list[str]:
    """The lines of a table of targets with these statuses of two clauses, at a terminal of this width."""
    outcomes = [Outcome("loss.mean-square", "test_it", "float32", statuses.get("must", "holds"))]
    outcomes += [Outcome("loss.empty", "test_it", "float32", statuses.get("should", "holds"))]
    options = Options(strict=statuses.get("strict", False))
    described = {"name": name, "dtypes": ["float32"]}
    file = io.StringIO()
    matrix = [Checked(one, Result(described, options, gathered(outcomes))) for one in (name, *others)]
    table.show(matrix, Console(file=file, width=width, force_terminal=True, color_system=None, highlight=False))
    return file.getvalue().splitlines()


def test_a_should_is_in_capitals_only_where_it_counts() -> None:
    lax, strict = (of("a", 80, should="breaks", strict=strict) for strict in (False, True))

    assert [line.split() for line in lax[1:3]] == [["loss.mean-square", "holds"], ["loss.empty", "breaks"]]
    assert strict[2].split() == ["loss.empty", "BREAKS"]
    assert ["breaks", "1"] in [line.split() for line in lax]
    assert of("a", 80, must="breaks")[1].split() == ["loss.mean-square", "BREAKS"]


def test_heads_are_readable_in_sixty_columns() -> None:
    """Names that leave no room stand above the table; columns that leave none stand in several tables."""
    few, many = of("a.py", 60, "some/where/b.py"), of("a.py", 60, *(f"some/where/{k}.py" for k in range(9)))

    assert few[0].split() == ["clause", "a.py", "some/where/b.py"]
    assert many[:3] == ["1: a.py", "2: some/where/0.py", "3: some/where/1.py"]
    heads = [line.split() for line in many if line.startswith("clause")]
    assert [head for several in heads for head in several[1:]] == [str(k) for k in range(1, 11)]
    assert len(heads) == 2
    assert max(map(len, many)) <= 60


def test_a_file_declares_deviations_of_one_of_the_targets(tmp_path: Path) -> None:
    known = tmp_path / "known.toml"
    known.write_text('"loss.mean-square" = "a sum is meant"\n')
    options, specs = Options(chapters=("loss",), profile="ci"), ["a.py", "b.py", "program: node x=y.js"]

    plans = planned(specs, options, [f"b.py={known}", f"node x=y.js={known}"])

    assert [one.deviations for _, one in plans] == [None, str(known), str(known)]
    assert matrix_command(plans) == (
        f"calibrant matrix a.py b.py --program 'node x=y.js' --deviations=b.py={known} "
        f"'--deviations=node x=y.js={known}' --chapter loss --profile ci"
    )
    assert planned(["a.py"], plans[0][1], ()) == plans[:1]


def test_all_targets_are_drawn_with_one_seed() -> None:
    plans = planned(["a.py", "b.py"], Options(), ())

    assert plans[0][1].seed == plans[1][1].seed
    assert matrix_command(plans) == f"calibrant matrix a.py b.py --seed {plans[0][1].seed}"


EXIT = {0: ("holds holds",), 1: ("unchecked breaks",), 2: ("holds unchecked", "unchecked", "absent holds", "")}


@pytest.mark.parametrize(("status", "seen"), [(status, seen) for status, several in EXIT.items() for seen in several])
def test_the_gravest_outcome_is_that_of_the_matrix(status: int, seen: str) -> None:
    def checked(one: Any) -> Checked:
        outcomes = [Outcome("loss.zero", "test_it", "float32", one)]
        return Checked("x", Result({}, Options(), gathered(outcomes)) if one != "unchecked" else None)

    assert exit_status([checked(one) for one in seen.split()]) == status


def test_an_interrupted_matrix_shows_the_targets_that_were_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one of them there is nothing to show."""
    whole = Result({"name": "numpy", "dtypes": ["float32"]}, Options(), gathered([]))
    found = [Checked("numpy", whole)]

    def interrupted(_: object) -> Iterator[Checked]:
        yield from found
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "checked", interrupted)
    monkeypatch.setattr(sys, "argv", ["calibrant", "matrix", "numpy", "torch"])
    for given, said in (
        ([*found], "interrupted: 1 of 2 targets were not checked"),
        ([], "interrupted: there is no result"),
    ):
        found[:] = given
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        assert (ended.value.code, shown.err.splitlines()[-1]) == (130, f"calibrant: {said}")
        assert ("numpy" in shown.out) == bool(given)

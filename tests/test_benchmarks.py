"""The benchmarks run, and say what they are for; how long anything takes is not tested."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrant.benchmarks import soundness, speed
from calibrant.benchmarks.__main__ import main
from calibrant.benchmarks.evaluations import STYLES
from calibrant.exact import Exact
from calibrant.impostors.correct import as_exact
from calibrant.judge import agree
from calibrant.protocol.errors import TargetError

TORCH = find_spec("torch") is not None


def result(tmp_path: Path, *arguments: str, status: int = 0) -> Any:
    """The figures that a benchmark writes."""
    file = tmp_path / "figures.json"

    assert main([*arguments, "--json", str(file)]) == status
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_judge_is_timed_on_every_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rows,) = result(tmp_path, "judge", "--cases", "2").values()

    assert {row["dtype"] for row in rows} == {"float32", "float64"}
    assert len(rows) == 2 * len(soundness.FORMULAS)
    assert all(0 < row["low"] <= row["median"] <= row["high"] for row in rows)
    assert "closed_form" in capsys.readouterr().out


def test_correct_evaluations_are_counted_by_formula_and_dtype(tmp_path: Path) -> None:
    figures = result(tmp_path, "soundness", "--cases", "120", "--seed", "3")

    *rows, total = figures[soundness.JUDGED]
    assert total["cases"] == sum(row["cases"] for row in rows) == 120
    assert total["judged"] > 120
    assert figures[soundness.REJECTED] == []
    assert all(row["rejected"] == 0 <= row["worst"] <= 1 for row in rows)


@pytest.mark.untraced
def test_the_same_seed_gives_the_same_cases_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chunks, not the processes, have generators of their own."""
    monkeypatch.setattr(soundness, "CHUNK", 15)
    monkeypatch.setattr(soundness, "find_spec", lambda name: None)  # without torch, which takes seconds to import

    one, two = (soundness.measure(45, 5, processes) for processes in (1, 2))

    assert one == two or TORCH  # the processes that were started find it
    assert soundness.measure(45, 5, 1) == one != soundness.measure(45, 6, 1)


def test_a_rejection_is_printed_and_makes_the_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A judge that allows nothing rejects what is rounded; what is printed is enough to see it again."""

    def bare(formula: soundness.Formula) -> soundness.Formula:
        def truth(*arguments: Any) -> Exact:
            judged = formula.truth(*arguments)
            return judged.within(np.where(np.isfinite(judged.err), 0.0, np.inf), judged.form)

        return replace(formula, truth=truth)

    monkeypatch.setattr(soundness, "FORMULAS", tuple(map(bare, soundness.FORMULAS)))

    figures = result(tmp_path, "soundness", "--cases", "40", status=1)

    rejections = figures[soundness.REJECTED]
    assert figures[soundness.JUDGED][-1]["rejected"] == len(rejections) > 0
    assert rejections[0]["rejected"] in capsys.readouterr().out


@pytest.mark.untraced
@pytest.mark.parametrize("formula", soundness.FORMULAS, ids=lambda formula: formula.name)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_every_way_evaluates_every_formula(formula: soundness.Formula, dtype: str) -> None:
    arguments = formula.drawn(bytes(range(1, formula.strategy.length + 1)), dtype)
    expected = formula.truth(*as_exact(arguments))

    for way in dict.fromkeys(soundness.evaluators(dtype)):
        agree(soundness.evaluate(way, formula, arguments), expected)


def test_without_torch_the_others_remain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soundness, "find_spec", lambda name: None)

    assert soundness.dtypes() == ["float16", "float32", "float64"]
    assert soundness.evaluators("float32") == list(STYLES)


def test_the_speed_of_a_chapter_stands_beside_that_of_drawing_and_of_the_target() -> None:
    (rows,) = speed.measure(2, 0, "numpy", ("loss", "broadcasting")).values()

    assert [row["chapter"] for row in rows] == ["loss", "broadcasting"]
    assert all(row["examples"] > 10 and row["a second"] > 0 for row in rows)
    assert all(0 < row["target"] < row["seconds"] and row["drawing"] > 0 for row in rows)
    with pytest.raises(TargetError, match="nearest: numpy"):
        speed.measure(2, 0, "nunpy", ("loss",))


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["judge", "--cases", "0"], ["judge", "--cases", "few"]])
def test_a_meaningless_measurement_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 2

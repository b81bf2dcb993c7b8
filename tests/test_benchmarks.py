"""The benchmarks run, and say what they are for; how long anything takes is not tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibrant import benchmarks
from calibrant.benchmarks import arrangements, speed
from calibrant.benchmarks.__main__ import main
from calibrant.protocol.errors import TargetError


def result(tmp_path: Path, *arguments: str, status: int = 0) -> Any:
    """The figures that a benchmark writes."""
    file = tmp_path / "figures.json"

    assert main([*arguments, "--json", str(file)]) == status
    return json.loads(file.read_text(encoding="utf-8"))


def test_the_judge_is_timed_on_every_operation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (rows,) = result(tmp_path, "judge", "--cases", "2").values()

    assert {row["dtype"] for row in rows} == {"float32", "float64"}
    assert len(rows) == 2 * len(arrangements.OPERATIONS)
    assert all(0 < row["low"] <= row["median"] <= row["high"] for row in rows)
    assert "closed_form" in capsys.readouterr().out


def test_a_rejection_is_printed_and_makes_the_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is printed is enough to see it again."""
    twice = arrangements.Arrangement("loss", "twice", lambda p, c: 2 * np.mean((p - c) ** 2), ("float64",))
    monkeypatch.setattr(arrangements, "arrangements", lambda: [twice])

    figures = result(tmp_path, "arrangements", "--cases", "3", "--seed", "1", status=1)

    (row,), (rejection,) = figures[arrangements.JUDGED], figures[benchmarks.REJECTED]
    assert row["rejected"] > 0
    assert row["worst"] > 1
    assert rejection["rejected"].startswith("loss, twice, float64, seed 1, case ")
    assert rejection["rejected"] in capsys.readouterr().out


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

"""`import calibrant`: a check of any object in this process, and its report."""

from __future__ import annotations

import json
import os
import random
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from support import SCHEMA, run, target

import calibrant
from calibrant.protocol.errors import CheckError
from calibrant.reports import terminal

FEW: dict[str, Any] = {"clauses": "loss.mean-square", "examples": 3, "seed": 1}


def loss_fn(t_p: Any, t_c: Any) -> Any:
    return ((t_p - t_c) ** 2).mean()


def wrong(t_p: Any, t_c: Any) -> Any:
    print("noise")
    warnings.warn("noise", stacklevel=1)
    return ((t_p - t_c) ** 2).sum()


class Losses:
    name = "losses"

    def loss_fn(self, t_p: Any, t_c: Any) -> Any:
        return loss_fn(t_p, t_c)


def module() -> types.ModuleType:
    made = types.ModuleType("mine")
    made.loss_fn = loss_fn  # type: ignore[attr-defined]  # it is made here
    return made


OBJECTS = {
    "module": (module(), "mine"),
    "instance": (Losses(), "losses"),
    "namespace": (types.SimpleNamespace(loss_fn=loss_fn), "target"),
    "dict": ({"loss_fn": loss_fn}, "target"),
    "function": (loss_fn, "loss_fn"),
}


@pytest.mark.parametrize(("checked", "name"), OBJECTS.values(), ids=OBJECTS)
def test_any_object_is_checked_in_this_process(checked: object, name: str) -> None:
    report = calibrant.check(checked, **FEW)

    assert report.ok
    assert [(v.clause, v.dtype, v.status) for v in report.verdicts] == [
        ("loss.mean-square", dtype, "holds") for dtype in ("float32", "float64")
    ]
    assert f"{name} conforms, as far as it was checked" in repr(report)


def test_a_report_shows_what_the_terminal_shows_and_what_the_command_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    report = calibrant.check({"loss_fn": wrong}, **FEW)

    assert not report.ok
    assert {v.dtype for v in report.failures} == {"float32", "float64"}
    assert str(report) == terminal.text(report._result).rstrip("\n")
    assert "To repeat this run" not in str(report)
    assert "loss_fn behaves as `sum-instead-of-mean`" in str(report)
    jsonschema.validate(json.loads(report.to_json()), SCHEMA)


def test_a_path_is_checked_in_workers(tmp_path: Path) -> None:
    file = Path(target(tmp_path, "import os\ndef loss_fn(t_p, t_c):\n    os._exit(3)\n"))

    report = calibrant.check(file, dtypes="float64", workers=1, **FEW)

    assert [verdict.status for verdict in report.failures] == ["broken"]
    assert "ended its process" in str(report)


@pytest.mark.untraced
def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    def left() -> Any:
        state = np.random.get_state()[1]  # type: ignore[index]  # a tuple, which NumPy's stubs do not say
        modules = {
            name for name in sys.modules if name.split(".")[0] not in ("calibrant", "hypothesis", "numpy", "rich")
        }
        return modules, sys.path[:], warnings.filters[:], np.geterr(), random.getstate(), bytes(state), {**os.environ}

    monkeypatch.chdir(tmp_path)
    calibrant.check({"loss_fn": wrong}, **FEW)  # what is imported stays
    before = left()

    calibrant.check({"loss_fn": wrong}, **FEW)

    for now, then in zip(left(), before, strict=True):
        assert now == then
    assert [*tmp_path.iterdir()] == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("checked", "options", "sentence"),
    [
        (loss_fn, {"isolated": True}, "isolated is True: another process can load a path or a name"),
        (loss_fn, {"chapters": "los"}, "there is no chapter 'los'; nearest: loss"),
        (3, {}, "target 'object: int' has none of the operations"),
        ("no_such_file.py", {}, "there is no such file"),
    ],
    ids=["isolated object", "chapter", "nothing to check", "file"],
)
def test_what_cannot_be_checked_is_one_sentence(checked: object, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CheckError, match=sentence):
        calibrant.check(checked, **options)


def test_the_import_is_light_and_its_help_fits_on_a_screen() -> None:
    code = "import calibrant, pydoc, sys; print(len(pydoc.render_doc(calibrant).splitlines()), *sys.modules)"
    lines, *modules = run("-c", code).stdout.split()

    assert int(lines) <= 60
    assert not {"numpy", "pytest", "hypothesis", "rich", "typer", "torch", "sympy"} & {*modules}

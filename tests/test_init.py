"""`calibrant init`: each skeleton conforms as it is, and has a place for every operation."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import calibrant as package
from calibrant.exact.optimizers import DEFAULTS
from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.straight_line import BINARY, METHODS, Written
from calibrant.skeletons import LANGUAGES, RECIPE, skeleton, written
from calibrant.target.calling import Subject
from calibrant.target.loading import of_object

NEEDS = {"python": "python3", "javascript": "node", "c": "cc", "rust": "rustc"}
languages = pytest.mark.parametrize(
    "language",
    [
        pytest.param(name, marks=pytest.mark.skipif(not shutil.which(NEEDS[name]), reason=f"there is no {NEEDS[name]}"))
        for name in LANGUAGES
    ],
)


def started(language: str, file: Path) -> Any:
    """What stands in a file, as an object that can be checked in this process."""
    if language == "python":
        return SimpleNamespace(**runpy.run_path(str(file)))
    if language == "javascript":
        return SimpleNamespace(program=["node", str(file)])
    adapter = file.with_suffix("")
    compilers = {
        "c": ["cc", "-O2", "-Wall", "-Wextra", "-Werror", str(file), "-lm"],
        "rust": ["rustc", "--edition=2021", "-Dwarnings", str(file)],
    }
    subprocess.run([*compilers[language], "-o", str(adapter)], check=True)
    return SimpleNamespace(program=[str(adapter)])


def uncommented(text: str) -> str:
    """A skeleton in which every operation is there, and none does anything."""
    text = re.sub(
        r"^# def (?!asarray|to_numpy).*(?:\n#     .*)+",
        lambda place: place[0].replace("\n# ", "\n")[2:],
        text,
        flags=re.MULTILINE,
    )
    text = re.sub(r"^  // (\w+\(.*\) \{)\n  //(.*)\n  // \},$", r"  \1\n  \2\n  },", text, flags=re.MULTILINE)
    text = re.sub(
        r"^(static void \w+\(Value \*params\)) (\{.*\}) \*/$", r"*/ \1 { (void)params; \2 }", text, flags=re.MULTILINE
    )
    text = re.sub(r"^// (fn \w+)\(params(: &Value\) -> Answer \{.*\})$", r"\1(_params\2", text, flags=re.MULTILINE)
    text = re.sub(r"^( +)// (\(\"\w+\", \w+\),)$", r"\1\2", text, flags=re.MULTILINE)
    return re.sub(r"/\* (\{\"\w+\", \w+\},) \*/", r"\1", text)


@languages
def test_a_skeleton_conforms_as_it_is(language: str, tmp_path: Path) -> None:
    said = [*written(language, tmp_path)]
    file = tmp_path / LANGUAGES[language].file

    program = started(language, file)
    report = package.check(program, chapters="loss", clauses="gradient.central", examples=3, seed=1)

    assert report.ok, str(report)
    assert "my_target conforms" in str(report)
    assert sum(verdict.status == "holds" for verdict in report.verdicts) > 20
    assert f"{file}: an adapter whose loss_fn" in said[0]
    assert f"  {LANGUAGES[language].check}" in said
    if language != "python":
        carries_out_every_instruction(program)


def carries_out_every_instruction(program: Any) -> None:
    function = Written(
        "lambda p: (((p / p[0]).tanh() * 3.0).mean() - p.exp().sum()) ** 2.0 + p.log().sum().maximum(p[1] - 9.0)"
    )
    params, delta = np.array([0.5, 1.5, 0.25]), 2.0**-10
    target = of_object(program, "mine", "mine", 10.0)

    try:
        slopes = Subject(target, "float64").difference_gradient(function, params, np.array(delta))
    finally:
        target.program.close()

    due = [(function(params + delta * row) - function(params - delta * row)) / (2 * delta) for row in np.eye(3)]
    assert {name for name, *_ in function.straight_line["instructions"]} >= {*BINARY, *METHODS, "index", "constant"}
    assert slopes == pytest.approx(due, rel=1e-9)


@languages
def test_a_skeleton_has_a_place_for_every_operation(language: str, tmp_path: Path) -> None:
    """Each place is a comment that becomes code."""
    file = tmp_path / LANGUAGES[language].file
    file.write_text(uncommented(skeleton(language)))
    report = package.check(started(language, file), clauses="model.linear", examples=1, seed=1)

    assert {*report._result.target["operations"]} == {*OPERATIONS}
    assert {verdict.status for verdict in report.verdicts} == {"absent"}
    assert all("model does not serve this request" in str(verdict.reason) for verdict in report.verdicts)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_skeleton_says_what_the_records_say(language: str) -> None:
    text = skeleton(language)

    assert not re.search(r"@\w+@|\$[a-z]", text)
    assert all(re.search(rf"\b{name}: lr ", text) for name in DEFAULTS)
    assert "The mean absolute error, a scalar." in text
    assert max(map(len, text.splitlines())) < 140


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my_target.py").write_text("mine")

    with pytest.raises(CheckError, match="is there already: nothing is written"):
        [*written("python", tmp_path)]
    said = [*written("c", tmp_path)]
    (tmp_path / RECIPE).write_text("mine")
    (tmp_path / "adapter.c").unlink()
    again = [*written("c", tmp_path)]

    assert (tmp_path / "my_target.py").read_text() == "mine"
    assert (tmp_path / RECIPE).read_text() == "mine"
    assert "the check in continuous integration" in said[1]
    assert "is there already, and stays" in again[1]


def test_the_recipe_runs_the_check(tmp_path: Path) -> None:
    for language, chosen in LANGUAGES.items():
        [*written(language, tmp_path / language)]
        recipe = (tmp_path / language / RECIPE).read_text()

        assert f"- run: {chosen.check} --profile ci\n" in recipe
        assert (f"- run: {chosen.build}\n" in recipe) == bool(chosen.build)
        assert "@" not in recipe.replace("actions/checkout@", "").replace("actions/setup-python@", "")

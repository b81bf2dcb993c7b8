"""The defaults of a project, in its pyproject.toml."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from support import calibrant, checked, one_sentence, statuses, target

from calibrant.checks.project import defaults, under
from calibrant.protocol.errors import CheckError, TargetError
from calibrant.target.description import deviations_in


def project(folder: Path, text: str) -> Path:
    """A folder with this pyproject.toml."""
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_table_gives_the_options_of_a_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[tool.calibrant]\ntarget = "theirs.py:loss"\nprofile = "ci"\ntimeout = 3\ndeviations = "known.toml"\nchapters = ["loss", "model"]\n'
    found = {"target": "theirs.py:loss", "profile": "ci", "timeout": 3, "chapters": ("loss", "model")}
    found |= {"deviations": "known.toml"}
    project(tmp_path, text)

    monkeypatch.chdir(tmp_path)
    assert defaults(tmp_path) == found

    monkeypatch.chdir(tmp_path.parent)
    below = {"target": "theirs.py:loss", "deviations": "known.toml"}
    assert defaults(tmp_path) == found | {key: os.path.join(tmp_path.name, name) for key, name in below.items()}


def test_a_program_is_a_target(tmp_path: Path) -> None:
    assert defaults(project(tmp_path, '[tool.calibrant]\nprogram = "node mine.js"\n')) == {
        "target": "program: node mine.js"
    }


@pytest.mark.parametrize("text", ["", "[project]\n", "[tool.other]\nx = 1\n", "= nonsense"], ids=repr)
def test_a_project_without_the_table_has_no_defaults(text: str, tmp_path: Path) -> None:
    assert defaults(tmp_path) == {}
    assert defaults(project(tmp_path, text)) == {}


WRONG = {
    "profil = 'ci'": "[tool.calibrant] has no key 'profil'; nearest: profile",
    "examples = 'many'": "examples of [tool.calibrant] is 'many', which is not a whole number",
    "examples = true": "examples of [tool.calibrant] is True, which is not a whole number",
    "chapters = 'loss'": "chapters of [tool.calibrant] is 'loss', which is not a list of texts",
    "dtypes = [1]": "dtypes of [tool.calibrant] is [1], which is not a list of texts",
    "target = 'a'\nprogram = 'b'": "has a target and a program",
    "target = ": "cannot be read",
}


@pytest.mark.parametrize(("line", "sentence"), WRONG.items(), ids=WRONG)
def test_a_mistake_is_one_sentence_that_names_the_file(line: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(CheckError) as raised:
        defaults(project(tmp_path, f"[tool.calibrant]\n{line}\n"))

    assert str(raised.value).startswith(f"{tmp_path}/pyproject.toml")
    assert sentence in str(raised.value)


def test_what_is_given_wins_and_chapters_and_clauses_are_one_choice() -> None:
    found = {"profile": "ci", "chapters": ("loss",), "examples": 3}

    assert under(found, ["clauses", "examples"]) == {"profile": "ci"}
    assert under(found, []) == found


def test_a_check_takes_the_defaults_of_its_folder(tmp_path: Path) -> None:
    """The command line chooses a clause, and so no chapter of the project's."""
    target(tmp_path, "def loss_fn(t_p, t_c):\n    raise ValueError\n")
    project(
        tmp_path,
        '[tool.calibrant]\ntarget = "planted.py"\nchapters = ["optimizers"]\ndtypes = ["float64"]\nexamples = 3\n',
    )

    said = calibrant("check", "--clause", "loss.scalar", "--timeout", "20", cwd=tmp_path).stdout
    project(tmp_path, "[tool.calibrant]\nexamples = 0.5\n")
    wrong = calibrant("check", cwd=tmp_path)

    assert "loss.scalar  broken in float64\n" in said
    assert "calibrant check planted.py --clause loss.scalar --dtype float64 --examples 3" in said
    assert one_sentence(wrong, "pyproject.toml: examples of [tool.calibrant] is 0.5, which is not a whole number")


def test_a_file_declares_deviations_by_clause_or_by_chapter(tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    file.write_text('"loss.empty[float32]" = "for speed"\n[loss]\nsame-shape = "it broadcasts"\n', encoding="utf-8")

    assert deviations_in(str(file)) == {"loss.empty[float32]": "for speed", "loss.same-shape": "it broadcasts"}
    assert deviations_in(None) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot be read: No such file"),
        ("= 1", "known.toml: "),
        ("[loss]\nempty = 1", "not a dict of names with their reasons"),
        ('[los]\nempty = "why"', "the clause 'los.empty', which is not in the book; nearest: loss.empty"),
    ],
    ids=["no file", "no TOML", "no reason", "no clause"],
)
def test_a_wrong_file_of_deviations_is_one_sentence(text: str | None, sentence: str, tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    with pytest.raises(TargetError, match=re.escape(sentence)):
        deviations_in(str(file))


def test_a_declared_deviation_of_a_file_is_no_failure(tmp_path: Path) -> None:
    file = tmp_path / "known.toml"
    file.write_text('[loss]\nabsolute = "it is half"\n', encoding="utf-8")
    half = target(tmp_path, "def absolute_loss(t_p, t_c):\n    return abs(t_p - t_c).mean() / 2\n")

    said, shown = checked(tmp_path, half, "--clause=loss.absolute", f"--deviations={file}", "--workers=1")

    assert statuses(said) == {"loss.absolute": {"deviates"}}
    assert "loss.absolute deviates as declared: it is half" in shown
    assert f"--deviations {file}" in shown.replace("\\\n    ", "")

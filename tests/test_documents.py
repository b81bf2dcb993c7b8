"""What the documents say of the code stays true."""

import re
from pathlib import Path

import pytest

from calibrant.book.clauses import CHAPTERS, book
from calibrant.exact import FORMATS
from calibrant.protocol.dtypes import DTYPES
from calibrant.protocol.operations import PARAMETERS, RETURNS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "spec").glob("*.md"))]


def test_targets_page_lists_the_operations_and_their_arguments() -> None:
    text = (ROOT / "spec" / "targets.md").read_text(encoding="utf-8")
    section = text.split("## Operations")[1].split("## ")[0]
    rows = re.findall(r"^\| `(\w+)\(([^)]*)\)` \| (.*) \|$", section, re.MULTILINE)

    assert {name: tuple(filter(None, arguments.split(", "))) for name, arguments, _ in rows} == PARAMETERS
    for name, parts in RETURNS.items():
        assert f"`({', '.join(parts)})`" in next(returned for row, _, returned in rows if row == name)


def test_targets_page_lists_the_attributes() -> None:
    text = (ROOT / "spec" / "targets.md").read_text(encoding="utf-8")
    section = text.split("## What a target says of itself")[1]

    for attribute in ("name", "version", "dtypes", "asarray", "to_numpy", "conventions", "deviations", "slack"):
        assert re.search(rf"^\|.*`{attribute}[`(]", section, re.MULTILINE), attribute
    assert all(f"`{dtype}`" in section for dtype in DTYPES)


def test_every_judged_dtype_has_a_format() -> None:
    assert tuple(FORMATS) == DTYPES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in link:
            assert (document.parent / link).exists(), link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_clauses_that_are_named_exist(document: Path) -> None:
    """Whatever looks like a clause of a chapter is one."""
    heads = {head for heads in CHAPTERS.values() for head in heads}
    text = document.read_text(encoding="utf-8")

    named = {name for name in re.findall(r"`([a-z]+\.[a-z-]+)`", text) if name.split(".")[0] in heads}
    assert named - set(book()) - {"loss.md", "model.md", "data.md", "descent.md"} == set()


def test_changelog_counts_the_clauses() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert f"{len(book())} clauses" in text


def test_modules_of_a_chapter_stand_under_one_name() -> None:
    """A chapter's reference, properties and text are found by its name."""
    for chapter in CHAPTERS:
        assert (ROOT / "spec" / f"{chapter}.md").is_file()
        assert (ROOT / "src" / "calibrant" / "mechanics" / f"{chapter}.py").is_file()
        assert (ROOT / "tests" / "conformance" / f"test_{chapter}.py").is_file()


def test_readme_shows_what_a_summing_target_gets(tmp_path: Path) -> None:
    """The report in the README is what the command prints."""
    import os
    import subprocess
    import sys

    (tmp_path / "summing.py").write_text("def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n")
    command = "check summing.py --clause loss.mean-square"
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split(f"$ calibrant {command}\n")[1].split("```")[0]

    done = subprocess.run(
        [sys.executable, "-m", "calibrant", *command.split()],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stdout.startswith(shown.rstrip() + "\n")


def test_the_project_speaks_of_itself_alone() -> None:
    """No document names a file of the machine that it was written on."""
    for document in DOCUMENTS:
        assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work)/", document.read_text(encoding="utf-8")), document.name

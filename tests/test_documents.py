"""The documents describe the code as it is."""

import re
from pathlib import Path

import pytest
from support import calibrant

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
def test_names_in_a_document_are_those_of_files_and_clauses(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", prose):
        if "://" not in link:
            assert (document.parent / link).exists(), link
    heads = {head for heads in CHAPTERS.values() for head in heads}
    named = {name for name in re.findall(r"`([a-z]+\.[a-z-]+)`", text) if name.split(".")[0] in heads}
    assert named - set(book()) - {"loss.md", "model.md", "data.md", "descent.md"} == set()
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work)/", text), "a file of the machine that it was written on"


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
    (tmp_path / "summing.py").write_text("def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n")
    command = "check summing.py --clause loss.mean-square"
    shown = (ROOT / "README.md").read_text(encoding="utf-8").split(f"$ calibrant {command}\n")[1].split("```")[0]

    done = calibrant(*command.split(), cwd=tmp_path, COLUMNS="300")

    assert done.returncode == 1
    assert done.stdout.startswith(shown.rstrip() + "\n")

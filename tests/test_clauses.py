"""The clauses of the book and the properties of the suite: every malformed one is an error."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calibrant.book import clauses
from calibrant.book import properties as reading
from calibrant.book.clauses import CHAPTERS, LEVELS, BookError, book, parse, require
from calibrant.book.properties import loose_ends, properties
from calibrant.suite.property import clause

CHAPTER = """
# The loss

Prose, and a list of what follows.

(loss.first)=
### 3.1 The first · `loss.first` · MUST

The first sentence,
over two lines.

Its reason.

(loss.second)=
### 3.2 The second · `loss.second` · SHOULD

The second sentence.

```
(loss.not-a-clause)=
### 3.3 In a fence · `loss.not-a-clause` · MUST

# a comment, no heading
```

Its end.

## A section

Prose again.
"""


def test_the_book_reads_as_clauses_and_each_has_its_property() -> None:
    read = list(book().values())

    assert loose_ends() == []
    assert len({prop.function for prop in properties()}) == len(
        properties()
    )  # a property whose process died is found by it
    assert len(read) > 50
    assert [c.chapter for c in read] == sorted((c.chapter for c in read), key=list(CHAPTERS).index)
    for chapter in CHAPTERS:
        numbers = [c.number for c in read if c.chapter == chapter]
        first = list(CHAPTERS).index(chapter) + 1
        assert numbers == [f"{first}.{i}" for i in range(1, len(numbers) + 1)]
    assert all(c.sentence and c.text.startswith(c.text.strip()) and c.level in LEVELS for c in read)
    assert all(name == c.name and name.split(".")[0] in CHAPTERS[c.chapter] for name, c in book().items())


def test_a_clause_is_its_heading_its_sentence_and_its_text() -> None:
    first, second = parse(CHAPTER, "loss", 3)

    assert (first.name, first.number, first.title, first.level) == ("loss.first", "3.1", "The first", "MUST")
    assert first.sentence == "The first sentence, over two lines."
    assert first.text.endswith("Its reason.")
    assert second.level == "SHOULD"
    assert second.text.startswith("The second sentence.")
    assert "loss.not-a-clause" in second.text
    assert "# a comment, no heading" in second.text
    assert second.text.endswith("Its end.")


MALFORMED: dict[str, tuple[str, str, str]] = {
    "target and heading differ": ("(loss.first)=", "(loss.frist)=", "the target is loss.frist but the heading says"),
    "no heading": ("### 3.1 The first · `loss.first` · MUST\n", "", "is not a clause's heading"),
    "a heading of another kind": ("### 3.1 The", "#### 3.1 The", "is not a clause's heading"),
    "no target": ("(loss.first)=\n", "", "a clause without its target line"),
    "a blank line between": ("(loss.first)=\n", "(loss.first)=\n\n", "a clause without its target line"),
    "number out of order": ("### 3.2", "### 3.3", "loss.second has the number 3.3, where 3.2 is due"),
    "number taken": ("### 3.2", "### 3.1", "loss.second has the number 3.1, where 3.2 is due"),
    "number of another chapter": ("### 3.1", "### 4.1", "loss.first has the number 4.1, where 3.1 is due"),
    "name of another chapter": ("loss.first", "model.first", "model.first is not a name for a clause of the chapter"),
    "name without a chapter": ("loss.first", "first", "first is not a name"),
    "name in capitals": ("loss.first", "loss.First", "loss.First is not a name"),
    "unknown level": ("· MUST", "· MAY", "loss.first has the level MAY, not MUST or SHOULD"),
    "says nothing": ("The first sentence,\nover two lines.\n\nIts reason.\n", "", "loss.first says nothing"),
}


@pytest.mark.parametrize(("old", "new", "sentence"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_clause_is_an_error_with_its_place(old: str, new: str, sentence: str) -> None:
    with pytest.raises(BookError, match=r"^loss\.md, line \d+: ") as caught:
        parse(CHAPTER.replace(old, new), "loss", 3)

    assert sentence in str(caught.value)


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[dict[str, str], str], None]]:
    """Replace the book and the suite during a test."""
    (tmp_path / "spec").mkdir()
    (tmp_path / "conformance").mkdir()
    monkeypatch.setattr(clauses, "book_folder", lambda: tmp_path / "spec")
    monkeypatch.setattr(reading, "conformance_folder", lambda: tmp_path / "conformance")

    def write(chapters: dict[str, str], suite: str) -> None:
        for chapter in CHAPTERS:
            (tmp_path / "spec" / f"{chapter}.md").write_text(chapters.get(chapter, ""), encoding="utf-8")
        (tmp_path / "conformance" / "test_suite.py").write_text(textwrap.dedent(suite), encoding="utf-8")
        book.cache_clear()
        properties.cache_clear()

    yield write
    book.cache_clear()
    properties.cache_clear()


TIED = '@clause("loss.first")\ndef test_one(): ...\n\n@clause("loss.second", fraction_of_examples=0.5)\n@given(x())\ndef test_two(x): ...\n'

LOOSE = {
    "all tied": (TIED, []),
    "clause without a property": (TIED.replace("loss.second", "loss.first"), ["loss.second: no property checks it"]),
    "property of no clause of the book": (
        f'{TIED}\n@clause("loss.third")\ndef test_three(): ...\n',
        ["test_three: there is no clause loss.third"],
    ),
    "property without a clause": (
        f"{TIED}\n@given(x())\ndef test_three(): ...\n",
        ["test_three in test_suite.py: names 0 clauses, not one"],
    ),
    "property of two clauses": (
        TIED.replace("@given(x())", '@clause("loss.first")'),
        ["test_two in test_suite.py: names 2 clauses, not one"],
    ),
    "what is no property": (f"{TIED}\ndef helper(): ...\n\nclass Test:\n    pass\n", []),
}


@pytest.mark.parametrize(("suite", "problems"), LOOSE.values(), ids=LOOSE)
def test_loose_ends_are_found(folders: Callable[[dict[str, str], str], None], suite: str, problems: list[str]) -> None:
    folders({"loss": CHAPTER}, suite)

    assert loose_ends() == problems


def test_a_property_is_read_with_its_decorators(folders: Callable[[dict[str, str], str], None]) -> None:
    folders({"loss": CHAPTER}, TIED)

    one, two = properties()

    assert (one.clause, one.function) == ("loss.first", "test_one")
    assert two.source == '@clause("loss.second", fraction_of_examples=0.5)\n@given(x())\ndef test_two(x): ...'


def test_a_name_is_taken_once_and_no_chapter_may_be_missing(
    folders: Callable[[dict[str, str], str], None], tmp_path: Path
) -> None:
    folders({"loss": CHAPTER.replace("loss.second", "loss.first")}, TIED)
    with pytest.raises(BookError, match=r"loss\.md: the name loss\.first is taken by clause 3\.1"):
        book()

    (tmp_path / "spec" / "data.md").unlink()
    with pytest.raises(OSError, match=r"data\.md"):
        book()


def test_a_known_name_is_found_and_an_unknown_name_is_an_error_at_once_and_names_the_nearest() -> None:
    assert require("loss.mean-square").number == "3.1"
    with pytest.raises(LookupError, match=r"there is no clause 'loss\.mean-sqare'; nearest: loss\.mean-square"):
        clause("loss.mean-sqare")

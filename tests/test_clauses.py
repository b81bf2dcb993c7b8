"""The clauses of the book and the properties of the suite: every malformed one is an error."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from calibrant.book import clauses
from calibrant.book.clauses import (
    CHAPTERS,
    BookError,
    book,
    book_folder,
    conformance_folder,
    parse,
    properties,
    require,
)
from calibrant.checks.power import Settings, parametrized, suite_of
from calibrant.impostors import catalog
from calibrant.impostors.__main__ import main as bring_up_to_date
from calibrant.impostors.tracing import statements
from calibrant.protocol.operations import OPERATIONS
from calibrant.suite.property import clause

FUNCTION = re.compile(r"^def (test_\w+)", re.MULTILINE)
CHAPTER = """
# The loss

Prose, and a list of what follows.

<a id="loss.first"></a>
### 3.1 The first · `loss.first` · MUST

The first sentence,
over two lines.

Its reason.

<a id="loss.second"></a>
### 3.2 The second · `loss.second` · SHOULD

The second sentence.

```
<a id="loss.not-a-clause"></a>
### 3.3 In a fence · `loss.not-a-clause` · MUST

# a comment, no heading
```

Its end.

## A section

Prose again.
"""


def test_each_clause_has_its_properties_and_each_property_its_clause() -> None:
    assert {prop.clause for prop in properties()} == set(book())
    assert len({prop.function for prop in properties()}) == len(properties())  # one whose process died is found by it
    tests = [test for file in conformance_folder().glob("test_*.py") for test in FUNCTION.findall(file.read_text())]
    assert len(tests) == len(properties())


def test_a_property_is_read_with_its_decorators() -> None:
    (found,) = [prop for prop in properties() if prop.function == "test_loss_is_the_mean_of_the_squared_residuals"]

    assert (found.clause, found.file.name) == ("loss.mean-square", "test_loss.py")
    assert found.source.startswith('@clause("loss.mean-square"')
    assert "\ndef test_loss_is_the_mean_of_the_squared_residuals(" in found.source


def test_a_property_names_the_operations_that_it_may_call() -> None:
    """Those of its parameters, and of each impostor of an operation that breaks its clause."""
    of_clause: dict[str, set[str]] = {}
    for prop in properties():
        assert prop.operations, prop.function
        of_clause.setdefault(prop.clause, set()).update(prop.operations)
        function = suite_of(prop.file, Settings("dev", 1, 0))[prop.function]
        named = {
            value for arguments in parametrized(function) for value in arguments.values() if isinstance(value, str)
        }
        assert named & OPERATIONS.keys() <= prop.operations, prop.function
    for one in catalog():
        assert all(one.operation in of_clause[name] for name in one.breaks), one.name


def test_an_operation_of_a_helper_in_the_file_counts_and_an_exact_one_does_not() -> None:
    found = {prop.function: prop.operations for prop in properties()}

    assert found["test_every_row_is_in_one_part"] == {"split", "split_data"}
    assert found["test_loss_is_the_mean_of_the_squared_residuals"] == {"loss_fn"}
    assert "loss_fn" not in found["test_absolute_loss_is_the_mean_of_the_absolute_residuals"]


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
    "target and heading differ": ('"loss.first"', '"loss.frist"', "the anchor is loss.frist but the heading says"),
    "no heading": ("### 3.1 The first · `loss.first` · MUST\n", "", "is not a clause's heading"),
    "a heading of another kind": ("### 3.1 The", "#### 3.1 The", "is not a clause's heading"),
    "no anchor": ('<a id="loss.first"></a>\n', "", "a clause without its anchor"),
    "a blank line between": ('"loss.first"></a>\n', '"loss.first"></a>\n\n', "is not a clause's heading"),
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


def test_a_name_is_taken_once_and_no_chapter_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for chapter in CHAPTERS:
        (tmp_path / f"{chapter}.md").write_text("", encoding="utf-8")
    (tmp_path / "loss.md").write_text(CHAPTER.replace("loss.second", "loss.first"), encoding="utf-8")
    monkeypatch.setattr(clauses, "book_folder", lambda: tmp_path)

    with pytest.raises(BookError, match=r"loss\.md: the name loss\.first is taken by clause 3\.1"):
        clauses._book.__wrapped__("")

    (tmp_path / "data.md").unlink()
    with pytest.raises(OSError, match=r"data\.md"):
        clauses._book.__wrapped__("")


def test_a_known_name_is_found_and_an_unknown_name_is_an_error_at_once_and_names_the_nearest() -> None:
    assert require("loss.mean-square").number == "3.1"
    with pytest.raises(LookupError, match=r"there is no clause 'loss\.mean-sqare'; nearest: loss\.mean-square"):
        clause("loss.mean-sqare")


def test_the_book_shows_impostors_beside_the_clauses_that_they_break(tmp_path: Path) -> None:
    """`python -m calibrant.impostors spec` writes them."""
    pages = [f"{page}.md" for page in (*CHAPTERS, "trace", "glossary")]
    for page in pages:
        shutil.copy(book_folder() / page, tmp_path)

    bring_up_to_date(tmp_path)

    for page in pages:
        assert (tmp_path / page).read_bytes() == (book_folder() / page).read_bytes()


def test_the_trace_leads_from_everything_to_a_clause_and_back() -> None:
    """Each clause, property, impostor and statement of the source is in it, and each impostor once."""
    text = (book_folder() / "trace.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[\d.]+\]\(\S+\) `(\S+)` (\S+) \| (.+?) \| (.+?) \| (.+?) \|$", text, re.MULTILINE)
    shown = [
        (operation, name)
        for row in rows
        for operation, names in re.findall(r"`(\w+)` as ((?:`[^`]+`(?:, )?)+)", row[3])
        for name in re.findall(r"`([^`]+)`", names)
    ]

    assert [(name, level) for name, level, *_ in rows] == [(one.name, one.level) for one in book().values()]
    assert {(row[0], test) for row in rows for test in re.findall(r"`(\w+)`", row[2])} == {
        (one.clause, one.function) for one in properties()
    }
    assert sorted(shown) == sorted((one.operation, one.name) for one in catalog())
    assert {int(number) for number in re.findall(r"\[(\d+)\]\(claims\.md", text)} == {
        number for number, *_ in statements()
    }


def test_the_glossary_is_in_order_and_says_each_word_once() -> None:
    words = re.findall(
        r"^- \*\*(.+?)\*\*: \S", (book_folder() / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )

    assert len(words) > 50
    assert words == sorted({*words}, key=str.lower)

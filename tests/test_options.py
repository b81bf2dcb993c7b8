"""Options of a check: names with commas and patterns, and what is said of unknown ones."""

from __future__ import annotations

import pytest

from calibrant.book.clauses import CHAPTERS, book
from calibrant.checks.options import Options, expanded
from calibrant.protocol.errors import CheckError


@pytest.mark.parametrize(
    ("names", "stands_for"),
    [
        (["loss.zero"], ["loss.zero"]),
        (["model.linear, loss.zero"], ["model.linear", "loss.zero"]),
        (["loss.zero", "loss.zero,model.linear"], ["model.linear", "loss.zero"]),
        (["split.[is]*"], [name for name in book() if name.startswith(("split.i", "split.s"))]),
        (["*"], [*book()]),
        ([], []),
    ],
)
def test_words_stand_for_names_in_the_books_order(names: list[str], stands_for: list[str]) -> None:
    assert expanded(names, book(), "clause") == tuple(stands_for)


def test_options_select_the_clauses_of_chapters_and_of_patterns() -> None:
    options = Options(chapters=("model,data",), clauses=("loss.s*",)).validated()

    chosen = [name for name in book() if options.selects(name)]
    assert {book()[name].chapter for name in chosen} == {"data", "model", "loss"}
    assert [name for name in chosen if name.startswith("loss")] == [n for n in book() if n.startswith("loss.s")]
    assert options.clauses == ("loss.s*",)


@pytest.mark.parametrize(
    ("word", "kind", "said"),
    [
        ("loss.men-square", "clause", "there is no clause 'loss.men-square'; nearest: loss.mean-square, "),
        ("xyzxyz", "clause", f", ...: `calibrant check --list` lists all {len(book())}"),
        ("xyzxyz", "chapter", f"there is no chapter 'xyzxyz'; known: {', '.join(CHAPTERS)}"),
        ("nothing.*", "clause", "there is no clause 'nothing.*'"),
        ("loss.zero,", "clause", "there is no clause ''"),
    ],
)
def test_an_unknown_word_names_the_nearest_or_a_few(word: str, kind: str, said: str) -> None:
    with pytest.raises(CheckError) as refused:
        expanded([word], book() if kind == "clause" else CHAPTERS, kind)

    assert said in str(refused.value)
    assert len(str(refused.value)) < 160

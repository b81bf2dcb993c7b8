"""Pages that are generated: the trace (clauses, properties, impostors, statements of the source), and the index of the glossary."""

import itertools
import re

from calibrant.book.clauses import CHAPTERS, book, book_folder, properties
from calibrant.impostors import breaking

_ROW = re.compile(r"^## (?P<section>.+)$|^\| (?P<number>\d+) \| (?P<said>.+) \| (?P<became>.+) \|$", re.MULTILINE)

_COMMON = 12
"""A word that more clauses speak of is looked for in their statements alone."""


def statements() -> list[tuple[int, str, str, str]]:
    """Each statement of the source: its number, what it says, what became of it, and the section of the page on claims."""
    found, section = [], ""
    for row in _ROW.finditer((book_folder() / "claims.md").read_text(encoding="utf-8")):
        if row["section"]:
            section = re.sub(r"[^\w -]", "", row["section"].lower()).replace(" ", "-")
        else:
            found.append((int(row["number"]), row["said"], row["became"], section))
    return found


def trace() -> str:
    """The page of the book, generated."""
    lines = [
        "# The trace",
        "",
        "Each clause, the properties that hold a target to it, the impostors that it shows best, and the numbers of the statements of the",
        "[source](claims.md) that it became of. A clause without such a number is the book's own. Many impostors break several clauses:",
        "`calibrant impostors` lists them all. `python -m calibrant.impostors spec` writes this page.",
    ]
    said = statements()
    for chapter in CHAPTERS:
        title = (book_folder() / f"{chapter}.md").read_text(encoding="utf-8").splitlines()[0]
        lines += ["", f"#{title}", "", "| clause | properties | impostors | statements |", "| --- | --- | --- | --- |"]
        for clause in (one for one in book().values() if one.chapter == chapter):
            checked = ", ".join(f"`{one.function}`" for one in properties() if one.clause == clause.name)
            ours = [one for one in breaking(clause.name) if one.main == clause.name]
            more = len(breaking(clause.name)) - len(ours)
            shown = [
                f"`{operation}` as {', '.join(f'`{one.name}`' for one in some)}"
                for operation, some in itertools.groupby(ours, key=lambda one: one.operation)
            ] + [f"{more} that other clauses show best"] * bool(more)
            sources = ", ".join(
                f"[{n}](claims.md#{place})" for n, _, became, place in said if f"`{clause.name}`" in became
            )
            link = f"[{clause.number}]({chapter}.md#{clause.name}) `{clause.name}` {clause.level}"
            lines.append(f"| {link} | {checked} | {'; '.join(shown)} | {sources or '-'} |")
    lines += [
        "",
        "## Statements that became no clause",
        "",
        "| # | the source says | what became of it |",
        "| --- | --- | --- |",
    ]
    for number, text, became, place in said:
        if not {*re.findall(r"`([\w.-]+)`", became)} & book().keys():
            lines.append(f"| [{number}](claims.md#{place}) | {text} | {became} |")
    return "\n".join(lines) + "\n"


def with_index(glossary: str) -> str:
    """The glossary with its index: for each word the clauses that speak of it; of a common word, those that are about it."""
    words = glossary.split("\n## Index")[0].rstrip("\n") + "\n"
    lines = [words, "## Index", ""]
    for term in re.findall(r"^- \*\*(.+?)\*\*:", words, re.MULTILINE):
        spoken = re.compile(rf"\b{re.escape(term)}(?:s|es)?\b", re.IGNORECASE)
        places = [one for one in book().values() if spoken.search(f"{one.title} {_prose(one.text)}")]
        if len(places) > _COMMON:
            places = [one for one in places if spoken.search(f"{one.title} {_prose(one.sentence)}")]
        if places:
            lines.append(f"- {term}: {', '.join(f'[{one.number}]({one.chapter}.md#{one.name})' for one in places)}")
    return "\n".join(lines) + "\n"


def _prose(text: str) -> str:
    """A clause's text without its code, its impostors and its names."""
    return " ".join(
        re.sub(r"^```.*?^```$|`[^`]*`|\]\([^)]*\)|^\*Impostors:.*", " ", text, flags=re.MULTILINE | re.DOTALL).split()
    )

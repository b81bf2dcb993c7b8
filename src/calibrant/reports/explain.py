"""What the book and the protocol say of a name: a clause, a chapter, an operation, an optimizer, an impostor."""

from __future__ import annotations

import functools
import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence

from calibrant.book.clauses import CHAPTERS, book, book_folder, properties, unlinked
from calibrant.exact import LAZY, LBFGS
from calibrant.exact.optimizers import DEFAULTS
from calibrant.impostors import Impostor, breaking, catalog
from calibrant.protocol.declarations import CONVENTIONS
from calibrant.protocol.errors import UnknownName, nearest
from calibrant.protocol.operations import OPERATIONS
from calibrant.reports.mathematics import readable

_FENCE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| `(\w+)\([^)]*\)` \| (.*) \|$", re.MULTILINE)


def explained(name: str, width: int | None = None) -> Iterator[str]:
    """The lines about everything that has this name, the book's prose filled to a width. Raises UnknownName, with the nearest names, if nothing has."""
    of_impostors = dict.fromkeys(word for one in catalog() for word in (one.name, f"{one.operation}.{one.name}"))
    kinds: tuple[tuple[Collection[str], Callable[[str], Iterator[str]]], ...] = (
        (CHAPTERS, _chapter),
        (book(), functools.partial(_clause, width=width)),
        (OPERATIONS, _operation),
        (DEFAULTS, _optimizer),
        (of_impostors, _impostors),
    )
    pages = [page for names, page in kinds if name in names]
    if not pages:
        words = nearest(name, dict.fromkeys(word for names, _ in kinds for word in names))
        raise UnknownName(f"there is no clause, chapter, operation, optimizer or impostor {name!r}{words}")
    for k, page in enumerate(pages):
        yield from [""] * bool(k)
        yield from page(name)


def _chapter(name: str) -> Iterator[str]:
    yield f"{name}, chapter {[*CHAPTERS].index(name) + 1} of the book"
    for clause in book().values():
        if clause.chapter == name:
            yield f"{clause.number}  {clause.name}  {clause.level}"
            yield f"    {readable(clause.sentence)}"


def _clause(name: str, width: int | None) -> Iterator[str]:
    clause, text = book()[name], unicode(book()[name].text)
    yield f"{clause.number} {readable(clause.title)} · {clause.name} · {clause.level}"
    yield ""
    yield from (filled(text, width) if width else text).split("\n")
    yield ""
    for prop in properties():
        if prop.clause == name:
            yield f"Checked by {prop.function} in {prop.file.name}:"
            yield from ["", *prop.source.split("\n"), ""]
    if others := [f"{one.operation} as {one.name}" for one in breaking(name) if one.main != name]:
        yield f"Also broken by {', '.join(others)}."


def _operation(name: str) -> Iterator[str]:
    one = OPERATIONS[name]
    chapters = f"chapter{'s' * (len(one.chapters) > 1)} {_listed(one.chapters)}"
    yield f"{name}({', '.join(one.parameters)}), an operation of the {chapters}"
    yield ""
    yield f"Returns {unmarked(returns()[name])}."
    yield ""
    yield from unmarked(legend()).split("\n")
    if served := hyperparameters("optimize" if name == "training_loop" else name):
        yield ""
        yield "Optimizers, with their hyperparameters and defaults:"
        width = max(map(len, served))
        yield from (f"  {optimizer:{width}}  {unmarked(row)}" for optimizer, row in served.items())
    yield ""
    yield from unmarked(absent()).split("\n")
    yield ""
    concerned = [one for one in catalog() if one.operation == name]
    clauses = f"`calibrant explain {one.chapters[0]}` lists its clauses"
    yield f"{clauses}, `calibrant impostors {name}` the {len(concerned)} known wrong answers and variants."


def _optimizer(name: str) -> Iterator[str]:
    yield f"{name}, an optimizer of optimize and training_loop"
    yield ""
    yield f"Hyperparameters and defaults: {unmarked(hyperparameters('optimize')[name])}."
    for convention, values in CONVENTIONS.items():
        if convention.startswith(f"{name}."):
            yield f"The convention {convention} may be {_listed(values, 'or')}; the first is the book's."
    yield ""
    for clause in book().values():
        if clause.name == f"optimizer.{name}" or clause.name.startswith(f"optimizer.{name}."):
            yield f"{clause.number}  {clause.name}  {clause.level}"
            yield f"    {readable(clause.sentence)}"


def _impostors(name: str) -> Iterator[str]:
    for one in catalog():
        if name in (one.name, f"{one.operation}.{one.name}"):
            yield from impostor(one)


def impostor(one: Impostor) -> Iterator[str]:
    """The lines about one impostor."""
    yield f"{one.operation} as {one.name}  {one.kind}"
    yield f"    {one.sentence[0].upper()}{one.sentence[1:]}."
    yield f"    breaks {', '.join(one.breaks)}"
    yield from (f"    seen in {link}" for link in one.links)


def returns() -> dict[str, str]:
    """What each operation returns, as the table of the page on targets says it."""
    return {name: said for name, said in _ROW.findall(_page()) if name in OPERATIONS}


def legend() -> str:
    """What the arguments of all operations mean, as the page on targets says it."""
    return _paragraph(r"^\$n\$ is ")


def absent() -> str:
    """How a target says that it does not have something, or that something does not exist, as the page on targets says it."""
    return _paragraph("^- Leave out an operation ")


def _paragraph(beginning: str) -> str:
    (found,) = re.findall(rf"{beginning}.*?(?=\n\n)", _page(), re.MULTILINE | re.DOTALL)
    return str(found)


_UNDEFINED = ("t0", "decoupled_weight_decay")
"""The hyperparameters of torch.optim that the book does not define."""


def hyperparameters(operation: str) -> dict[str, str]:
    """The hyperparameters of each optimizer of an operation with their defaults, as the page on targets shows them."""
    return {
        name: ", ".join(f"`{key}` {value}" for key, value in row.items() if key not in _UNDEFINED)
        for name, row in {"optimize": DEFAULTS, "optimize_rows": LAZY, "lbfgs": {"lbfgs": LBFGS}}.get(
            operation, {}
        ).items()
    }


@functools.cache
def _page() -> str:
    return (book_folder() / "targets.md").read_text(encoding="utf-8")


def _listed(words: Sequence[str], last: str = "and") -> str:
    *before, end = words
    return f"{', '.join(before)} {last} {end}" if before else end


def unmarked(text: str) -> str:
    """A text of the book in its lines, with mathematics in Unicode and without its marks of code."""
    return unicode(text).replace("`", "")


def unicode(text: str) -> str:
    """A text of the book in its lines, with mathematics in Unicode; code stays as it is."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _mathematics(part) for part in parts)


def filled(text: str, width: int) -> str:
    """A text of the book with its paragraphs and items in lines of at most `width`; code, tables and formulas on lines of their own stay."""
    parts = _FENCE.split(text)
    return "".join(
        part if part.startswith("```") else "\n\n".join(_filled(block, width) for block in part.split("\n\n"))
        for part in parts
    )


def _filled(block: str, width: int) -> str:
    said = block.strip("\n")
    if not said or said.startswith(("|", "    ")):
        return block
    quoted = "> " * said.startswith("> ")
    items = re.split(r"\n(?=- |\d+\. )", said.replace("\n> ", "\n").removeprefix("> "))
    lines = [
        line
        for item in items
        for line in textwrap.wrap(
            " ".join(item.split()),
            width,
            initial_indent=quoted,
            subsequent_indent=quoted or "  " * (len(items) > 1 or item.startswith("- ")),
            break_long_words=False,
            break_on_hyphens=False,
        )
    ]
    return block.replace(said, "\n".join(lines))


def _mathematics(prose: str) -> str:
    def formula(match: re.Match[str]) -> str:
        indent = "    " if match[0].startswith("$$") else ""
        return indent + readable(f"${' '.join((match[1] or match[2]).split())}$")

    prose = re.sub(r"\$\$([^$]+)\$\$|\$([^$]+)\$", formula, prose)
    return unlinked(re.sub(r"^</?(?:a|details|summary)\b.*\n", _heading, prose, flags=re.MULTILINE))


def _heading(line: re.Match[str]) -> str:
    """What a line of HTML says: the summary of what a page folds."""
    said = re.sub(r"<[^>]+>", "", line[0]).strip()
    return f"{said}:\n" if said else ""

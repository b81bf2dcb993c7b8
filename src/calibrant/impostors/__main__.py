"""`python -m calibrant.impostors FOLDER` writes into the chapters there, beside each clause, the impostors that it shows best.

It also writes the trace of clauses, properties, impostors and statements of the source, and the index of the glossary.
"""

import re
import sys
import textwrap
from pathlib import Path

from calibrant.book.clauses import CHAPTERS
from calibrant.impostors import breaking
from calibrant.impostors.tracing import trace, with_index

_CLAUSE = re.compile(r'^<a id="(?P<name>[a-z0-9.-]+)"></a>\n.*?(?=^<a id=|^#{1,2} |\Z)', re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^\*Impostors:\*\n\n(?:(?:- |  ).*\n)+", re.MULTILINE)


def with_impostors(text: str) -> str:
    """A chapter with the lists of impostors as they are due."""
    # Lines in code fences are no headings: they are hidden while the clauses are found.
    hidden = _FENCED.sub(lambda fence: re.sub(r"[#<]", "\0", fence.group()), text)
    parts, end = [], 0
    for clause in _CLAUSE.finditer(hidden):
        parts += [text[end : clause.start()], _shown(clause["name"], text[clause.start() : clause.end()])]
        end = clause.end()
    return ("".join(parts) + text[end:]).rstrip("\n") + "\n"


def _shown(name: str, body: str) -> str:
    body = _SHOWN.sub("", body).rstrip("\n")
    main = [one for one in breaking(name) if one.main == name]
    if main:
        body += "\n\n*Impostors:*\n"
    for one in main:
        item = f"`{one.operation}` as `{one.name}`: {one.sentence}."
        body += "\n" + textwrap.fill(item, 120, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
    return body + "\n\n"


def main(folder: Path) -> None:
    """Bring the chapters of a folder, and the pages that are generated, up to date."""
    for chapter in CHAPTERS:
        file = folder / f"{chapter}.md"
        text = file.read_text(encoding="utf-8")
        file.write_text(with_impostors(text), encoding="utf-8")
    (folder / "trace.md").write_text(trace(), encoding="utf-8")
    glossary = folder / "glossary.md"
    glossary.write_text(with_index(glossary.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

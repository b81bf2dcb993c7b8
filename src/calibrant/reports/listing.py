"""The clauses that a check would hold a target to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from calibrant.book.clauses import book, properties

if TYPE_CHECKING:
    from calibrant.checks.options import Options


def lines(options: Options) -> Iterator[str]:
    """A line for each clause that the options ask for: number, name, level and the number of its properties; then a sum."""
    count = Counter(prop.clause for prop in properties() if options.selects(prop.clause))
    longest = max(map(len, count), default=0)
    for name, clause in book().items():
        if options.selects(name):
            several = "property" if count[name] == 1 else "properties"
            yield f"{clause.number:5} {name:{longest}}  {clause.level:6}  {count[name]} {several}"
    chapters = Counter(clause.chapter for name, clause in book().items() if name in count)
    yield f"{len(count)} clauses with {count.total()} properties: {', '.join(f'{n} in {name}' for name, n in chapters.items())}."

"""How pytest runs the book, and in which order the tests: a fenced example of spec/*.md is a test, named after the clause or section that it stands in.

An example runs in a namespace of its own, after the first example of its document, which holds the imports. So any of
them can be chosen by its name, in any order, on any worker: `pytest "spec/loss.md::loss.same-shape-1"`.

Without Sybil or torch the book is not collected: whoever checks an implementation of their own may have neither.
"""

from __future__ import annotations

import doctest
import functools
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from sybil import Document, Example

SPEC = Path(__file__).parent / "spec"
_PLACE = re.compile(r"^<a id=\"(?P<clause>[a-z0-9.-]+)\"></a>$|^(?P<marks>#{1,2}) (?P<heading>.+)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait longest: at the end the other workers would wait for them."""
    items.sort(key=lambda item: item.path.name != "test_isolation.py")


def place(document: str, position: int) -> str:
    """The name of the clause that `position` lies in; outside clauses, the slug of its section."""
    prose = _FENCE.sub(lambda fence: " " * len(fence.group()), document)
    name = "start"
    for mark in _PLACE.finditer(prose, 0, position):
        name = mark["clause"] or re.sub(r"[^a-z0-9]+", "-", re.sub(r"^[\d.]+ ", "", mark["heading"].lower())).strip("-")
    return name


def run(source: str, namespace: dict[str, object], name: str, path: str, line: int) -> str:
    """What went wrong in the lines of `source`, run as a doctest in `namespace`; nothing if all is as printed."""
    complaints: list[str] = []
    test = doctest.DocTestParser().get_doctest(source, {}, name, path, line)
    if not test.examples:
        return f"{name} has no line that begins with >>>: an example that runs nothing proves nothing"
    test.globs = namespace  # get_doctest copies what it is given
    doctest.DocTestRunner(verbose=False).run(test, out=complaints.append, clear_globs=False)
    return "".join(complaints)


if find_spec("sybil") is not None and find_spec("torch") is not None:
    from sybil import Sybil
    from sybil.parsers.markdown import CodeBlockParser

    @functools.cache
    def names(document: Document) -> dict[int, str]:
        """The name of each example of a document, by where it starts: `loss.same-shape-2` for the second example of that clause."""
        found, counts = dict[int, str](), Counter[str]()
        for _, region in document.regions:
            here = place(document.text, region.start)
            counts[here] += 1
            found[region.start] = f"{here}-{counts[here]}"
        return found

    class Chapter(Sybil):
        """Names an example by its place in the book, which does not change when a line is added above it."""

        def identify(self, example: Example) -> str:
            """Return the name of an example, from `names`."""
            return names(example.document)[example.start]

    def evaluate(example: Example) -> str:
        """Run the document's first example, then this one, in a namespace of their own."""
        first = example.document.regions[0][1]
        namespace: dict[str, object] = {"__name__": "__main__"}
        name = chapter.identify(example)
        if first.start != example.start:
            failure = run(str(first.parsed), namespace, "the first example", example.path, 0)
            if failure:
                return failure
        return run(str(example.parsed), namespace, name, example.path, example.line)

    chapter = Chapter([CodeBlockParser("python", evaluate)], path=str(SPEC), pattern="*.md")
    pytest_collect_file = chapter.pytest()

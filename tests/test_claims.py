"""The table of the source's claims stays true: what each became exists, and no erratum is without a claim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from calibrant.book.clauses import book

SPEC = Path(__file__).parent.parent / "spec"
ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
CLAIMS = [(int(number), said, became) for number, said, became in ROW.findall((SPEC / "claims.md").read_text("utf-8"))]


def slugs(document: str) -> set[str]:
    """The anchors of a document's sections, as GitHub and MyST make them."""
    headings = re.findall(r"^## (.+)$", (SPEC / document).read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def examples(document: str) -> set[str]:
    """The names under which the examples of a document run, which conftest.py gives them."""
    from sybil.document import Document
    from sybil.parsers.markdown import CodeBlockParser

    import conftest

    text = (SPEC / document).read_text("utf-8")
    counted: dict[str, int] = {}
    for region in CodeBlockParser("python", lambda example: "")(Document(text, document)):
        here = conftest.place(text, region.start)
        counted[here] = counted.get(here, 0) + 1
    return {f"{name}-{k}" for name, count in counted.items() for k in range(1, count + 1)}


def test_the_claims_are_numbered_in_order() -> None:
    assert [number for number, _, _ in CLAIMS] == list(range(1, len(CLAIMS) + 1))
    assert len(CLAIMS) > 100


@pytest.mark.parametrize(("number", "said", "became"), CLAIMS, ids=[str(number) for number, _, _ in CLAIMS])
def test_every_claim_became_something_that_exists(number: int, said: str, became: str) -> None:
    """Clauses by name, examples by the name under which they run, errata by their section."""
    names = re.findall(r"`([\w.:-]+)`", became)
    clauses = {name for name in names if "::" not in name}
    links = re.findall(r"\]\((\w+\.md)#([\w-]+)\)", became)

    assert names or links, f"nothing became of: {said}"
    assert clauses <= set(book())
    for document, example in (name.split("::") for name in names if "::" in name):
        assert example in examples(document), (document, example)
    for document, anchor in links:
        assert anchor in slugs(document), (document, anchor)


def test_every_erratum_answers_a_claim() -> None:
    answered = {anchor for _, _, became in CLAIMS for anchor in re.findall(r"errata\.md#([\w-]+)", became)}

    assert slugs("errata.md") == answered

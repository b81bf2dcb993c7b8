"""The documents describe the code: names exist, tables agree, and sessions print what they show."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from support import calibrant

from calibrant.book.clauses import CHAPTERS, book
from calibrant.exact import FORMATS
from calibrant.protocol.declarations import DTYPES, GENERAL
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.straight_line import BINARY, METHODS

pytestmark = pytest.mark.untraced

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "spec").glob("*.md"))]


def read(name: str) -> str:
    """A document, by its path."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_targets_page_lists_the_operations_the_attributes_and_the_dtypes() -> None:
    text = read("spec/targets.md")
    operations = text.split("## Operations")[1].split("## ")[0]
    attributes = text.split("## What a target says of itself")[1]
    rows = re.findall(r"^\| `(\w+)\(([^)]*)\)` \| (.*) \|$", operations, re.MULTILINE)

    assert [(name, tuple(filter(None, arguments.split(", ")))) for name, arguments, _ in rows] == [
        (one.name, one.parameters) for one in OPERATIONS.values()
    ]
    for (_, _, returned), one in zip(rows, OPERATIONS.values(), strict=True):
        assert not one.parts or f"`({', '.join(one.parts)})`" in returned
    (said,) = re.findall(r"^\| `operations` \| .*; (.*) take functions", text, re.MULTILINE)
    assert re.findall(r"`(\w+)`", said) == [one.name for one in OPERATIONS.values() if one.takes_functions]
    for attribute in (
        *("name", "version", "dtypes", "asarray", "to_numpy", "elementary", "conventions", "deviations", "slack"),
    ):
        assert re.search(rf"^\|.*`{attribute}[`(]", attributes, re.MULTILINE), attribute
    assert all(f"`{dtype}`" in attributes for dtype in DTYPES)
    assert tuple(FORMATS) == DTYPES


@pytest.mark.parametrize(("language", "program"), [("javascript", "adapter.js"), ("c", "adapter.c")])
def test_the_interpreters_in_the_book_are_those_of_programs_that_conform(language: str, program: str) -> None:
    (shown,) = re.findall(rf"^```{language}\n(.*?)^```$", read("spec/targets.md"), re.MULTILINE | re.DOTALL)

    assert len(shown) > 1000
    assert shown in read(f"tests/programs/{program}")


@pytest.mark.parametrize(("language", "program"), [("javascript", "vectors.js"), ("c", "vectors.c")])
def test_the_comparisons_beside_vectors_are_those_of_consumers_that_are_tested(language: str, program: str) -> None:
    text = read("src/calibrant/vectors/released/README.md")
    (shown,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    assert len(shown) > 300
    assert shown in read(f"tests/programs/{program}")


def test_targets_page_lists_the_instructions_of_functions() -> None:
    text = read("spec/targets.md").split("### Functions as data")[1].split("## ")[0]
    rows = "".join(re.findall(r"^\| `.*?\|", text, re.MULTILINE))

    named = {first or second for first, second in re.findall(r'`(?:\["([^"]+)".*?|([-*/]+))`', rows)}
    assert named == {"constant", "index", *BINARY, *METHODS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_names_in_a_document_are_names_of_files_and_clauses(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for link, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", prose):
        if "://" not in link:
            file = document.parent / link if link else document
            assert file.exists(), link
            assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), (link, anchor)
    heads = {head for heads in CHAPTERS.values() for head in heads}
    named = {name for name in re.findall(r"`([a-z]+\.[a-z-]+)`", text) if name.split(".")[0] in heads}
    assert named - set(book()) - set(GENERAL) - {"loss.md", "model.md", "data.md", "descent.md"} == set()
    assert document.name != "CHANGELOG.md" or f"{len(book())} clauses" in text
    assert not re.search(r"(?<![\w.])/(?:home|root|tmp|work)/", text), "a file of the machine that it was written on"


def test_a_link_to_a_clause_has_the_number_of_that_clause() -> None:
    links = [
        (document.name, number, name)
        for document in DOCUMENTS
        for number, name in re.findall(r"\[(\d+\.\d+)\]\([\w./-]*#([\w.-]+)\)", document.read_text(encoding="utf-8"))
    ]

    assert len(links) > 500
    assert [one for one in links if one[1] != book()[one[2]].number] == []


def test_modules_of_a_chapter_stand_under_one_name() -> None:
    """The name of a chapter finds its text, its reference and its properties."""
    for chapter in CHAPTERS:
        for file in ("spec/{}.md", "src/calibrant/mechanics/{}.py", "tests/conformance/test_{}.py"):
            assert (ROOT / file.format(chapter)).is_file()


# The table of the source's claims


ROW = re.compile(r"^\| (\d+) \| (.+?) \| (.+) \|$", re.MULTILINE)
CLAIMS = [(int(number), said, became) for number, said, became in ROW.findall(read("spec/claims.md"))]


def slugs(text: str, marks: str = "##") -> set[str]:
    """The anchors of a document's headings with these marks, as GitHub and MyST make them."""
    headings = re.findall(rf"^(?:{marks}) (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def anchors(text: str) -> set[str]:
    """What a link into a document may end with: a clause, or a heading."""
    return {*re.findall(r'^<a id="(.+)"></a>$', text, re.MULTILINE), *slugs(text, "#+")}


def examples(document: str) -> set[str]:
    """The names that conftest.py gives to the examples of a document."""
    from sybil.document import Document
    from sybil.parsers.markdown import CodeBlockParser

    import conftest

    text = read(f"spec/{document}")
    regions = CodeBlockParser("python", lambda example: "")(Document(text, document))
    counted = Counter(conftest.place(text, region.start) for region in regions)
    return {f"{name}-{k}" for name, count in counted.items() for k in range(1, count + 1)}


def test_the_claims_are_numbered_in_order_and_every_erratum_answers_one() -> None:
    answered = {anchor for _, _, became in CLAIMS for anchor in re.findall(r"errata\.md#([\w-]+)", became)}

    assert [number for number, _, _ in CLAIMS] == list(range(1, len(CLAIMS) + 1))
    assert len(CLAIMS) > 100
    assert slugs(read("spec/errata.md")) - {"what-to-remember", "exercises"} == answered


@pytest.mark.parametrize(("number", "said", "became"), CLAIMS, ids=[str(number) for number, _, _ in CLAIMS])
def test_every_claim_became_something_that_exists(number: int, said: str, became: str) -> None:
    """Clauses and examples by name, errata by section."""
    names = re.findall(r"`([\w.:-]+)`", became)
    links = re.findall(r"\]\((\w+\.md)#([\w-]+)\)", became)

    assert names or links, f"nothing became of: {said}"
    assert {name for name in names if "::" not in name} <= set(book())
    for document, example in (name.split("::") for name in names if "::" in name):
        assert example in examples(document), (document, example)
    for document, anchor in links:
        assert anchor in slugs(read(f"spec/{document}")), (document, anchor)


# Sessions


PAGE = read("spec/checking.md")
FILES = {
    name: text
    for text, name in re.findall(r"^```(?:py|js)\n((?:#|//) (\S+)\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
} | {"summing.py": "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).sum()\n"}
SESSIONS = [
    (command, shown)
    for text in (read("README.md"), PAGE)
    for command, shown in re.findall(r"(?ms)^```(?:console)?\n\$ calibrant (.*?)\n(.*?)^```$", text)
]


def shows(printed: str, output: str) -> bool:
    """Whether the output begins with the printed lines, where dots replace any text."""
    printed, output = (re.sub(r" +$", "", text, flags=re.MULTILINE) for text in (printed, output))
    parts = [re.escape(part.rstrip()) for part in re.split(r"\.\.\.(?=\n|$)", printed)]
    return re.match(".*?".join(parts), output, re.DOTALL) is not None


@pytest.mark.parametrize("command, printed", SESSIONS, ids=[command for command, _ in SESSIONS])
def test_a_session_shows_what_is_printed(command: str, printed: str, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    process = calibrant(*shlex.split(command), cwd=tmp_path, COLUMNS="300")

    assert shows(printed, process.stdout), process.stdout + process.stderr


def test_a_failure_of_the_other_program_is_repeated_by_its_command_line(tmp_path: Path) -> None:
    wrong = FILES["mine.js"].replace("sum + square / squares.length", "sum + square")
    (tmp_path / "mine.js").write_text(wrong, encoding="utf-8")

    command = 'check --program "node mine.js" --clause loss.mean-square --profile ci'
    process = calibrant(*shlex.split(command), cwd=tmp_path)
    shown = re.search(r"To see it:\n((?: {4}.*\n)+)", process.stdout)
    assert shown, process.stdout
    repeated = subprocess.run(["sh", "-c", shown[1]], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert "loss_fn behaves as `sum-instead-of-mean`" in process.stdout
    assert '"data":[1]' in repeated.stdout


def test_there_are_sessions_in_which_dots_replace_any_text_and_nothing_else_does() -> None:
    assert {*FILES} == {"mine.py", "mended.py", "mine.js", "summing.py"}
    assert len(SESSIONS) == 6
    assert shows("a\n...\nc\n", "a\nb\nc\n")
    assert shows("a ...\nc", "a b\nc")
    assert not shows("a\nc\n", "a\nb\nc\n")
    assert not shows("b\n", "a\nb\n")


# The works that are cited


WORKS = re.findall(r"^- \*\*(.+?)\.\*\* (.*)$", read("spec/bibliography.md"), re.MULTILINE)
CITATION = re.compile(
    r"(?P<who>[A-Z][\w-]+(?:(?:, [A-Z][\w-]+)*,? (?:and|&) [A-Z][\w-]+| et al\.)?),? \(?(?P<year>(?:16|18|19|20)\d\d)\b(?![\d,.]*\d)"
)
NO_AUTHORS = {"Epoch", "From", "In", "Manning", "Near", "November", "Profile", "The"}


def cited(text: str) -> set[str]:
    """The works that a text cites, as the bibliography names them."""
    found = CITATION.finditer(" ".join(text.split()))
    return {f"{one['who'].replace(' &', ' and')} ({one['year']})" for one in found if one["who"] not in NO_AUTHORS}


def test_the_bibliography_is_in_order_and_its_dois_are_dois() -> None:
    names = [name for name, _ in WORKS]
    dois = [doi for _, said in WORKS for doi in re.findall(r"\[doi:(.*?)\]\(https://doi\.org/(.*?)\)\.", said)]

    assert names == sorted(names, key=lambda name: re.sub(r"[^a-z0-9 ]", "", name.lower()))
    assert len(dois) > 40
    assert all(re.fullmatch(r"10\.\d{4,5}/\S+", doi) for doi, _ in dois)
    assert all(link == doi.replace("(", "%28").replace(")", "%29") for doi, link in dois)
    assert len({*dois}) == len(dois)


def test_every_work_that_is_cited_is_in_the_bibliography() -> None:
    sources = [*(ROOT / "spec").glob("*.md"), *(ROOT / "src/calibrant").rglob("*.py")]
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in sources
        if file.name not in ("others.md", "bibliography.md")
    }
    missing = {name: cited(text) - {name for name, _ in WORKS} for name, text in texts.items()}

    assert cited("as Kingma & Ba (2015) and Sutskever et al., 2013, in 2026") == {
        "Kingma and Ba (2015)",
        "Sutskever et al. (2013)",
    }
    assert sum(map(len, map(cited, texts.values()))) > 50
    assert {name: works for name, works in missing.items() if works} == {}

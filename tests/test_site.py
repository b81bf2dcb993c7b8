"""The site that `tox -e site` built: its links, what it says of clauses, its notebooks, and how it works in a browser."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from browsing import chromium, tabs

from calibrant.book.clauses import CHAPTERS, book, properties

if "CALIBRANT_SITE" not in os.environ:
    pytest.skip("the site is tested by `tox -e site`, which builds it", allow_module_level=True)

from calibrant.edition import mathematics, notebooks  # its libraries are where the site is built

SITE = Path(os.environ["CALIBRANT_SITE"])
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))


class Page(HTMLParser):
    """What a page has: ids, links, files that it loads, formulas, and the text of each clause's line of facts."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.formulas: list[str] = []
        self.facts: list[str] = []
        self.in_facts = False
        self.feed((SITE / name).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found["id"]} if "id" in found else set()
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("img", "script") and "src" in found:
            self.loaded.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon", "preload"):
            self.loaded.append(found["href"])
        if tag == "math":
            self.formulas.append(found["alttext"])
        if found.get("class") == "facts":
            self.in_facts = True
            self.facts.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "p":
            self.in_facts = False

    def handle_data(self, data: str) -> None:
        if self.in_facts:
            self.facts[-1] += data


@functools.cache
def parsed(name: str) -> Page:
    return Page(name)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_inside_the_site_leads_to_a_page_and_a_place_on_it(name: str) -> None:
    for link in parsed(name).links:
        parts = urlsplit(link)
        if not parts.scheme:
            target = (SITE / name).parent / unquote(parts.path) if parts.path else SITE / name
            assert target.resolve().is_file(), link
            if parts.fragment and target.suffix == ".html":
                other = target.resolve().relative_to(SITE.resolve()).as_posix()
                assert unquote(parts.fragment) in parsed(other).ids, link


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_from_the_network(name: str) -> None:
    assert parsed(name).loaded
    for link in parsed(name).loaded:
        assert not urlsplit(link).netloc, link
        assert ((SITE / name).parent / urlsplit(link).path).is_file(), link


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_clause_has_its_anchor_its_level_and_its_properties(chapter: str) -> None:
    page = parsed(f"{chapter}.html")
    clauses = [clause for clause in book().values() if clause.chapter == chapter]
    facts = [line for line in page.facts if " · " in line]

    assert {clause.name for clause in clauses} <= page.ids
    assert [line.split(" · ")[:2] for line in facts] == [[clause.level, clause.name] for clause in clauses]
    linked = {link.split("#")[1] for link in page.links if link.startswith("properties/")}
    assert linked == {one.function for one in properties() if book()[one.clause].chapter == chapter}


def test_each_statement_of_the_source_links_what_became_of_it() -> None:
    links = parsed("claims.html").links

    assert {"loss.html#loss.mean-square", "claims.html#the-first-loss", "errata.html#why-the-square"} <= {*links}
    assert len(links) > 200


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_each_chapter_is_a_notebook_that_has_run(chapter: str) -> None:
    import nbformat

    made = nbformat.read(SITE / "notebooks" / f"{chapter}.ipynb", as_version=4)
    code = [cell for cell in made.cells if cell.cell_type == "code"]

    nbformat.validate(made)
    assert len(code) > 5
    for cell in code:
        assert cell.execution_count
        failed = any(output.output_type == "error" for output in cell.outputs)
        assert failed == ("raises-exception" in cell.metadata.get("tags", ())), cell.source
    assert any(cell.outputs for cell in code)


CHAPTER = """# A chapter

```python
>>> x = 1
>>> y = x + 1
```

It changes here:

```python
>>> x = 5
>>> x
5
```

And ![a line](figures/fit.svg) is as it was, as [1.1](data.md#data.thermometer) says:

```python
>>> y, x
(2, 1)
>>> y / 0
Traceback (most recent call last):
ZeroDivisionError: division by zero
>>> import json
>>> json.loads("")
Traceback (most recent call last):
json.decoder.JSONDecodeError: Expecting value: line 1 ...
```
"""


def test_an_example_of_a_notebook_finds_what_the_first_one_set(tmp_path: Path) -> None:
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "fit.svg").write_text("<svg/>", encoding="utf-8")
    (tmp_path / "chapter.md").write_text(CHAPTER, encoding="utf-8")
    made = notebooks.notebook(tmp_path / "chapter.md")

    assert [cell.source for cell in made.cells if cell.cell_type == "code"] == [
        "x = 1\ny = x + 1",
        "x = 5\nx",
        "x = 1\ny, x",
        "y / 0",
        'import json\njson.loads("")',
    ]
    figure = made.cells[4]
    assert (
        figure.source == "And ![a line](attachment:fit.svg) is as it was, as [1.1](data.ipynb#data.thermometer) says:"
    )
    assert [*figure.attachments] == ["fit.svg"]


def test_a_notebook_that_shows_something_else_is_told(tmp_path: Path) -> None:
    wrong = CHAPTER.replace("(2, 1)", "(2, 2)").replace("![a line](figures/fit.svg)", "y")
    (tmp_path / "chapter.md").write_text(wrong, encoding="utf-8")

    (complaint,) = notebooks.write(tmp_path, tmp_path)

    assert complaint == "chapter.md: x = 1\ny, x\nshows\n(2, 1)\nwhere the book prints\n(2, 2)\n"


def test_a_formula_that_cannot_be_drawn_is_an_error() -> None:
    assert "<mfrac>" in mathematics.mathml(r"\frac{1}{n}")
    for tex in (r"\nonsense{x}", r"\begin{nonsense} a &= b \end{nonsense}"):
        with pytest.raises(ValueError, match="cannot be drawn"):
            mathematics.mathml(tex)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the site is served from."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    """A function that opens a page of the site."""
    with tabs(browser, address, "data:") as open_page:
        yield lambda path, width=1280, **settings: open_page(
            address + path, viewport={"width": width, "height": 800}, **settings
        )


def test_the_search_finds_a_clause(visit: Any) -> None:
    tab = visit("index.html")
    tab.get_by_placeholder("Search").first.fill("mean of the squares")
    tab.keyboard.press("Enter")
    found = tab.locator("#search-results li a", has_text="The mean of the squares").first
    found.wait_for()
    found.click()
    tab.wait_for_url("**/loss.html**")

    assert "#loss.mean-square" in tab.url


def test_a_link_to_a_clause_scrolls_to_its_heading(visit: Any) -> None:
    for width in (1280, 390):
        tab = visit("optimizers.html#optimizer.adam", width)
        place = "document.querySelector(\"[id='optimizer.adam'] > h3\").getBoundingClientRect().y"
        tab.wait_for_function(f"{place} > 0 && {place} < 250")

        assert tab.evaluate("window.scrollY") > 1000
        assert tab.locator("[id='optimizer.adam'] > .facts").is_visible()


def test_mathematics_is_drawn_in_its_own_font(visit: Any) -> None:
    """A fraction is twice as high as a letter, and every formula takes room."""
    tab = visit("loss.html")

    assert tab.evaluate("document.fonts.ready.then(() => document.fonts.check('16px \"STIX Two Math\"'))")
    sizes = tab.evaluate("[...document.querySelectorAll('math')].map(one => one.getBoundingClientRect().height)")
    assert len(sizes) > 20
    assert min(sizes) > 5
    fraction, letter = (tab.locator(tag).first.bounding_box()["height"] for tag in ("mfrac", "mi"))
    assert fraction > 1.5 * letter


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ("genindex.html", "search.html")])
def test_a_page_reads_at_the_width_of_a_phone(visit: Any, name: str) -> None:
    """Code, tables and formulas may scroll in their own boxes; the page does not."""
    tab = visit(name, 390)

    assert tab.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_nothing_is_said_by_colour_alone(visit: Any) -> None:
    """Levels are words in a frame, links in the text are underlined, and what is folded has its triangle."""
    tab = visit("loss.html", forced_colors="active")

    assert {*tab.locator(".level").all_inner_texts()} == {"MUST", "SHOULD"}
    style = "(selector, key) => getComputedStyle(document.querySelector(selector))[key]"
    assert tab.evaluate(f"({style})('.level', 'borderTopStyle')") == "solid"
    assert "underline" in tab.evaluate(f"({style})('article p:not(.facts) a.reference', 'textDecorationLine')")
    assert "underline" in tab.evaluate(f"({style})('.facts a', 'textDecorationLine')")
    assert tab.evaluate(f"({style})('details > summary', 'display')") == "list-item"


def test_impostors_are_folded_and_open(visit: Any) -> None:
    tab = visit("loss.html#loss.mean-square")
    folded = tab.locator("[id='loss.mean-square'] details.impostors")

    assert not folded.get_by_text("sum-instead-of-mean").is_visible()
    folded.locator("summary").click()
    assert folded.get_by_text("sum-instead-of-mean").is_visible()

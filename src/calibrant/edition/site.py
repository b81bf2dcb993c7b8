"""What Sphinx does with the book beyond what it does with any Markdown: anchors, facts about clauses, and the sources of both.

Its pages are those that the book's first page links, in that order.
"""

from __future__ import annotations

import functools
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.osutil import relative_uri

from calibrant.book.clauses import CHAPTERS, book, properties
from calibrant.edition import mathematics
from calibrant.vectors.files import released

_PAGE = re.compile(r"\]\(([\w-]+)\.md\)")
_OUTSIDE = re.compile(r"\[([^]]+)\]\(\.\./([^)]+)\)")
_EXAMPLE = re.compile(r"([\w-]+)\.md::([\w-]+)-\d+")
_ANCHOR = re.compile(r'<a id="([^"]+)"></a>')


class facts(nodes.General, nodes.Element):
    """The place of what is known of a clause: its level, its properties, its vectors."""


def prepare(app: Sphinx, docname: str, source: list[str]) -> None:
    """Let the first page contain the pages that it links, and lead links out of the book to the repository, where it is known."""
    files = app.config.html_theme_options.get("source_repository")
    branch = app.config.html_theme_options.get("source_branch")
    source[0] = _OUTSIDE.sub(rf"[\1]({files}blob/{branch}/\2)" if files else r"\1", source[0])
    if docname == app.config.root_doc:
        pages = dict.fromkeys(_PAGE.findall(source[0]))
        chapters = [page for page in pages if page in dict.fromkeys(_PAGE.findall(_first_table(source[0])))]
        for caption, listed in (("The chapters", chapters), ("Beside them", [p for p in pages if p not in chapters])):
            lines = "\n".join(page for page in listed if page != docname)
            source[0] += f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def _first_table(text: str) -> str:
    found = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    return found[0] if found else ""


class Anchors(SphinxTransform):
    """Make each line `<a id="NAME"></a>` the target of what follows it, as it is where the chapter is read as it stands."""

    default_priority = 250  # before the ids of targets go over to what follows them

    def apply(self, **kwargs: Any) -> None:
        """Replace the lines."""
        for paragraph in list(self.document.findall(nodes.paragraph)):
            anchor = _ANCHOR.fullmatch(paragraph.astext())
            if anchor and anchor[1] in self.document.ids:  # its heading has this anchor already
                paragraph.parent.remove(paragraph)
            elif anchor:
                target = nodes.target("", "", ids=[anchor[1]], names=[anchor[1]])
                paragraph.replace_self(target)
                self.document.note_explicit_target(target)


class Notebooks(SphinxTransform):
    """Link the notebook of a page that has examples below its title."""

    default_priority = 290

    def apply(self, **kwargs: Any) -> None:
        """Add the line."""
        title = next(self.document.findall(nodes.title), None)
        if title is not None and any(
            block.get("language") == "python" for block in self.document.findall(nodes.literal_block)
        ):
            uri = f"notebooks/{self.env.docname}.ipynb"
            title.parent.insert(
                1, nodes.raw("", f'<p class="facts"><a href="{uri}" download>As a notebook</a></p>', format="html")
            )


class Clauses(SphinxTransform):
    """Shorten each clause's heading to its title, put the facts below it, and fold its impostors."""

    default_priority = 300

    def apply(self, **kwargs: Any) -> None:
        """Change every clause of the document."""
        for section in self.document.findall(nodes.section):
            title = section[0]
            clause = book().get(next((name for name in section["ids"] if name in book()), ""))
            if clause is not None:
                # The heading ends in a text, the name as code, and a text again.
                del title[-2:]
                title[-1] = nodes.Text(title[-1].astext().removesuffix(" · "))
                section.insert(1, facts(clause=clause.name))
                self._fold(section)

    @staticmethod
    def _fold(section: nodes.section) -> None:
        for paragraph, items in zip(section.children, section.children[1:], strict=False):
            if paragraph.astext() == "Impostors:" and isinstance(items, nodes.bullet_list):
                count = len(items)
                summary = f"{count} impostor{'s' * (count > 1)} that this clause shows best"
                opening = f'<details class="impostors"><summary>{summary}</summary>'
                index = section.index(paragraph)
                section[index] = nodes.raw("", opening, format="html")
                section.insert(index + 2, nodes.raw("", "</details>", format="html"))
                return


class Names(SphinxTransform):
    """Link each clause that a page names, and each example of a page (`PAGE.md::PLACE-N`)."""

    default_priority = 310

    def apply(self, **kwargs: Any) -> None:
        """Put a reference around each name that is not in one."""
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext()
            clause, example = book().get(name), _EXAMPLE.fullmatch(name)
            uri = f"{clause.chapter}.html#{name}" if clause else f"{example[1]}.html#{example[2]}" if example else None
            if uri and not isinstance(literal.parent, (nodes.reference, nodes.title)):
                literal.replace_self(nodes.reference("", "", literal.deepcopy(), internal=True, refuri=uri))


def write_facts(writer: Any, node: facts) -> None:
    """Write the line below a clause's heading."""
    clause = book()[node["clause"]]
    here = writer.builder.get_target_uri(writer.builder.current_docname)

    def link(page: str, anchor: str, text: str) -> str:
        uri = relative_uri(here, f"{page}.html")
        return f'<a href="{uri}#{anchor}">{text}</a>'

    known = [f'<span class="level {clause.level.lower()}">{clause.level}</span>', f"<code>{clause.name}</code>"]
    checked = [
        link(f"properties/{one.file.stem.removeprefix('test_')}", one.function, str(k))
        for k, one in enumerate((one for one in properties() if one.clause == clause.name), start=1)
    ]
    if checked:
        known.append(
            f"properties {', '.join(checked)}" if len(checked) > 1 else checked[0].replace(">1<", ">property<")
        )
    if cases := _cases(clause.chapter).get(clause.name):
        count = f"{len(cases)} vector{'s' * (len(cases) > 1)}"
        known.append(link(f"vectors/{clause.chapter}", clause.name, count))
    writer.body.append(f'<p class="facts">{" · ".join(known)}</p>\n')
    raise nodes.SkipNode


@functools.cache
def _cases(chapter: str) -> dict[str, list[dict[str, Any]]]:
    """The released vectors of each clause of a chapter."""
    found: dict[str, list[dict[str, Any]]] = {}
    file = released(f"{chapter}.json")
    for case in json.loads(file.read_text(encoding="utf-8"))["cases"] if file.is_file() else []:
        found.setdefault(case["clause"], []).append(case)
    return found


def sources(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file of properties, and one for each chapter's vectors."""
    highlight = app.builder.highlighter.highlight_block
    for file in dict.fromkeys(one.file for one in properties()):
        body = [f"<h1>The properties in {file.name}</h1>"]
        for one in {one.function: one for one in properties() if one.file == file}.values():
            clause = book()[one.clause]
            up = f'<a href="../{clause.chapter}.html#{clause.name}">{clause.number} {clause.name}</a>'
            body.append(f'<section id="{one.function}"><h2 class="name">{one.function}</h2><p>Of the clause {up}.</p>')
            body.append(f"{highlight(one.source, 'python')}</section>")
        name = file.stem.removeprefix("test_")
        yield f"properties/{name}", {"title": f"Properties: {name}", "body": "\n".join(body)}, "page.html"
    for chapter in CHAPTERS:
        if _cases(chapter):
            body = [
                f"<h1>The vectors of the chapter {chapter}</h1>",
                f'<p>As a file: <a href="{chapter}.json">{chapter}.json</a>, with its <a href="schema.json">schema</a>.</p>',
            ]
            for name, cases in ((one, _cases(chapter)[one]) for one in book() if one in _cases(chapter)):
                clause = book()[name]
                up = f'<a href="../{clause.chapter}.html#{name}">{clause.number} {name}</a>'
                body.append(f'<section id="{name}"><h2 class="name">{up}</h2>')
                for case in cases:
                    shown = {key: case[key] for key in ("inputs", "expected", "error", "flags") if key in case}
                    body.append(f"<details><summary>{html.escape(case['id'])}</summary>")
                    body.append(f"{highlight(json.dumps(shown, indent=1), 'json')}</details>")
                body.append("</section>")
            yield f"vectors/{chapter}", {"title": f"Vectors: {chapter}", "body": "\n".join(body)}, "page.html"


def finish(app: Sphinx, failure: Exception | None) -> None:
    """Put beside the pages what they refer to: the vectors, the font, and the first page as index.html."""
    if failure is None and app.builder.format == "html":
        out = Path(app.outdir)
        for name in ("schema.json", *(f"{chapter}.json" for chapter in CHAPTERS if _cases(chapter))):
            (out / "vectors" / name).write_bytes(released(name).read_bytes())
        shutil.copy(mathematics.font(), out / "_static")
        shutil.copy(out / f"{app.config.root_doc}.html", out / "index.html")


def setup(app: Sphinx) -> dict[str, Any]:
    """As Sphinx asks of an extension."""
    app.add_node(facts, html=(write_facts, None))
    app.add_html_math_renderer("mathml", (mathematics.inline, None), (mathematics.block, None))
    app.add_transform(Anchors)
    app.add_transform(Notebooks)
    app.add_transform(Clauses)
    app.add_transform(Names)
    app.connect("source-read", prepare)
    app.connect("html-collect-pages", sources)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

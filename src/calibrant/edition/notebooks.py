"""Each chapter as a notebook: its text, its examples as cells, its figures inside.

The cells of a notebook run one after the other, and show what the book prints.
"""

from __future__ import annotations

import ast
import base64
import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets.config import Config

_EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIGURE = re.compile(r"!\[((?:[^\]]|\n)*)\]\((figures/([^)]+))\)")
_LINK = re.compile(r"(?<=\]\()([\w-]+)\.md(?=[)#])")


def notebook(chapter: Path) -> NotebookNode:
    """A chapter as a notebook that has not run."""
    text = chapter.read_text(encoding="utf-8")
    cells = []
    end = 0
    standing = _Standing()
    for example in _EXAMPLE.finditer(text):
        session = doctest.DocTestParser().get_examples(example[1])
        cells += [_prose(text[end : example.start()], chapter.parent), *_code(session, standing.restored(session))]
        end = example.end()
    cells.append(_prose(text[end:], chapter.parent))
    made = new_notebook(cells=[cell for cell in cells if cell.source])
    made.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for k, cell in enumerate(made.cells, start=1):
        cell.id = f"cell-{k}"  # the same in each build
    return made


class _Standing:
    """What an example finds: in the book the names of the chapter's first example, in a notebook also what others left."""

    def __init__(self) -> None:
        self.first: list[tuple[str, set[str], set[str]]] | None = None
        self.spoiled: set[str] = set()

    def restored(self, session: list[doctest.Example]) -> str:
        """The lines of the first example that set again what this one uses and another one has changed."""
        steps = [(example.source, *_names(example.source)) for example in session]
        if self.first is None:
            self.first = steps
            return ""
        known = {name for _, _, stored in self.first for name in stored}
        needed, due = set().union(*(used for _, used, _ in steps)) & self.spoiled, ""
        for source, used, stored in reversed(self.first):
            if stored & needed:
                needed |= used & self.spoiled
                due = source + due
                self.spoiled -= stored
        self.spoiled |= set().union(*(stored for _, _, stored in steps)) & known
        return due


def _names(source: str) -> tuple[set[str], set[str]]:
    """The names that some lines use, and those that they set."""
    used: set[str] = set()
    stored: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else stored).add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            stored.add(node.name)
        elif isinstance(node, ast.alias):
            stored.add(node.asname or node.name.split(".")[0])
    return used, stored


def _prose(text: str, folder: Path) -> NotebookNode:
    names = {name: figure for _, figure, name in _FIGURE.findall(text)}
    text = _FIGURE.sub(lambda image: f"![{image[1]}](attachment:{image[3]})", text)
    cell = new_markdown_cell(_LINK.sub(r"\1.ipynb", text).strip())
    if names:
        cell.attachments = {
            name: {"image/svg+xml": base64.b64encode((folder / figure).read_bytes()).decode()}
            for name, figure in names.items()
        }
    return cell


def _code(session: list[doctest.Example], before: str) -> Iterator[NotebookNode]:
    """A cell for each output of a session at Python's prompt, which keeps what is due."""
    lines = [before]
    for example in session:
        lines.append(example.source)
        if example.want or example is session[-1]:
            yield new_code_cell("".join(lines).strip("\n"), metadata={"due": example.want})
            lines = []


def run(made: NotebookNode) -> list[str]:
    """Run a notebook where it is; what its cells show that is not due, in a few lines for each."""
    NotebookClient(made, timeout=300, allow_errors=True, config=Config(KernelManager={"transport": "ipc"})).execute()
    complaints = []
    for cell in made.cells:
        if cell.cell_type == "code":
            due = cell.metadata.pop("due")
            cell.metadata.pop("execution", None)  # the times, which differ in each build
            shown = "".join(map(_shown, cell.outputs))
            if due.startswith("Traceback"):
                # A notebook names an error without its module.
                due = re.sub(r"^(\w+\.)+(?=\w+:)", "", due.strip().splitlines()[-1]) + "\n"
                cell.metadata.tags = ["raises-exception"]
            # A notebook breaks long tuples into lines.
            if not doctest.OutputChecker().check_output(due, shown, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE):
                complaints.append(f"{cell.source}\nshows\n{shown}where the book prints\n{due}")
    return complaints


def _shown(output: NotebookNode) -> str:
    if output.output_type == "stream":
        return str(output.text)
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}\n"
    return f"{output.data['text/plain']}\n"


def write(spec: Path, folder: Path) -> list[str]:
    """Write the notebooks of all chapters that have examples, run; returns what they show that is not due."""
    folder.mkdir(parents=True, exist_ok=True)
    complaints = []
    for chapter in sorted(spec.glob("*.md")):
        if _EXAMPLE.search(chapter.read_text(encoding="utf-8")):
            made = notebook(chapter)
            complaints += [f"{chapter.name}: {complaint}" for complaint in run(made)]
            nbformat.write(made, folder / f"{chapter.stem}.ipynb")
    return complaints

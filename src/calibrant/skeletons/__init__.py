"""Skeletons of adapters: programs that `calibrant check` accepts as they are, with a place for each operation."""

import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from calibrant.protocol.errors import CheckError, nearest
from calibrant.protocol.operations import OPERATIONS, Operation
from calibrant.reports.explain import absent, hyperparameters, legend, returns, unmarked

RECIPE = Path(".github", "workflows", "calibrant.yml")
"""Where the recipe for continuous integration lies."""
_WIDTH = 110


@dataclass(frozen=True)
class Language:
    """A language that a skeleton is written in."""

    file: str
    check: str
    """The command that checks it."""
    text: str
    """What stands before a line of the text at the beginning."""
    place: Callable[[Operation, list[str]], list[str]]
    """The comment in which an operation is to be filled in, with what is said of it."""
    heading: str
    """A comment that names a chapter."""
    entry: str = ""
    """The comment that becomes the entry of an operation in a table."""
    build: str = ""
    """The command that has to come before the check."""
    filled_in: tuple[str, ...] = ("loss_fn", "difference_gradient")
    """The operations that it has."""


def _python(one: Operation, said: list[str]) -> list[str]:
    signature = f"# def {one.name}({', '.join(one.parameters)}):"
    return [signature, *_wrapped(said, "#     # "), "#     raise NotImplementedError"]


def _javascript(one: Operation, said: list[str]) -> list[str]:
    signature = f"  // {one.name}({{ {_names(one)} }}) {{" if one.parameters else f"  // {one.name}() {{"
    return [*_wrapped(said, "  // "), signature, '  //   throw new Absent("not yet");', "  // },"]


def _c(one: Operation, said: list[str]) -> list[str]:
    first, *rest = _wrapped([f"{one.name}({_names(one)}): {said[0]}", *said[1:]], "   ")
    return [
        f"/* {first.strip()}",
        *rest,
        f'static void {one.name}(Value *params) {{ absent("not yet"); }} */',
    ]


def _rust(one: Operation, said: list[str]) -> list[str]:
    first, *rest = said
    return [
        *_wrapped([f"{one.name}({_names(one)}): {first}", *rest], "// "),
        f'// fn {one.name}(params: &Value) -> Answer {{ absent("not yet") }}',
    ]


def _names(one: Operation) -> str:
    return ", ".join(name.lstrip("*") for name in one.parameters)


def _wrapped(paragraphs: list[str], before: str) -> list[str]:
    return [f"{before}{line}" for text in paragraphs for line in textwrap.wrap(text, _WIDTH)]


LANGUAGES = {
    "python": Language(
        *("my_target.py", "calibrant check my_target.py", "", _python, "# The chapter on {}"), filled_in=("loss_fn",)
    ),
    "javascript": Language(
        "adapter.js", 'calibrant check --program "node adapter.js"', "// ", _javascript, "  // The chapter on {}"
    ),
    "c": Language(
        *("adapter.c", "calibrant check --program ./adapter", "   ", _c, "/* The chapter on {} */"),
        entry='    /* {{"{0}", {0}}}, */',
        build="cc -O2 -o adapter adapter.c -lm",
    ),
    "rust": Language(
        *("adapter.rs", "calibrant check --program ./adapter", "//! ", _rust, "// The chapter on {}"),
        entry='    // ("{0}", {0}),',
        build="rustc --edition 2021 -O adapter.rs",
    ),
}


def written(language: str, folder: Path) -> Iterator[str]:
    """Write a skeleton and its recipe to a folder; yield lines that say what was written, and what to do next.

    Raises CheckError for an unknown language, and for a file that is there already, before anything is written.
    """
    if language not in LANGUAGES:
        known = nearest(language, LANGUAGES) or f"; known: {', '.join(LANGUAGES)}"
        raise CheckError(f"there is no skeleton in {language!r}{known}")
    chosen, recipe = LANGUAGES[language], folder / RECIPE
    file = folder / chosen.file
    if file.exists():
        raise CheckError(f"{file} is there already: nothing is written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(skeleton(language), encoding="utf-8")
        works = f"{' and '.join(chosen.filled_in)} work{'s' * (len(chosen.filled_in) == 1)}"
        yield f"{file}: an adapter whose {works}, with a place for every other operation"
        if recipe.exists():
            yield f"{recipe} is there already, and stays: its step would be `{chosen.check} --profile ci`"
        else:
            recipe.parent.mkdir(parents=True, exist_ok=True)
            recipe.write_text(_recipe(chosen), encoding="utf-8")
            yield f"{recipe}: the check in continuous integration"
    except OSError as error:
        raise CheckError(f"{error.filename} cannot be written: {error.strerror or error}") from None
    yield ""
    yield "Next:"
    yield from (f"  {step}" for step in (f"cd {folder}" * (folder != Path()), chosen.build, chosen.check) if step)
    yield "Then fill in one operation after the other; `calibrant explain optimize`, for example, says what one must do."


def skeleton(language: str) -> str:
    """The text of a skeleton."""
    chosen = LANGUAGES[language]
    text = (resources.files(__name__) / f"{language}.txt").read_text(encoding="utf-8")
    symbols = legend().partition(" All of them arrive ")[0]
    said = {"legend": legend(), "symbols": symbols, "absent": absent()}
    parts = {name: _lines(text, chosen.text) for name, text in said.items()}
    parts["operations"] = "\n".join(_places(chosen)).rstrip()
    parts["table"] = "\n".join(chosen.entry.format(one.name) for one in _open(chosen))
    for name, lines in parts.items():
        text = text.replace(f"@{name}@", lines)
    return text


def _recipe(chosen: Language) -> str:
    text = (resources.files(__name__) / "ci.txt").read_text(encoding="utf-8")
    steps = f"      - run: {chosen.build}\n" if chosen.build else ""
    return text.replace("@build@\n", steps).replace("@check@", chosen.check)


def _open(chosen: Language) -> list[Operation]:
    """The operations that are to be filled in."""
    return [one for one in OPERATIONS.values() if one.name not in chosen.filled_in]


def _places(chosen: Language) -> Iterator[str]:
    """The lines for each operation that is to be filled in, under the chapter that it stands in first."""
    chapter, answers = "", returns()
    for one in _open(chosen):
        if one.chapters[0] != chapter:
            chapter = one.chapters[0]
            yield from (chosen.heading.format(chapter), "")
        said = [answers[one.name]]
        said[0] = f"{said[0][0].upper()}{said[0][1:]}."
        if served := hyperparameters(one.name):
            said += ["The hyperparameters and their defaults:"]
            said += [f"{optimizer}: {row}" for optimizer, row in served.items()]
        yield from chosen.place(one, [*map(unmarked, said)])
        yield ""


def _lines(markdown: str, before: str) -> str:
    """A paragraph in lines of a comment."""
    return "\n".join(f"{before}{line}".rstrip() for line in unmarked(markdown).split("\n"))

"""The commands. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from calibrant.checks.engine import Observer
    from calibrant.checks.options import Options
    from calibrant.checks.outcomes import Outcome

app = typer.Typer(
    name="calibrant",
    help="Hold an implementation of the mechanics of learning against the book.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _in_a_folder(file: Path | None) -> Path | None:
    """Refuse a file that could not be written before any work is done."""
    if file is not None and not file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {file.parent}")
    return file


# Options that several commands have.
Chapters = Annotated[list[str] | None, typer.Option(help="Only this chapter (may be repeated).")]
Clauses = Annotated[list[str] | None, typer.Option(help="Only this clause (may be repeated).")]
Dtypes = Annotated[
    list[str] | None, typer.Option(help="Check in this dtype, whatever the target declares (may be repeated).")
]
Profile = Annotated[str, typer.Option(help="dev: random; ci: the same examples every time; thorough: many.")]
Examples = Annotated[
    int | None, typer.Option(help="Examples for each property.", show_default="50, ci 100, thorough 2000")
]
Seed = Annotated[int | None, typer.Option(help="Draw the examples of this seed (not in ci).", show_default="random")]
Timeout = Annotated[float, typer.Option(help="The most seconds that one call may take; an import, six times that.")]
Workers = Annotated[int | None, typer.Option(help="Processes to run in.", show_default="one for each core")]
Deviations = Annotated[
    int | None, typer.Option(help="The most declared deviations of a target that conforms.", show_default="any number")
]
Undecided = Annotated[
    int | None,
    typer.Option(help="The most undecided MUST clauses of a target that conforms.", show_default="any number"),
]
Isolated = Annotated[
    bool, typer.Option("--isolated", help="Run the target in a process that holds neither the judge nor what is due.")
]
Program = Annotated[
    str | None, typer.Option(help="A program that speaks the protocol, in any language.", metavar="COMMAND")
]
Json = Annotated[
    Path | None, typer.Option(help="Write the result to this file as JSON.", metavar="FILE", callback=_in_a_folder)
]
Html = Annotated[
    Path | None,
    typer.Option(
        help="Write a page to look at, one file that needs no network.", metavar="FILE", callback=_in_a_folder
    ),
]
Markdown = Annotated[
    Path | None,
    typer.Option(help="Write Markdown, for a pull request or a job's summary.", metavar="FILE", callback=_in_a_folder),
]
Junit = Annotated[
    Path | None,
    typer.Option(
        "--junit-xml", help="Write JUnit's XML, as CI systems read it.", metavar="FILE", callback=_in_a_folder
    ),
]
Shield = Annotated[
    Path | None,
    typer.Option(help="Write the JSON of a badge, for shields.io.", metavar="FILE", callback=_in_a_folder),
]
Github = Annotated[bool, typer.Option("--github", help="Print annotations for a workflow of GitHub's.")]


@app.command()
def check(
    target: Annotated[
        str | None,
        typer.Argument(
            help="file.py, file.py:object, package.module, module:object, or a registered name",
            show_default="reference",
        ),
    ] = None,
    program: Program = None,
    chapter: Chapters = None,
    clause: Clauses = None,
    dtype: Dtypes = None,
    profile: Profile = "dev",
    examples: Examples = None,
    seed: Seed = None,
    timeout: Timeout = 10,
    workers: Workers = None,
    isolated: Isolated = False,
    max_deviations: Deviations = None,
    max_undecided: Undecided = None,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit_xml: Junit = None,
    shield: Shield = None,
    github: Github = False,
) -> None:
    """Check TARGET. Exit status: 0 it conforms, 1 it does not, 2 the check could not be made."""
    from rich.console import Console

    from calibrant.checks.check import Checked
    from calibrant.checks.check import check as run
    from calibrant.reports import machine, terminal, writers

    limits = max_deviations, max_undecided
    options = _options(chapter, clause, dtype, profile, examples, seed, timeout, workers, isolated, *limits)
    with _progress() as observer:
        result = run(_spec(target, program), options, observer)
    terminal.show(result, Console(highlight=False))
    if json is not None:
        machine.write(machine.document(result), json)
    files = {"html": html, "markdown": markdown, "junit_xml": junit_xml, "shield": shield}
    writers.write([Checked(result.target["spec"], result)], files, github=github)
    raise typer.Exit(result.exit_status)


@app.command()
def matrix(
    target: Annotated[list[str] | None, typer.Argument(help="Targets, as `check` takes them.")] = None,
    program: Annotated[
        list[str] | None, typer.Option(help="A program that speaks the protocol (may be repeated).", metavar="COMMAND")
    ] = None,
    chapter: Chapters = None,
    clause: Clauses = None,
    dtype: Dtypes = None,
    profile: Profile = "dev",
    examples: Examples = None,
    seed: Seed = None,
    timeout: Timeout = 10,
    workers: Workers = None,
    isolated: Isolated = False,
    max_deviations: Deviations = None,
    max_undecided: Undecided = None,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit_xml: Junit = None,
    github: Github = False,
) -> None:
    """Check several targets, and print one table: clauses by targets.

    Exit status: 0 all conform, 1 one does not, 2 one could not be checked.
    """
    from rich.console import Console

    from calibrant.checks.check import checked, exit_status
    from calibrant.reports import machine, table, writers
    from calibrant.target.loading import PROGRAM

    specs = [*(target or ()), *(PROGRAM + line for line in program or ())]
    if not specs:
        _fail("no target is named: calibrant matrix reference numpy --program 'node adapter.js'")
    found, limits = [], (max_deviations, max_undecided)
    options = _options(chapter, clause, dtype, profile, examples, seed, timeout, workers, isolated, *limits)
    options.validated()
    with _bar(_checking(specs[0]), total=len(specs)) as update:
        for one in checked(specs, options):
            found.append(one)
            left = specs[len(found) :]
            update(advance=1, description=_checking(left[0]) if left else "done")
    table.show(found, Console(highlight=False))
    if json is not None:
        machine.write(table.document(found), json)
    writers.write(found, {"html": html, "markdown": markdown, "junit_xml": junit_xml}, github=github)
    raise typer.Exit(exit_status(found))


@app.command()
def explain(name: Annotated[str, typer.Argument(help="A clause, or a chapter to list its clauses.")]) -> None:
    """Print a clause from the book, with its reason and the source of its properties."""
    from calibrant.book.clauses import CHAPTERS, book, properties, require

    if name in CHAPTERS:
        for clause in book().values():
            if clause.chapter == name:
                typer.echo(f"{clause.number}  {clause.name}  {clause.level}\n    {clause.sentence}")
        return
    clause = require(name)
    typer.echo(f"{clause.number} {clause.title} · {clause.name} · {clause.level}\n\n{clause.text}\n")
    for prop in properties():
        if prop.clause == name:
            typer.echo(f"Checked by {prop.function} in {prop.file.name}:\n\n{prop.source}\n")
    from calibrant.impostors import breaking

    others = [f"{one.operation} as {one.name}" for one in breaking(name) if one.main != name]
    if others:
        typer.echo(f"Also broken by {', '.join(others)}.")


@app.command()
def targets() -> None:
    """List the registered targets: which can be checked here, and what is missing for the others."""
    from calibrant.protocol.errors import CheckError
    from calibrant.target.loading import probes, registered

    names = sorted(registered())
    for name, said in zip(names, probes(names, timeout=20), strict=True):
        if isinstance(said, CheckError):
            typer.echo(f"{name:12} cannot be checked here: {said}")
            continue
        version = f" ({said['version']})" if said["version"] else ""
        found = f"{len(said['operations'])} operations in {', '.join(said['dtypes'])}"
        typer.echo(f"{name:12} can be checked{version}: {found}")


@app.command()
def impostors(
    name: Annotated[
        str | None, typer.Argument(help="Only those of this operation, of this clause, or of this name.")
    ] = None,
) -> None:
    """List the known wrong answers and the legitimate variants: what each does, what it breaks, where it was seen."""
    from calibrant.impostors import select

    for one in select([name] if name else []):
        typer.echo(f"{one.operation} as {one.name}  {one.kind}\n    {one.sentence[0].upper()}{one.sentence[1:]}.")
        typer.echo(f"    breaks {', '.join(one.breaks)}")
        for link in one.links:
            typer.echo(f"    seen in {link}")


@app.command()
def power(
    name: Annotated[
        list[str] | None, typer.Argument(help="Only the impostors of these operations, clauses, or names.")
    ] = None,
    profile: Profile = "ci",
    examples: Examples = None,
    seed: Seed = None,
    workers: Workers = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave a clause once it is broken, and try only a sample of the others.")
    ] = False,
    json: Json = None,
) -> None:
    """Measure the suite: put every impostor in the place of the right operation, and see which clauses reject it.

    Exit status: 0 each breaks the clauses that it names and no others, 1 not so, 2 the measurement could not be made.
    """
    from calibrant.checks.options import Options
    from calibrant.checks.power import Settings, measured, summary
    from calibrant.impostors import select
    from calibrant.reports import machine
    from calibrant.reports import trials as report

    listed, trials = [one for one in select(name or []) if one.possible], []
    Options(profile=profile, examples=examples, seed=seed, workers=workers).validated()
    with _bar("trying impostors", total=len(listed)) as update:
        for trial in measured(listed, Settings(profile, examples, seed), quick=quick, workers=workers):
            trials.append(trial)
            update(advance=1)
    for line in report.lines(trials, listed):
        typer.echo(line)
    if json is not None:
        machine.write(report.document(trials), json)
    said = summary(trials)
    raise typer.Exit(1 if said["missed"] or said["beyond"] else 0)


@app.command()
def vectors(
    folder: Annotated[Path, typer.Argument(help="Where the vectors are to be, or are.", metavar="DIR")],
    target: Annotated[str | None, typer.Argument(help="What to replay them on.", show_default="reference")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Replay DIR on TARGET; nothing is written.")] = False,
    program: Program = None,
    timeout: Timeout = 10,
    workers: Workers = None,
) -> None:
    """Write frozen test vectors to DIR, for programs that nobody can ask in Python; or replay those that are there.

    Exit status: 0 written, or all answers agree; 1 some do not; 2 the vectors could not be written, or not replayed.
    """
    from calibrant.checks.options import Options
    from calibrant.protocol.errors import escaped
    from calibrant.reports import trials as report
    from calibrant.vectors.choosing import chosen
    from calibrant.vectors.files import write
    from calibrant.vectors.replaying import verify as replayed

    if not verify and (target, program) != (None, None):
        _fail(
            f"a target is for --verify: vectors are the same whatever {target if program is None else program!r} says"
        )
    Options(workers=workers, timeout=timeout).validated()
    if verify:
        with _progress() as observer:
            replay = replayed(folder, _spec(target, program), timeout, observer)
        lines, status = report.replayed(replay), replay.exit_status
    else:
        with _bar("choosing cases") as update:
            cases = chosen(lambda done, count: update(completed=done, total=count), workers)
        lines, status = report.written(cases, write(cases, folder), folder), 0
    for line in lines:
        typer.echo(escaped(line, None))
    raise typer.Exit(status)


def _spec(target: str | None, program: str | None) -> str:
    """The target to check: one by name, or the program of a command line."""
    from calibrant.target.loading import PROGRAM

    if program is None:
        return "reference" if target is None else target
    if target is not None:
        _fail(f"there is a target, {target!r}, and a program, {program!r}: only one of them can be checked at a time")
    return PROGRAM + program


def _options(chapter: list[str] | None, clause: list[str] | None, dtype: list[str] | None, *others: Any) -> Options:
    from calibrant.checks.options import Options

    return Options(tuple(chapter or ()), tuple(clause or ()), tuple(dtype or ()), *others)


def _checking(spec: str) -> str:
    from calibrant.protocol.errors import escaped

    return f"checking {escaped(spec, 80)}"


@contextlib.contextmanager
def _bar(description: str, total: int | None = None) -> Iterator[Callable[..., None]]:
    """Show a progress bar at a terminal, and yield the function that updates it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    progress = Progress(*columns, transient=True)
    progress.disable = not progress.console.is_terminal
    with progress:
        yield partial(progress.update, progress.add_task(description, total=total))


@contextlib.contextmanager
def _progress() -> Iterator[Observer]:
    """Show a progress bar, and yield the observer that updates it."""
    failed = 0
    with _bar("loading the target") as update:

        def observe(count: int, outcome: Outcome | None) -> None:
            nonlocal failed
            failed += bool(outcome and outcome.status in ("breaks", "broken", "error") and not outcome.deviation)
            description = f"checking, {failed} failed" if failed else "checking"
            update(total=count, advance=outcome is not None, description=description)

        yield observe


def _fail(sentence: str) -> NoReturn:
    from calibrant.protocol.errors import escaped

    with contextlib.suppress(OSError):  # the status says it too
        typer.echo(f"calibrant: {escaped(sentence)}", err=True)
    sys.exit(2)


def main() -> None:
    """The command `calibrant`. An error that is no fault of its own is one sentence, and exit status 2.

    A character that the terminal's encoding lacks is written as its escape.
    """
    from calibrant.protocol.errors import CheckError

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
        interrupted = status == 130  # what some versions of typer make of Ctrl-C
        sys.stdout.flush()
    except CheckError as error:
        _fail(str(error))
    except OSError as error:
        # Where it is the output that cannot be written, Python would try again at its end, and fail with a status of its own.
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        _fail(str(error))
    except typer.Abort:
        interrupted = True
    except Exception as error:
        # typer's own errors tell in a sentence what is wrong with the command line.
        sentence = getattr(error, "format_message", None)
        if sentence is None:
            raise
        _fail(" ".join(sentence().split()))
    if interrupted:
        _fail("interrupted: there is no result")
    sys.exit(status)

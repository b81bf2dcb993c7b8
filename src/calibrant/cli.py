"""The commands. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core

if TYPE_CHECKING:
    from calibrant.checks.options import Options

app = typer.Typer(
    name="calibrant",
    help="Hold an implementation of the mechanics of learning against the book.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _writable(file: Path | None) -> Path | None:
    """Refuse a file that cannot be written, before any work is done."""
    from calibrant.reports.files import require_writable

    if file is not None:
        require_writable(file)
    return file


def _written(says: str, *names: str) -> Any:
    """An option for a file that the command writes."""
    return typer.Option(*names, help=says, metavar="FILE", callback=_writable)


# Options that several commands have.
Chapters = Annotated[list[str] | None, typer.Option(help="Only these chapters: data,loss (may be repeated).")]
Clauses = Annotated[list[str] | None, typer.Option(help="Only these clauses: 'loss.*,model.pure' (may be repeated).")]
Dtypes = Annotated[
    list[str] | None, typer.Option(help="Check in these dtypes, whatever the target declares (may be repeated).")
]
Profile = Annotated[str, typer.Option(help="dev: random; ci: the same examples every time; thorough: many.")]
Examples = Annotated[
    int | None, typer.Option(help="Examples for each property.", show_default="50, ci 100, thorough 2000")
]
Seed = Annotated[int | None, typer.Option(help="Draw the examples of this seed (not in ci).", show_default="random")]
Timeout = Annotated[float, typer.Option(help="The most seconds that one call may take; an import, six times that.")]
Workers = Annotated[int | None, typer.Option(help="Processes to run in.", show_default="one for each core")]
MostDeviations = Annotated[
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
Formulas = Annotated[
    str | None,
    typer.Option(
        help="Hold TARGET against the formulas of this file, instead of the chapters; without FILE against those that ship.",
        metavar="[FILE]",
    ),
]
Autodiff = Annotated[
    str | None,
    typer.Option(help="torch or jax: what differentiates the functions of a TARGET that offers no gradients."),
]
Shapes = Annotated[
    str | None, typer.Option(help="Shapes of a formula's arguments: 'n d, d -> n'.", show_default="as it declares")
]
Json = Annotated[
    Path | None,
    _written("Write the result to this file as JSON; - is standard output, and the report goes to standard error."),
]
Html = Annotated[Path | None, _written("Write a page to look at, in one file.")]
Markdown = Annotated[Path | None, _written("Write Markdown for a pull request, or for the summary of a job.")]
Junit = Annotated[Path | None, _written("Write JUnit's XML, as CI systems read it.", "--junit-xml")]
Shield = Annotated[Path | None, _written("Write the JSON of a badge, as shields.io reads it.")]
Github = Annotated[bool, typer.Option("--github", help="Print annotations, as GitHub's workflows read them.")]
Strict = Annotated[bool, typer.Option("--strict", help="A broken SHOULD counts for the exit status, too.")]
Plain = Annotated[bool, typer.Option("--no-color", help="Print without colors, as with NO_COLOR in the environment.")]


def _version(asked: bool) -> None:
    if asked:
        from calibrant import __version__

        typer.echo(f"calibrant {__version__}")
        raise typer.Exit()


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Hold an implementation of the mechanics of learning against the book."""


class _OfFormulas(typer.core.TyperCommand):
    """A command whose option --formulas may come without a value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `catalogue` after a --formulas that no file follows."""
        given = []
        for word, after in itertools.zip_longest(args, args[1:], fillvalue="-"):
            file = after == "catalogue" or after.partition(":")[0].endswith(".py")
            given += [word, *["catalogue"] * (word == "--formulas" and not file)]
        return super().parse_args(ctx, given)


@app.command(cls=_OfFormulas)
def check(
    context: typer.Context,
    target: Annotated[
        list[str] | None,
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
    deviations: Annotated[
        str | None,
        typer.Option(help="A TOML file with a reason for each clause that the target may break.", metavar="FILE"),
    ] = None,
    max_deviations: MostDeviations = None,
    max_undecided: Undecided = None,
    formulas: Formulas = None,
    autodiff: Autodiff = None,
    shapes: Shapes = None,
    strict: Strict = False,
    first: Annotated[bool, typer.Option("-x", help="End at the first failed clause.")] = False,
    fail_fast: Annotated[int | None, typer.Option(help="End after this many failed clauses.", metavar="N")] = None,
    last_failed: Annotated[
        bool,
        typer.Option(
            "--lf",
            "--replay",
            help="Only what failed in the last check of TARGET, first the examples that failed; everything if nothing did.",
        ),
    ] = False,
    what: Annotated[
        bool, typer.Option("--list", help="List the clauses that would be checked, and check nothing.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="A line for each failing clause, and the verdict.")
    ] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Every failure, with lines that repeat it.")] = False,
    no_color: Plain = False,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit_xml: Junit = None,
    shield: Shield = None,
    github: Github = False,
) -> None:
    """Check TARGET. The table [tool.calibrant] of pyproject.toml holds defaults.

    Exit status: 0 it conforms, 1 it does not, 2 the check could not be made, 130 it was interrupted.
    """
    from calibrant.book.formulas import checking
    from calibrant.checks import last
    from calibrant.checks.check import Checked
    from calibrant.checks.check import check as run
    from calibrant.reports import listing, machine, terminal, writers
    from calibrant.reports.screen import progress_of_check, screen

    if len(target or ()) > 1:
        _fail(f"check takes one target; `calibrant matrix {shlex.join(target or ())}` checks several")
    found = _of_the_project(context)
    spec = found.pop("target", None) or _spec(target[0] if target else None, program)
    options = _options(
        *(chapter, clause, dtype, profile, examples, seed, timeout, workers, isolated, max_deviations, max_undecided),
        *(strict, 1 if first and fail_fast is None else fail_fast, deviations),
    )
    context.with_resource(checking(formulas, autodiff, shapes))
    options = replace(options, formulas=formulas, autodiff=autodiff, shapes=shapes, **found)
    if what:
        for line in listing.lines(options):
            typer.echo(line)
        return
    options = last.failed(spec, options) if last_failed else options
    files = {"html": html, "markdown": markdown, "junit_xml": junit_xml, "shield": shield}
    console = screen([json, *files.values()], no_color)
    report = terminal.Report(console, verbose - quiet, strict=strict)
    with progress_of_check(console) as observer:
        result = run(spec, options, observer, report.tell)
    report.end(result)
    last.remember(result)
    if json is not None:
        machine.write(machine.document(result), json)
    writers.write([Checked(result.target["spec"], result)], files, console.file if github else None)
    if result.interrupted:
        sys.exit(130)  # with a result: typer's own exit of this status comes without one
    raise typer.Exit(result.exit_status)


@app.command()
def gradcheck(
    context: typer.Context,
    function: Annotated[str, typer.Argument(help="file.py:function, in the array API or with torch's functions")],
    shapes: Shapes = None,
    autodiff: Autodiff = None,
    dtype: Dtypes = None,
    examples: Examples = None,
    seed: Seed = None,
    json: Json = None,
    html: Html = None,
) -> None:
    """Check the backward pass of FUNCTION against its own exact gradient: the function itself is the formula.

    Exit status: as for check.
    """
    from calibrant.book.clauses import LAYERS
    from calibrant.formula.declaring import framework_of

    file, colon, _ = function.rpartition(":")
    if not colon or not file.endswith(".py"):
        _fail(f"function is {function!r}: name a file and a function of it, as in losses.py:log_cosh")
    context.invoke(
        check,
        context,
        [file],
        clause=[f"{LAYERS}.*.gradient"],
        formulas=function,
        shapes=shapes,
        autodiff=autodiff or framework_of(file),
        dtype=dtype,
        examples=examples,
        seed=seed,
        json=json,
        html=html,
    )


@app.command(cls=_OfFormulas)
def matrix(
    context: typer.Context,
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
    deviations: Annotated[
        list[str] | None,
        typer.Option(help="As `check` takes it, for one of the targets (may be repeated).", metavar="TARGET=FILE"),
    ] = None,
    max_deviations: MostDeviations = None,
    max_undecided: Undecided = None,
    formulas: Formulas = None,
    autodiff: Autodiff = None,
    shapes: Shapes = None,
    strict: Strict = False,
    no_color: Plain = False,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
    junit_xml: Junit = None,
    shield: Shield = None,
    github: Github = False,
) -> None:
    """Check several targets, and print one table: clauses by targets.

    Exit status: 1 if one does not conform; else 2 if one could not be checked; else 0. If it is interrupted: 130.
    """
    from calibrant.book.formulas import checking
    from calibrant.checks.check import checked, exit_status, planned
    from calibrant.checks.options import matrix_command
    from calibrant.reports import machine, screen, table, terminal, writers
    from calibrant.target.loading import PROGRAM

    specs = [*(target or ()), *(PROGRAM + line for line in program or ())]
    if not specs:
        _fail("no target is named: calibrant matrix reference numpy --program 'node adapter.js'")
    found, limits = [], (max_deviations, max_undecided, strict)
    context.with_resource(checking(formulas, autodiff, shapes))
    options = _options(chapter, clause, dtype, profile, examples, seed, timeout, workers, isolated, *limits)
    options = replace(options, formulas=formulas, autodiff=autodiff, shapes=shapes)
    plans = planned(specs, options, deviations or ())
    files = {"html": html, "markdown": markdown, "junit_xml": junit_xml, "shield": shield}
    console, interrupted = screen.screen([json, *files.values()], no_color), False
    with screen.bar(console, screen.checking(specs[0]), total=len(specs)) as update:
        try:
            for one in checked(plans):
                found.append(one)
                interrupted = one.result is not None and one.result.interrupted
                left = specs[len(found) :]
                update(advance=1, description=screen.checking(left[0]) if left else "done")
        except KeyboardInterrupt:
            if not found:
                raise
            interrupted = True
    table.show(found, console)
    terminal.put_command(matrix_command(plans), console)
    if json is not None:
        machine.write(table.document(found), json)
    writers.write(found, files, console.file if github else None)
    if interrupted:
        _fail(f"interrupted: {len(specs) - len(found)} of {len(specs)} targets were not checked", 130)
    raise typer.Exit(exit_status(found))


@app.command()
def explain(
    name: Annotated[str, typer.Argument(help="A clause, a chapter, an operation, an optimizer or an impostor.")],
) -> None:
    """Print what the book says of a name: a clause with its properties, an operation with its arguments, and so on."""
    from calibrant.reports.explain import explained

    for line in explained(name, min(shutil.get_terminal_size().columns, 100) if sys.stdout.isatty() else None):
        typer.echo(line)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where to write.", metavar="DIR")] = Path(),
    language: Annotated[str, typer.Option(help="python, javascript, c or rust.")] = "python",
) -> None:
    """Write an adapter to start from, and a recipe for continuous integration. No file is overwritten."""
    from calibrant.protocol.errors import escaped
    from calibrant.skeletons import written

    for line in written(language, folder):
        typer.echo(escaped(line, None))


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
    from calibrant.reports.explain import impostor

    for one in select([name] if name else []):
        for line in impostor(one):
            typer.echo(line)


@app.command()
def formulas(
    name: Annotated[str | None, typer.Argument(help="A formula whose source is printed.")] = None,
) -> None:
    """List the formulas that ship, with the shapes of their arguments; or print one."""
    from calibrant.protocol.errors import CheckError

    try:
        from calibrant.formula.catalogue import described
    except ImportError as missing:
        raise CheckError(str(missing)) from None
    typer.echo(described(name))


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
    from calibrant.checks.here import Settings
    from calibrant.checks.options import Options
    from calibrant.checks.power import measured, summary
    from calibrant.impostors import select
    from calibrant.reports import machine
    from calibrant.reports import trials as report
    from calibrant.reports.screen import bar, screen

    listed, trials = [one for one in select(name or []) if one.possible], []
    Options(profile=profile, examples=examples, seed=seed, workers=workers).validated()
    interrupted = False
    with bar(screen([json]), "trying impostors", total=len(listed)) as update:
        try:
            for trial in measured(listed, Settings(profile, examples, seed), quick=quick, workers=workers):
                trials.append(trial)
                update(advance=1)
        except KeyboardInterrupt:
            if not trials:
                raise
            interrupted = True
    for line in report.lines(trials, listed):
        typer.echo(line, err=str(json) == "-")
    if json is not None:
        machine.write(report.document(trials), json)
    if interrupted:
        _fail(f"interrupted: {len(listed) - len(trials)} of {len(listed)} impostors were not tried", 130)
    said = summary(trials)
    raise typer.Exit(1 if said["missed"] or said["beyond"] else 0)


@app.command()
def vectors(
    folder: Annotated[Path, typer.Argument(help="Where the vectors are to be, or are.", metavar="DIR")],
    target: Annotated[str | None, typer.Argument(help="What to replay them on.", show_default="reference")] = None,
    verify: Annotated[bool, typer.Option("--verify", help="Replay DIR on TARGET; nothing is written.")] = False,
    program: Program = None,
    chapter: Chapters = None,
    recompute: Annotated[bool, typer.Option("--recompute", help="Choose and compute the cases anew.")] = False,
    json: Json = None,
    timeout: Timeout = 10,
    workers: Workers = None,
) -> None:
    """Write frozen test vectors to DIR, for programs that nobody can ask in Python; or replay those that are there.

    Exit status: 0 written, or all answers agree; 1 some do not; 2 the vectors could not be written, or not replayed.
    """
    from calibrant.book.clauses import CHAPTERS
    from calibrant.checks.options import Options
    from calibrant.protocol.errors import escaped
    from calibrant.reports import machine
    from calibrant.reports import trials as report
    from calibrant.reports.files import require_folder
    from calibrant.reports.screen import bar, progress_of_check, screen
    from calibrant.vectors.choosing import chosen
    from calibrant.vectors.files import read, write
    from calibrant.vectors.replaying import verify as replayed

    if not verify and (target, program) != (None, None):
        _fail(
            f"a target is for --verify: vectors are the same whatever {target if program is None else program!r} says"
        )
    if json is not None and not verify:
        _fail("--json is for --verify: what is written to DIR is JSON itself")
    chosen_by = Options(chapters=tuple(chapter or ()), workers=workers, timeout=timeout).validated()
    chapters = chosen_by.chapters or tuple(CHAPTERS)
    if not verify:
        require_folder(folder)
    if verify:
        spec = _spec(target, program)
        with progress_of_check(screen([json])) as observer:
            replay = replayed(folder, spec, timeout, observer, chapters)
        if json is not None:
            machine.write(report.replayed_document(replay, spec), json)
        lines, status = report.replayed(replay), replay.exit_status
    elif recompute:
        with bar(screen(), "choosing cases") as update:
            cases = chosen(lambda done, count: update(completed=done, total=count), workers)
        cases = [case for case in cases if case.chapter in chapters]
        lines, status = report.written(cases, write(cases, folder, chapters), folder), 0
    else:
        size = write(None, folder, chapters)
        lines, status = report.written(read(folder, chapters), size, folder), 0
    for line in lines:
        typer.echo(escaped(line, None), err=str(json) == "-")
    raise typer.Exit(status)


def _of_the_project(context: typer.Context) -> dict[str, Any]:
    """The options of a check that the project sets and the command line does not."""
    from calibrant.checks import project

    sources = [(field, context.get_parameter_source(name)) for name, field in project.NAMES.items()]
    given = {field for field, source in sources if source is not None and source.name != "DEFAULT"}
    return project.under(project.defaults(Path()), given)


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


def _fail(sentence: str, status: int = 2) -> NoReturn:
    from calibrant.protocol.errors import escaped

    with contextlib.suppress(OSError):  # the status says it too
        typer.echo(f"calibrant: {escaped(sentence)}", err=True)
    sys.exit(status)


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
        sys.stdout.flush()
        if status == 130:  # what some versions of typer make of Ctrl-C
            raise KeyboardInterrupt
        sys.exit(status)
    except CheckError as error:
        _fail(str(error))
    except OSError as error:
        # Where it is the output that cannot be written, Python would try again at its end, and fail with a status of its own.
        with contextlib.suppress(OSError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        _fail(str(error))
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted: there is no result", 130)
    except Exception as error:
        # typer's own errors tell in a sentence what is wrong with the command line.
        sentence = getattr(error, "format_message", None)
        if sentence is None:
            raise
        _fail(" ".join(sentence().split()))

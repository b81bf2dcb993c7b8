"""calibrant from Python: a check of any object, and its report. Nothing heavy is imported before a check needs it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from calibrant.checks.options import Options
    from calibrant.checks.verdicts import Result, Verdict
    from calibrant.target.description import Target


def check(
    target: object,
    *,
    chapters: str | Iterable[str] = (),
    clauses: str | Iterable[str] = (),
    dtypes: str | Iterable[str] = (),
    examples: int | None = None,
    seed: int | None = None,
    profile: str = "dev",
    timeout: float = 10.0,
    workers: int | None = None,
    isolated: bool = False,
    strict: bool = False,
    formulas: str | os.PathLike[str] | None = None,
    autodiff: str | None = None,
    shapes: str | None = None,
) -> Report:
    """Hold a target against the book, and return a report. The arguments mean what the options of `calibrant check` mean.

    An object (a module, an instance, a dict of functions, a function with the name of an operation) runs in this process and is trusted:
    only Python code that hangs is stopped. A text or path ("mine.py", "package.module", "numpy") runs in workers that may be ended;
    isolated=True keeps it apart from its judge, too. formulas, "catalogue" or a file, takes the place of the chapters. Raises CheckError, in one sentence, where no check can be made.
    """
    from calibrant.book.formulas import checking
    from calibrant.checks.options import Options

    source = os.fsdecode(formulas) if isinstance(formulas, os.PathLike) else formulas
    options = Options(
        chapters=_several(chapters),
        clauses=_several(clauses),
        dtypes=_several(dtypes),
        profile=profile,
        examples=examples,
        seed=seed,
        timeout=timeout,
        workers=workers,
        isolated=isolated,
        strict=strict,
        formulas=source,
        autodiff=autodiff,
        shapes=shapes,
    )
    with checking(source, autodiff, shapes):
        if isinstance(target, (str, os.PathLike)):
            from calibrant.checks.check import check as in_workers

            return Report(in_workers(os.fsdecode(target), options))
        return Report(_in_this_process(target, options))


class Report:
    """The result of a check. print(report) shows it as the terminal does; a notebook shows a table."""

    def __init__(self, result: Result) -> None:
        self._result = result

    @property
    def ok(self) -> bool:
        """Whether the target conforms, as far as it was checked."""
        with self._book():
            return self._result.exit_status == 0

    def _book(self) -> AbstractContextManager[None]:
        """The book with the formulas of the check."""
        from calibrant.book.formulas import checking

        options = self._result.options
        return checking(options.formulas, options.autodiff, options.shapes)

    @property
    def verdicts(self) -> list[Verdict]:
        """One verdict for each clause and dtype: clause, level, sentence, dtype, status, reason, failures, and counts."""
        return self._result.verdicts

    @property
    def failures(self) -> list[Verdict]:
        """The verdicts for which the target does not conform."""
        return [verdict for verdict in self.verdicts if verdict.fails(strict=self._result.options.strict)]

    def to_json(self) -> str:
        """The document that `calibrant check --json` writes."""
        import json

        from calibrant.reports.machine import document

        with self._book():
            return json.dumps(document(self._result), indent=1, allow_nan=False)

    def __str__(self) -> str:
        import shutil

        from calibrant.reports.terminal import text

        with self._book():
            return text(self._result, width=shutil.get_terminal_size((120, 24)).columns).rstrip("\n")

    def __repr__(self) -> str:
        from calibrant.reports.closing import closing_lines

        with self._book():
            return f"<Report: {closing_lines(self._result)[-1]}>"

    def _repr_markdown_(self) -> str:
        from calibrant.checks.check import Checked
        from calibrant.reports import markdown

        with self._book():
            return markdown.text([Checked(self._result.target["spec"], self._result)])


def _several(names: str | Iterable[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _in_this_process(target: object, options: Options) -> Result:
    from calibrant.checks.here import check as here
    from calibrant.protocol.errors import CheckError

    if options.isolated:
        raise CheckError(
            "isolated is True: another process can load a path or a name, but not an object of this process"
        )
    loaded = _loaded(target, options.timeout)
    try:
        return here(loaded, options)
    finally:
        if loaded.program is not None:
            loaded.program.close()


def _loaded(target: object, timeout: float) -> Target:
    """The target that an object is; a dict is its functions, and a function with the name of an operation is that operation."""
    import sys
    from collections.abc import Mapping
    from types import ModuleType, SimpleNamespace

    from calibrant.protocol.operations import OPERATIONS
    from calibrant.target.loading import OBJECT, of_object

    name = getattr(target, "__name__", None)
    if not isinstance(name, str):
        name = "target" if isinstance(target, (Mapping, SimpleNamespace)) else type(target).__name__
    if isinstance(target, ModuleType) and name != "__main__" and sys.modules.get(name) is target:
        return of_object(target, name, name.rpartition(".")[2], timeout)
    implementation: Any = target
    if isinstance(target, Mapping):
        implementation = SimpleNamespace(**{str(key): value for key, value in target.items()})
    elif callable(target) and name in OPERATIONS:
        implementation = SimpleNamespace(**{name: target})
    return of_object(implementation, OBJECT + name, name, timeout)

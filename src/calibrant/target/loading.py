"""Find a target by its name, and load it here or, for its description, in a process that it may end."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from calibrant.protocol.errors import TargetError, brief, last_words, named, nearest
from calibrant.protocol.operations import IMPORT_PATIENCE, OPERATIONS, join_formulas
from calibrant.target.autodiff import differentiated
from calibrant.target.description import Target, described
from calibrant.target.processes import end_all, end_group, no_process_left, tail
from calibrant.target.program import REGISTER, Program, command_of

GROUP = "calibrant.targets"
PYTHON = (sys.executable, "-P")
"""The interpreter's command line. Files in the working directory hide no module."""
_GLANCE = 0.01
"""Seconds between two looks for the description of a target."""
PROGRAM = "program: "
"""The beginning of a target that is a command line."""
ISOLATED = "isolated: "
"""The beginning of a target in Python that a process of its own holds."""
OBJECT = "object: "
"""The beginning of a target that only this process holds."""


def load(spec: str, timeout: float = 10.0, environ: Mapping[str, str] | None = None) -> Target:
    """Load a target: a registered name, `file.py`, `file.py:object`, `package.module`, `module:object`, or `program: COMMAND LINE`.

    `environ` changes the environment of a target that is a program.
    Raises TargetError, in one sentence, if it is not found, cannot be imported, or offers nothing to check.
    """
    join_formulas()
    if spec.startswith(ISOLATED):
        serve = [*PYTHON, "-m", "calibrant.target.serving", spec.removeprefix(ISOLATED), repr(timeout)]
        return _started(spec, serve, timeout, environ)
    if spec.startswith(PROGRAM):
        return _started(spec, command_of(spec.removeprefix(PROGRAM)), timeout, environ)
    place, attribute = located(spec)
    if spec not in registered() and (other := _other_than_a_file(place)):
        raise TargetError(f"target {spec!r} is {other}")
    if spec in registered() and (lacking := unmet(spec)):
        raise TargetError(f"target {spec!r} needs {lacking}: {install_hint(spec)}")
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place, spec)
    except (TargetError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise TargetError(f"target {spec!r} called sys.exit({brief(error.code)}) while it was imported") from None
    except BaseException as error:  # the target's own code ran: it may raise anything
        why = f"{named(error)}{_where(error)}{hiding(place)}"
        raise TargetError(f"target {spec!r} cannot be imported: {why}") from None
    implementation: Any = module
    for part in attribute.split(".") if attribute else ():
        try:
            implementation = getattr(implementation, part)
        except AttributeError:
            public = [name for name in dir(implementation) if not name.startswith("_")]
            raise TargetError(f"target {spec!r}: {place} has no {part!r}{nearest(part, public)}") from None
    if isinstance(implementation, type) and _has_methods(implementation):
        try:
            implementation = implementation()
        except Exception as error:  # its own code ran
            why = f"is a class of which no object can be made without arguments ({named(error)}): name an object of it"
            raise TargetError(f"target {spec!r} {why}") from None
    name = attribute or (Path(place).stem if place.endswith(".py") else place.rpartition(".")[2])
    return of_object(implementation, spec, name, timeout, environ)


def of_object(
    implementation: Any, spec: str, name: str, timeout: float, environ: Mapping[str, str] | None = None
) -> Target:
    """The target that an object is. Raises TargetError, in one sentence, if it offers nothing to check."""
    try:
        command = getattr(implementation, "program", None)
        if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
            return _started(spec, command, timeout, environ)
        return described(spec, differentiated(implementation), name, timeout)
    except TargetError:
        raise
    except Exception as error:  # its own code may compute its attributes
        why = f"{named(error)}{hiding(located(spec)[0])}"
        raise TargetError(f"target {spec!r} cannot be read: {why}") from None


def _started(spec: str, command: list[str], timeout: float, environ: Mapping[str, str] | None) -> Target:
    """A target that is a program, started."""
    program = Program(command, timeout, environ)
    try:
        target = described(spec, program, Path(command[0]).name, timeout)
    except TargetError:
        program.close(0.0)
        raise
    target.program = program
    return target


def registered() -> dict[str, importlib.metadata.EntryPoint]:
    """The targets that installed distributions register, by name."""
    return _registered(tuple(sys.path))


@functools.lru_cache(maxsize=1)
def _registered(path: tuple[str, ...]) -> dict[str, importlib.metadata.EntryPoint]:
    """The registered targets. Reading them is slow, so they are kept while the path of imports stays the same."""
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def located(spec: str) -> tuple[str, str]:
    """The place of a target, which is a file that ends in .py or a module, and the object in it.

    A colon before `.py` belongs to the path.
    """
    if spec in registered():
        spec = registered()[spec].value
    elif spec.endswith(".py"):
        return spec, ""
    before, _, after = spec.rpartition(":")
    if before.endswith(".py"):
        return before, after
    place, _, attribute = spec.partition(":")
    return place, attribute


def unmet(name: str) -> str:
    """The version that a registered target needs and does not find: 'optax>=0.2, but 0.1.9 is installed'; else empty."""
    from packaging.requirements import Requirement

    distribution = registered()[name].dist
    for needed in map(Requirement, (distribution and distribution.requires) or []):
        of_extra = needed.marker and [needed.marker.evaluate({"extra": extra}) for extra in (name, "")]
        if of_extra != [True, False]:
            continue
        try:
            found = importlib.metadata.version(needed.name)
        except importlib.metadata.PackageNotFoundError:
            continue  # the import reports it
        if not needed.specifier.contains(found, prereleases=True):
            return f"{needed.name}{needed.specifier}, but {found} is installed"
    return ""


def install_hint(name: str) -> str:
    """The command that installs the extra of a registered target's name, if its distribution has such an extra."""
    distribution = registered()[name].dist
    has_extra = distribution is not None and name in (distribution.metadata.get_all("Provides-Extra") or [])
    return f"pip install '{distribution.name}[{name}]'" if distribution is not None and has_extra else ""


def probe(spec: str, timeout: float, python: Sequence[str] = PYTHON) -> dict[str, Any]:
    """Read a target's description in a silent process, and end it with all that it started.

    Raises TargetError if the target cannot be loaded.
    """
    with no_process_left():
        return _probed(spec, timeout, python)


def probes(specs: Sequence[str], timeout: float) -> Iterator[dict[str, Any] | TargetError]:
    """The description of each target, or why it cannot be loaded. They are read side by side, and then ended together."""

    def probed(spec: str) -> dict[str, Any] | TargetError:
        try:
            return _probed(spec, timeout)
        except TargetError as error:
            return error

    with ThreadPoolExecutor() as pool, no_process_left():  # whose threads end with the processes
        yield from pool.map(probed, specs)


def _probed(spec: str, timeout: float, python: Sequence[str] = PYTHON) -> dict[str, Any]:
    patience = IMPORT_PATIENCE * timeout
    with tempfile.TemporaryDirectory(prefix="calibrant-") as folder:
        answer, register, errors = (Path(folder) / name for name in ("target.json", "programs", "errors"))
        with errors.open("ab") as file:
            process = subprocess.Popen(
                [*python, "-c", f"from {__name__} import _main; _main()", spec, str(timeout), str(answer)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=file,
                start_new_session=True,
                env=os.environ | {REGISTER: str(register)},
            )
        try:
            until = time.monotonic() + patience
            while not answer.exists() and process.poll() is None:  # its threads may go on after the answer
                if time.monotonic() > until:
                    raise TargetError(
                        f"target {spec!r} did not finish importing within {patience:g} s{last_words(tail(errors))}"
                    )
                time.sleep(_GLANCE)
                tail(errors)
        finally:
            end_group(process.pid)
            code = process.wait()
            end_all(register)
        if not answer.exists():
            raise TargetError(
                f"target {spec!r} ended its process (status {code}) while it was imported{last_words(tail(errors))}"
            )
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in said:
        raise TargetError(said["error"])
    return said


def _main() -> None:
    """Load a target in this process, and write its description to a file."""
    spec, timeout, file = sys.argv[1:]
    try:
        target = load(spec, float(timeout))
        said = target.describe()
        if target.program is not None:
            target.program.close()
    except TargetError as error:
        said = {"error": str(error)}
    unfinished = Path(f"{file}.part")
    unfinished.write_text(json.dumps(said), encoding="utf-8")
    unfinished.rename(file)


def _has_methods(made: type) -> bool:
    """Whether a class has an operation that takes the object as its first argument, by the name that everybody gives it."""
    functions = (inspect.getattr_static(made, name, None) for name in OPERATIONS)
    return any(isinstance(one, FunctionType) and one.__code__.co_varnames[:1] == ("self",) for one in functions)


def _other_than_a_file(place: str) -> str:
    """What is at the place of a target, where it is neither a file of Python's nor may be a module; else empty."""
    path = Path(place)
    kinds = "a target is a file that ends in .py, a module or a registered name"
    if not place.strip():
        return f"empty: {kinds}"
    if path.is_dir():
        files = sorted(path.glob("*.py"))
        first = f"name a file in it, as in {str(files[0])!r}" if files else kinds
        return "" if place.isidentifier() and files else f"a folder: {first}"
    if path.exists() and not path.is_file():
        return f"no regular file but a pipe, a socket or a device: {kinds}"
    return f"a file whose name does not end in .py: {kinds}" if path.is_file() and not place.endswith(".py") else ""


def hiding(place: str) -> str:
    """'; /their/re.py hides the module re', for each such file that this process has imported; else empty."""
    of_others = sys.stdlib_module_names | set(importlib.metadata.packages_distributions()) - {Path(place).stem}
    folders = dict.fromkeys((Path(place).resolve().parent, Path.cwd())) if place.endswith(".py") else [Path.cwd()]
    found = []
    for file in sorted(file for folder in folders for file in folder.glob("*.py") if file.stem in of_others):
        if getattr(sys.modules.get(file.stem), "__file__", None) == str(file):
            found.append(f"; {file} hides the module {file.stem}")
    return "".join(found)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise TargetError(f"target {str(path)!r}: there is no such file{nearest(path.name, beside)}")
    path = path.resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        with _first_on_the_path(path.parent):
            spec.loader.exec_module(module)
    except ImportError as error:
        folder, name = packaged(path)
        if "relative import" not in str(error) or not all(map(str.isidentifier, name.split("."))):
            raise
        with _first_on_the_path(path.parent), _first_on_the_path(folder):
            return importlib.import_module(name)
    return module


def packaged(path: Path) -> tuple[Path, str]:
    """The folder and the name by which a file is a module of the package that it is in, or else of its folder."""
    folder = path.resolve().parent
    names = [folder.name, path.stem]
    while (folder / "__init__.py").exists() and (folder.parent / "__init__.py").exists():
        folder = folder.parent
        names.insert(0, folder.name)
    return folder.parent, ".".join(names).removesuffix(".__init__")


@contextlib.contextmanager
def _first_on_the_path(folder: Path) -> Iterator[None]:
    """Look for modules in a folder first, as Python does for a script; after the block, look there after the standard library.

    What a library imports later is not what a file of the target's happens to be called like.
    """
    name = str(folder)
    sys.path.insert(0, name)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the target may have changed the path
            sys.path.remove(name)
        if name not in sys.path:
            library = Path(os.__file__).parent
            standard = [k for k, place in enumerate(map(Path, sys.path)) if place in (library, library / "lib-dynload")]
            sys.path.insert(max(standard, default=-1) + 1, name)


def _import_module(name: str, spec: str) -> ModuleType:
    known = spec in registered() or str(Path.cwd()) in sys.path
    try:
        if name.startswith("."):  # of no package
            raise ValueError
        with contextlib.nullcontext() if known else _first_on_the_path(Path.cwd()):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if spec in registered():
            hint = install_hint(spec)
            missing = f"needs {error.name}, which is not installed{hint and f': {hint}'}"
            raise TargetError(f"target {spec!r} {missing}") from None
        if error.name and f"{name}.".startswith(f"{error.name}."):
            none = f"no file, module or registered target has that name{nearest(spec, registered())}"
            raise TargetError(f"target {spec!r}: {none}") from None
        raise
    except ValueError:
        raise TargetError(f"target {spec!r} is neither a file, a module nor a registered target") from None


def _where(error: BaseException) -> str:
    """The place in the target where an import failed: ' (line 3 of my_target.py)'."""
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno} of {error.filename})"
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    outside = [(name, line) for name, line in frames if "importlib" not in name and not name.startswith("<frozen")]
    name, line = (outside or frames)[-1]
    return f" (line {line} of {name})" if name != __file__ else ""

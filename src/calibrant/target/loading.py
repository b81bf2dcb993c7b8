"""How a target is found and loaded."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from calibrant.protocol.errors import TargetError
from calibrant.protocol.text import first_line, nearest
from calibrant.target.description import Target, described
from calibrant.target.program import Program

GROUP = "calibrant.targets"
PROGRAM = "program: "
"""What a target begins with that is a command line."""


def load(spec: str, timeout: float = 10.0) -> Target:
    """The target that `spec` names: a registered name, `file.py`, `file.py:object`, `package.module` or `module:object`; or
    `program: COMMAND LINE`.

    Raises TargetError, in one sentence, if there is none, if it cannot be imported, or if it offers nothing to check.
    """
    if spec.startswith(PROGRAM):
        from calibrant.target.program import command_of

        return _started(spec, command_of(spec.removeprefix(PROGRAM)), timeout)
    place, _, attribute = resolve(spec).partition(":") if not is_file(spec) else split_file(spec)
    if spec in registered() and (lacking := unmet(spec)):
        raise TargetError(f"target {spec!r} needs {lacking}: {install_hint(spec)}")
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place, spec)
    except (TargetError, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise TargetError(f"target {spec!r} called sys.exit({error.code!r}) while it was imported") from None
    except BaseException as error:  # the target's own code ran: whatever it raised is said in one sentence
        raise TargetError(
            f"target {spec!r} cannot be imported: {type(error).__name__}: {first_line(error)}{_where(error)}"
        ) from None
    implementation: Any = module
    for part in attribute.split(".") if attribute else ():
        try:
            implementation = getattr(implementation, part)
        except AttributeError:
            public = [name for name in dir(implementation) if not name.startswith("_")]
            raise TargetError(f"target {spec!r}: {place} has no {part!r}{nearest(part, public)}") from None
    name = attribute or (Path(place).stem if place.endswith(".py") else place.rpartition(".")[2])
    try:
        command = getattr(implementation, "program", None)
        if isinstance(command, list) and command and all(isinstance(word, str) for word in command):
            return _started(spec, command, timeout)
        return described(spec, implementation, name, timeout)
    except TargetError:
        raise
    except Exception as error:  # what it says of itself may be computed by its own code
        raise TargetError(f"target {spec!r} cannot be read: {type(error).__name__}: {first_line(error)}") from None


def _started(spec: str, command: list[str], timeout: float) -> Target:
    """The target that a program is."""

    program = Program(command, timeout)
    try:
        target = described(spec, program, Path(command[0]).name, timeout)
    except TargetError:
        program.close(0.0)
        raise
    target.program, target.trusted = program, True
    return target


def registered() -> dict[str, str]:
    """The targets that installed distributions register, by name: where each is found."""
    return _registered(tuple(sys.path))


@functools.lru_cache(maxsize=1)
def _registered(path: tuple[str, ...]) -> dict[str, str]:
    """As long as the path of imports is the same, what is installed is read once: that takes as long as many properties."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


def unmet(name: str) -> str:
    """Which version of what a registered target does not work with: 'optax>=0.2, but 0.1.9 is installed'; empty if none."""
    from packaging.requirements import Requirement

    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        for text in (entry.dist.requires if entry.dist is not None else None) or []:
            needed = Requirement(text)
            if (
                needed.marker is None
                or not needed.marker.evaluate({"extra": name})
                or needed.marker.evaluate({"extra": ""})
            ):
                continue
            try:
                found = importlib.metadata.version(needed.name)
            except importlib.metadata.PackageNotFoundError:
                continue  # its import says so
            if not needed.specifier.contains(found, prereleases=True):
                return f"{needed.name}{needed.specifier}, but {found} is installed"
    return ""


def install_hint(name: str) -> str:
    """The command that installs what a registered target needs: its distribution's extra of the same name, if it has one."""
    for entry in importlib.metadata.entry_points(group=GROUP, name=name):
        if entry.dist is not None and name in (entry.dist.metadata.get_all("Provides-Extra") or []):
            return f"pip install '{entry.dist.name}[{name}]'"
    return ""


def resolve(spec: str) -> str:
    """A registered name as the module that it stands for; anything else as it is."""
    return registered().get(spec, spec)


def is_file(spec: str) -> bool:
    """Whether the spec names a file, and not a module or a registered target."""
    return spec not in registered() and (split_file(spec)[0].endswith(".py") or "/" in spec)


def split_file(spec: str) -> tuple[str, str, str]:
    """`file.py:object` in two; a colon before `.py` belongs to the path."""
    if spec.endswith(".py"):
        return spec, "", ""
    place, colon, attribute = spec.rpartition(":")
    return (place, colon, attribute) if place.endswith(".py") else (spec, "", "")


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        beside = sorted(other.name for other in path.parent.glob("*.py")) if path.parent.is_dir() else []
        raise TargetError(f"target {str(path)!r}: there is no such file{nearest(path.name, beside)}")
    path = path.resolve()
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise TargetError(f"target {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def _import_module(name: str, spec: str) -> ModuleType:
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if spec in registered():
            hint = install_hint(spec)
            raise TargetError(
                f"target {spec!r} needs {error.name}, which is not installed{f': {hint}' if hint else ''}"
            ) from None
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise TargetError(
                f"target {spec!r}: no file, module or registered target has that name{nearest(spec, list(registered()))}"
            ) from None
        raise
    except ValueError:
        raise TargetError(f"target {spec!r} is neither a file, a module nor a registered target") from None


def _where(error: BaseException) -> str:
    """' (line 3 of my_target.py)': where in the target an import failed."""
    if isinstance(error, SyntaxError):
        return f" (line {error.lineno} of {error.filename})"
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    outside = [(name, line) for name, line in frames if "importlib" not in name and not name.startswith("<frozen")]
    name, line = outside[-1] if outside else frames[-1]
    return f" (line {line} of {name})" if name != __file__ else ""

"""An implementation under test: how it is found, and what it says of itself."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import importlib.util
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calibrant.program import Program
    from calibrant.subject import Subject

PARAMETERS = {
    "thermometer": (),
    "norris": (),
    "least_squares": ("t_u", "t_c"),
    "figures": (),
    "model": ("t_u", "w", "b"),
    "loss_fn": ("t_p", "t_c"),
    "absolute_loss": ("t_p", "t_c"),
    "dabsolute_loss": ("t_p", "t_c"),
    "dloss_fn": ("t_p", "t_c"),
    "dmodel_dw": ("t_u", "w", "b"),
    "dmodel_db": ("t_u", "w", "b"),
    "grad_fn": ("t_u", "t_c", "t_p", "w", "b"),
    "finite_difference": ("t_u", "t_c", "w", "b", "delta"),
    "difference_gradient": ("loss", "params", "delta"),
    "automatic_gradient": ("loss", "params"),
    "value_and_grad": ("params", "t_u", "t_c"),
    "training_loop": ("n_epochs", "optimizer", "params", "t_u", "t_c", "val_t_u", "val_t_c"),
    "closed_form": ("n_epochs", "learning_rate", "params", "t_u", "t_c"),
    # broadcasting
    "broadcast_shapes": ("*shapes",),
    "multiply": ("x", "y"),
    "multiply_in_place": ("x", "y"),
    "expand": ("x", "shape"),
    "multiply_grad": ("x", "y", "upstream"),
    # autograd
    "backward": ("losses", "params", "zero_grad"),
    "descend": ("loss", "params", "learning_rate", "n_steps", "no_grad"),
    "manual_training_loop": ("n_epochs", "learning_rate", "params", "t_u", "t_c"),
    "evaluate": ("loss", "params", "is_train"),
    "calc_forward": ("params", "t_u", "t_c", "is_train"),
    # accumulation
    "accumulate": ("params", "batches", "zero_grad"),
    "accumulated_grad": ("params", "batches"),
    "data_parallel": ("params", "shards", "n_epochs", "lr"),
    # optimizers
    "optimize": ("name", "hyperparameters", "params", "grads"),
    # validation
    "split": ("n_samples", "val_fraction", "seed"),
    "split_data": ("t_u", "t_c", "val_fraction", "seed"),
    "validation_loss": ("params", "t_u", "t_c"),
    "regularized_loss": ("t_p", "t_c", "w", "l1", "l2"),
    "regularized_grad": ("t_u", "t_c", "w", "b", "l1", "l2"),
    "ridge": ("t_u", "t_c", "l2"),
    "early_stopping": ("val_losses", "patience"),
    "diagnose": ("train_losses", "val_losses"),
}
"""The operations that are judged, each with the names of its arguments; one with a star stands for any number of them.

A property may leave out the last arguments of an operation that has defaults for them.
"""

RETURNS = {
    "thermometer": ("t_u", "t_c"),
    "norris": ("x", "y"),
    "automatic_gradient": ("loss", "grad"),
    "value_and_grad": ("loss", "grad"),
    "training_loop": ("params", "train_losses", "val_losses"),
    "expand": ("expanded", "strides", "shared"),
    "multiply_grad": ("grad_x", "grad_y"),
    "manual_training_loop": ("params", "losses"),
    "data_parallel": ("grad", "params"),
    "split": ("train_indices", "val_indices"),
    "split_data": ("train_t_u", "train_t_c", "val_t_u", "val_t_c"),
    "validation_loss": ("loss", "recorded"),
    "early_stopping": ("stopped_epoch", "best_epoch"),
}
"""The operations that return a tuple of arrays and not one array; `figures` returns what no array holds."""

LISTS = {"optimize": 2, "backward": 2, "descend": 2, "evaluate": 1, "calc_forward": 1}
"""The operations that return lists of arrays, or lists of such lists: how deep. In the place of an array, None may stand."""

STARTING = ("data_parallel",)
"""The operations that may start processes, which then import what the target did."""

IMPORT_PATIENCE = 6
"""An import may take this many times as long as a call."""

FUNCTIONS = ("difference_gradient", "automatic_gradient", "backward", "descend", "evaluate")
"""The operations that take functions of Python's, so that no program in another language can have them."""

SHAPES = ("broadcast_shapes",)
"""The operations that return a shape."""

WORDS = ("diagnose",)
"""The operations that return a word."""

CONVENTIONS = {
    "sgd.buffer": ("plain", "with-lr", "average"),
    "sgd.dampening": ("skipped-first", "always"),
    "sgd.nesterov": ("torch", "look-ahead"),
    "sgd.decay": ("coupled", "decoupled"),
    "adam.epsilon": ("outside", "inside", "hat"),
    "adam.correction": ("both", "none"),
    "adam.amsgrad": ("raw", "corrected"),
    "adam.decay": ("coupled", "decoupled"),
    "adamw.decay": ("before", "after", "without-lr"),
    "rmsprop.epsilon": ("outside", "inside"),
    "rmsprop.start": ("zero", "one"),
    "rmsprop.buffer": ("plain", "with-lr"),
    "adagrad.epsilon": ("outside", "inside"),
    "adadelta.rate": ("with", "without"),
    "adamax.epsilon": ("in-maximum", "outside"),
    "adamax.correction": ("both", "none"),
    "nadam.schedule": ("slow", "fast", "constant"),
    "radam.epsilon": ("hat", "outside"),
}
"""Where the field has several legitimate variants of an optimizer: the name of each choice and what it may be, PyTorch's first."""

ARITHMETIC = {"arithmetic.subnormals": ("kept", "flushed")}
"""What a machine, or a compiler, may do otherwise than IEEE 754 has it."""

DTYPES = ("float16", "bfloat16", "float32", "float64")
GROUP = "calibrant.targets"
PROGRAM = "program: "
"""What a target begins with that is a command line."""


class TargetError(Exception):
    """A target that cannot be checked at all, in one sentence."""


class NoAnswer(Exception):
    """What a program gives that is no answer: it died, hung, or spoke another language."""

    def __init__(self, sentence: str, *, answered: bool = False, final: bool = False) -> None:
        super().__init__(sentence)
        self.answered = answered
        """Whether it returned something, though no numbers."""
        self.final = final
        """Whether the operation is not to be called any more."""


@dataclass
class Target:
    """An implementation, and what it says of itself."""

    spec: str
    implementation: Any
    name: str
    version: str | None
    operations: tuple[str, ...]
    dtypes: tuple[str, ...]
    conventions: Mapping[str, str]
    deviations: Mapping[str, str]
    slack: float
    timeout: float = 10.0
    hung: dict[str, str] = field(default_factory=dict)
    """What is said of operations that are not called again: they did not return in time, or ended the program."""
    program: Program | None = None
    """The program that it is, if it is one; it keeps the time of its calls."""
    trusted: bool = False
    """Whether it is calibrant's own: nothing has to watch over its calls."""
    explained: dict[Any, Any] = field(default_factory=dict)
    """The impostors that its answers were found to be those of."""

    @property
    def flushes(self) -> bool:
        """Whether it declares that it takes subnormal numbers for zero."""
        return self.conventions.get("arithmetic.subnormals") == "flushed"

    def describe(self) -> dict[str, Any]:
        """What it says of itself, for reports."""
        return {
            "spec": self.spec,
            "name": self.name,
            "version": self.version,
            "operations": list(self.operations),
            "dtypes": list(self.dtypes),
            "conventions": dict(self.conventions),
            "deviations": dict(self.deviations),
            "slack": self.slack,
        }

    def at(self, dtype: str) -> Subject:
        """The target as it is called in one dtype."""
        from calibrant.subject import Subject

        return Subject(self, dtype)


def numpy_dtype(name: str) -> Any:
    """The NumPy dtype of that name. Raises TargetError for bfloat16 where ml_dtypes, which brings it, is missing."""
    import numpy as np

    if name == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")
        except ImportError:
            raise TargetError("bfloat16 needs ml_dtypes: pip install 'calibrant[bfloat16]'") from None
    return np.dtype(name)


def by_name(operation: str, arguments: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a call by their names; any number of them is a list."""
    names = PARAMETERS[operation]
    if names and names[0].startswith("*"):
        return {names[0][1:]: list(arguments)}
    return dict(zip(names, arguments, strict=False))


def patience(operation: str, timeout: float) -> float:
    """The seconds that a call of an operation may take, where most may take `timeout`."""
    return timeout * IMPORT_PATIENCE if operation in STARTING else timeout


def load(spec: str, timeout: float = 10.0) -> Target:
    """The target that `spec` names: a registered name, `file.py`, `file.py:object`, `package.module` or `module:object`; or
    `program: COMMAND LINE`.

    Raises TargetError, in one sentence, if there is none, if it cannot be imported, or if it offers nothing to check.
    """
    if spec.startswith(PROGRAM):
        from calibrant.program import command_of

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
    from calibrant.program import Program

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


def nearest(word: str, words: Iterator[str] | list[str] | tuple[str, ...]) -> str:
    """', nearest: a, b' for the words that resemble it, or nothing."""
    close = difflib.get_close_matches(word, list(words), n=3, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""


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


def described(spec: str, implementation: Any, name: str, timeout: float) -> Target:
    """The target with what it says of itself, each part checked."""

    def said(attribute: str, default: Any) -> Any:
        value = getattr(implementation, attribute, default)
        return default if value is None else value

    operations = tuple(operation for operation in PARAMETERS if callable(getattr(implementation, operation, None)))
    if not operations:
        raise TargetError(
            f"target {spec!r} has none of the operations: {', '.join(PARAMETERS)}"
            + nearest(name, list(PARAMETERS)) * (not isinstance(implementation, (ModuleType, SimpleNamespace)))
        )
    dtypes = said("dtypes", ("float32", "float64"))
    if not isinstance(dtypes, (list, tuple)) or not dtypes:
        raise TargetError(f"target {spec!r}: dtypes is {brief(dtypes)}, not a list of {', '.join(DTYPES)}")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise TargetError(
                f"target {spec!r}: dtypes names {brief(dtype)}, which is not judged{nearest(str(dtype), DTYPES)}"
            )
    slack = said("slack", 1.0)
    if isinstance(slack, bool) or not isinstance(slack, (int, float)) or not 1 <= slack < math.inf:
        raise TargetError(f"target {spec!r}: slack is {brief(slack)}, not a number of at least 1")
    tables = {}
    for attribute in ("conventions", "deviations"):
        table = said(attribute, {})
        if not isinstance(table, Mapping) or not all(isinstance(x, str) and x for pair in table.items() for x in pair):
            raise TargetError(f"target {spec!r}: {attribute} is {brief(table)}, not a dict of names with their reasons")
        tables[attribute] = dict(table)
    from calibrant.clauses import book

    for clause in tables["deviations"]:
        if clause not in book():
            raise TargetError(
                f"target {spec!r}: deviations names the clause {clause!r}, which is not in the book{nearest(clause, list(book()))}"
            )
    known = CONVENTIONS | ARITHMETIC
    for convention, value in tables["conventions"].items():
        if convention not in known:
            raise TargetError(
                f"target {spec!r}: conventions names {convention!r}, which is none{nearest(convention, list(known))}"
            )
        if value not in known[convention]:
            raise TargetError(
                f"target {spec!r}: conventions says {convention} = {value!r}, not one of {', '.join(known[convention])}"
                f"{nearest(value, known[convention])}"
            )
    version = getattr(implementation, "version", None)
    return Target(
        spec=spec,
        implementation=implementation,
        name=str(said("name", name)) if isinstance(said("name", name), str) else name,
        version=version if isinstance(version, str) else None,
        operations=operations,
        dtypes=tuple(dtypes),
        conventions=tables["conventions"],
        deviations=tables["deviations"],
        slack=float(slack),
        timeout=timeout,
    )


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


def brief(value: Any) -> str:
    """A value of the target's in at most 80 characters."""
    try:
        text = repr(value)
    except Exception as error:  # the target's own __repr__ ran
        text = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def first_line(error: BaseException) -> str:
    """What an exception of the target's says, in one line."""
    try:
        return (str(error).strip().splitlines() or ["(no message)"])[0][:300]
    except Exception as again:  # the target's own __str__ ran
        return f"(its message cannot be read: {type(again).__name__})"

"""An implementation under test: how it is found, and how one operation of it is called without trusting it."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import importlib.metadata
import importlib.util
import io
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, NoReturn

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
    "training_loop": ("n_epochs", "optimizer", "params", "t_u", "t_c"),
    "closed_form": ("n_epochs", "learning_rate", "params", "t_u", "t_c"),
}
"""The operations that are judged, each with the names of its arguments."""

RETURNS = {
    "thermometer": ("t_u", "t_c"),
    "norris": ("x", "y"),
    "automatic_gradient": ("loss", "grad"),
    "value_and_grad": ("loss", "grad"),
    "training_loop": ("params", "train_losses", "val_losses"),
}
"""The operations that return a tuple of arrays and not one array; `figures` returns what no array holds."""

DTYPES = ("float16", "bfloat16", "float32", "float64")
GROUP = "calibrant.targets"
_OUTPUT_KEPT = 2000


class TargetError(Exception):
    """A target that cannot be checked at all, in one sentence."""


class Absent(Exception):
    """An operation that the target does not provide."""


class Refused(Absent):
    """A request that an operation does not serve: it raised NotImplementedError."""


class Failure(AssertionError):
    """An operation that gave no answer that could be judged: it raised, hung, or returned what is not a number."""

    def __init__(self, sentence: str, *, raised: bool = False, answered: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.raised = raised
        """Whether it raised an exception, as it must where it is to refuse."""
        self.answered = answered
        """Whether it returned something, though no numbers."""


class Hang(BaseException):
    """Raised inside a call that has run too long; not an Exception, so that `except Exception` does not stop it."""


@dataclass
class Call:
    """One call of an operation: what was asked, and what came back."""

    operation: str
    arguments: dict[str, Any]
    passed: tuple[Any, ...] = ()
    converted: tuple[Any, ...] = ()
    answer: Any = None
    output: str = ""


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
    """What is said of operations that did not return in time: they are not called again."""

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
        return Subject(self, dtype)


class Subject:
    """A target in one dtype: `subject.loss_fn(t_p, t_c)` calls that operation, guarded, and returns NumPy arrays."""

    def __init__(self, target: Target, dtype: str) -> None:
        from calibrant.exact import FORMATS
        from calibrant.judge import Tally

        self.target = target
        self.dtype = numpy_dtype(dtype)
        self.form = FORMATS[dtype]
        self.calls: list[Call] = []
        self.tally = Tally(slack=target.slack)

    def __repr__(self) -> str:
        return f"{self.target.name} in {self.form.name}"

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        if operation not in PARAMETERS:
            raise AttributeError(operation)

        def call(*arguments: Any) -> Any:
            return self.call(operation, arguments)

        return call

    def array(self, x: Any) -> Any:
        """x rounded to an array of the dtype under test."""
        import numpy as np

        with np.errstate(all="ignore"):
            return np.asarray(x, dtype=np.float64).astype(self.dtype)

    def call(self, operation: str, arguments: tuple[Any, ...]) -> Any:
        """Call an operation with copies of the arguments.

        Raises Absent if it is not provided, Refused if it does not serve the request, Failure if it raises, hangs, or returns no numbers.
        """
        target = self.target
        if operation not in target.operations:
            raise Absent(f"{target.name} has no {operation}")
        call = Call(operation, dict(zip(PARAMETERS[operation], arguments, strict=True)))
        self.calls.append(call)
        if watch is not None:
            watch(operation, target.timeout)
        sink = _Sink()
        problem, raised, answered = target.hung.get(operation, ""), False, False
        try:
            if problem:
                raise Hang
            with _deadline(target.timeout), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
                call.passed = tuple(_copied(argument) for argument in arguments)
                call.converted = tuple(self._converted(argument) for argument in call.passed)
                answer = getattr(target.implementation, operation)(*call.converted)
                call.answer = self._normalized(operation, answer)
        except NotImplementedError as error:
            raise Refused(f"{operation} does not serve this request: {_first_line(error)}") from None
        except Hang:
            problem = problem or f"did not return within {target.timeout:g} s; it is not called again"
            target.hung[operation] = problem
        except KeyboardInterrupt:
            raise
        except _NotNumbers as error:
            problem, answered = str(error), True
        except SystemExit as error:
            problem = f"called sys.exit({error.code!r})"
        except BaseException as error:  # the target's code may raise anything: it becomes a verdict, not a crash
            problem, raised = f"raised {type(error).__name__}: {_first_line(error)}", True
        call.output = sink.kept()
        if problem:
            printed = f"; it had printed {call.output!r}" if call.output else ""
            raise Failure(problem + printed, raised=raised, answered=answered) from None
        self.tally.answered += 1
        return call.answer

    def refuses(self, operation: str, *arguments: Any) -> bool:
        """Whether the operation answers these arguments with an error, of any type but NotImplementedError."""
        try:
            self.call(operation, arguments)
        except Failure as failure:
            if failure.raised:
                return True
            if not failure.answered:
                raise
        return False

    def keeps_dtype(self, answer: Any) -> bool:
        """Whether the answer has the dtype under test."""
        return bool(answer.dtype == self.dtype)

    def changed(self) -> str:
        """The names of the arguments that the last call changed; none is an empty string."""
        import numpy as np

        call = self.calls[-1]
        convert = getattr(self.target.implementation, "to_numpy", np.asarray)

        def same(before: Any, passed: Any, converted: Any) -> bool:
            if not _is_array(before):
                return bool(before == passed)
            return all(
                before.shape == after.shape and before.tobytes() == after.tobytes() for after in (passed, convert(converted))
            )

        arguments = zip(call.arguments.items(), call.passed, call.converted, strict=True)
        return ", ".join(name for (name, before), passed, converted in arguments if not same(before, passed, converted))

    def _converted(self, argument: Any) -> Any:
        asarray = getattr(self.target.implementation, "asarray", None)
        return asarray(argument) if asarray is not None and _is_array(argument) else argument

    def _normalized(self, operation: str, answer: Any) -> Any:
        if operation == "figures":
            return answer
        names = RETURNS.get(operation)
        if names is None:
            return self._numbers(operation, answer)
        if operation == "automatic_gradient" or not isinstance(answer, (str, bytes)):
            try:
                parts = tuple(answer)
            except TypeError:
                parts = None
            if parts is not None and len(parts) == len(names):
                return tuple(self._numbers(f"{operation}'s {name}", part) for name, part in zip(names, parts, strict=True))
        raise _NotNumbers(f"returned {_brief(answer)} where ({', '.join(names)}) is due")

    def _numbers(self, what: str, answer: Any) -> Any:
        """The answer as a NumPy array of floats; plain Python numbers take the dtype under test if it holds them."""
        import numpy as np

        convert = getattr(self.target.implementation, "to_numpy", None)
        plain = isinstance(answer, (int, float)) and not isinstance(answer, (bool, np.generic))
        if isinstance(answer, (list, tuple)):
            parts = [self._numbers(what, part) for part in answer]
            plain = all(part.dtype == self.dtype for part in parts)
            try:
                array = np.array([part.astype(np.float64) for part in parts])
            except ValueError:
                raise _NotNumbers(f"returned a ragged {type(answer).__name__} for {what}") from None
        else:
            array = np.asarray(answer if convert is None or plain else convert(answer))
        if array.dtype.kind not in "iuf" and array.dtype.name != "bfloat16":
            raise _NotNumbers(f"returned {_brief(answer)} where numbers are due")
        if plain:
            with np.errstate(all="ignore"):
                narrow = array.astype(self.dtype)
            if ((narrow.astype(np.float64) == array) | np.isnan(array.astype(np.float64))).all():
                return narrow
        return array


class _NotNumbers(Exception):
    """What a target returned is not what its operation returns."""


class _Sink(io.TextIOBase):
    """Takes what a target prints, and keeps a little of it."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._room = _OUTPUT_KEPT

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._room > 0:
            self._parts.append(text[: self._room])
            self._room -= len(text)
        return len(text)

    def kept(self) -> str:
        return "".join(self._parts)[:200]


watch: Callable[[str, float], None] | None = None
"""Set by whoever can end this process when a call can be stopped by nothing else; told of each call before it is made."""


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise Hang in the block once it has run for so long, and again until it ends; only the main thread can be stopped so."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    started = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        # Somebody else's timer goes on where ours interrupted it.
        signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - started), 1e-3) if left else 0.0, interval)
        signal.signal(signal.SIGALRM, before)


def numpy_dtype(name: str) -> Any:
    """The NumPy dtype of that name. Raises TargetError for bfloat16 where ml_dtypes, which brings it, is missing."""
    import numpy as np

    if name == "bfloat16":
        try:
            importlib.import_module("ml_dtypes")
        except ImportError:
            raise TargetError("bfloat16 needs ml_dtypes: pip install 'calibrant[bfloat16]'") from None
    return np.dtype(name)


def load(spec: str, timeout: float = 10.0) -> Target:
    """The target that `spec` names: a registered name, `file.py`, `file.py:object`, `package.module` or `module:object`.

    Raises TargetError, in one sentence, if there is none, if it cannot be imported, or if it offers nothing to check.
    """
    place, _, attribute = resolve(spec).partition(":") if not _is_file(spec) else _split_file(spec)
    sink = _Sink()
    try:
        with contextlib.redirect_stdout(sink):
            module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place, spec)
    except TargetError:
        raise
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        raise TargetError(f"target {spec!r} called sys.exit({error.code!r}) while it was imported") from None
    except BaseException as error:  # the target's own code ran: whatever it raised is said in one sentence
        raise TargetError(
            f"target {spec!r} cannot be imported: {type(error).__name__}: {_first_line(error)}{_where(error)}"
        ) from None
    implementation: Any = module
    for part in attribute.split(".") if attribute else ():
        try:
            implementation = getattr(implementation, part)
        except AttributeError:
            public = [name for name in dir(implementation) if not name.startswith("_")]
            raise TargetError(f"target {spec!r}: {place} has no {part!r}{nearest(part, public)}") from None
    return _described(spec, implementation, attribute or Path(place).stem.rpartition(".")[2], timeout)


def registered() -> dict[str, str]:
    """The targets that installed distributions register, by name: where each is found."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


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


def _is_file(spec: str) -> bool:
    return spec not in registered() and (_split_file(spec)[0].endswith(".py") or "/" in spec)


def _split_file(spec: str) -> tuple[str, str, str]:
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


def _described(spec: str, implementation: Any, name: str, timeout: float) -> Target:
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
    if isinstance(dtypes, str) or not dtypes:
        raise TargetError(f"target {spec!r}: dtypes is {dtypes!r}, not a list of {', '.join(DTYPES)}")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise TargetError(f"target {spec!r}: dtypes names {dtype!r}, which is not judged{nearest(str(dtype), DTYPES)}")
    slack = said("slack", 1.0)
    if isinstance(slack, bool) or not isinstance(slack, (int, float)) or not 1 <= slack < math.inf:
        raise TargetError(f"target {spec!r}: slack is {slack!r}, not a number of at least 1")
    tables = {}
    for attribute in ("conventions", "deviations"):
        table = said(attribute, {})
        if not isinstance(table, Mapping) or not all(isinstance(x, str) and x for pair in table.items() for x in pair):
            raise TargetError(f"target {spec!r}: {attribute} is {_brief(table)}, not a dict of names with their reasons")
        tables[attribute] = dict(table)
    from calibrant.clauses import book

    for clause in tables["deviations"]:
        if clause not in book():
            raise TargetError(
                f"target {spec!r}: deviations names the clause {clause!r}, which is not in the book{nearest(clause, list(book()))}"
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


def written(call: Call) -> str:
    """A call as a person would write it: loss_fn([0.0, 0.0], [0.0, 1.0])."""
    from calibrant.judge import show

    arguments = (show(value) if _is_array(value) else getattr(value, "source", repr(value)) for value in call.arguments.values())
    return f"{call.operation}({', '.join(arguments)})"


def snippet(target: Target, calls: list[Call]) -> str:
    """Python that repeats the calls with nothing but NumPy and the target."""
    lines = ["import numpy as np"]
    resolved = resolve(target.spec)
    if _is_file(target.spec):
        place, _, attribute = _split_file(target.spec)
        lines += ["import runpy, types", f"target = types.SimpleNamespace(**runpy.run_path({place!r}))"]
        lines += [f"target = target.{attribute}"] * bool(attribute)
    else:
        module, _, attribute = resolved.partition(":")
        lines += [f"from {module} import {attribute} as target" if attribute else f"import {module} as target"]
    if any(getattr(value, "dtype", None) is not None and value.dtype.name == "bfloat16" for c in calls for value in c.arguments.values()):
        lines.insert(1, "import ml_dtypes")
    convert = hasattr(target.implementation, "asarray")
    back = hasattr(target.implementation, "to_numpy") and calls and calls[-1].operation not in RETURNS
    for call in calls:
        arguments = ", ".join(
            f"target.asarray({_literal(value)})" if convert and _is_array(value) else _literal(value)
            for value in call.arguments.values()
        )
        text = f"target.{call.operation}({arguments})"
        lines.append(f"print({f'target.to_numpy({text})' if back else text})")
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """A value as JSON can hold it: arrays as the protocol writes them, the rest as it is or as text."""
    import numpy as np

    if isinstance(value, np.generic):
        value = np.asarray(value)
    if _is_array(value):
        data = [_number(x) for x in np.asarray(value).astype(np.float64).reshape(-1).tolist()]
        return {"dtype": value.dtype.name, "shape": list(value.shape), "data": data}
    if isinstance(value, dict):
        return {str(key): plain(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, float):
        return _number(value)
    return value if isinstance(value, (int, str, bool)) or value is None else getattr(value, "source", repr(value))


def _number(x: float) -> float | str:
    return x if math.isfinite(x) else "NaN" if math.isnan(x) else "Infinity" if x > 0 else "-Infinity"


def _literal(value: Any) -> str:
    import numpy as np

    if not _is_array(value):
        return getattr(value, "source", repr(value))
    from calibrant.judge import show

    text = "[]" if value.size == 0 else show(np.asarray(value)).replace("nan", "np.nan").replace("inf", "np.inf")
    if value.size > 60:
        text = repr(value.astype(np.float64).tolist())
    name = value.dtype.name
    dtype = "ml_dtypes.bfloat16" if name == "bfloat16" else f"np.{name}"
    shaped = f".reshape({value.shape})" if value.size == 0 and value.ndim > 1 else ""
    return f"np.array({text}, dtype={dtype}){shaped}"


def _is_array(value: Any) -> bool:
    import numpy as np

    return isinstance(value, np.ndarray)


def _copied(argument: Any) -> Any:
    return argument.copy() if _is_array(argument) else dict(argument) if isinstance(argument, dict) else argument


def _brief(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as error:  # the target's own __repr__ ran
        text = f"a {type(value).__name__} whose repr raises {type(error).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _first_line(error: BaseException) -> str:
    try:
        return (str(error).strip().splitlines() or ["(no message)"])[0][:300]
    except Exception as again:  # the target's own __str__ ran
        return f"(its message cannot be read: {type(again).__name__})"


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


def _probe(arguments: list[str]) -> None:
    """Load a target in this process and write what it says of itself to a file: `python -m calibrant.target SPEC FILE`."""
    spec, file = arguments
    try:
        said = load(spec).describe()
    except TargetError as error:
        said = {"error": str(error)}
    Path(file).write_text(json.dumps(said), encoding="utf-8")


if __name__ == "__main__":
    _probe(sys.argv[1:])

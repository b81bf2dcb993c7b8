"""Functions as data, and the true derivatives of the programs that they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import each_case, forms, subject, target

from calibrant import exact, strategies
from calibrant.exact import FORMATS, Exact, Format
from calibrant.judge import agree
from calibrant.protocol.errors import TargetError
from calibrant.protocol.straight_line import Written, run
from calibrant.protocol.wire import message, plain
from calibrant.target.calling import Absent, Call, Subject
from calibrant.target.description import described
from calibrant.target.loading import load
from calibrant.target.snippets import snippet

EXAMPLE = Written("lambda params: (params[0] * 2.0).exp()")
TWO = Written("lambda params: [x := params.sum(), [x, 1.0 - x]][1]")


def test_a_function_is_sent_as_the_book_shows_it() -> None:
    due = {"instructions": [["index", 0, 0], ["constant", 2.0], ["*", 1, 2], ["exp", 3]], "result": 4}

    assert plain(EXAMPLE, functions="straight-line") == due
    request = json.loads(message(1, "backward", {"losses": [EXAMPLE, EXAMPLE]}, functions="straight-line"))
    assert request["params"]["losses"] == [due, due]
    assert plain(TWO, functions="straight-line")["result"] == [1, 3]
    assert plain(EXAMPLE, functions="python") == {"function": EXAMPLE.source}


@pytest.mark.parametrize("how", ["python", "straight-line"])
def test_a_function_that_only_this_process_can_call_is_not_sent(how: str) -> None:
    with pytest.raises(NotImplementedError, match="only one process"):
        plain(lambda params: params, functions=how)


def test_a_function_that_fails_on_purpose_is_sent_to_python_alone() -> None:
    fails = Written("lambda params: 1 / 0")

    assert plain(fails, functions="python") == {"function": fails.source}
    with pytest.raises(NotImplementedError, match="no straight-line program"):
        plain(fails, functions="straight-line")
    with pytest.raises(ZeroDivisionError):
        fails(np.ones(2))


@pytest.mark.parametrize(
    "source",
    [
        "2.0 - params[0] * params[1] + 3.0", "2.0 / params[1] / 4.0", "(params ** 2).sum()", "2.0 ** params[0]",
        "params.mean() - params.sum()", "params.exp().sum() + params[0].log() * params[1].tanh()",
        "[x := params * params, x[0] + x[1]][1]",
    ],
)  # fmt: skip
def test_a_straight_line_program_computes_what_its_source_says(source: str) -> None:
    """NumPy's functions have the names of the methods that its arrays lack."""
    x, y = params = np.array([2.0, 3.0])
    function = Written(f"lambda params: {source}")
    methods = {".exp()": "np.exp", ".log()": "np.log", ".tanh()": "np.tanh"}
    assert function.straight_line is not None

    if not any(method in source for method in methods):
        assert function(params) == eval(f"lambda params: {source}")(params)
    else:
        assert function(params) == np.exp(x) + np.exp(y) + np.log(x) * np.tanh(y)


class Number:
    """An array without methods."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __getitem__(self, place: int) -> Number:
        return self

    def __mul__(self, other: float) -> Number:
        return Number(self.value * other)


def loss_of(loss: Any, params: Any) -> Any:
    value = loss(Number(1.0))
    return np.array(value.value), np.ones(1)


def test_functions_that_a_target_names_stand_for_methods_that_its_arrays_lack() -> None:
    named = subject(automatic_gradient=loss_of, elementary={"exp": lambda x: Number(x.value + 0.5)})
    unnamed = subject(automatic_gradient=loss_of)

    assert named.automatic_gradient(EXAMPLE, np.ones(1))[0] == 2.5
    with pytest.raises(Absent, match="no method exp"):
        unnamed.automatic_gradient(EXAMPLE, np.ones(1))


def test_a_snippet_calls_the_functions_that_a_target_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A plain list has no method exp."""
    source = """
    import math
    elementary = {"exp": math.exp}
    def automatic_gradient(loss, params):
        return loss(params.tolist()), params
    """
    mine = load(target(tmp_path, source))
    called = Subject(mine, "float64")
    value, _ = called.automatic_gradient(EXAMPLE, np.array([0.5]))

    text = snippet(mine, called.calls)
    exec(compile(text, "snippet", "exec"), {})

    assert f"({float(value)!r}, array([0.5]))" in capsys.readouterr().out
    assert "partial(Written(" not in snippet(
        mine, [Call("automatic_gradient", (Written("lambda params: params[0]"), value))]
    )


@pytest.mark.parametrize("table", [{"cos": math.cos}, {"exp": 1}, ["exp"]])
def test_a_table_of_functions_that_means_nothing_is_one_sentence(table: Any) -> None:
    with pytest.raises(TargetError, match=r"elementary is .*sum, mean, exp, log, tanh, maximum"):
        described("mine", SimpleNamespace(automatic_gradient=loss_of, elementary=table), "mine", 10.0)


# The truth


RATIONAL = (
    "params[0] / params[1]", "2.0 / params[0] - params[1]", "params[0] ** 3 * params[1] ** -2", "params.mean() ** 2",
    "(params / params[0]).sum()", "(params * params.mean()).mean()", "params[0].maximum(params[1]) / params[0]",
)  # fmt: skip
IRRATIONAL = (
    "params[0] ** params[1]", "3.0 ** params[0]", "params[1] ** 0.5", "params.exp().mean() * params[0].log()",
    "(params[0] - params[1]).tanh() / params[0]", "(params[0] / params[1]).exp().log()",
)  # fmt: skip


@pytest.mark.parametrize("source", [*RATIONAL, *IRRATIONAL])
def test_the_derivatives_are_those_of_computer_algebra(source: str) -> None:
    import sympy

    place = {"x": sympy.Rational(3, 4), "y": sympy.Rational(5, 2)}
    x, y = sympy.symbols("x y", positive=True)
    functions = {"exp": sympy.exp, "log": sympy.log, "tanh": sympy.tanh, "maximum": sympy.Max}
    straight_line = Written(f"lambda params: {source}").straight_line
    assert straight_line is not None
    exactly = [
        (name, sympy.Rational(x)) if name == "constant" else (name, x, *others)
        for name, x, *others in straight_line["instructions"]
    ]
    value = run(exactly, straight_line["result"], np.array([x, y], dtype=object), functions | COLUMNS)

    due = [part.subs({x: place["x"], y: place["y"]}).evalf(50) for part in (value, value.diff(x), value.diff(y))]
    found = exact.derivatives(**straight_line, params=exact.of(np.array([0.75, 2.5])))

    fractions = [*found[0].fractions(), *found[1].fractions()]
    for mine, theirs in zip(fractions, due, strict=True):
        assert abs(sympy.Rational(mine.numerator, mine.denominator) - theirs) <= 1e-40


def test_the_hyperbolic_tangent_of_a_tiny_number_is_that_number() -> None:
    tiny = 2.0**-300

    value, _ = exact.derivatives([("index", 0, 0), ("tanh", 1)], 2, exact.of(np.array([tiny])))

    assert float(value.nearest()) == tiny


def each(name: str) -> Callable[[Any], Any]:
    """A function of SymPy's, element by element."""
    import sympy

    return lambda x: np.frompyfunc(getattr(sympy, name), 1, 1)(x)


COLUMNS: dict[str, Callable[..., Any]] = {
    "exp": each("exp"),
    "sum": lambda x: sum(x),
    "mean": lambda x: sum(x) / len(x),
}


WAYS: dict[str, dict[str, Callable[..., Any]]] = {
    "plain": {
        "/": lambda x, y: (x / y, 1 / y, -x / (y * y)),
        "**": lambda x, y: (x**y, y * x ** (y - 1), x**y * np.log(x)),
        "tanh": lambda x: (np.tanh(x), 1 - np.tanh(x) ** 2),
    },
    "rearranged": {
        "/": lambda x, y: (x * y**-1, y**-1, -(x / y) / y),
        "**": lambda x, y: (x**y, y * x**y / x, np.log(x) * x**y),
        "tanh": lambda x: (np.tanh(x), 1 / (np.cosh(x) * np.cosh(x))),
    },
}
"""For some operations, two ways to compute a value and its derivatives."""


def forward(way: dict[str, Any], instructions: Any, result: int, params: Any) -> tuple[Any, Any]:
    """The value and the gradient of a program in the dtype of its parameters, by walking forward: a value with its row of slopes."""
    kind, n = params.dtype.type, len(params)
    one, none = np.eye(n, dtype=params.dtype), np.zeros(n, params.dtype)
    values: list[Any] = [[(x, one[i]) for i, x in enumerate(params)]]
    rules = {
        "+": lambda x, y: (x + y, kind(1), kind(1)),
        "-": lambda x, y: (x - y, kind(1), kind(-1)),
        "*": lambda x, y: (x * y, y, x),
        "exp": lambda x: (np.exp(x), np.exp(x)),
        "log": lambda x: (np.log(x), 1 / x),
        "maximum": lambda x, y: (max(x, y), kind(x > y), kind(y > x)),
        **way,
    }

    def made(name: str, *operands: Any) -> Any:
        with np.errstate(all="ignore"):
            value, *slopes = rules[name](*(x for x, _ in operands))
        parts = [kind(slope) * row for slope, (_, row) in zip(slopes, operands, strict=True) if row.any()]
        return kind(value), sum(parts[1:], parts[0]) if parts else none

    for name, *operands in instructions:
        if name == "constant":
            values.append((kind(operands[0]), none))
            continue
        x, *others = (values[operands[0]], *(values[k] for k in operands[1:] if name != "index"))
        if name == "index":
            values.append(x[operands[1]])
        elif name in ("sum", "mean"):
            total = x[0]
            for other in x[1:]:
                total = made("+", total, other)
            values.append(made("/", total, (kind(len(x)), none)) if name == "mean" else total)
        elif any(isinstance(y, list) for y in (x, *others)):
            columns = [y if isinstance(y, list) else [y] * n for y in (x, *others)]
            values.append([made(name, *elements) for elements in zip(*columns, strict=True)])
        else:
            values.append(made(name, x, *others))
    return values[result]


@pytest.mark.untraced
@forms
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("strategy", ["quotients", "elementary"])
def test_a_walk_forward_in_the_format_itself_stays_within_the_bounds(strategy: str, way: str, form: Format) -> None:
    """The suite's programs are walked backward by most targets; the bound covers either way, and other formulas."""

    def check(sample: strategies.Smooth) -> None:
        straight_line: Any = sample.loss.straight_line
        value, gradient = forward(WAYS[way], **straight_line, params=sample.params)

        due = exact.derivatives(**straight_line, params=exact.of(sample.params))
        agree(np.asarray(value), due[0])
        agree(np.asarray(gradient), due[1])

    each_case(getattr(strategies, strategy)(), form, 60)(check)()


@pytest.mark.parametrize(
    "source",
    [
        "params[0].maximum(params[0] * 1.0)", "(params[0] - params[0]).log()", "1.0 / (params[1] - params[1])",
        "(params[0] - 3.0) ** 0.5", "params[1] ** (params[0] - 3.0).log()", "(params[0] * 1000.0).exp()",
        "(params[0] * 1000.0).tanh()", "params[0] * 1e-300 * 1e160 * 1e160",
    ],
)  # fmt: skip
def test_nothing_is_claimed_at_a_place_without_a_derivative_or_beyond_the_range(source: str) -> None:
    straight_line: Any = Written(f"lambda params: {source}").straight_line
    value, gradient = exact.derivatives(**straight_line, params=exact.of(np.array([2.0, 3.0])))

    assert not np.isfinite(np.append(value.errors(), gradient.errors()[gradient.errors() > 0])).all()


def test_the_bound_of_a_deep_program_is_a_small_part_of_its_gradient() -> None:
    """In a half format, with each kind of function in a row."""
    straight_line: Any = Written("lambda params: ((params[0] / params[1]).tanh() * params[0]).exp()").straight_line
    params = Exact([3, 4], -1, 1, [0.0, 0.0], FORMATS["float16"])

    _, gradient = exact.derivatives(**straight_line, params=params)

    assert (gradient.errors() < 0.1 * gradient.magnitude()).all()

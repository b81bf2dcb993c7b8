"""`calibrant check --formulas` and `calibrant gradcheck`: any target against formulas, value and gradient."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support import calibrant, require_fit
from typer.testing import CliRunner

import calibrant as package
from calibrant import cli
from calibrant.adapters import torch_layers
from calibrant.book.clauses import CHAPTERS, book, book_folder, properties
from calibrant.book.formulas import checking
from calibrant.checks import here
from calibrant.checks.check import Checked
from calibrant.checks.options import Options
from calibrant.checks.verdicts import Result
from calibrant.exact import FORMATS
from calibrant.formula import FormulaError, assert_gradient, declaring, formula
from calibrant.formula.catalogue import FORMULAS
from calibrant.formula.chapter import chapter
from calibrant.formula.declaring import CATALOGUE, Declared, declared, formulas_of
from calibrant.protocol.errors import CheckError
from calibrant.protocol.operations import OPERATIONS
from calibrant.protocol.wire import decoded, plain
from calibrant.reports import machine
from calibrant.skeletons import skeleton
from calibrant.strategies.drawing import Bytes
from calibrant.strategies.formulas import Arguments, arguments
from calibrant.target.loading import OBJECT, PROGRAM, load, of_object

MINE = '''
from calibrant.formula import formula, namespace

@formula(shapes="n d, d, -> n d", eps=(1e-5, 0.5))
def scaled_norm(x, w, eps):
    """Each row over its root mean square plus eps, scaled."""
    xp = namespace(x)
    return x / xp.sqrt(xp.mean(x * x, axis=-1, keepdims=True) + eps) * w

def hidden_mean(x: "n d", mask: "n d"):
    return namespace(x).mean(x * mask)

def _helper(x):
    return x
'''

PROGRAM_OF_SQUARES = """
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    said = {"name": "squares", "operations": ["squares", "squares_vjp"], "dtypes": ["float64"]}
    if asked["method"] != "initialize":
        x = asked["params"]["x"]
        said = x | {"data": [v * v for v in x["data"]]}
        if asked["method"] == "squares_vjp":
            upstream = asked["params"]["upstream"]["data"]
            said = [x | {"data": [2 * v * u for v, u in zip(x["data"], upstream)]}]
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": said}), flush=True)
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    """A file of formulas."""
    return written(tmp_path, MINE)


def written(folder: Path, text: str, name: str = "mine.py") -> str:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return str(file)


def held(operations: Mapping[str, Any], source: str, examples: int = 4, **about: Any) -> Result:
    """The result of a check in this process."""
    with checking(source, **about):
        made = SimpleNamespace(**{"dtypes": ["float32"]} | dict(operations))
        target = of_object(made, OBJECT + "mine", "mine", 10.0)
        return here.check(target, Options(profile="ci", examples=examples))


def statuses(result: Result) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for verdict in result.verdicts:
        found.setdefault(verdict.clause, set()).add(verdict.status)
    return found


def scaled_norm(x: Any, w: Any, eps: float) -> Any:
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps)) * w


def scaled_norm_vjp(x: Any, w: Any, eps: float, upstream: Any) -> tuple[Any, Any]:
    root = np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps))
    h, g = x / root, upstream * w
    return (g - h * np.mean(g * h, axis=-1, keepdims=True)) / root, np.sum(upstream * h, axis=0)


RIGHT = {"scaled_norm": scaled_norm, "scaled_norm_vjp": scaled_norm_vjp}


def test_a_right_layer_holds_and_one_that_is_not_there_is_absent(mine: str) -> None:
    result = held(RIGHT, mine)

    assert statuses(result) == {
        "layers.scaled-norm": {"holds"},
        "layers.scaled-norm.gradient": {"holds"},
        "layers.hidden-mean": {"absent"},
        "layers.hidden-mean.gradient": {"absent"},
    }
    assert "has no hidden_mean_vjp" in str(result.verdicts[-1].reason)


@pytest.mark.untraced
def test_a_wrong_gradient_is_shrunk_and_named(mine: str) -> None:
    def wrong(*given: Any) -> Any:
        of_x, of_w = scaled_norm_vjp(*given)
        return of_x, of_w / 2

    result = held(RIGHT | {"scaled_norm_vjp": wrong}, f"{mine}:scaled_norm")

    assert statuses(result) == {"layers.scaled-norm": {"holds"}, "layers.scaled-norm.gradient": {"breaks"}}
    finding = next(v for v in result.verdicts if v.status == "breaks").failures[0]
    assert "the gradient for w at [" in finding.text
    assert finding.bounds > 1e3
    require_fit(json.loads(json.dumps(machine.document(result))), "verdicts.schema.json")


@pytest.mark.untraced
def test_epsilon_in_the_wrong_place_is_seen(mine: str) -> None:
    def outside(x: Any, w: Any, eps: float) -> Any:
        return x / (np.sqrt(np.mean(x * x, axis=-1, keepdims=True)) + x.dtype.type(eps)) * w

    assert statuses(held({"scaled_norm": outside}, mine))["layers.scaled-norm"] == {"breaks"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x, w, eps, g: (g,), "returned 1 gradients where 2 are due, for x, w"),
        (lambda x, w, eps, g: (x[0], w), "has shape"),
        (lambda x, w, eps, g: (x * np.nan, w), "which float32 holds within"),
        (lambda x, w, eps, g: (x, w, w, w), "returned 4 gradients where 2 are due"),
        (lambda x, w, eps, g: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_an_answer_of_another_kind_is_wrong(mine: str, answer: Any, said: str) -> None:
    result = held({"scaled_norm_vjp": answer}, f"{mine}:scaled_norm", examples=2)

    text = next(v for v in result.verdicts if v.clause.endswith("gradient")).failures[0].text
    assert said in text


def test_the_gradient_of_one_argument_may_come_without_a_list(tmp_path: Path) -> None:
    source = written(tmp_path, 'def squares(x: "n d"):\n    return x * x\n')
    mine = {"squares": lambda x: x * x, "squares_vjp": lambda x, upstream: 2 * x * upstream}

    assert statuses(held(mine, source)) == {"layers.squares": {"holds"}, "layers.squares.gradient": {"holds"}}


def test_a_program_in_any_language_gets_both_operations(tmp_path: Path) -> None:
    source = written(tmp_path, 'def squares(x: "n d"):\n    return x * x\n')
    program = written(tmp_path, PROGRAM_OF_SQUARES, "program.py")

    with checking(source):
        target = load(PROGRAM + shlex.join([sys.executable, program]), 10.0)
        try:
            result = here.check(target, Options(profile="ci", examples=5))
        finally:
            assert target.program is not None
            target.program.close()

    assert statuses(result) == {"layers.squares": {"holds"}, "layers.squares.gradient": {"holds"}}


needs_cc = pytest.mark.skipif(not shutil.which("cc"), reason="there is no cc")


def in_c(folder: Path, layer: str) -> SimpleNamespace:
    """A user's functions, put where the skeleton in C says, as a program to check."""
    entries = "\n".join(f'    {{"{name}", {name}}},' for name in re.findall(r"static void (\w+)\(Value", layer))
    text = skeleton("c").replace("typedef void Operation", f"{layer}\ntypedef void Operation")
    source = written(
        folder, text.replace('    {"loss_fn", loss_fn},', f'{entries}\n    {{"loss_fn", loss_fn}},'), "adapter.c"
    )
    subprocess.run(["cc", "-Wall", "-Werror", source, "-lm", "-o", folder / "adapter"], check=True)
    return SimpleNamespace(program=[str(folder / "adapter")])


@pytest.mark.untraced
@needs_cc
@pytest.mark.parametrize(("slip", "status"), [("", "holds"), (" - row[j] / r * mean", "breaks")])
def test_a_program_in_c_serves_a_layer_and_its_backward_pass(tmp_path: Path, mine: str, slip: str, status: str) -> None:
    """The slip leaves a term of the gradient out."""
    layer = (Path(__file__).parent / "programs" / "scaled_norm.c").read_text(encoding="utf-8")
    assert slip in layer
    report = package.check(
        in_c(tmp_path, layer.replace(slip, "")), formulas=f"{mine}:scaled_norm", examples=4, profile="ci"
    )

    assert statuses(report._result) == {"layers.scaled-norm": {"holds"}, "layers.scaled-norm.gradient": {status}}


@needs_cc
def test_the_layer_in_c_of_the_page_holds(tmp_path: Path) -> None:
    page = (book_folder() / "formulas.md").read_text(encoding="utf-8")
    layer = page.partition("```c\n")[2].partition("```")[0]
    report = package.check(in_c(tmp_path, layer), formulas=CATALOGUE, clauses="layers.relu*", examples=4, profile="ci")

    assert statuses(report._result) == {"layers.relu": {"holds"}, "layers.relu.gradient": {"holds"}}


@pytest.mark.untraced
def test_a_check_in_python_says_what_the_command_says(mine: str) -> None:
    """A report needs the formulas again, after the check."""
    wrong = {"scaled_norm": scaled_norm, "scaled_norm_vjp": lambda x, w, eps, g: [x, w], "dtypes": ["float32"]}
    book_before = list(book())
    report = package.check(wrong, formulas=Path(mine), examples=2, profile="ci")

    assert list(book()) == book_before
    assert not report.ok
    assert {v.clause for v in report.failures} == {"layers.scaled-norm.gradient"}
    assert "scaled_norm_vjp(" in str(report)
    assert "does not conform" in repr(report)
    assert "layers.scaled-norm.gradient" in report._repr_markdown_()
    require_fit(json.loads(report.to_json()), "verdicts.schema.json")
    assert package.check(scaled_norm, formulas=mine, examples=2, profile="ci").ok
    with pytest.raises(CheckError, match="formulas is 'layers'"):
        package.check(wrong, formulas="layers")


def test_a_matrix_holds_several_targets_against_formulas(
    tmp_path: Path, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is checked as `check` does; that a check runs in workers has a test of its own."""
    layer = "import numpy as np\ndef scaled_norm(x, w, eps):\n    return x / np.sqrt(np.mean(x * x{}) + x.dtype.type(eps)) * w\n"
    right = written(tmp_path, layer.format(", axis=-1, keepdims=True"), "right.py")
    wrong = written(tmp_path, layer.format(""), "wrong.py")

    def checked_here(plans: Any) -> Any:
        for spec, options in plans:
            yield Checked(spec, here.check(load(spec), options))

    monkeypatch.setattr("calibrant.checks.check.checked", checked_here)
    file, page = tmp_path / "matrix.json", tmp_path / "matrix.html"
    given = ["matrix", right, wrong, "--formulas", mine, "--profile", "ci", "--examples", "4"]
    ran = CliRunner().invoke(cli.app, [*given, "--json", str(file), "--html", str(page)])

    assert ran.exit_code == 1, ran.output
    lines = [line.split() for line in ran.output.splitlines()]
    assert ["layers.scaled-norm", "holds", "BREAKS"] in lines
    assert f"--formulas {mine}" in " ".join(ran.output.split())
    said = json.loads(file.read_text(encoding="utf-8"))
    require_fit(said, "matrix.schema.json")
    assert [one["exit_status"] for one in said["targets"]] == [0, 1]
    assert {"clause": "layers.scaled-norm", "statuses": ["holds", "breaks"]} in said["clauses"]
    assert "layers.scaled-norm" in page.read_text(encoding="utf-8")


def test_a_mask_crosses_a_process_border() -> None:
    mask = np.array([[True, False]])

    assert json.loads(json.dumps(plain(mask)))["data"] == [True, False]
    assert decoded(plain(mask)).tolist() == mask.tolist()


def test_autograd_differentiates_a_target_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detached argument has a gradient of zero, which is wrong."""
    source = written(tmp_path, 'def product(x: "n", y: "n"):\n    return x * y\n')
    right = {"product": lambda x, y: x * y, "autodiff": "torch"}
    detached = {"product": lambda x, y: x * y.detach(), "autodiff": "torch"}

    assert statuses(held(right, source))["layers.product.gradient"] == {"holds"}
    assert statuses(held(detached, source)) == {"layers.product": {"holds"}, "layers.product.gradient": {"breaks"}}
    with pytest.raises(Exception, match="autodiff is 'pytorch', not one of torch, jax"):
        held(right | {"autodiff": "pytorch"}, source)
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(Exception, match="jax is to differentiate its functions, and is not installed: pip install jax"):
        held(right | {"autodiff": "jax"}, source)


def test_a_check_leaves_the_book_as_it_was(mine: str) -> None:
    before = (list(book()), list(OPERATIONS), len(properties()))
    with checking(mine):
        assert "layers.scaled-norm.gradient" in book()
        assert OPERATIONS["scaled_norm_vjp"].parameters == ("x", "w", "eps", "upstream")
        assert Options().validated().selected == {name for name in book() if name.startswith("layers.")}
        with pytest.raises(CheckError, match="one chapter, layers"):
            Options(chapters=("loss",)).validated()

    assert (list(book()), list(OPERATIONS), len(properties())) == before


LOSSES = """
import torch

class LogCosh(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        r = (x - y).abs()
        return (r + torch.log1p(torch.exp(-2 * r))).mean()
    @staticmethod
    def backward(ctx, upstream):
        x, y = ctx.saved_tensors
        slope = upstream * torch.tanh(x - y) / COUNT
        return slope, -slope

def log_cosh(x, y):
    return LogCosh.apply(x, y)
"""


@pytest.mark.untraced
@pytest.mark.parametrize(("count", "status"), [("x.numel()", "holds"), ("len(x)", "breaks")])
def test_a_function_of_torch_is_its_own_formula(tmp_path: Path, count: str, status: str) -> None:
    file = written(tmp_path, LOSSES.replace("COUNT", count), f"losses_{status}.py")
    about: dict[str, Any] = {"autodiff": "torch", "shapes": "n d, n d ->"}
    with checking(f"{file}:log_cosh", **about):
        result = here.check(load(file), Options(profile="ci", examples=4, clauses=("layers.*.gradient",)))
        assert result.partial == ["only 1 of 2 clauses were asked for"]

    assert statuses(result) == {"layers.log-cosh.gradient": {status}}


@pytest.mark.untraced
def test_the_commands_run_in_workers_and_say_what_to_repeat(tmp_path: Path) -> None:
    """Standard output is JSON alone, even if the file of formulas prints something."""
    mine = written(tmp_path, MINE + "print('hello')\n")
    target = written(
        tmp_path,
        "import numpy as np\ndef scaled_norm(x, w, eps):\n    return x / np.sqrt(np.mean(x * x) + eps) * w\n",
        "target.py",
    )
    ran = calibrant("check", target, "--formulas", f"{mine}:scaled_norm", "--examples", "5", "--json", "-")

    assert ran.returncode == 1
    document = json.loads(ran.stdout)
    assert {v["clause"]: v["status"] for v in document["verdicts"]} == {
        "layers.scaled-norm": "breaks",
        "layers.scaled-norm.gradient": "absent",
    }
    assert "--formulas" in ran.stderr


# The declaration


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(x): return x", "formula f declares no shapes"),
        ('def f(x: "n D"): return x', "declares the axis 'D'"),
        ("from calibrant.formula import formula\n@formula(shapes='n')\ndef f(x, y): return x", "declares 1 shapes"),
        ("from calibrant.formula import formula\n@formula(shapes='n', z=1)\ndef f(x): return x", "draws 'z'"),
        ("from calibrant.formula import formula\n@formula(shapes='n', x='mast')\ndef f(x): return x", "perhaps|mask"),
        ("from calibrant.formula import formula\n@formula(shapes='n', x=())\ndef f(x): return x", "empty tuple"),
        ('def f(x: "n", upstream: "n"): return x', "has an argument named upstream"),
        ('def f(*x: "n"): return x', "takes "),
        (f'def {"f" * 60}(x: "n"): return x', "60 letters"),
        ("_f = 1", "defines no formula"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_declaration_that_cannot_be_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CheckError, match=said) as refused, checking(written(tmp_path, text)):
        pass
    assert "\n" not in str(refused.value)


def test_a_source_that_is_not_there_is_one_sentence(tmp_path: Path, mine: str) -> None:
    for source, said in (
        ("layers", "give a file"),
        (f"{tmp_path}/no.py", "no such file"),
        (f"{mine}:scale", "no function"),
    ):
        with pytest.raises(CheckError, match=said), checking(source):
            pass


def test_labels_are_chosen_from_a_tuple_and_have_no_gradient(tmp_path: Path) -> None:
    """autograd.Function returns None for them, and the framework a zero."""
    source = written(
        tmp_path,
        """
from calibrant.formula import formula
@formula(shapes="n, n -> n", y=[0.0, 1.0])
def chosen(x, y):
    return x * x * y
""",
    )
    one = formulas_of(source)["chosen"]
    seen = {float(v) for byte in range(8) for v in drawn(one, bytes([byte]) * arguments(one).length).inputs[1]}
    right = {"chosen": lambda x, y: x * x * y, "chosen_vjp": lambda x, y, g: [2 * x * y * g, None]}
    by_torch = {"chosen": lambda x, y: x * x * y.detach(), "autodiff": "torch"}

    assert one.differentiable == (0,)
    assert seen == {0.0, 1.0}
    assert "y holds 0.0 or 1.0" in chapter(source)
    for mine in (right, by_torch):
        assert statuses(held(mine, source)) == {"layers.chosen": {"holds"}, "layers.chosen.gradient": {"holds"}}


@pytest.mark.parametrize("name", ["mine.py", "json.py"])
def test_a_file_may_define_dataclasses_and_its_name_shadows_no_module(tmp_path: Path, name: str) -> None:
    """A dataclass with annotations of the future looks for its module."""
    source = written(
        tmp_path,
        """
from __future__ import annotations
from dataclasses import dataclass

@dataclass
class Factor:
    by: float

def scaled(x: "n"):
    return x * Factor(2.0).by
""",
        name,
    )

    assert "x * Factor(2.0).by" in chapter(source)
    assert sys.modules["json"] is json


def test_a_formula_that_never_ends_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(declaring, "PATIENCE", 0.1)

    @formula(shapes="n -> n")
    def forever(x: Any) -> Any:
        while True:
            pass

    with pytest.raises(FormulaError, match="formula forever did not end within"):
        drawn(declared(forever, "forever"), bytes(100))


# The arguments that are drawn


def drawn(one: Declared, data: bytes) -> Arguments:
    return arguments(one).decode(Bytes(data), FORMATS["float32"])


@pytest.mark.parametrize("name", FORMULAS)
def test_every_shipped_formula_draws_its_arguments(name: str) -> None:
    one = formulas_of(CATALOGUE)[name]
    for byte in (0, 77, 201):
        case = drawn(one, bytes([byte]) * arguments(one).length)
        for x, axes, parameter in zip(case.inputs, one.axes, one.parameters, strict=True):
            assert np.ndim(x) == len(axes), parameter
        assert case.upstream.shape == np.shape(FORMULAS[name](*case.inputs))
        assert one.differentiable == tuple(
            i for i, x in enumerate(case.inputs) if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        )


def test_labels_that_are_ignored_are_drawn_and_long_axes_beside_short_ones() -> None:
    one = formulas_of(CATALOGUE)["cross_entropy_ignoring"]
    rng = np.random.default_rng(0)
    seen = [drawn(one, rng.bytes(arguments(one).length)).inputs for _ in range(200)]

    ignored = [(labels == ignore_index).mean() for _, labels, ignore_index in seen if ignore_index == -100]
    assert any(0 < share < 1 for share in ignored)
    assert any((labels >= 0).all() for _, labels, ignore_index in seen if ignore_index == -100)
    assert max(max(x.shape) for x, *_ in seen) == 67
    assert max(x.size for x, *_ in seen) <= 33 * 67
    with pytest.raises(FormulaError, match=r"draws y as 'index d z', where z is no axis and no argument"):
        declared(formula(shapes="n d, n -> n", y="index d z")(lambda x, y: x), "off")


def test_numbers_near_a_constant_of_the_formula_are_drawn() -> None:
    """A threshold that is off by a little shows only there."""
    one = formulas_of(CATALOGUE)["softplus"]
    rng = np.random.default_rng(0)
    seen = [drawn(one, rng.bytes(arguments(one).length)).inputs[0] for _ in range(200)]

    assert any(((np.abs(x - 20) < 1e-3) & (x != 20)).any() for x in seen)
    assert any((x == 20).any() for x in seen)


# The chapter


def test_the_chapter_is_the_catalogue() -> None:
    """`python -m calibrant.formula spec` writes it."""
    text = (book_folder() / "layers.md").read_text(encoding="utf-8")

    assert text == chapter()
    with checking(CATALOGUE):
        clauses = {name for name, clause in book().items() if clause.chapter not in CHAPTERS}
        due = {one.clause + end for one in formulas_of(CATALOGUE).values() for end in ("", ".gradient")}
    assert clauses == due


def test_the_adapter_of_pytorch_has_every_formula() -> None:
    assert set(FORMULAS) <= set(vars(torch_layers))


# PyTorch's names


def test_what_is_detached_has_no_gradient() -> None:
    def detached(x: Any) -> Any:
        return x * (x.detach() if hasattr(x, "detach") else x)

    x = np.array([3.0])
    assert assert_gradient(np.array([3.0]), detached, (x,)).judged == 1

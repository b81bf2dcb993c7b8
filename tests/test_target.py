"""Find and load a target, read its description, and refuse a target that cannot be checked."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import target as written

import calibrant as package
from calibrant.adapters import numpy_target as reference
from calibrant.checks.outcomes import Outcome, Status
from calibrant.checks.verdicts import gathered
from calibrant.protocol.declarations import numpy_dtype
from calibrant.protocol.errors import TargetError
from calibrant.target.calling import Call
from calibrant.target.loading import install_hint, load, unmet
from calibrant.target.snippets import snippet

LOSS = "def loss_fn(t_p, t_c):\n    return ((t_p - t_c) ** 2).mean()\n"
SHELF = f"class Shelf:\n    class inner:\n        @staticmethod\n        {LOSS.replace(chr(10), chr(10) + ' ' * 8)}\n"


@pytest.fixture(autouse=True)
def _modules_as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Undo the effects of a target's import, those of another test's too."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "planted", raising=False)
    before = dict(sys.modules)
    yield
    for name in set(sys.modules) - set(before):
        del sys.modules[name]
    sys.modules.update(before)


FORMS = {
    "file": ("planted.py", LOSS, "planted.py", "planted"),
    "file in a folder": ("some/where/planted.py", LOSS, "some/where/planted.py", "planted"),
    "file with a dash": ("my-target.py", LOSS, "my-target.py", "my-target"),
    "object in a file": ("planted.py", SHELF, "planted.py:Shelf.inner", "Shelf.inner"),
    "file by its absolute path": ("else/planted.py", LOSS, "{folder}/else/planted.py", "planted"),
    "module": ("planted.py", LOSS, "planted", "planted"),
    "module in a package": ("package_x/mod.py", LOSS, "package_x.mod", "mod"),
    "object in a module": ("package_x/mod.py", SHELF, "package_x.mod:Shelf.inner", "Shelf.inner"),
}


@pytest.mark.parametrize(("file", "source", "spec", "name"), FORMS.values(), ids=FORMS)
def test_every_form_of_a_target_is_found(file: str, source: str, spec: str, name: str, tmp_path: Path) -> None:
    written(tmp_path, source, file)
    spec = spec.format(folder=tmp_path)

    found = load(spec)

    assert (found.spec, found.name, found.operations) == (spec, name, ("loss_fn",))


def test_a_file_may_import_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, LOSS, "deep/beside_x.py")

    assert load(written(tmp_path, "from beside_x import loss_fn\n", "deep/planted.py")).operations == ("loss_fn",)


def register(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """An installed distribution that registers the target `theirs`."""
    info = folder / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\nProvides-Extra: theirs\n")
    (info / "entry_points.txt").write_text("[calibrant.targets]\ntheirs = their_module:Shelf.inner\n")
    written(folder, source, "their_module.py")
    monkeypatch.syspath_prepend(str(folder))


def test_a_distribution_registers_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path, monkeypatch, SHELF)

    assert load("theirs").operations == ("loss_fn",)
    assert "grad_fn" in load("numpy").operations


def test_a_registered_target_whose_library_is_missing_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path, monkeypatch, f"import no_such_library\n{SHELF}")

    assert refused("theirs") == (
        "target 'theirs' needs no_such_library, which is not installed: pip install 'theirs[theirs]'"
    )
    assert install_hint("numpy") == ""


DEFAULTS = {
    "name": "planted",
    "version": None,
    "dtypes": ["float32", "float64"],
    "conventions": {},
    "deviations": {},
    "slack": 1.0,
    "warnings": [],
}
OWN = {
    "name": "other",
    "version": "3.1",
    "dtypes": ["bfloat16"],
    "conventions": {"adam.epsilon": "hat"},
    "deviations": {"loss.empty": "returns 0"},
    "slack": 4.0,
}
OWN_DUE = OWN | {"warnings": []}


@pytest.mark.parametrize(("said", "due"), [({}, DEFAULTS), (OWN, OWN_DUE)], ids=["defaults", "own"])
def test_the_description_of_a_target_is_its_own_or_the_default(said: Any, due: Any, tmp_path: Path) -> None:
    spec = written(tmp_path, "".join(f"{name} = {value!r}\n" for name, value in said.items()) + LOSS)

    assert load(spec).describe() == {"spec": spec, "operations": ["loss_fn"], **due}


@pytest.mark.parametrize(
    ("declared", "statuses", "due"),
    [
        ("loss.empty[float64]", ("breaks", "breaks"), ["breaks", "deviates"]),
        ("loss.empty[float64]", ("holds", "breaks"), ["holds", "deviates"]),
        ("loss.empty[float64]", ("breaks", "holds"), ["breaks", "stale"]),
        ("loss.empty[float32, float64]", ("breaks", "holds"), ["deviates", "stale"]),
        ("loss.empty", ("breaks", "holds"), ["deviates", "holds"]),
        ("loss.empty", ("holds", "holds"), ["stale", "stale"]),
        ("loss.empty?", ("holds", "holds"), ["holds", "holds"]),
        ("loss.empty?", ("breaks", "holds"), ["deviates", "holds"]),
        ("loss.empty[float32]?", ("holds", "breaks"), ["holds", "breaks"]),
        ("loss.empty", ("absent", "absent"), ["absent", "absent"]),
    ],
)
def test_a_deviation_may_name_the_dtypes_that_it_excuses_and_say_that_it_shows_rarely(
    declared: str, statuses: tuple[Status, Status], due: list[str], tmp_path: Path
) -> None:
    found = load(written(tmp_path, f"deviations = {{{declared!r}: 'so'}}\n{LOSS}"))
    dtypes = ("float32", "float64")
    outcomes = [
        Outcome("loss.empty", "test_it", dtype, status, None, *found.deviation("loss.empty", dtype), judged=1)
        for dtype, status in zip(dtypes, statuses, strict=True)
    ]

    assert [verdict.status for verdict in gathered(outcomes)] == due


@pytest.mark.parametrize(("served", "status"), [(30, "holds"), (9, "undecided")])
def test_a_clause_of_which_almost_nothing_was_judged_is_undecided(served: int, status: str) -> None:
    counts = {"examples": served, "judged": 26, "refused": 1000 - served, "refusal": "not today"}
    (verdict,) = gathered([Outcome("optimizer.fresh", "test_it", "float64", "holds", **counts)])

    assert (verdict.status, verdict.refused, verdict.refusal) == (status, 1000 - served, "not today")
    assert status == "holds" or verdict.reason == "only 9 of 1000 requests were served (not today)"


def only(serves: Callable[..., bool]) -> Callable[..., Any]:
    """Plain descent that serves only some requests."""

    def training_loop(n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any) -> Any:
        if (
            optimizer["name"] != "sgd"
            or len(val)
            or not serves(n_epochs, optimizer, t_u, params[0] * t_u + params[1] - t_c)
        ):
            raise NotImplementedError("not these")
        return reference.training_loop(n_epochs, optimizer, params, t_u, t_c)

    return training_loop


@pytest.mark.parametrize(("served", "status"), [(2, "holds"), (10, "holds"), (9, "undecided")])
def test_some_more_refusals_than_answers_may_be_chance(served: int, status: str) -> None:
    refused = 3 if served == 2 else 30 - served
    (verdict,) = gathered([Outcome("split.pure", "test_it", "float64", "holds", judged=5, alike=[served, refused])])

    assert verdict.status == status


@pytest.mark.parametrize(
    ("serves", "due"),
    [
        (lambda n_epochs, optimizer, t_u, residuals: not residuals.any(), "undecided"),
        (lambda n_epochs, optimizer, t_u, residuals: t_u.size > 1, "holds"),
        (lambda n_epochs, optimizer, t_u, residuals: "momentum" not in optimizer, "holds"),
    ],
    ids=["only-zero-residuals", "not-one-sample", "no-momentum"],
)
def test_a_target_that_refuses_most_numbers_is_not_said_to_be_right(serves: Callable[..., bool], due: str) -> None:
    report = package.check({"training_loop": only(serves)}, clauses="descent.step", examples=20, seed=1)

    assert {verdict.status for verdict in report.verdicts} == {due}
    assert due == "holds" or "requests that differ in their numbers alone were not served (" in str(
        report.verdicts[0].reason
    )


NEARLY = """
convention = {"loss.scale": "half"}
deviation = {"loss.empty": "so"}
dtype = "float32"
Model = type("Model", (), {})
def absolute_los(t_p, t_c): pass
def optimise(name, hyperparameters, params, grads): pass
"""


def test_attributes_that_nearly_have_a_name_are_warned_about(tmp_path: Path) -> None:
    near = {
        "absolute_los": "absolute_loss",
        "convention": "conventions",
        "deviation": "deviations",
        "optimise": "optimize",
    }

    found = load(written(tmp_path, NEARLY + LOSS))

    assert found.warnings == tuple(
        f"its {name} means nothing to calibrant; {other} does" for name, other in near.items()
    )
    assert "has none of the operations" in (sentence := refused(written(tmp_path, NEARLY, "none.py")))
    assert sentence.count("means nothing") == 4


PLACES = {
    ".": "is a folder: name a file in it, as in 'my.py'",
    "../{name}": "is a folder: name a file in it, as in '../{name}/my.py'",
    "package_y/inner": "is a folder: name a file in it, as in 'package_y/inner/__init__.py'",
    "": "is empty: a target is a file",
    "my.py:loss_fn": "is a function: name what it stands in, 'my.py'",
    "my.py:Needs": "is a class of which no object can be made without arguments (TypeError: ",
    "../nowhere": "is neither a file, a module nor a registered target",
}


def test_what_is_no_target_is_told_what_would_be(tmp_path: Path) -> None:
    method = "    def loss_fn(self, t_p, t_c): return loss_fn(t_p, t_c)\n"
    needs = f"class Needs:\n    def __init__(self, x): pass\n{method}"
    written(tmp_path, f"{LOSS}{needs}class Class:\n{method}", "my.py")
    for name in ("package_y/__init__.py", "package_y/inner/__init__.py"):
        written(tmp_path, "", name)
    written(tmp_path, LOSS, "package_y/core.py")
    relative = written(tmp_path, "from ..core import loss_fn\n", "package_y/inner/adapter.py")

    for spec, sentence in PLACES.items():
        assert sentence.format(name=tmp_path.name) in refused(spec.format(name=tmp_path.name)), spec
    assert load("my.py:Class").implementation.loss_fn(np.ones(2), np.zeros(2)) == 1.0
    assert load(relative).implementation.loss_fn(np.ones(2), np.zeros(2)) == 1.0
    call = Call("loss_fn", (np.ones(2), np.zeros(2)))
    assert "import package_y.inner.adapter as target" in snippet(load(relative), [call])


def refused(spec: str) -> str:
    """The sentence that refuses a target."""
    with pytest.raises(TargetError) as caught:
        load(spec)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return sentence


WRONG = {
    "syntax error": ("def loss_fn(:\n", ["SyntaxError", "line 1 of"]),
    "import error": ("import no_such_module_x\n", ["ModuleNotFoundError", "no_such_module_x", "line 1 of"]),
    "raises": ("x = 1\n\n1 / 0\n", ["ZeroDivisionError: division by zero", "line 3 of", "planted.py"]),
    "raises in many lines": ("raise ValueError('one\\ntwo')\n", ["ValueError: one"]),
    "raises what cannot be read": (
        "class E(Exception):\n    def __str__(self):\n        raise KeyError\nraise E\n",
        ["E: (its message cannot be read: KeyError)"],
    ),
    "exits": ("import sys\nsys.exit('bye')\n", ["called sys.exit('bye') while it was imported"]),
    "raises a BaseException": ("raise GeneratorExit('out')\n", ["GeneratorExit: out"]),
    "no operation": ("loss = 1\nloss_fn = 'not callable'\n", ["has none of the operations", "loss_fn, value_and_grad"]),
    "dtypes text": (f"dtypes = 'float32'\n{LOSS}", ["dtypes is 'float32'"]),
    "dtypes empty": (f"dtypes = []\n{LOSS}", ["dtypes is []"]),
    "dtypes no list": (f"dtypes = 32\n{LOSS}", ["dtypes is 32"]),
    "dtypes unknown": (f"dtypes = ['float31']\n{LOSS}", ["'float31', which is not judged; nearest: float32"]),
    "dtypes that cannot be compared": (
        f"import numpy\ndtypes = [numpy.ones(2)]\n{LOSS}",
        ["cannot be read: ValueError: The truth value"],
    ),
    "slack that cannot be shown": (
        f"class Slack:\n    def __repr__(self):\n        raise KeyError\nslack = Slack()\n{LOSS}",
        ["slack is a Slack whose repr raises KeyError"],
    ),
    "attributes that raise": (
        f"def __getattr__(name):\n    raise OSError('no ' + name)\n{LOSS}",
        ["cannot be read: OSError: no "],
    ),
    "slack text": (f"slack = 'much'\n{LOSS}", ["slack is 'much', not a number of at least 1"]),
    "slack small": (f"slack = 0.5\n{LOSS}", ["slack is 0.5"]),
    "slack infinite": (f"slack = float('inf')\n{LOSS}", ["slack is inf"]),
    "slack nan": (f"slack = float('nan')\n{LOSS}", ["slack is nan"]),
    "slack boolean": (f"slack = True\n{LOSS}", ["slack is True"]),
    "conventions no dict": (f"conventions = ['hat']\n{LOSS}", ["conventions is ['hat'], not a dict"]),
    "deviations without reason": (f"deviations = {{'loss.empty': ''}}\n{LOSS}", ["deviations is {'loss.empty': ''}"]),
    "deviations unknown": (
        f"deviations = {{'loss.emty': 'x'}}\n{LOSS}",
        ["the clause 'loss.emty', which is not in the book; nearest: loss.empty"],
    ),
    "deviations of an unknown dtype": (
        f"deviations = {{'loss.empty[float46]': 'x'}}\n{LOSS}",
        ["deviations: 'loss.empty[float46]' names 'float46', which is no dtype that is judged; nearest: float64"],
    ),
    "deviations of half a list": (
        f"deviations = {{'loss.empty[float64': 'x'}}\n{LOSS}",
        ["'loss.empty[float64' names"],
    ),
}


@pytest.mark.parametrize(("source", "parts"), WRONG.values(), ids=WRONG)
def test_one_sentence_refuses_a_target_that_cannot_be_checked(source: str, parts: list[str], tmp_path: Path) -> None:
    sentence = refused(written(tmp_path, source))

    assert all(part in sentence for part in parts), sentence


def test_a_missing_file_names_the_nearest_beside_it(tmp_path: Path) -> None:
    written(tmp_path, LOSS, "my_target.py")

    assert "there is no such file; nearest: my_target.py" in refused("my_tarjet.py")
    assert "there is no such file" in refused("no/such/folder/x.py:y")


def test_a_missing_object_names_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path, SHELF)

    assert f"{file} has no 'Shelv'; nearest: Shelf" in refused(f"{file}:Shelv")
    assert f"{file} has no 'iner'; nearest: inner" in refused(f"{file}:Shelf.iner")


@pytest.mark.parametrize("spec", ["nunpy", "nunpy.x", "no_such_package_x.mod:obj", ".", "", ":", "a..b", ".relative"])
def test_a_spec_without_a_file_a_module_or_a_registered_target_is_refused(spec: str) -> None:
    sentence = refused(spec)

    assert sentence.startswith("target ")
    assert spec != "nunpy" or sentence.endswith("; nearest: numpy")


def test_bfloat16_without_its_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)

    with pytest.raises(TargetError, match="bfloat16 needs ml_dtypes: pip install"):
        numpy_dtype("bfloat16")


def test_interrupting_an_import_interrupts(tmp_path: Path) -> None:
    """Control-C is the user's, not the target's."""
    with pytest.raises(KeyboardInterrupt):
        load(written(tmp_path, "raise KeyboardInterrupt\n"))


def test_a_library_that_is_too_old_is_named_with_the_command_that_installs_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: {"torch": "1.13.1"}[name])

    assert unmet("torch") == "torch>=2.2, but 1.13.1 is installed"
    assert unmet("numpy") == ""
    with pytest.raises(TargetError, match=r"^target 'torch' needs torch>=2.2, but 1.13.1 is installed: pip install"):
        load("torch")

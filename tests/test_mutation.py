"""The base of mutation testing: modules behave the same without decorators, and the list of survivors names code that exists."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import mutation
import pytest

SOURCE = Path(mutation.ROOT / "src" / "calibrant")


def test_a_decorator_is_a_call_below_its_function() -> None:
    namespace: dict[str, object] = {"order": []}
    source = '''
def noted(name):
    def enter(function):
        order.append((name, function()))
        return function
    return enter

@noted(
    "outer"
)
@noted("inner")
def one():
    """One."""
    return 1

class Two:
    @property
    def two(self):
        return 2
'''

    exec(mutation.undecorated(source), namespace)

    assert namespace["order"] == [("inner", 1), ("outer", 1)]
    assert namespace["Two"]().two == 2  # type: ignore[operator]
    assert "@" not in mutation.undecorated(source)


def test_every_module_that_is_mutated_has_tests() -> None:
    present = {
        f"{file.parent.name}.{file.stem}"
        for folder in ("exact", "judge", "mechanics")
        for file in (SOURCE / folder).glob("[a-z]*.py")
    } - {"exact.measurements"}

    assert {*mutation.TESTS} == present
    for name in {name for module in mutation.TESTS for name in mutation.names_of(module)}:
        assert (mutation.ROOT / mutation.file_of(name).partition("::")[0]).exists()


def test_the_change_of_a_mutant_is_told_without_its_name() -> None:
    texts = {"x_f__mutmut_orig": ["def x_f__mutmut_orig(a):", "    b = a + 1", "    return b"]}
    texts["x_f__mutmut_2"] = ["def x_f__mutmut_2(a):", "    b = a - 1", "    return b"]
    texts |= {f"xǁCǁ_g__mutmut_{k}": [f"def xǁCǁ_g__mutmut_{k}(self, a={n}):"] for k, n in (("orig", 0), (1, 1))}

    assert mutation.change("exact.loss", "x_f__mutmut_2", texts) == "exact.loss f: b = a + 1 -> b = a - 1"
    told = "exact.loss C._g: def _g(self, a=0): -> def _g(self, a=1):"
    assert mutation.change("exact.loss", "xǁCǁ_g__mutmut_1", texts) == told


def test_survivors_are_mutants_of_code_that_is_there() -> None:
    """Where a line has changed, think its reason over again."""
    for said in [said for one in mutation.survivors() for said in one.get("changes", ())]:
        assert mutation.explained(said)
        assert mutation.explained(f"{said} (again)")
        place, _, changed = said.partition(": ")
        module, _, function = place.partition(" ")
        source = (SOURCE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        old = changed.partition(" -> ")[0]

        assert f"def {function.rpartition('.')[2]}(" in source, said
        assert " ".join(old.split()) in " ".join(source.split()), said


def test_a_reason_explains_what_it_names_and_nothing_else() -> None:
    zipped = "exact.loss f: for x in zip(a, b, strict=True): -> for x in zip(a, b, {}):"

    assert mutation.explained(zipped.format("strict=False"))
    assert mutation.explained(zipped.format(""))
    assert not mutation.explained(zipped.format("strict=True"))
    assert not mutation.explained("exact.loss loss_fn: return a + b -> return a - b")


def test_a_mutant_that_nobody_has_tried_needs_the_reason_of_a_class() -> None:
    named = next(said for one in mutation.survivors() for said in one.get("changes", ()))

    assert mutation.explained(
        "exact.loss f: for x in zip(a, strict=True): -> for x in zip(a, strict=None):", tried=False
    )
    assert mutation.explained(named)
    assert not mutation.explained(named, tried=False)


DETOURS = """
def detour():
    def _trampoline_wrapper(*arguments):
        raise AssertionError("asked which mutant is awake")
    return _trampoline_wrapper

f = detour()
mutants_x_f__mutmut = {"_mutmut_orig": lambda: "right", "x_f__mutmut_1": lambda: "wrong"}
_g = detour()
mutants_x__g__mutmut = {"_mutmut_orig": lambda: "right"}

class C:
    h = k = detour()

mutants_xǁCǁh__mutmut = {"_mutmut_orig": lambda self: "right", "xǁCǁh__mutmut_1": lambda self: "wrong"}
"""


def test_only_the_mutant_that_is_awake_takes_the_place_of_what_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """In each module of the copy that names it."""
    home, user = types.ModuleType("home"), types.ModuleType("user")
    exec(DETOURS, vars(home))
    vars(user).update(f=home.f, C=home.C)
    for module in (home, user):
        module.__file__ = f"{mutation.FOLDER}/{module.__name__}.py"
        monkeypatch.setitem(sys.modules, module.__name__, module)

    mutation.without_detours("home.x_f__mutmut_1")

    assert [home.f(), user.f(), home._g(), user.C().h(), user.C().k()] == ["wrong", "wrong", "right", "right", "right"]

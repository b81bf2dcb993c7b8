"""The formulas that ship: the same text on NumPy and PyTorch, held against PyTorch's own versions, and faults that they must show."""

from __future__ import annotations

import re
import sys
from typing import Any

import numpy as np
import pytest
import torch

from calibrant import cli
from calibrant.adapters import torch_layers
from calibrant.benchmarks import alarms, checkers
from calibrant.benchmarks.__main__ import main
from calibrant.benchmarks.faults import Fault, faults
from calibrant.benchmarks.formulas import sensitivities
from calibrant.benchmarks.rearranged import rearranged
from calibrant.benchmarks.versions import Case, cases, held
from calibrant.formula import FormulaError, assert_agrees, assert_gradient, bound, namespace
from calibrant.formula.catalogue import FORMULAS
from calibrant.protocol.errors import CheckError

CASES = {case.name: case for case in cases()}
FAULTS = {f"{fault.case}, {fault.what}": fault for fault in faults()}


def upstream(shape: Any) -> Any:
    return np.random.default_rng(5).normal(size=tuple(shape))


def drawn(name: str, seed: int, scale: float = 1.0, offset: float = 0.0) -> tuple[Any, ...]:
    return CASES[name].draw(np.random.default_rng(seed), scale, offset)


def test_every_formula_has_a_case() -> None:
    assert set(CASES) == set(FORMULAS)
    assert len(FORMULAS) >= 40


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_says_what_it_is_and_where_it_is_defined(name: str) -> None:
    formula = FORMULAS[name]

    assert re.search(r"Reference: .+\.$", formula.__doc__ or "")
    assert "->" in formula.shapes


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_runs_on_numpy_and_on_torch(name: str) -> None:
    """The same text, and each result is right."""
    inputs = drawn(name, 0)
    tensors = tuple(torch.as_tensor(x) if isinstance(x, np.ndarray) else x for x in inputs)

    for values in (inputs, tensors):
        assert_agrees(FORMULAS[name](*values), FORMULAS[name], inputs)


@pytest.mark.parametrize("name", FORMULAS)
def test_torch_agrees_with_a_formula(name: str) -> None:
    for dtype, scale, offset in (("float32", 1.0, 0.0), ("float64", 30.0, 100.0), ("bfloat16", 1.0, 0.0)):
        value, gradient = held(CASES[name], drawn(name, 1, scale, offset), dtype, upstream)
        assert value.judged
        assert gradient.judged


def rejected(fault: Fault, dtype: str) -> bool:
    """Whether one of three drawn inputs shows the fault."""
    case = CASES[fault.case]
    broken = Case(case.name, case.draw, fault.wrong)
    for seed in range(3):
        try:
            held(broken, drawn(fault.case, seed, fault.scale, fault.offset), dtype, upstream)
        except AssertionError:
            return True
    return False


BELOW_FLOAT32 = {"softmax, sum plus 1e-6", "causal_attention, mask of -20"}
"""Faults that change a result by less than float32 may round it: 1e-6 in a sum of at least 1, and e⁻²⁰ = 2e-9."""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_realistic_fault_is_seen(dtype: str) -> None:
    missed = {name for name, fault in FAULTS.items() if not rejected(fault, dtype)}

    assert len(FAULTS) >= 60
    assert missed == (BELOW_FLOAT32 if dtype == "float32" else set())


@pytest.mark.parametrize("case", sorted({row.case for row in rearranged()}))
def test_no_correct_arrangement_is_rejected(case: str) -> None:
    """Fused kernels, sums in other orders, one pass, float64 inside, backward passes by hand: each at several scales."""
    for row in rearranged():
        if row.case == case:
            for dtype, scales in (("float32", row.scales), ("float64", row.scales[:1])):
                for scale in scales:
                    value, gradient = held(
                        Case(case, CASES[case].draw, row.theirs), drawn(case, 0, *scale), dtype, upstream
                    )
                    assert value.judged, row.what
                    assert gradient.judged, row.what


@pytest.mark.parametrize(
    ("name", "more", "slopes"),
    [
        ("leaky_relu", (0.25,), (0.25, 0.6, 1.0)),
        ("elu", (1.5,), (1.0, 1.2, 1.5)),
        ("elu", (1.0,), (1.0,)),
        ("relu", (), (0.0, 0.3, 1.0)),
        ("sigmoid", (), (0.25,)),
        ("softplus", (20.0,), (0.5,)),
        ("log_sigmoid", (), (0.5,)),
    ],
)
def test_at_0_the_slopes_of_both_sides_and_those_between_are_right(name: str, more: Any, slopes: Any) -> None:
    """A smooth function has one slope there, although its formula is written in two pieces."""
    x = np.zeros(1)
    for slope in slopes:
        assert_gradient(np.array([slope]), FORMULAS[name], (x, *more))
    for wrong in (min(slopes) - 0.01, max(slopes) + 0.01):
        with pytest.raises(AssertionError):
            assert_gradient(np.array([wrong]), FORMULAS[name], (x, *more))


def test_the_gradient_of_cross_entropy_with_logits_at_0_is_one_number() -> None:
    x, y = np.zeros(2), np.array([0.3, 0.7])
    right = (0.5 - y) / 2

    assert_gradient([right, None], FORMULAS["binary_cross_entropy_with_logits"], (x, y))
    for wrong in (right - 0.01, right + 0.25, -y / 2):
        with pytest.raises(AssertionError):
            assert_gradient([wrong, None], FORMULAS["binary_cross_entropy_with_logits"], (x, y))


@pytest.mark.parametrize(
    ("name", "broken", "sentence"),
    [
        (
            "cross_entropy",
            lambda x, y: (x, y + 7),
            "index 9 is out of bounds for axis 1 with size 7; x is .*, labels is ",
        ),
        (
            "linear",
            lambda x, w, b: (x[:, 1:], w, b),
            "declares otherwise: w is .*, so its axis d has 7 elements where x has d = 6",
        ),
        ("convolution_1d", lambda x, w, b, s, p: (x[..., :1], w, b, s, 0), "formula convolution_1d"),
    ],
)
def test_inputs_outside_a_formulas_domain_are_told(name: str, broken: Any, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        bound(FORMULAS[name], broken(*drawn(name, 0)), "float64")


NOT_IN_TORCH = {"constants", "finite", "any", "sign", "arange", "eye"}
"""Formulas whose text PyTorch does not run: it takes no plain numbers there, or does not mix its dtypes."""

TRANSFORMS: dict[str, Any] = {
    "flip": lambda xp, x: xp.flip(x, axis=1),
    "roll": lambda xp, x: xp.roll(x, 2, axis=0),
    "repeat": lambda xp, x: xp.repeat(x, 2, axis=1),
    "tile": lambda xp, x: xp.tile(x, (2, 1)),
    "tril": lambda xp, x: xp.tril(x) + xp.triu(x, k=1),
    "moveaxis": lambda xp, x: xp.moveaxis(x, 0, 1),
    "stack": lambda xp, x: xp.stack([x, x * 2], axis=1),
    "eye": lambda xp, x: x @ xp.eye(4),
    "var": lambda xp, x: xp.var(x, axis=0, correction=1),
    "std": lambda xp, x: xp.std(x, axis=1),
    "min": lambda xp, x: xp.min(x, axis=1),
    "clip": lambda xp, x: xp.clip(x, -0.5, 0.5),
    "sign": lambda xp, x: xp.sign(x) * xp.square(x),
    "hypot": lambda xp, x: xp.hypot(x, x + 1),
    "logaddexp": lambda xp, x: xp.logaddexp(x, 2 * x),
    "reciprocal": lambda xp, x: xp.reciprocal(x),
    "power": lambda xp, x: xp.abs(x) ** 2.5 + x**3 + x**-2 + xp.abs(x) ** x,
    "cumulative_sum": lambda xp, x: xp.cumulative_sum(x, axis=1),
    "vecdot": lambda xp, x: xp.vecdot(x, x),
    "vectors": lambda xp, x: (x[0] @ x) @ x[1] + x[0] @ xp.permute_dims(x, (1, 0)) @ x[:, 0],
    "masks": lambda xp, x: xp.where((x > 0) & ~(x > 1) | (x == 2), x, -x) + (x < 0) * x + xp.astype(x != 0, x.dtype),
    "any": lambda xp, x: (
        xp.where(xp.any(x > 1, axis=1, keepdims=True), x, 2 * x) + xp.where(xp.all(x > -9, axis=0), 1.0, x)
    ),
    "finite": lambda xp, x: xp.where(xp.isfinite(x) & ~xp.isnan(x) & ~xp.isinf(x), x, 0.0),
    "arange": lambda xp, x: x * xp.arange(0.0, 4.0) + xp.asarray([1.0, 2.0, 3.0, 4.0]),
    "iteration": lambda xp, x: sum(row for row in x),
    "elementary": lambda xp, x: xp.sin(x) + xp.cos(x) * xp.tan(x / 4) + xp.sinh(x) - xp.cosh(x) + xp.expm1(x),
    "inverse": lambda xp, x: (
        xp.asin(x / 9) + xp.acos(x / 9) * xp.atan(x) + xp.asinh(x) + xp.acosh(2 + x * x) + xp.atanh(x / 9)
    ),
    "logarithms": lambda xp, x: xp.log2(x * x) + xp.log10(1 + x * x) + xp.log1p(x * x),
    "constants": lambda xp, x: xp.pi * x + xp.e,
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_function_of_the_standard_agrees_with_numpy_and_its_gradient_with_torch(name: str) -> None:
    """Value by NumPy, gradient by automatic differentiation of the same text on PyTorch."""

    def formula(x: Any) -> Any:
        return TRANSFORMS[name](namespace(x), x)

    x = np.random.default_rng(7).normal(size=(4, 4))
    assert_agrees(formula(x), formula, (x,))
    if name in NOT_IN_TORCH:
        return
    tensor = torch.tensor(x, requires_grad=True)
    value = formula(tensor)
    (gradient,) = torch.autograd.grad(value.sum(), tensor)

    assert assert_gradient(gradient, formula, (x,)).judged == 16


ROWS = {
    "mean_squared_error: half of it": ["seen", "seen", "-", "-", "seen", "seen"],
    "layer_norm: epsilon of 1e-6": ["seen", "seen", "-", "-", "seen", "seen"],
    "silu: backward without x": ["seen", "seen", "seen", "seen", "seen", "seen"],
}
"""calibrant in float32 and float64; gradcheck, slow and fast; assert_close in float32 and float64."""


def test_the_benchmark_prints_faults_beside_other_checkers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong value passes a gradient checker; a fault of 5e-6 passes a tolerance; what is not installed is told."""
    some = ("mean_squared_error, half of it", "layer_norm, epsilon of 1e-6", "silu, backward without x")
    monkeypatch.setattr(checkers, "faults", lambda: [FAULTS[name] for name in some])
    monkeypatch.setattr(checkers, "cases", lambda: [CASES["softplus"]])
    monkeypatch.setattr(checkers, "find_spec", lambda package: None)
    monkeypatch.setattr("calibrant.benchmarks.formulas.cases", lambda: [CASES["tanh"]])
    monkeypatch.setattr(alarms, "measure", lambda cases, seed: ([], []))

    assert main(["formulas", "--cases", "3"]) == 0

    said = capsys.readouterr()
    assert "jax is not installed: check_grads has no column" in said.err
    rows = {name: line[len(name) :].split() for line in said.out.splitlines() for name in ROWS if line.startswith(name)}
    for name, row in rows.items():
        assert [*row[:4], *row[5:]] == ROWS[name]  # gradcheck in float32 rejects right answers as well


def test_a_right_answer_that_is_rejected_ends_the_benchmark_with_status_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "LIBRARIES", {"torch": alarms.LIBRARIES["torch"]})
    monkeypatch.setattr(alarms, "runs", lambda wide: [("torch", "cross_entropy", "float64")])
    monkeypatch.setattr(torch_layers, "cross_entropy", FAULTS["cross_entropy, mean over n + 1"].wrong)

    rows, rejections = alarms.measure(2, seed=0, workers=1)

    assert sum(row["rejected"] for row in rows) == len(rejections) > 0
    assert max(row["worst"] for row in rows) > 1
    assert "torch, cross_entropy in float64" in rejections[0]["rejected"]


def test_a_gradient_error_far_below_a_usual_tolerance_is_seen() -> None:
    """The median over the catalogue of the relative error that a gradient may have."""
    middle = sensitivities()[-1]

    assert middle["float32"] <= 1e-4
    assert middle["float64"] <= 1e-12


def test_the_formulas_are_listed_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    cli.formulas(None)
    listed = capsys.readouterr().out
    cli.formulas("rms_norm")
    printed = capsys.readouterr().out

    assert all(re.search(rf"^{name}  \(", listed, re.MULTILINE) for name in FORMULAS)
    assert "def rms_norm(x: Any, w: Any, eps: float) -> Any:" in printed
    with pytest.raises(CheckError, match=r"rms_nrm.*nearest: rms_norm"):
        cli.formulas("rms_nrm")


def test_the_list_of_formulas_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calibrant.formula.catalogue", None)

    with pytest.raises(CheckError):
        cli.formulas(None)


def test_a_long_run_asks_every_formula_of_pytorch_in_each_dtype_that_it_stores() -> None:
    pytest.importorskip("torch")

    wide, narrow = (
        {(name, dtype) for library, name, dtype in alarms.runs(wide) if library == "torch"} for wide in (True, False)
    )

    assert wide == {(name, dtype) for name in FORMULAS for dtype in ("float32", "float64")}
    assert {dtype for _, dtype in narrow} == {"bfloat16", "float16"}
    assert ("cross_entropy", "bfloat16") in narrow

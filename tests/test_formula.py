"""What a person who judges a function of their own sees: verdicts, sentences, arrays of several libraries, formulas that misbehave."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import calibrant
from calibrant.formula import FormulaError, assert_gradient, either, gradient_bound, namespace, rounded, store
from calibrant.formula import formula as declared
from calibrant.formula.catalogue import FORMULAS

layer_norm = FORMULAS["layer_norm"]
RNG = np.random.default_rng(0)
X, W, B, G = RNG.normal(size=(4, 6)), RNG.normal(size=6), RNG.normal(size=6), RNG.normal(size=(4, 6))
INPUTS = (X, W, B, 1e-5)


def by_hand(x: Any, w: Any, b: Any, eps: float) -> Any:
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered * centered).mean(-1, keepdims=True) + eps) * w + b


def backward_by_hand(x: Any, w: Any, eps: float, g: Any) -> tuple[Any, Any, Any]:
    centered = x - x.mean(-1, keepdims=True)
    root = np.sqrt((centered * centered).mean(-1, keepdims=True) + eps)
    n = centered / root
    d = g * w
    return (d - d.mean(-1, keepdims=True) - n * (d * n).mean(-1, keepdims=True)) / root, (g * n).sum(0), g.sum(0)


def test_a_layer_and_its_backward_pass_are_right() -> None:
    assert calibrant.assert_agrees(by_hand(*INPUTS), layer_norm, INPUTS).judged == 24
    assert calibrant.assert_gradient(backward_by_hand(X, W, 1e-5, G), layer_norm, INPUTS, upstream=G).judged == 36


def test_a_wrong_element_is_named_with_its_error_and_condition() -> None:
    wrong = by_hand(*INPUTS)
    wrong[2, 3] += 1e-12
    with pytest.raises(AssertionError) as told:
        calibrant.assert_agrees(wrong, layer_norm, INPUTS)

    sentence = str(told.value)
    assert sentence.startswith(f"layer_norm at [2, 3] is {float(wrong[2, 3])!r}, exactly ")
    assert "off by 1e-12" in sentence
    assert "times its bound of" in sentence
    assert "ulps of float64; a relative change of the inputs moves it by at most" in sentence
    assert "; another arrangement may err by " in sentence
    assert "(1 of 24 elements are beyond their bound)" in sentence


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_wrong_gradient_names_its_input(which: int) -> None:
    gradients = list(backward_by_hand(X, W, 1e-5, G))
    gradients[which] = gradients[which] * (1 + 1e-11)

    with pytest.raises(AssertionError, match=f"layer_norm: the gradient for {'xwb'[which]} at "):
        calibrant.assert_gradient(gradients, layer_norm, INPUTS, upstream=G)


def test_a_gradient_that_is_not_given_is_not_judged() -> None:
    assert assert_gradient([None, None, G.sum(0)], layer_norm, INPUTS, upstream=G).judged == 6


def test_a_gradient_for_each_input_may_stand_in_its_place() -> None:
    assert assert_gradient([*backward_by_hand(X, W, 1e-5, G), None], layer_norm, INPUTS, upstream=G).judged == 36


@pytest.mark.parametrize("answer", [np.nan, np.inf])
def test_an_answer_that_is_not_finite_is_wrong(answer: float) -> None:
    wrong = by_hand(*INPUTS)
    wrong[0, 0] = answer

    with pytest.raises(AssertionError, match=r"\[0, 0\] is (nan|inf), exactly"):
        calibrant.assert_agrees(wrong, layer_norm, INPUTS)


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(AssertionError, match=r"layer_norm has shape \(6, 4\) where \(4, 6\) is due"):
        calibrant.assert_agrees(by_hand(*INPUTS).T, layer_norm, INPUTS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_tensors_of_torch_are_judged_in_their_dtype(dtype: torch.dtype) -> None:
    x, w, b = (torch.tensor(a, dtype=dtype, requires_grad=True) for a in (X, W, B))
    value = torch.nn.functional.layer_norm(x, (6,), w, b, 1e-5)
    gradients = torch.autograd.grad(value, (x, w, b), torch.tensor(G, dtype=dtype))

    assert calibrant.assert_agrees(value, layer_norm, (x, w, b, 1e-5)).judged == 24
    assert calibrant.assert_gradient(gradients, layer_norm, (x, w, b, 1e-5), torch.tensor(G, dtype=dtype)).judged == 36


class Exported:
    """An array that has DLPack alone."""

    def __init__(self, x: Any) -> None:
        self.x, self.dtype = x, x.dtype

    def __dlpack__(self, **keywords: Any) -> Any:
        return self.x.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()


def test_an_array_may_come_by_dlpack() -> None:
    assert calibrant.assert_agrees(Exported(by_hand(*INPUTS)), layer_norm, (Exported(X), W, B, 1e-5)).judged == 24


def test_an_array_may_hold_bfloat16_of_ml_dtypes() -> None:
    """JAX's arrays of bfloat16 become these."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x, g = (a.astype(ml_dtypes.bfloat16) for a in (X, G))

    assert calibrant.assert_agrees(x * x, lambda x: x * x, (x,)).judged == 24
    assert calibrant.assert_gradient(2 * x * g, lambda x: x * x, (x,), upstream=g).judged == 24


def test_float32_numbers_that_claim_to_be_float64_are_rejected() -> None:
    narrow = by_hand(*(a.astype(np.float32) for a in (X, W, B)), 1e-5).astype(np.float64)
    inputs = (*(a.astype(np.float32) for a in (X, W, B)), 1e-5)

    with pytest.raises(AssertionError):
        calibrant.assert_agrees(narrow, layer_norm, inputs)
    assert calibrant.assert_agrees(narrow, layer_norm, inputs, dtype="float32").judged == 24


def test_a_bound_is_exported_as_json() -> None:
    found = calibrant.bound(layer_norm, INPUTS, dtype="float32")
    text = json.loads(json.dumps(found.as_dict()))

    assert text["shape"] == [4, 6]
    assert text["dtype"] == "float32"
    assert np.allclose(np.reshape(text["value"], (4, 6)), by_hand(*INPUTS), rtol=0, atol=1e-12)
    assert np.abs(text["remainder"]).max() < 1e-15
    assert min(text["allowed"]) > 0
    assert max(text["allowed"]) < 1e-5


def test_what_is_not_claimed_is_null_in_json() -> None:
    found = calibrant.bound(lambda x: namespace(x).exp(x), (np.array([1000.0]),), "float64")

    assert found.as_dict()["allowed"] == [None]


def test_an_arrangement_far_from_the_formula_is_told_apart() -> None:
    """exp(log p) errs by the size of the logarithm: a backward stable way, outside the running bound of e / Σ e."""
    x = np.array([[0.0, -200.0, -300.0]])
    shifted = x - x.max()
    p = np.exp(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)) * (1 + 2e-16)) * (
        1 + np.array([0, 2e-14, 4e-14])
    )

    def softmax(x: Any) -> Any:
        xp = namespace(x)
        e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
        return e / xp.sum(e, axis=-1, keepdims=True)

    judged = calibrant.assert_agrees(p, softmax, (x,))

    assert judged.another_arrangement == 2
    assert calibrant.assert_agrees(p, FORMULAS["softmax"], (x,)).another_arrangement < 2  # which lists exp(log p)
    with pytest.raises(AssertionError, match="another arrangement may err by"):
        calibrant.assert_agrees(p * (1 + np.array([0, 1e-12, 0])), softmax, (x,))


def test_either_of_two_arrangements_is_right() -> None:
    def expanded(x: Any, y: Any) -> Any:
        return x * x - 2 * x * y + y * y

    def both(x: Any, y: Any) -> Any:
        return either((x - y) ** 2, expanded(x, y))

    x, y = 1 + np.arange(1, 9) / 1e4, np.full(8, 1.00003)

    calibrant.assert_agrees((x - y) ** 2, both, (x, y))
    calibrant.assert_agrees(expanded(x, y), both, (x, y))
    first = calibrant.bound(lambda x, y: (x - y) ** 2, (x, y), "float64").allowed
    assert (calibrant.bound(both, (x, y), "float64").allowed > 100 * first).all()


def test_storage_in_a_narrow_dtype_is_allowed_where_the_formula_says_so() -> None:
    x = np.linspace(0.1, 3, 7)
    half = np.exp(x).astype(np.float16).astype(np.float32)

    with pytest.raises(AssertionError):
        calibrant.assert_agrees(half * np.float32(0.3), lambda x: namespace(x).exp(x) * 0.3, (x,))
    calibrant.assert_agrees(half * np.float32(0.3), lambda x: store(namespace(x).exp(x), "float16") * 0.3, (x,))


def test_arithmetic_may_be_wider_than_storage() -> None:
    x = RNG.normal(size=(3, 40))

    wide = calibrant.bound(FORMULAS["softmax"], (x,), "float16").allowed
    narrow = calibrant.bound(FORMULAS["softmax"], (x,), "float16", accumulate="float16").allowed

    assert (wide < narrow / 5).all()


def test_a_constant_may_be_the_one_that_the_dtype_holds() -> None:
    x = np.array([1.0], dtype=np.float32)
    third = np.float32(0.1)

    assert calibrant.bound(lambda x: x * rounded(0.1, x), (x,), "float32").value[0] == third
    assert rounded(0.1, x) == 0.1


def test_an_exact_array_reports_the_dtype_of_its_arithmetic() -> None:
    seen = []

    @declared(accumulate="float32")
    def kept(x: Any) -> Any:
        seen.append(x.dtype.name)
        return x * 1.1

    calibrant.bound(kept, (np.ones(2),), "bfloat16")

    assert set(seen) == {"float32"}


def ask(formula: Any, *inputs: Any) -> Any:
    return calibrant.bound(formula, inputs or (X,), "float64")


def assigns(x: Any) -> Any:
    x[0] = 1
    return x


@pytest.mark.parametrize(
    ("formula", "sentence"),
    [
        (lambda x: torch.erfinv(x), "<lambda> uses torch's erfinv, which calibrant's exact arrays do not have"),
        (assigns, "formula assigns assigns to elements of an array"),
        (lambda x: float(x[0, 0]), "takes it out as a number"),
        (lambda x: (x, x), "returned tuple"),
        (lambda x: x @ x, r"multiplies matrices of shapes \(4, 6\) and \(4, 6\)"),
        (lambda x: x.real, "raised AttributeError"),
        (
            lambda x: namespace(x).reshape(x, (5, 5)),
            r"calls reshape on an array of shape \(4, 6\): .* into shape \(5,5\); x is \(4, 6\) from",
        ),
        (lambda x: namespace(x).sum(x, axis=2), r"reduces axis 2 of an array of shape \(4, 6\)"),
        (lambda x: x[x > 0], "selects by a mask that depends on values"),
        (lambda x: namespace(x).max(x[:0], axis=0), "takes the maximum of no elements"),
        (lambda x: namespace(x).mean(x[:0]), "takes the mean of no elements"),
        (lambda x: namespace(x).broadcast_to(x, (3, 3)), "calls broadcast_to on an array of shape"),
        (lambda x: namespace(x).concat([x, x[0]], axis=1), r"concatenates shapes \(4, 6\), \(6,\)"),
        (lambda x: namespace(x).astype(x, np.int64), "turns numbers into whole numbers"),
        (lambda x: either(x, x + 1), r"has arrangements of different values in either\(\)"),
    ],
)
def test_a_formula_that_misbehaves_is_told_in_a_sentence(formula: Any, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        ask(formula)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: calibrant.bound(layer_norm, X, "float64"), "inputs is ndarray: give a tuple"),
        (lambda: calibrant.bound(layer_norm, INPUTS, "float64", accumulate="float32"), "narrower than dtype"),
        (lambda: calibrant.assert_agrees([1.0], layer_norm, INPUTS), "actual is list"),
        (
            lambda: calibrant.assert_gradient([G, G], layer_norm, INPUTS),
            "actual has 2 gradients, but formula layer_norm has 3",
        ),
        (lambda: calibrant.assert_gradient([G, W, B], layer_norm, INPUTS, W), r"upstream has shape \(6,\)"),
        (lambda: gradient_bound(lambda n: namespace(n).ones(3), (np.arange(3),), "float64"), "returned ndarray"),
    ],
)
def test_bad_input_is_told_in_a_sentence(call: Any, sentence: str) -> None:
    with pytest.raises(FormulaError, match=sentence):
        call()


def test_without_python_flint_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "flint.py").write_text("raise ImportError('no flint')")
    code = "import calibrant\ntry:\n    calibrant.bound\nexcept ImportError as error:\n    print(error)"

    said = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert said == "formulas need python-flint: pip install calibrant[formula]\n"


def creating(x: Any) -> Any:
    xp = namespace(x)
    counts = xp.asarray(xp.asarray([1, 2, 3, 4, 5, 6], dtype=xp.int64), dtype=xp.float64)
    made = xp.add(xp.zeros((4, 6)), xp.full((6,), 2.5)) + xp.ones((4, 1)) + xp.full_like(x, 1)
    return xp.multiply(made, x) + xp.asarray(counts) + xp.full(6, 1)


def comparing(x: Any) -> Any:
    xp = namespace(x)
    positive = x > 0.25
    some = xp.any(positive, axis=1, keepdims=True)
    kept = xp.where(xp.moveaxis(xp.moveaxis(positive, 0, 1), 1, 0), x, xp.negative(x))
    return kept * xp.astype(some, xp.float64) + xp.astype(xp.logical_not(positive), xp.float64) * xp.sum(x * x)


def joining(x: Any) -> Any:
    xp = namespace(x)
    rows = xp.concat([np.arange(2), np.arange(2)])
    return xp.concat([x, xp.abs(x)], axis=1) + xp.sum(rows) + xp.astype(xp.any(x > 100.0), xp.float64)


@pytest.mark.parametrize("formula", [creating, comparing, joining])
def test_the_functions_of_exact_arrays_are_numpys(formula: Any) -> None:
    calibrant.assert_agrees(formula(X), formula, (X,))
    with pytest.raises(AssertionError, match="off by 1e-09"):
        calibrant.assert_agrees(formula(X) + 1e-9, formula, (X,))


ROWS = torch.tensor([[0], [2], [1], [5]])
OF_TORCH: dict[str, Any] = {
    "softmax": lambda x: torch.softmax(x, dim=0),
    "log_softmax": lambda x: torch.log_softmax(x, dim=1),
    "logsumexp": lambda x: torch.logsumexp(x, dim=0, keepdim=True),
    "logsumexp without its axis": lambda x: torch.logsumexp(x, dim=0),
    "sigmoid": lambda x: torch.sigmoid(x),
    "max along an axis": lambda x: torch.max(x, dim=1).values,
    "methods": lambda x: (x - x.max(dim=-1, keepdim=True).values).sum(-1, keepdim=True).transpose(0, 1),
    "max of two": lambda x: torch.max(x, -x),
    "extremes of all": lambda x: (x - torch.min(x)) / (x.max() - x.min()),
    "var": lambda x: torch.var(x, dim=1, unbiased=False),
    "std": lambda x: torch.std(x, dim=1),
    "gather": lambda x: torch.gather(x, 1, ROWS),
    "gather from a row": lambda x: torch.gather(x, dim=-1, index=ROWS.T),
    "take": lambda x: torch.take(x, ROWS + 5),
    "flip": lambda x: torch.flip(x, dims=[0]),
    "where": lambda x: torch.where(torch.any(x > 0.5, dim=1, keepdim=True), x, 2.0),
    "erf": lambda x: torch.erf(x),
    "gelu": lambda x: torch.nn.functional.gelu(x),
    "gelu by tanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
    "cat": lambda x: torch.cat([x, x * 2.0], dim=1),
    "reshape": lambda x: x.reshape(2, 12) + x.view(2, 12) + torch.reshape(x, shape=(2, 12)),
    "permute": lambda x: x.permute(1, 0) + torch.permute(x, dims=(1, 0)) + torch.transpose(x, dim0=0, dim1=1),
    "flip of two axes": lambda x: x.flip(0, 1) + x.flip([0, 1]),
    "roll": lambda x: torch.roll(x, shifts=1, dims=0) + x.roll(2, 1),
    "repeat": lambda x: x.repeat(2, 1) + torch.tile(x, dims=(2, 1)),
    "flatten": lambda x: x.reshape(2, 2, 6).flatten(1) * x.reshape(2, 2, 6).flatten(start_dim=1, end_dim=-1),
    "expand": lambda x: x.unsqueeze(0).expand(2, -1, 6),
    "parts": lambda x: x.chunk(4, dim=1)[2] - torch.split(x, 2, dim=1)[0] + torch.split(x, [1, 2, 3], 1)[1],
    "unbind": lambda x: x.unbind(1)[2] / x.shape[0],
    "index_select": lambda x: x.index_select(0, torch.tensor([3, 0])),
    "size": lambda x: x.sum() / x.size(1) + x / x.size()[0],
    "powers": lambda x: torch.pow(x * x + 1, exponent=1.5) + x.pow(2),
    "alpha": lambda x: torch.sub(x, x * x, alpha=3) + torch.add(x, other=x, alpha=0.5),
    "limits": lambda x: x.clamp_min(-0.25) * x.clamp_max(0.5),
    "triangle": lambda x: torch.triu(x, diagonal=1),
    "norms": lambda x: x.norm() + torch.linalg.vector_norm(x, 1, dim=0) * torch.norm(x, p=math.inf, dim=0),
    "losses": lambda x: torch.nn.functional.mse_loss(x, x * x) + torch.nn.functional.l1_loss(x, x * 3, reduction="sum"),
    "linear": lambda x: torch.nn.functional.linear(x, x, x[:, 0]) + torch.nn.functional.linear(x, x),
    "softplus": lambda x: torch.nn.functional.softplus(x) + torch.nn.functional.softplus(x, beta=2),
    "corners": lambda x: torch.nn.functional.leaky_relu(x) + torch.nn.functional.elu(x, alpha=1.5),
    "masks": lambda x: (x > 0.5).float() * x + (x > 0).double().mean(dim=0) + (x > 1).sum() + (x < 0).to(x.dtype),
}


@pytest.mark.parametrize("name", OF_TORCH)
def test_functions_of_torch_are_those_of_exact_arrays(name: str) -> None:
    formula = OF_TORCH[name]
    answer = formula(torch.tensor(X))

    calibrant.assert_agrees(answer, formula, (X,))
    with pytest.raises(AssertionError, match="off by 1e-09"):
        calibrant.assert_agrees(answer + 1e-9, formula, (X,))

"""The bounds of formulas, attacked: every float16 argument, sums and products in every order, and branches that rounding decides."""

from __future__ import annotations

import contextlib
import itertools
import math
from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
import torch

from calibrant import formula as formulas
from calibrant.benchmarks import ulps
from calibrant.benchmarks.__main__ import main
from calibrant.exact.formats import FORMATS
from calibrant.formula import (
    Undecided,
    assert_agrees,
    assert_gradient,
    bound,
    formula,
    gradient_bound,
    namespace,
    store,
)
from calibrant.formula.catalogue import FORMULAS
from calibrant.formula.elementary import FUNCTIONS

HALF = np.arange(2**16, dtype=np.uint16).view(np.float16)
FINITE = HALF[np.isfinite(HALF)][::13]


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_functions_err_by_no_more_than_the_table_allows(library: str) -> None:
    """The quick part of `python -m calibrant.benchmarks ulps`: every seventh number of 16 bits, and some of the others."""
    seen: dict[str, float] = {}
    for dtype, name, function in getattr(ulps, f"_{library}")():
        form, row = FORMATS[dtype], ulps.row_of(name)
        x = ulps.numbers(form, 2000, 0, ulps.RANGES.get(name, form.largest))[::7]
        if (library, name, dtype) not in ulps.KNOWN:
            found, at = ulps.largest(name, row, function, x, form)
            assert found <= row.allowed(dtype), (name, dtype, at)
            seen[name] = max(found, seen.get(name, 0.0))

    assert len(seen) >= len(FUNCTIONS) - 1
    assert min(seen.values()) > 0.45  # no error is smaller than that of a rounding


def test_a_function_beyond_its_row_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    calls = [
        ("mine", "float32", "exp", lambda x: np.exp(x) * (1 + 4e-7 * (x > 1))),
        ("torch", "float16", "erf", lambda x: x),
    ]
    monkeypatch.setattr(ulps, "calls", lambda: calls)

    assert main(["ulps", "--cases", "300"]) == 1
    said = capsys.readouterr().out
    assert "mine exp in float32 errs by" in said
    assert said.index("Known to err by more") < said.index("torch erf in float16")


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "erf"])
def test_a_function_of_a_float16_number_is_within_its_bound(name: str) -> None:
    with np.errstate(all="ignore"):
        answers = getattr(np, ulps.NUMPY_NAMES.get(name, name))(FINITE)
    defined = np.isfinite(answers)

    judged = assert_agrees(answers[defined], lambda x: getattr(namespace(x), name)(x), (FINITE[defined],))

    assert judged.judged > 0.9 * defined.sum()
    assert judged.another_arrangement == 0
    assert judged.worst > 0.1  # a bound that is never approached sees nothing


def rounded(x: Fraction) -> Fraction:
    """The float16 number nearest to a small exact one: through float64, which holds sums and products of two float16 numbers."""
    return Fraction(float(np.float16(float(x))))


def orders(terms: list[Fraction]) -> set[Fraction]:
    """Every sum of the terms, by additions of two parts at a time, each rounded."""
    if len(terms) == 1:
        return set(terms)
    found = set()
    first, rest = terms[0], terms[1:]
    for picks in itertools.product((False, True), repeat=len(rest)):
        left = [first, *(t for t, pick in zip(rest, picks, strict=True) if pick)]
        right = [t for t, pick in zip(rest, picks, strict=True) if not pick]
        if right:
            found |= {rounded(a + b) for a in orders(left) for b in orders(right)}
    return found


def furthest(found: set[Fraction], truth: formulas.Bound) -> float:
    """The largest error, in units of the bound; exact."""
    exact = Fraction(float(truth.value)) + Fraction(float(truth.remainder))
    return float(max(abs(x - exact) for x in found) / Fraction(max(float(truth.allowed), 5e-324)))


def test_a_sum_of_four_in_any_order_is_within_its_bound() -> None:
    rng, worst = np.random.default_rng(0), 0.0
    for _ in range(20):
        x = (rng.normal(size=4) * 2.0 ** rng.integers(-3, 4, 4)).astype(np.float16)
        truth = bound(lambda x: namespace(x).sum(x), (x,), "float16")
        worst = max(worst, furthest(orders([Fraction(float(v)) for v in x]), truth))

    assert 0.25 < worst <= 1


def fused(a: list[Fraction], b: list[Fraction]) -> set[Fraction]:
    """Scalar products one term after the other, in every order, with fused multiply-adds and without at each step."""
    found = set()
    for order in itertools.permutations(range(len(a))):
        sums = {Fraction(0)}
        for i in order:
            exact = a[i] * b[i]
            sums = {rounded(s + p) for s in sums for p in (exact, rounded(exact))}
        found |= sums
    return found


SUMS_OF_SUMS = {
    "sums": lambda x: namespace(x).sum(namespace(x).sum(x, axis=0), axis=0),
    "a sum that is negated and moved": lambda x: -namespace(x).sum(-namespace(x).flip(namespace(x).sum(x, axis=0))),
    "sums one after the other": lambda x: namespace(x).sum(
        namespace(x).concat([x[0], namespace(x).sum(x[1:], axis=0)])
    ),
}


@pytest.mark.parametrize("nested", SUMS_OF_SUMS.values(), ids=SUMS_OF_SUMS)
def test_a_sum_of_sums_may_be_added_up_one_number_after_the_other(nested: Any) -> None:
    """1,600 equal numbers, each rounded down: off by 400 roundings, where sums of 40 and then of 40 err by 78 at most."""
    x = np.full((40, 40), 1.3184204, dtype=np.float32)
    total = x.reshape(-1).cumsum(dtype=np.float32)[-1]
    assert abs(total / (1600 * float(x[0, 0])) - 1) > 390 * 2**-24

    assert_agrees(total, nested, (x,))
    with pytest.raises(AssertionError, match="times its bound"):
        assert_agrees(np.float32(total * (1 - 1e-4)), nested, (x,))


def test_the_gradient_of_a_bias_may_be_added_up_one_number_after_the_other() -> None:
    x, w, b = np.ones((40, 1, 40)), np.ones((1, 1, 1)), np.zeros(1)
    upstream = np.full((40, 1, 40), 1.3184204, dtype=np.float32)
    total = upstream.reshape(-1).cumsum(dtype=np.float32)[-1:]

    inputs = [a.astype(np.float32) for a in (x, w, b)]
    assert_gradient([None, None, total], FORMULAS["convolution_1d"], (*inputs, 1, 0), upstream)


def test_a_sum_that_is_repeated_and_a_product_are_numbers_for_the_sum_after_them() -> None:
    """Nobody adds up all terms of the products with each other, or those of one sum forty times: the bound would allow what is wrong."""
    rng = np.random.default_rng(0)
    x, w, b, v = (rng.normal(size=shape).astype(np.float32) for shape in ((64, 4), (4, 3), (3,), (3, 128)))
    upstream = rng.normal(size=(64, 128)).astype(np.float32)

    def layers(x: Any, w: Any, b: Any, v: Any) -> Any:
        return namespace(x).matmul(namespace(x).matmul(x, w) + b, v)

    (allowed,) = (found.allowed.max() for found in gradient_bound(layers, (x, w, b, v), "float32", upstream)[2:3])
    assert allowed < 0.1
    repeated = lambda x: namespace(x).sum(namespace(x).broadcast_to(namespace(x).sum(x, axis=0), (40, 3)))  # noqa: E731
    assert bound(repeated, (x[:, :3],), "float32").allowed < 0.05


def test_a_narrow_dtype_adds_up_no_more_terms_than_it_can_tell_apart() -> None:
    x = np.full((32, 65), 0.01, dtype=np.float16)

    assert np.isfinite(bound(SUMS_OF_SUMS["sums"], (x,), "float16").allowed)


def test_an_infinity_is_not_demanded_where_the_other_terms_may_overflow() -> None:
    x = np.array([[-3e38, np.inf], [-3e38, 0]], dtype=np.float32)

    for adding, inputs in ((SUMS_OF_SUMS["sums"], x), (lambda x: namespace(x).sum(x), x)):
        with pytest.raises(Undecided):
            assert_agrees(np.float32(np.nan), adding, (inputs,))
    assert_agrees(np.float32(np.inf), lambda x: namespace(x).sum(x), (x / 4,))


def test_a_product_of_matrices_may_underflow_and_may_have_no_terms() -> None:
    tiny = np.array([[1e-200]])
    assert_agrees(np.zeros((1, 1)), lambda x: namespace(x).matmul(x, x), (tiny,))
    with pytest.raises(Undecided):
        assert_agrees(np.zeros((1, 1)), lambda x: 1 / namespace(x).matmul(x, x), (tiny,))

    empty = np.zeros((2, 0))
    assert_agrees(np.zeros((2, 2)), lambda x: namespace(x).matmul(x, x.mT), (empty,))


def test_a_product_of_matrices_is_within_its_bound_with_fused_multiply_adds_and_without() -> None:
    rng, worst = np.random.default_rng(1), 0.0
    for _ in range(20):
        a, b = (rng.normal(size=4).astype(np.float16) for _ in range(2))
        truth = bound(lambda a, b: namespace(a).matmul(a, b), (a, b), "float16")
        worst = max(worst, furthest(fused(*([Fraction(float(v)) for v in x] for x in (a, b))), truth))

    assert 0.25 < worst <= 1


def scrambled_sum(x: Any, rng: np.random.Generator) -> Any:
    """The sum of the last axis, two random parts at a time, in the dtype."""
    parts = [x[..., i] for i in rng.permutation(x.shape[-1])]
    while len(parts) > 1:
        i = rng.integers(len(parts) - 1)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts[0][..., None]


def layer_norm(x: Any, eps: float) -> Any:
    xp = namespace(x)
    centered = x - xp.mean(x, axis=-1, keepdims=True)
    return centered / xp.sqrt(xp.mean(centered * centered, axis=-1, keepdims=True) + eps)


def softmax(x: Any) -> Any:
    xp = namespace(x)
    e = xp.exp(x - xp.max(x, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


def test_norms_and_softmax_in_float16_are_within_their_bounds_in_any_order() -> None:
    rng, worst = np.random.default_rng(2), [0.0, 0.0]
    for _ in range(20):
        x = (rng.normal(size=(20, 5)) * 2.0 ** rng.integers(-2, 3) + rng.integers(-2, 3)).astype(np.float16)
        n = np.float16(5)
        centered = x - scrambled_sum(x, rng) / n
        normed = centered / np.sqrt(scrambled_sum(centered * centered, rng) / n + np.float16(1e-3))
        e = np.exp(x - x.max(-1, keepdims=True))
        judged = [
            assert_agrees(normed, layer_norm, (x, 1e-3)),
            assert_agrees(e * (np.float16(1) / scrambled_sum(e, rng)), softmax, (x,)),
        ]
        worst = [max(w, j.worst) for w, j in zip(worst, judged, strict=True)]
        assert all(j.another_arrangement == 0 for j in judged)

    assert min(worst) > 0.2


def test_a_gradient_by_hand_in_float16_is_within_its_bound() -> None:
    """The backward pass of a softmax, arranged as people arrange it."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        x, g = (rng.normal(size=(20, 5)).astype(np.float16) for _ in range(2))
        e = np.exp(x - x.max(-1, keepdims=True))
        p = e / scrambled_sum(e, rng)

        formulas.assert_gradient(p * (g - scrambled_sum(g * p, rng)), softmax, (x,), upstream=g)


def test_given_numbers_and_results_that_the_dtype_holds_are_exact() -> None:
    x = np.array([1.5, 2.0], dtype=np.float32)

    assert bound(lambda x: x * x + 0.25, (x,), "float32").allowed.tolist() == [0.0, 0.0]
    assert bound(lambda x: x * 0.1, (x,), "float32").allowed[0] == pytest.approx(1.5 * 0.1 * 2**-23, rel=1e-3)


def test_a_tie_passes_its_gradient_on_once() -> None:
    """`upstream * (x == max)`, as people write it by hand, gives it to each of several."""
    x, g = np.array([[2.0, 2.0, 1.0], [5.0, 1.0, 5.0]]), np.array([3.0, 0.25])

    def top(x: Any) -> Any:
        return namespace(x).max(x, axis=-1)

    for shares in ([[1, 0, 0], [0, 0, 1]], [[0.5, 0.5, 0], [0.25, 0, 0.75]]):
        assert formulas.assert_gradient(np.array(shares) * g[:, None], top, (x,), upstream=g).between == 4
    for wrong in ([[1, 1, 0], [0, 0, 1]], [[0, 0, 0], [0, 0, 1]], [[0.5, 0.25, 0], [0.5, 0, 0.5]]):
        with pytest.raises(
            AssertionError, match=r"the gradient for x adds up to .* where a tie passes its gradient on once"
        ):
            formulas.assert_gradient(np.array(wrong) * g[:, None], top, (x,), upstream=g)
    with pytest.raises(AssertionError, match=r"the gradient for x at \[0, 0\] is 4\.5, exactly between"):
        formulas.assert_gradient(np.array([[1.5, 0, 0], [0, 0, 1]]) * g[:, None], top, (x,), upstream=g)


def test_the_equal_shares_of_a_tie_are_rounded() -> None:
    """PyTorch's amax divides by their number, and three thirds of 0.1 are not 0.1."""
    x, g = np.array([2.0, 2.0, 2.0]), np.array(0.1)

    for shares in (np.full(3, g / 3), np.full(3, g * (1 / 3))):
        assert formulas.assert_gradient(shares, lambda x: namespace(x).max(x), (x,), upstream=g).between == 3
    with pytest.raises(AssertionError, match="adds up to"):
        formulas.assert_gradient(shares * (1 + 1e-14), lambda x: namespace(x).max(x), (x,), upstream=g)


def test_corners_whose_shares_are_free_have_any_slope() -> None:
    """A ReLU at 0, an absolute value, and a maximum of two arrays of which each has a gradient."""
    x, y, g = np.array([0.0, 0.0, 2.0]), np.array([0.0, 0.0, 2.0]), np.array([3.0, -1.0, 2.0])

    for share in (0.0, 0.5, 1.0, np.array([0.0, 1.0, 1.0])):
        assert formulas.assert_gradient(share * g * [1, 1, 0] + g * [0, 0, 1], relu, (x,), upstream=g).between == 2
        both = [share * g, (1 - share) * g]
        assert formulas.assert_gradient(both, lambda x, y: namespace(x).maximum(x, y), (x, y), upstream=g).between == 6
    with pytest.raises(AssertionError, match=r"the gradient for all arguments adds up to 8\.0"):
        formulas.assert_gradient([g, g], lambda x, y: namespace(x).maximum(x, y), (x, y), upstream=g)


def relu(x: Any) -> Any:
    return namespace(x).maximum(x, namespace(x).zeros_like(x))


def test_a_sum_over_a_tie_that_cancels_is_judged() -> None:
    """log Σ exp(x - max) + max has one gradient, also where two elements are the largest."""
    x = np.array([[2.0, 2.0, 1.0]])

    def log_sum_exp(x: Any) -> Any:
        xp = namespace(x)
        top = xp.max(x, axis=-1, keepdims=True)
        return xp.sum(top + xp.log(xp.sum(xp.exp(x - top), axis=-1, keepdims=True)))

    (found,) = gradient_bound(log_sum_exp, (x,), "float64")

    assert not found.between.any()
    assert np.allclose(found.value, np.exp(x) / np.exp(x).sum())


def test_a_branch_that_rounding_decides_allows_both_sides() -> None:
    """0.1 * 3 exceeds 0.3 by less than one rounding: an evaluation may find either."""

    def step(x: Any) -> Any:
        return namespace(x).where(x * 3.0 > 0.1 * 3, x + 1, x)

    x = np.array([0.1, 0.2])

    assert_agrees(x + np.array([0, 1]), step, (x,))
    assert_agrees(x + 1, step, (x,))
    with pytest.raises(AssertionError):
        assert_agrees(x + np.array([0, 0]), step, (x,))


def test_a_branch_that_was_not_taken_has_no_gradient() -> None:
    """torch answers NaN here; the derivative is 1."""

    def guarded(x: Any) -> Any:
        xp = namespace(x)
        return xp.where(x > 0, xp.sqrt(x), x)

    (found,) = gradient_bound(guarded, (np.array([-1.0, 4.0]),), "float64")

    assert found.value.tolist() == [1.0, 0.25]


@pytest.mark.parametrize(
    ("x", "claimed"),
    [(200.0, False), (80.0, True), (-math.inf, True), (math.nan, False)],
    ids=["overflow", "large", "minus infinity", "not a number"],
)
def test_nothing_is_claimed_beyond_the_range(x: float, claimed: bool) -> None:
    found = bound(lambda x: namespace(x).exp(x), (np.array([x]),), "float32")

    assert bool(np.isfinite(found.allowed[0])) == claimed


def test_nothing_is_claimed_of_the_gradient_of_a_value_beyond_the_range() -> None:
    """Even where the upstream gradient is zero: infinity times zero is NaN in every framework."""
    exp, x = lambda x: namespace(x).exp(x), np.array([89.0, 1.0])

    allowed = gradient_bound(exp, (x,), "float32", np.zeros(2))[0].allowed

    assert np.isfinite(allowed).tolist() == [False, True]
    assert_gradient([np.array([math.nan, 0.0])], exp, (x,), dtype="float32", upstream=np.zeros(2))
    with pytest.raises(AssertionError):
        assert_gradient([np.array([0.0, math.nan])], exp, (x,), dtype="float32", upstream=np.zeros(2))


def test_a_backward_pass_may_use_what_the_forward_pass_has_stored() -> None:
    """A softmax of 8e-8 is 6e-8 in float16, and so is its derivative."""
    x, g = np.array([[-8.0, 7, 8, -6, 1]]), np.array([[995.5, -737.5, -616.0, -657.0, 254.1]], np.float16)
    y = np.exp(x - 8) / np.exp(x - 8).sum()
    kept = y.astype(np.float16).astype(float)

    for right, p in ((True, kept), (False, np.where(kept < 1e-7, 4 * y, y))):
        moved = (p * (g - (p * g).sum())).astype(np.float16)
        with contextlib.nullcontext() if right else pytest.raises(AssertionError):
            assert_gradient([moved], FORMULAS["softmax"], (x.astype(np.float16),), g)


def test_what_was_stored_may_be_used_whatever_the_upstream_gradient_is() -> None:
    """exp(-16.8) is stored as 5.96e-8, the smallest number of float16."""

    @formula(shapes="n -> n", accumulate="float32")
    def kept(x: Any) -> Any:
        return store(namespace(x).exp(x))

    x, upstream = np.array([-16.8], dtype=np.float16), np.array([1024.0], dtype=np.float16)

    assert_gradient([np.exp(x.astype(np.float32)).astype(np.float16) * upstream], kept, (x,), upstream)


def test_infinity_is_demanded_where_it_is_exact() -> None:
    x = np.array([math.inf, 1.0])

    assert_agrees(np.array([math.inf, 2.0]), lambda x: x + 1, (x,))
    with pytest.raises(AssertionError):
        assert_agrees(np.array([1e308, 2.0]), lambda x: x + 1, (x,))


def test_precision_is_put_back() -> None:
    before = flint.ctx.prec

    bound(lambda x: x + 1, (np.ones(2),), "float64")

    assert flint.ctx.prec == before


def test_the_terms_of_a_mean_may_be_divided_first() -> None:
    """Two roundings of each term, by a rounded reciprocal, and two of the sum; a third of 1 + 1 + 2 is their reach."""
    found = bound(lambda x: namespace(x).mean(x), (np.array([1.0, 1.0, -2.0]),), "float16")

    assert found.allowed >= 4 * 2**-11 * 4 / 3


def test_an_exact_difference_may_be_flushed_where_it_is_subnormal() -> None:
    x, y = np.array([1.5e-38], dtype=np.float32), np.array([1.4e-38], dtype=np.float32)

    for right in (x - y, 0 * x):
        assert assert_agrees(right, lambda x, y: x - y, (x, y)).another_arrangement == 0


def test_a_verdict_on_nothing_is_no_agreement() -> None:
    with pytest.raises(formulas.Undecided, match="claims nothing of these inputs in float32"):
        assert_agrees(np.float32([0.0]), lambda x: namespace(x).exp(x), (np.array([200.0]),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_exponent_that_the_dtype_does_not_hold_may_be_rounded(dtype: torch.dtype) -> None:
    """At 1e30, that moves the power by many units in the last place, and its derivative too."""
    x = torch.tensor([1e30, 3e-20, 5.0], dtype=dtype, requires_grad=True)
    third = torch.tensor(0.3, dtype=dtype)
    value = x**third

    assert assert_agrees(value, lambda x: x**0.3, (x,)).another_arrangement == 0
    gradient = torch.autograd.grad(value.sum(), x)
    assert formulas.assert_gradient(gradient, lambda x: x**0.3, (x,)).another_arrangement == 0
    with pytest.raises(AssertionError):
        assert_agrees((x.double() ** 0.31).to(dtype), lambda x: x**0.3, (x,))


def test_a_power_with_an_exponent_that_the_dtype_holds_is_sharp() -> None:
    x = np.array([2.0, 1e30])

    assert (bound(lambda x: x**2.75, (x,), "float64").allowed < 1e-15 * x**2.75).all()


def test_a_reciprocal_may_be_subnormal() -> None:
    """Half a unit of 1 / 60000 in float16 is nearly two thousandths of it."""
    x, y = np.float16([60000.0, 3.0]), np.float16([60000.0, 29000.0])

    judged = assert_agrees(x * (np.float16(1) / y), lambda x, y: x / y, (x, y))

    assert judged.judged == 2
    assert judged.another_arrangement == 0


def test_the_terms_of_a_mean_that_are_divided_first_may_underflow() -> None:
    x = np.full(9, 2e-7, dtype=np.float16)
    divided = x / np.float16(9)

    assert divided.sum() == 0
    assert assert_agrees(divided.sum(), lambda x: namespace(x).mean(x), (x,)).another_arrangement == 0


def test_a_sum_may_be_flushed_where_it_is_subnormal() -> None:
    x = np.array([1.5e-38, -1.4e-38, 0.0], dtype=np.float32)

    assert assert_agrees(np.float32(0), lambda x: namespace(x).sum(x), (x,)).another_arrangement == 0


def test_a_constant_out_of_range_may_be_infinite_where_it_counts() -> None:
    """A mask of -1e30 leaves a softmax its bounds; a factor of 1e39 does not leave a product any in float32."""
    x = np.float32([1e-5, 2e-5])
    masked = bound(lambda x: namespace(x).exp(namespace(x).where(x < 1.5e-5, x, -1e39)), (x,), "float32")

    assert np.isinf(bound(lambda x: x * 1e39, (x,), "float32").allowed).all()
    assert np.isinf(bound(lambda x: 1e39 / (x * 1e20), (x,), "float32").allowed).all()
    assert np.isfinite(masked.allowed).all()


def test_a_mask_is_sure_where_one_side_decides() -> None:
    """x * 3 > 0.1 * 3 is not sure at 0.1; with `and no` it is."""
    x, no = np.array([0.1, 0.2]), np.array([False, False])

    def step(x: Any) -> Any:
        xp = namespace(x)
        near = x * 3.0 > 0.1 * 3
        chosen = xp.logical_or(xp.logical_and(near, no), xp.any(xp.logical_and(near, no)))
        return xp.where(chosen, x + 1, x)

    assert_agrees(x, step, (x,))
    with pytest.raises(AssertionError):
        assert_agrees(x + np.array([1, 0]), step, (x,))


def test_functions_of_16_bits_may_err_as_jax_errs() -> None:
    """XLA computes the logarithm to base 2 in the dtype itself."""
    x = np.float16([227.625])
    off = np.float16(np.log2(x.astype(np.float64))) * np.float16(1 + 2**-10)

    assert assert_agrees(off, lambda x: namespace(x).log2(x), (x,)).another_arrangement == 0


def test_a_root_may_be_a_product_with_a_reciprocal_root() -> None:
    """CUDA gives rsqrtf within 2 units in the last place."""
    x = np.float32([1.0001])
    off = np.float32(np.sqrt(x.astype(np.float64)) * (1 + 4.9 * 2**-24))

    assert assert_agrees(off, lambda x: namespace(x).sqrt(x), (x,)).another_arrangement == 0


def test_the_derivative_of_expm1_may_come_from_its_value() -> None:
    """PyTorch and JAX add 1 to the value, which leaves few digits of exp(-28)."""
    x = torch.tensor([-28.0, 0.5], dtype=torch.float64, requires_grad=True)
    gradient = torch.autograd.grad(torch.expm1(x).sum(), x)

    assert formulas.assert_gradient(gradient, lambda x: namespace(x).expm1(x), (x,)).another_arrangement == 0
    with pytest.raises(AssertionError):
        formulas.assert_gradient(gradient[0] * (1 + 1e-14), lambda x: namespace(x).expm1(x), (x,))

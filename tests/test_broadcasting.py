"""Broadcasting of the shipped targets: what they refuse, and what the reference offers beside the protocol."""

from typing import Any

import numpy as np
import pytest

from calibrant import exact
from calibrant.adapters import numpy_target

torch = pytest.importorskip("torch")

from calibrant.adapters import reference  # noqa: E402
from calibrant.mechanics import broadcasting  # noqa: E402  # it needs torch

TARGETS = pytest.mark.parametrize("target", [reference, numpy_target], ids=["reference", "numpy"])


def ones(target: Any, *shape: int) -> Any:
    array = np.ones(shape)
    return reference.asarray(array) if target is reference else array


@TARGETS
def test_upstream_of_another_shape_is_refused(target: Any) -> None:
    """It would broadcast, and give gradients of a product that there was not."""
    with pytest.raises(ValueError, match="upstream"):
        target.multiply_grad(ones(target, 2), ones(target, 2), ones(target, 1))


@TARGETS
@pytest.mark.parametrize("shape", [(3,), (1,), ()])
def test_a_tensor_does_not_stretch_to_any_shape(target: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"x is|broadcast|remapped|original"):
        target.expand(ones(target, 2), shape)


@TARGETS
def test_a_view_says_where_it_is(target: Any) -> None:
    x = ones(target, 2, 1)
    view, strides, shared = target.expand(x, (3, 2, 4))

    assert tuple(view.shape) == (3, 2, 4)
    assert tuple(strides) == (0, 1, 0)
    assert shared == 1


@TARGETS
def test_a_product_in_place_is_in_place(target: Any) -> None:
    x = ones(target, 2)
    answer = target.multiply_in_place(x, 3 * ones(target, 1))

    assert answer is x
    assert x.tolist() == [3.0, 3.0]


@TARGETS
def test_a_product_in_place_does_not_grow(target: Any) -> None:
    with pytest.raises(ValueError, match=r"x's shape|output"):
        target.multiply_in_place(ones(target, 1), ones(target, 2))


@TARGETS
def test_a_size_below_zero_is_refused(target: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        target.broadcast_shapes((2, -1), (1,))


def test_every_shape_is_named_that_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2, 1\), \(3,\), \(4, 1\) .* sizes 2 and 4 at axis -2"):
        broadcasting.broadcast_shapes((2, 1), (3,), (4, 1))


def test_a_view_of_a_view_keeps_its_strides() -> None:
    """Transposed, or a part of another: the strides are the operand's own, not those of a fresh tensor of its shape."""
    table = torch.arange(6.0).reshape(2, 3)

    assert torch.equal(broadcasting.expand(table.T, (4, 3, 2)), table.T.expand(4, 3, 2))
    assert torch.equal(broadcasting.expand(table[1:, ::2], (5, 2)), table[1:, ::2].expand(5, 2))


def test_autograd_goes_through_a_stretched_operand() -> None:
    """Two derivations of one gradient."""
    x, y = torch.arange(1.0, 4.0).reshape(3, 1).requires_grad_(), torch.arange(1.0, 5.0).requires_grad_()
    upstream = torch.arange(12.0).reshape(3, 4)
    (broadcasting.multiply(x, y) * upstream).sum().backward()
    grad_x, grad_y = broadcasting.multiply_grad(x.detach(), y.detach(), upstream)

    assert torch.equal(x.grad, grad_x)
    assert torch.equal(y.grad, grad_y)


def test_sums_over_axes_carry_the_error_of_their_own_terms() -> None:
    """One bound for each sum: the same as that of the row alone."""
    rows = exact.of(np.array([[0.1, 0.2, 0.3], [1e6, 2e6, 3e6]]))
    both = rows.sum((1,))

    assert both.fractions() == [rows[0].sum().fraction(), rows[1].sum().fraction()]
    assert both.err.tolist() == pytest.approx([float(rows[0].sum().err), float(rows[1].sum().err)], rel=1e-12)
    assert rows.sum(()).fractions() == rows.fractions()
    assert rows.sum((0, 1)).fraction() == rows.sum().fraction()


def test_a_sum_that_may_overflow_has_no_bound_and_spares_its_neighbours() -> None:
    rows = exact.of(np.array([[1e38, 1e38, 2e38], [1.0, 2.0, 3.0]], dtype=np.float32))

    assert np.isfinite(rows.sum((1,)).err).tolist() == [False, True]


def test_a_sum_of_nothing_is_zero() -> None:
    nothing = exact.of(np.ones((0, 2)))

    assert nothing.sum((0,)).fractions() == [0, 0]
    assert not nothing.sum((0,)).rounds()


def test_shapes_that_do_not_broadcast_have_no_exact_shape() -> None:
    assert exact.broadcast_shapes((2,), (3,)) is None
    assert exact.broadcast_shapes((0, 1), (2,), ()) == (0, 2)
    assert exact.broadcast_shapes() == broadcasting.broadcast_shapes() == ()


def test_where_there_are_no_elements_numpy_shares_no_memory() -> None:
    """So the clause on memory claims nothing there."""
    view, _, shared = numpy_target.expand(np.ones((2, 1)), (2, 0))

    assert (view.size, shared) == (0, 0)

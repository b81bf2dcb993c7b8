"""The chapter on broadcasting."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calibrant import exact, strategies
from calibrant.judge import agree, holds
from calibrant.strategies import Operands, Shape
from calibrant.suite.claims import has_shape, keeps_dtype, leaves_arguments_alone
from calibrant.suite.property import clause
from calibrant.target.calling import Subject


def filled(target: Subject, shape: Shape) -> Any:
    """An array of that shape that counts 1, 2, 3, 1, ..."""
    return target.array(1 + np.arange(np.prod(shape, dtype=int)) % 3).reshape(shape)


@clause("broadcast.align-right")
@given(strategies.trailing_shapes())
def test_shapes_are_aligned_at_their_last_axes(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """Aligned at the first axes, (2, 3) would not fit (3,), and (2, 2) would pair a column instead of a row."""
    has_shape(target.broadcast_shapes(*shapes), max(shapes, key=len))


@clause("broadcast.align-right")
@given(strategies.operands())
def test_a_missing_axis_is_one_of_size_one_in_front(target: Subject, sample: Operands) -> None:
    x, y, rank = sample.x, sample.y, sample.upstream.ndim
    answer = target.multiply(x, y)
    padded = target.multiply(*(z.reshape((1,) * (rank - z.ndim) + z.shape) for z in (x, y)))

    agree(padded, answer, due="where the product without these axes is")


@clause("broadcast.stretch-one")
@given(strategies.stretching_shapes())
def test_a_size_of_one_is_stretched_to_the_other(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """A size of 1 may stand in either operand, in several at once, and at several axes."""
    has_shape(target.broadcast_shapes(*shapes), exact.broadcast_shapes(*shapes))


@clause("broadcast.stretch-one", fraction_of_examples=0.5)
@given(strategies.stretched_operands())
def test_stretching_repeats_the_elements(target: Subject, sample: Operands) -> None:
    """The stretched operand is neither padded with zeros nor cycled through."""
    shape = sample.upstream.shape
    answer = target.multiply(sample.x, sample.y)
    repeated = target.multiply(*(np.broadcast_to(z, shape).copy() for z in (sample.x, sample.y)))

    agree(repeated, answer, due="where the product of the operands, before they were repeated, is")


@clause("broadcast.otherwise-error")
@given(strategies.misfitting_shapes())
def test_two_sizes_other_than_one_are_refused(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """Neither a size that divides the other nor a size of zero is an exception."""
    holds(target.refuses("broadcast_shapes", *shapes), f"did not refuse the shapes {', '.join(map(str, shapes))}")


@clause("broadcast.otherwise-error", fraction_of_examples=0.5)
@given(strategies.misfitting_shapes())
def test_a_product_of_shapes_that_do_not_fit_is_refused(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """A product that is cut to the shorter operand, or padded, loses data silently."""
    x, y = next((a, b) for a in shapes for b in shapes if exact.broadcast_shapes(a, b) is None)

    holds(target.refuses("multiply", filled(target, x), filled(target, y)), f"did not refuse the shapes {x} and {y}")


@clause("broadcast.result")
@given(strategies.shapes())
def test_a_size_of_the_result_is_the_one_that_is_not_one(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """It is not the largest size: 0 and 1 give 0."""
    has_shape(target.broadcast_shapes(*shapes), exact.broadcast_shapes(*shapes))


@clause("broadcast.result", fraction_of_examples=0.5)
@given(strategies.operands())
def test_a_product_has_the_shape_of_the_result(target: Subject, sample: Operands) -> None:
    """Axes of size 1 stay in the result."""
    has_shape(target.multiply(sample.x, sample.y).shape, exact.broadcast_shapes(sample.x.shape, sample.y.shape))


@clause("broadcast.many")
@given(strategies.crowds())
def test_any_number_of_shapes_of_any_rank_broadcast(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """Code for two operands, or for at most eight axes, fails on the third operand or the ninth axis."""
    has_shape(target.broadcast_shapes(*shapes), exact.broadcast_shapes(*shapes))


@clause("broadcast.order")
@given(strategies.shapes())
def test_the_order_of_the_shapes_does_not_matter(target: Subject, shapes: tuple[Shape, ...]) -> None:
    answer = target.broadcast_shapes(*shapes)
    other = target.broadcast_shapes(*shapes[::-1])

    holds(other == answer, f"returned shape {other}, where the other order had given {answer}")


@clause("broadcast.order", fraction_of_examples=0.5)
@given(strategies.shapes())
def test_the_grouping_of_the_shapes_does_not_matter(target: Subject, shapes: tuple[Shape, ...]) -> None:
    """Then (x * y) * z and x * (y * z) have one shape, and so does a sum of many terms in any order."""
    answer = target.broadcast_shapes(*shapes)
    grouped = shapes[-1]
    for shape in shapes[-2::-1]:
        grouped = target.broadcast_shapes(shape, grouped)

    holds(grouped == answer, f"returned shape {grouped}, where all shapes at once had given {answer}")


@clause("broadcast.order", fraction_of_examples=0.5)
@given(strategies.operands())
def test_the_operands_of_a_product_may_change_places(target: Subject, sample: Operands) -> None:
    answer = target.multiply(sample.x, sample.y)
    exchanged = target.multiply(sample.y, sample.x)

    agree(exchanged, answer, due="where the product in the other order is")


FOUR = ((), (3, 1), (1, 3), (2, 1, 1))


@clause("broadcast.examples")
@pytest.mark.parametrize(
    ("shapes", "due"), [(FOUR[:2], (3, 1)), (FOUR[1:3], (3, 3)), (FOUR[1:], (2, 3, 3)), (FOUR, (2, 3, 3))]
)
def test_the_four_shapes_give_these_products(target: Subject, shapes: tuple[Shape, ...], due: Shape) -> None:
    has_shape(target.broadcast_shapes(*shapes), due)


@clause("broadcast.examples")
def test_a_column_times_a_row_is_the_table_of_all_products(target: Subject) -> None:
    column, row = target.array([[1], [2], [3]]), target.array([[1, 2, 3]])

    agree(target.multiply(column, row), np.array([[1, 2, 3], [2, 4, 6], [3, 6, 9]]))


@clause("broadcast.examples")
def test_two_by_three_times_three_by_two_is_refused(target: Subject) -> None:
    refused = target.refuses("multiply", filled(target, (2, 3)), filled(target, (3, 2)))

    holds(refused, "did not refuse the shapes (2, 3) and (3, 2)")


@clause("broadcast.examples")
def test_two_by_three_times_the_transpose_is_a_product(target: Subject) -> None:
    """Element [i, j] meets element [j, i]: a transpose reorders the elements, and does not only rename the axes."""
    x, y = target.array([[1, 2, 3], [4, 5, 6]]), target.array([[1, 2], [3, 4], [5, 6]])

    agree(target.multiply(x, y.T), np.array([[1, 6, 15], [8, 20, 36]]))


@clause("broadcast.like-numpy")
@given(strategies.any_two_shapes())
def test_shapes_broadcast_where_numpy_says_so(target: Subject, shapes: tuple[Shape, ...]) -> None:
    try:
        due = np.broadcast_shapes(*shapes)
    except ValueError:
        holds(target.refuses("broadcast_shapes", *shapes), f"did not refuse the shapes {shapes[0]} and {shapes[1]}")
    else:
        has_shape(target.broadcast_shapes(*shapes), due)


@clause("broadcast.like-numpy", fraction_of_examples=0.5)
@given(strategies.any_two_shapes())
def test_operands_broadcast_where_numpy_says_so(target: Subject, shapes: tuple[Shape, ...]) -> None:
    x, y = (filled(target, shape) for shape in shapes)
    try:
        due = np.multiply(x, y)
    except ValueError:
        holds(target.refuses("multiply", x, y), f"did not refuse the shapes {shapes[0]} and {shapes[1]}")
    else:
        agree(target.multiply(x, y), due)


@clause("broadcast.like-numpy")
@given(strategies.operands())
def test_products_equal_numpys_products(target: Subject, sample: Operands) -> None:
    """IEEE arithmetic fixes each single product to the last bit."""
    agree(target.multiply(sample.x, sample.y), np.multiply(sample.x, sample.y))


@clause("broadcast.like-numpy", fraction_of_examples=0.5)
@given(strategies.spoiled_operands())
def test_non_finite_numbers_multiply_as_in_numpy(target: Subject, spoiled: tuple[Operands, float]) -> None:
    """Infinity times zero is NaN, and a NaN does not spread to other rows."""
    sample, _ = spoiled
    answer = target.multiply(sample.x, sample.y)

    with np.errstate(all="ignore"):
        agree(answer, np.multiply(sample.x, sample.y))


@clause("broadcast.dtype", fraction_of_examples=0.3)
@given(strategies.operands())
def test_a_product_has_the_dtype_of_its_operands(target: Subject, sample: Operands) -> None:
    """This holds for scalar operands too."""
    keeps_dtype(target, target.multiply(sample.x, sample.y))


@clause("broadcast.dtype", fraction_of_examples=0.3)
@given(strategies.operands())
def test_gradients_have_the_dtype_of_the_operands(target: Subject, sample: Operands) -> None:
    keeps_dtype(target, target.multiply_grad(sample.x, sample.y, sample.upstream))


@clause("broadcast.dtype", fraction_of_examples=0.3)
@given(strategies.operands())
def test_a_product_in_place_has_the_dtype_of_its_operands(target: Subject, sample: Operands) -> None:
    keeps_dtype(target, target.multiply_in_place(sample.upstream, sample.y))


@clause("broadcast.dtype", fraction_of_examples=0.3)
@given(strategies.operands())
def test_a_stretched_operand_keeps_its_dtype(target: Subject, sample: Operands) -> None:
    expanded, _, _ = target.expand(sample.x, sample.upstream.shape)

    keeps_dtype(target, expanded)


@clause("broadcast.no-copy")
@given(strategies.operands())
def test_an_expanded_operand_repeats_its_elements(target: Subject, sample: Operands) -> None:
    for operand in (sample.x, sample.y):
        expanded, _, _ = target.expand(operand, sample.upstream.shape)

        agree(expanded, np.broadcast_to(operand, sample.upstream.shape))


@clause("broadcast.no-copy")
@given(strategies.operands())
def test_stretching_is_a_stride_of_zero_in_the_same_memory(target: Subject, sample: Operands) -> None:
    """A copy would store the same numbers many times."""
    x, shape = sample.x, sample.upstream.shape
    _, strides, shared = target.expand(x, shape)

    missing = len(shape) - x.ndim
    repeated = [
        axis for axis, size in enumerate(shape) if size > 1 and (axis < missing or x.shape[axis - missing] == 1)
    ]
    still = np.size(strides) == len(shape) and all(
        (strides[axis] == 0) == (axis in repeated) for axis, size in enumerate(shape) if size > 1
    )
    # Where there are no elements, no memory is shared, and no step is taken.
    holds(
        0 in shape or (still and shared == 1),
        f"has the strides {strides.astype(int).tolist()}{'' if shared == 1 else ', in memory of its own'}",
    )


@clause("broadcast.in-place")
@given(strategies.operands())
def test_a_product_in_place_is_written_into_x_and_nothing_else(target: Subject, sample: Operands) -> None:
    """Only x must have the shape of the product: y may be stretched. Other holders of x must see it, and y is the caller's."""
    x, y = sample.upstream, sample.y
    product = np.multiply(x, y)
    answer = target.multiply_in_place(x, y)

    agree(answer, product)
    changed = target.changed()
    still = bool((product == x).all())  # but for the signs of zeros
    holds(
        changed == "x" or (still and not changed),
        f"changed {f'its {changed}' if changed else 'nothing'} where x is due",
    )


@clause("broadcast.in-place")
@given(st.sampled_from(strategies.GROWING))
def test_an_operand_in_place_never_grows(target: Subject, shapes: tuple[Shape, Shape]) -> None:
    """Other holders of the tensor would find another shape in its place; a late refusal leaves neither operand nor product."""
    refused = target.refuses("multiply_in_place", *(filled(target, shape) for shape in shapes))

    holds(refused, f"did not refuse to multiply the shape {shapes[0]} in place by {shapes[1]}")
    holds(not target.changed(), f"changed its {target.changed()} and refused")


@clause("broadcast.gradient")
@given(strategies.operands())
def test_a_gradient_is_summed_to_the_shape_of_its_operand(target: Subject, sample: Operands) -> None:
    """An operand that is used in many places gets the sum of their gradients, not the mean or the last one.

    A gradient of another shape would permanently stretch the operand at the next step, w - lr * grad.
    """
    x, y, upstream = sample.x, sample.y, sample.upstream
    grads = target.multiply_grad(x, y, upstream)

    truths = exact.multiply_grad(exact.of(x), exact.of(y), exact.of(upstream))
    for name, grad, due in zip("xy", grads, truths, strict=True):
        has_shape(grad.shape, due.shape, f"the gradient of {name}, of ")
        agree(grad, due, f"the gradient of {name}")


@clause("broadcast.pure", fraction_of_examples=0.3)
@pytest.mark.parametrize("operation", ["multiply", "expand", "multiply_grad"])
@given(sample=strategies.operands())
def test_broadcasting_leaves_its_operands_alone(target: Subject, operation: str, sample: Operands) -> None:
    """Stretching only reads the operand."""
    further = {
        "multiply": (sample.y,),
        "expand": (sample.upstream.shape,),
        "multiply_grad": (sample.y, sample.upstream),
    }

    leaves_arguments_alone(target, operation, sample.x, *further[operation])

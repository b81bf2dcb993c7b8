"""The shipped targets: what they refuse, and answers that no property asks for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from calibrant.adapters import numpy_target

torch = pytest.importorskip("torch")

from calibrant.adapters import reference  # noqa: E402
from calibrant.mechanics import (  # noqa: E402  # they need torch
    accumulation,
    broadcasting,
    data,
    descent,
    gradients,
    loss,
    regularization,
    validation,
)
from calibrant.mechanics.optimizers import Optimizer  # noqa: E402

TARGETS = pytest.mark.parametrize("target", [reference, numpy_target], ids=["reference", "numpy"])
NAN, INF = math.nan, math.inf
SGD = {"name": "sgd", "lr": 0.5}
ZEROS, ONE, TWO = [0.0, 0.0], [1.0], [1.0, 2.0]


def array(target: Any, value: Any) -> Any:
    """A list of numbers as the target's own array; all else unchanged."""
    return getattr(target, "asarray", np.asarray)(np.asarray(value)) if isinstance(value, list) else value


REFUSED: list[tuple[str, tuple[Any, ...], str]] = [
    ("training_loop", (1, {"name": "adm"}, ZEROS, ONE, ONE), "adam"),
    ("training_loop", (1, {"name": "adam", "momentum": 0.5}, ZEROS, ONE, ONE), "momentum"),
    ("training_loop", (1, {"name": "adam", "lr": -1.0}, ZEROS, ONE, ONE), "lr"),
    ("training_loop", (1, SGD, ZEROS, ONE, ONE, ONE, None), "every reading needs its temperature"),
    ("training_loop", (1, SGD, ZEROS, ONE, ONE, None, ONE), "every reading needs its temperature"),
    ("multiply_grad", (TWO, TWO, ONE), "upstream"),
    *[("expand", (TWO, shape), r"x is|broadcast|remapped|original") for shape in ((3,), (1,), ())],
    ("broadcast_shapes", ((2, -1), (1,)), "negative"),
    ("schedule", ("step", {"lr": 0.5, "step_size": INF}, 2), "step_size"),
    ("schedule", ("multistep", {"lr": 0.5, "milestones": 3}, 2), "milestones|dimension"),
]


@TARGETS
@pytest.mark.parametrize(("operation", "arguments", "named"), REFUSED)
def test_a_meaningless_request_is_refused_by_name(target: Any, operation: str, arguments: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        getattr(target, operation)(*(array(target, x) for x in arguments))


@TARGETS
def test_readings_that_are_all_the_same_have_no_slope(target: Any) -> None:
    t_u, t_c = array(target, [2.0, 2.0]), array(target, [1.0, 3.0])

    for fit in (target.least_squares(t_u, t_c), target.ridge(t_u, t_c, 0.0), target.ridge(t_u, t_c, 1.0)):
        assert fit.tolist() == [0.0, 2.0]


@TARGETS
def test_a_split_of_no_rows_and_a_log_without_a_finite_loss(target: Any) -> None:
    stopped, best = target.early_stopping(array(target, [NAN, INF, NAN]), 2)

    assert (int(stopped), int(best)) == (1, 0)
    assert [part.tolist() for part in target.split(0, 0.5, 1)] == [[], []]


# The reference alone


def test_a_view_of_a_view_keeps_its_strides() -> None:
    """A transposed tensor and a slice have other strides than a fresh tensor of their shape."""
    table = torch.arange(6.0).reshape(2, 3)

    assert torch.equal(broadcasting.expand(table.T, (4, 3, 2)), table.T.expand(4, 3, 2))
    assert torch.equal(broadcasting.expand(table[1:, ::2], (5, 2)), table[1:, ::2].expand(5, 2))


def test_the_reference_refuses_what_the_protocol_does_not_ask() -> None:
    two, none = torch.ones(2), torch.ones(0)
    params = torch.zeros(2)

    for delta in (0.0, -1.0, NAN, INF):
        with pytest.raises(ValueError, match="is"):
            gradients.difference_gradient(torch.sum, two, delta)
    with pytest.raises(ValueError, match="every reading"):
        data.require_data(two, torch.ones(3))
    with pytest.raises(ValueError, match="columns"):
        data.require_data(torch.ones(2, 1), two)
    with pytest.raises(ValueError, match="no samples"):
        loss.loss_fn(none, none)
    with pytest.raises(ValueError, match="batches is empty"):
        accumulation.accumulated_grad(params, [])
    with pytest.raises(ValueError, match="batch 2 of 2: t_u is"):
        accumulation.accumulate(params, [(two, two), (none, none)], False)
    with pytest.raises(ValueError, match="leaf"):
        validation.training_loop(1, Optimizer("sgd", [params], lr=0.5), params, two, two, val_t_u=two, val_t_c=two)


def test_data_come_in_the_requested_dtype_and_the_thermometer_has_its_limit() -> None:
    for dtype in (torch.float32, torch.float64):
        for columns in (data.thermometer(dtype), data.norris(dtype)):
            assert [column.dtype for column in columns] == [dtype, dtype]
    assert f"{float(descent.learning_rate_limit(data.thermometer(torch.float64)[0])):.4e}" == "3.3994e-04"


def test_bfloat16_goes_to_torch_and_back() -> None:
    pytest.importorskip("ml_dtypes")
    numbers = np.array([1.0, -2.5, 0.15625]).astype("bfloat16")

    assert reference.to_numpy(reference.asarray(numbers)).tolist() == numbers.tolist()
    assert reference.to_numpy(2.0) == np.array(2.0)


def test_a_run_in_two_parts_is_the_run() -> None:
    """The loop keeps nothing of its own between epochs."""
    t_u, t_c, val_t_u, val_t_c = validation.split_data(*data.thermometer(torch.float64), 0.4, 0)

    def run(*parts: int) -> list[Any]:
        params = torch.zeros(2, dtype=torch.float64, requires_grad=True)
        optimizer = Optimizer("adam", [params], lr=0.1)
        ran = [
            validation.training_loop(
                n, optimizer, params, t_u, t_c, val_t_u=val_t_u, val_t_c=val_t_c, model=regularization.polynomial
            )
            for n in parts
        ]
        return [ran[-1][0].tolist(), *([float(x) for r in ran for x in r[i]] for i in (1, 2))]

    assert run(3, 4) == run(7)


def test_numpy_shares_no_memory_where_there_are_no_elements() -> None:
    """The clause on memory therefore claims nothing there."""
    view, _, shared = numpy_target.expand(np.ones((2, 1)), (2, 0))

    assert (view.size, shared) == (0, 0)

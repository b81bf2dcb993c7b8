"""The shipped targets: what they refuse, and what they return beside what the properties ask."""

import math
from typing import Any

import numpy as np
import pytest

from calibrant.adapters import numpy_target
from calibrant.checks.check import check
from calibrant.checks.options import Options

torch = pytest.importorskip("torch")

from calibrant.adapters import reference  # noqa: E402
from calibrant.mechanics import data, descent, gradients, loss  # noqa: E402  # they need torch

TARGETS = pytest.mark.parametrize("target", [reference, numpy_target], ids=["reference", "numpy"])
SGD = {"name": "sgd", "lr": 0.5}


def column(target: Any, *numbers: float) -> Any:
    array = np.array(numbers)
    return reference.asarray(array) if target is reference else array


@TARGETS
@pytest.mark.parametrize("operation", ["loss_fn", "absolute_loss", "dabsolute_loss", "dloss_fn"])
def test_a_loss_of_two_shapes_is_refused(target: Any, operation: str) -> None:
    if not hasattr(target, operation):
        pytest.skip(f"no {operation}")
    with pytest.raises(ValueError, match="t_p"):
        getattr(target, operation)(column(target, 1.0), column(target, 1.0, 2.0))


@TARGETS
def test_slopes_of_the_absolute_loss(target: Any) -> None:
    slopes = target.dabsolute_loss(column(target, 1.0, 2.0, 3.0, 4.0), column(target, 1.0, 4.0, 0.0, 4.0))

    assert slopes.tolist() == [0.0, -0.25, 0.25, 0.0]
    assert float(target.absolute_loss(column(target, 1.0, 2.0), column(target, 1.0, 5.0))) == 1.5


@TARGETS
@pytest.mark.parametrize("optimizer", [{"name": "adam", "lr": 0.5}, SGD | {"momentum": 0.5}, SGD | {"nesterov": False}])
def test_any_optimizer_goes_into_the_loop(target: Any, optimizer: dict[str, Any]) -> None:
    """The gradient by w is -2, and so is that by b: the first step goes up in both, by the rate or by the rate times 2."""
    start, one = column(target, 0.0, 0.0), column(target, 1.0)

    params, losses, _ = target.training_loop(1, optimizer, start, one, one)

    up = 0.5 if optimizer["name"] == "adam" else 1.0
    assert params.tolist() == pytest.approx([up, up])
    assert [float(loss) for loss in losses] == [1.0]
    assert start.tolist() == [0.0, 0.0]


@TARGETS
@pytest.mark.parametrize(
    "optimizer", [{"name": "adm"}, {"name": "adam", "momentum": 0.5}, {"name": "adam", "lr": -1.0}]
)
def test_an_optimizer_that_does_not_exist_is_refused_by_the_loop(target: Any, optimizer: dict[str, Any]) -> None:
    one = column(target, 1.0)
    with pytest.raises(ValueError, match=r"adam|momentum|lr"):
        target.training_loop(1, optimizer, column(target, 1.0, 0.0), one, one)


@TARGETS
def test_readings_to_validate_on_need_their_temperatures(target: Any) -> None:
    one = column(target, 1.0)
    with pytest.raises(ValueError, match="val_t_c"):
        target.training_loop(1, SGD, column(target, 1.0, 0.0), one, one, one, None)


@TARGETS
@pytest.mark.parametrize(("n_epochs", "lr"), [(-1, 0.5), (1, -0.5), (1, math.nan), (1, math.inf)])
def test_a_schedule_that_means_nothing_is_refused(target: Any, n_epochs: int, lr: float) -> None:
    one = column(target, 1.0)
    with pytest.raises(ValueError, match="is"):
        target.training_loop(n_epochs, {"name": "sgd", "lr": lr}, column(target, 1.0, 0.0), one, one)


@TARGETS
def test_readings_that_are_all_the_same_have_no_slope(target: Any) -> None:
    fit = target.least_squares(column(target, 2.0, 2.0), column(target, 1.0, 3.0))

    assert fit.tolist() == [0.0, 2.0]


@TARGETS
def test_no_rows_can_be_split(target: Any) -> None:
    assert [part.tolist() for part in target.split(0, 0.5, 1)] == [[], []]


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan, math.inf])
def test_a_step_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(ValueError, match="delta"):
        gradients.difference_gradient(torch.sum, torch.ones(2), delta)


def test_data_of_two_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="every reading"):
        data.require_data(torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="columns"):
        data.require_data(torch.ones(2, 1), torch.ones(2))


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        loss.loss_fn(torch.ones(0), torch.ones(0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_data_come_in_the_dtype_that_is_asked_for(dtype: torch.dtype) -> None:
    for columns in (data.thermometer(dtype), data.norris(dtype)):
        assert [column.dtype for column in columns] == [dtype, dtype]


def test_the_limit_of_the_thermometer() -> None:
    t_u, _ = data.thermometer(torch.float64)

    assert f"{float(descent.learning_rate_limit(t_u)):.4e}" == "3.3994e-04"


def test_bfloat16_goes_to_torch_and_back() -> None:
    pytest.importorskip("ml_dtypes")
    numbers = np.array([1.0, -2.5, 0.15625]).astype("bfloat16")

    assert reference.to_numpy(reference.asarray(numbers)).tolist() == numbers.tolist()
    assert reference.to_numpy(2.0) == np.array(2.0)


@pytest.mark.parametrize("name", ["torch", "numpy"])
def test_a_shipped_target_breaks_nothing_but_what_it_declares(name: str) -> None:
    """With few examples: that each declared deviation shows is for a whole check."""
    result = check(name, Options(profile="ci", examples=3, dtypes=("float64",)))

    seen = {verdict.status for verdict in result.verdicts}
    assert result.unfinished == []
    assert {"holds"} < seen <= {"holds", "deviates", "absent", "undecided"}

"""L-BFGS and lazy optimizers: the exact rules against cheap truths, defaults against PyTorch's, and what the reference does beyond the protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support import PYTORCH

from calibrant import exact
from calibrant.adapters import numpy_lbfgs, numpy_rows
from calibrant.exact import FORMATS
from calibrant.exact.scalars import constant
from calibrant.exact.tensors import Tensor

torch = pytest.importorskip("torch")

from calibrant.mechanics import lbfgs, rows  # noqa: E402  # they need torch

FREE = {"max_iter": 1, "max_eval": 9, "tolerance_grad": 0.0, "tolerance_change": 0.0}


def test_defaults_are_those_of_pytorch() -> None:
    leaf = torch.ones(2)
    theirs = torch.optim.LBFGS([leaf]).defaults
    lazy = torch.optim.SparseAdam([leaf]).defaults

    assert exact.LBFGS == lbfgs.DEFAULTS == theirs | {"max_eval": None}
    assert theirs["max_eval"] == 25
    assert exact.LAZY == rows.LAZY == {"sparse_adam": lazy}


def test_with_the_best_rates_a_quadratic_of_two_parameters_takes_two_steps() -> None:
    """The gradients are then those of conjugate gradients: (3, 3), (1.5, -1.5), and zero."""
    hessian, start = np.diag([1.0, 3.0]), np.array([3.0, 1.0])

    first, second = exact.lbfgs({**FREE, "lr": [3.0, 5 / 3]}, start, hessian, np.zeros(2), 2, PYTORCH)

    assert first[0].nearest().tolist() == [1.5, -0.5]
    assert (abs(second[0].nearest()) <= second[0].err).all()
    assert (second[0].err < 1e-13).all()


def test_one_parameter_has_its_curvature_after_one_move() -> None:
    """The second move at a rate of 1 is Newton's."""
    path = exact.lbfgs(FREE, np.array([4.0]), np.array([[3.0]]), np.array([0.5]), 2, PYTORCH)

    assert abs(float(path[1][0].fractions()[0]) + 0.5 / 3) < 1e-15


def test_all_iterations_are_made_where_no_evaluations_are_counted() -> None:
    """Of four, where `max_eval` is five by default; each of six curvatures needs one."""
    loss = np.full(6, 2.0), np.diag([1.0, 2.0, 3.0, 5.0, 8.0, 13.0]), np.zeros(6)
    h = {**exact.LBFGS, "max_iter": 4, "lr": 0.5}

    few, many = (exact.lbfgs(h | {"max_eval": most}, *loss, 1, PYTORCH)[0] for most in (None, 100))

    assert few[0].nearest().tolist() == many[0].nearest().tolist()
    assert few[2].nearest() == many[2].nearest() == 4


def test_a_step_ends_where_the_loss_changes_by_little() -> None:
    """The move, 0.3, and the slope along it, 0.25, are above the tolerance; the loss falls from 2.5 by less."""
    h = {"tolerance_change": 0.2, "max_iter": 4, "lr": 0.6}

    ((_, _, count),) = exact.lbfgs(h, np.array([10.0]), np.array([[0.05]]), np.zeros(1), 1, PYTORCH)

    assert count.nearest() == 2


def test_at_a_rate_of_zero_all_stays_exactly() -> None:
    path = exact.lbfgs({**FREE, "lr": 0.0}, np.array([1.0, 0.3]), np.diag([1.0, 3.0]), np.zeros(2), 3, PYTORCH)

    assert [x.errors().tolist() for x, *_ in path] == [[0.0, 0.0]] * 3


def test_a_magnitude_is_clearly_not_below_zero_however_little_is_known_of_it() -> None:
    form, zero = FORMATS["float64"], constant(0.0, FORMATS["float64"])
    state = exact.Minimizer(exact.LBFGS, Tensor([zero], (1,)), [[zero]], Tensor([zero], (1,)), PYTORCH)

    assert not state.less(constant(1e-3, form).within(2e-3), zero)
    assert not state.less(zero.within(2e-3), zero)
    assert state.clear
    assert not state.less(constant(1e-3, form).within(2e-3), zero, or_equal=True)
    assert not state.clear


def test_where_rounding_may_decide_nothing_is_claimed_from_there_on() -> None:
    """At the minimum the gradient is what rounding leaves of it: zero, or not."""
    path = exact.lbfgs({**FREE, "lr": 1.0}, np.array([0.1]), np.array([[0.7]]), np.array([0.3]), 5, PYTORCH)
    claimed = [bool(np.isfinite(x.err).all()) for x, *_ in path]

    assert claimed[:2] == [True, True]
    assert claimed == sorted(claimed, reverse=True)
    assert not claimed[-1]


def test_a_line_search_leaves_nothing_to_claim() -> None:
    ((x, loss, _),) = exact.lbfgs({"line_search_fn": "strong_wolfe"}, np.ones(2), np.eye(2), np.zeros(2), 1, PYTORCH)

    assert np.isinf(x.err).all()
    assert np.isinf(loss.err).all()


def test_a_table_whose_rows_all_have_gradients_follows_adam() -> None:
    """With the correction of 9.25, which joins epsilon to the root before: epsilon is zero here."""
    lr, grads = [0.5, 0.25, 1.0], [np.array([[x], [y]]) for x, y in ((1.0, -2.0), (0.5, 0.25), (-1.0, 3.0))]
    h, table = {"lr": lr, "betas": (0.5, 0.75), "eps": 0.0}, np.array([[0.5], [2.0]])

    lazy = exact.optimize_rows("sparse_adam", h, table, [[1, 0]] * 3, [g[::-1] for g in grads], PYTORCH)
    dense = exact.optimize("adam", h, [table], [[g] for g in grads], PYTORCH)

    for one, (other,) in zip(lazy, dense, strict=True):
        assert (abs(one.nearest() - other.nearest()) <= one.err + other.err).all()


@pytest.mark.parametrize(
    ("name", "given", "row"), [("adm", {}, 0), ("sparse_adam", {"decay": 0.5}, 0), ("sparse_adam", {}, 2)]
)
def test_a_table_knows_its_rows_and_hyperparameters(name: str, given: dict[str, float], row: int) -> None:
    with pytest.raises(ValueError, match="there is no"):
        exact.optimize_rows(name, given, np.ones((2, 1)), [[row]], [np.ones((1, 1))], PYTORCH)


@pytest.mark.parametrize("lr", [100.0, 1.0])
def test_a_line_search_brings_a_long_rate_to_the_minimum(lr: float) -> None:
    params = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    made = lbfgs.LBFGS(params, lr=lr, line_search_fn="strong_wolfe", max_iter=50, max_eval=1000)

    made.step(closure_of(params, lambda x: (x[0] - 1) ** 4 + 10 * (x[1] + x[0]) ** 2))

    assert (params.detach() - torch.tensor([1.0, -1.0])).abs().max() < 0.05


def closure_of(params: Any, loss: Callable[[Any], Any]) -> Callable[[], Any]:
    """A closure as PyTorch's optimizers call it."""

    def closure() -> Any:
        params.grad = None
        value = loss(params)
        value.backward()
        return value

    return closure


@pytest.mark.parametrize(
    ("word", "given"),
    [
        ("max_iter", {"max_iter": 1.5}), ("max_eval", {"max_eval": True}), ("line_search_fn", {"line_search_fn": "wolfe"}),
        ("no hyperparameter 'momentum'", {"momentum": 0.5}),
    ],
)  # fmt: skip
def test_what_lbfgs_does_not_have_is_refused_with_its_name(word: str, given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=word):
        lbfgs.LBFGS(torch.ones(2), **given)


def test_shapes_that_do_not_fit_are_refused() -> None:
    for run, ones in ((lbfgs.lbfgs, torch.ones), (numpy_lbfgs.lbfgs, np.ones)):
        for hessian, slope, h in (((3, 3), (2,), {}), ((2, 2), (3,), {}), ((2, 2), (2,), {"lr": [0.5]})):
            with pytest.raises(ValueError, match="2 parameters"):
                run(h, ones(2), ones(hessian), ones(slope), 2)
    for walk, ones in ((rows.optimize_rows, torch.ones), (numpy_rows.optimize_rows, np.ones)):
        for some, shape in (([0, 1], (1, 2)), ([2], (1, 2)), ([0], (1, 3))):
            with pytest.raises(ValueError, match="rows"):
                walk("sparse_adam", {}, ones((2, 2)), [some], [ones(shape)])


@pytest.mark.parametrize("lr", [0.01, 0.5, 64.0])
def test_the_line_search_of_numpy_meets_both_conditions(lr: float) -> None:
    """From rates that are far too short, about right, and far too long."""
    hessian, slope, start = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.25, -1.0]), np.array([3.0, -2.0])
    given = {"lr": lr, "max_iter": 1, "max_eval": 40, "line_search_fn": "strong_wolfe"}

    ((end, before, _),) = numpy_lbfgs.lbfgs(given, start, hessian, slope, 1)

    move, g, ahead = end - start, hessian @ start + slope, hessian @ end + slope
    loss = end @ hessian @ end / 2 + slope @ end
    assert loss <= before + 1e-4 * (g @ move)
    assert abs(ahead @ move) <= 0.9 * abs(g @ move)

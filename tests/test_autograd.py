"""The reference's autograd: what it refuses, and that the caller's tensors stay."""

import math
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import calibrant  # noqa: E402  # after torch, which the reference needs
from calibrant.adapters import reference  # noqa: E402
from calibrant.mechanics import autograd, descent  # noqa: E402
from calibrant.mechanics.data import scaled, thermometer  # noqa: E402
from calibrant.mechanics.loss import loss_fn  # noqa: E402

T_U, T_C = (column.double() for column in thermometer())
START = torch.tensor([1.0, 0.0], dtype=torch.float64)


def leaf() -> "torch.Tensor":
    return START.clone().requires_grad_()


def total(params: "torch.Tensor") -> "torch.Tensor":
    return params.sum()


def elsewhere(params: "torch.Tensor") -> "torch.Tensor":
    return torch.ones(2, requires_grad=True).sum()


SGD = torch.optim.SGD([leaf()], lr=0.5)


@pytest.mark.parametrize(
    ("message", "function", "arguments"),
    [
        ("zero_grad is 'zero': .* never, to-none, to-zero", autograd.backward, ([total], START, "zero")),
        ("does not depend on params", autograd.backward, ([elsewhere], START, "never")),
        ("does not depend on params", autograd.descend, (elsewhere, START, 0.5, 1)),
        ("n_epochs is -1", autograd.descend, (total, START, 0.5, -1)),
        ("learning_rate is nan", autograd.descend, (total, START, math.nan, 1)),
        ("learning_rate is inf", autograd.manual_training_loop, (1, math.inf, START, T_U, T_C)),
        ("learning_rate is -0.5", autograd.manual_training_loop, (1, -0.5, START, T_U, T_C)),
        ("every reading", autograd.manual_training_loop, (1, 0.5, START, T_U[:3], T_C)),
        ("every reading", autograd.training_loop, (1, SGD, leaf(), T_U[:3], T_C)),
        ("n_epochs is -1", autograd.training_loop, (-1, SGD, leaf(), T_U, T_C)),
        ("does not require grad", autograd.training_loop, (1, SGD, START, T_U, T_C)),
        ("result of an operation", autograd.training_loop, (1, SGD, leaf() * 2, T_U, T_C)),
    ],
)
def test_meaningless_arguments_are_refused(message: str, function: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments)


@pytest.mark.parametrize("n_epochs", [0, 1, 50])
def test_a_training_loop_trains_the_leaf_and_returns_a_copy(n_epochs: int) -> None:
    """The returned tensor has no graph, and the next run trains another tensor."""
    params = leaf()
    optimizer = torch.optim.SGD([params], lr=1e-2)

    trained, losses = autograd.training_loop(n_epochs, optimizer, params, scaled(T_U), T_C)
    before = trained.clone()
    autograd.training_loop(1, optimizer, params, scaled(T_U), T_C)

    by_hand, their_losses = descent.training_loop(n_epochs, 1e-2, START, scaled(T_U), T_C)
    assert torch.equal(trained, before)
    assert not torch.equal(params, trained)
    assert params.is_leaf
    assert not trained.requires_grad
    assert not any(loss.requires_grad for loss in losses)
    assert len(losses) == len(their_losses) == n_epochs
    torch.testing.assert_close(trained, by_hand)


def test_the_callers_parameters_and_their_gradient_stay() -> None:
    params = leaf()

    autograd.backward([total], params, "never")
    autograd.descend(total, params, 0.5, 2)
    autograd.manual_training_loop(2, 1e-4, params, T_U, T_C)
    trained, losses = autograd.manual_training_loop(0, 0.5, START, T_U, T_C)

    assert params.grad is None
    assert torch.equal(params, START)
    assert torch.equal(trained, START)
    assert trained.data_ptr() != START.data_ptr()
    assert losses == []


@pytest.mark.parametrize("left", [None, True], ids=["as it was set", "on"])
def test_a_forward_pass_of_the_model_that_leaves_the_mode_is_found(left: bool | None) -> None:
    """The mode is the process's, so that it shows in the evaluation around it alone."""

    def calc_forward(params: Any, t_u: Any, t_c: Any, is_train: bool) -> list[Any]:
        leaf = params.clone().requires_grad_()
        torch.set_grad_enabled(is_train)
        loss = loss_fn(leaf[0] * t_u + leaf[1], t_c)
        if is_train:
            loss.backward()
        torch.set_grad_enabled(is_train if left is None else left)
        return [loss.detach(), leaf.grad]

    beside = {name: getattr(reference, name) for name in ("asarray", "to_numpy", "evaluate")}
    mine = SimpleNamespace(**beside, calc_forward=calc_forward)

    try:
        report = calibrant.check(mine, clauses="autograd.mode-restored", dtypes="float64", examples=20)
    finally:
        torch.set_grad_enabled(True)

    assert [verdict.status for verdict in report.verdicts] == ["breaks"], report

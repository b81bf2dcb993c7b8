"""The reference's autograd: what it refuses, and that the caller's tensors stay."""

import math

import pytest

torch = pytest.importorskip("torch")

from calibrant.mechanics import autograd, descent  # noqa: E402  # it needs torch
from calibrant.mechanics.data import scaled, thermometer  # noqa: E402

T_U, T_C = (column.double() for column in thermometer())
START = torch.tensor([1.0, 0.0], dtype=torch.float64)


def leaf() -> "torch.Tensor":
    return START.clone().requires_grad_()


def total(params: "torch.Tensor") -> "torch.Tensor":
    return params.sum()


def test_an_unknown_way_of_zeroing_is_refused_with_the_known_ones() -> None:
    for zero_grad, near in (("to_none", "to-none"), ("zero", "to-zero"), ("", "never")):
        with pytest.raises(ValueError, match=f"zero_grad is .*{near}"):
            autograd.backward([total], torch.ones(2), zero_grad)


def test_a_loss_that_does_not_depend_on_the_parameters_is_refused() -> None:
    other = torch.ones(2, requires_grad=True)

    def elsewhere(params: "torch.Tensor") -> "torch.Tensor":
        return other.sum()

    with pytest.raises(ValueError, match="does not depend on params"):
        autograd.backward([elsewhere], torch.ones(2), "never")
    with pytest.raises(ValueError, match="does not depend on params"):
        autograd.descend(elsewhere, torch.ones(2), 0.5, 1)


def test_a_step_in_place_is_refused_where_it_would_be_recorded() -> None:
    with pytest.raises(RuntimeError, match="leaf"):
        autograd.descend(total, START, 0.5, 1, no_grad=False)


@pytest.mark.parametrize(("n_steps", "rate"), [(-1, 0.5), (1, -0.5), (1, math.nan), (1, math.inf)])
def test_a_meaningless_schedule_is_refused(n_steps: int, rate: float) -> None:
    with pytest.raises(ValueError, match="is"):
        autograd.descend(total, START, rate, n_steps)
    with pytest.raises(ValueError, match="is"):
        autograd.manual_training_loop(n_steps, rate, START, T_U, T_C)


def test_a_training_loop_refuses_misfitting_columns_negative_epochs_and_parameters_without_gradient() -> None:
    params = leaf()
    optimizer = torch.optim.SGD([params], lr=0.5)

    with pytest.raises(ValueError, match="every reading"):
        autograd.training_loop(1, optimizer, params, T_U[:3], T_C)
    with pytest.raises(ValueError, match="every reading"):
        autograd.manual_training_loop(1, 0.5, START, T_U[:3], T_C)
    with pytest.raises(ValueError, match="n_epochs"):
        autograd.training_loop(-1, optimizer, params, T_U, T_C)
    with pytest.raises(ValueError, match="does not require grad"):
        autograd.training_loop(1, optimizer, START, T_U, T_C)
    with pytest.raises(ValueError, match="result of an operation"):
        autograd.training_loop(1, optimizer, params * 2, T_U, T_C)


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


def test_a_forward_pass_that_raises_leaves_recording_as_it_was() -> None:
    with torch.no_grad():
        with pytest.raises(ValueError, match="t_p"):
            autograd.calc_forward(leaf(), T_U, T_C[:3], is_train=True)
        assert not torch.is_grad_enabled()
    with pytest.raises(ValueError, match="t_p"):
        autograd.calc_forward(leaf(), T_U, T_C[:3], is_train=False)
    assert torch.is_grad_enabled()

"""The machine that impostors of autograd are changes to: right where it is not changed, and no part of torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import run, subject

from calibrant.diagnosis import explaining as naming
from calibrant.impostors import machine

torch = pytest.importorskip("torch")


def test_what_the_machine_does_not_know_is_an_error() -> None:
    with pytest.raises(TypeError):
        machine.automatic_gradient(lambda params: (params // 3).sum(), np.ones(2))


def _never_reset(losses: Any, params: Any, zero_grad: str) -> Any:
    leaf = torch.from_numpy(params.copy()).requires_grad_()
    passes = []
    for loss in losses:
        found = None if leaf.grad is None else leaf.grad.numpy().copy()
        loss(leaf).backward()
        passes.append((found, leaf.grad.numpy().copy()))
    return passes


def _left_as_it_was_set(loss: Any, params: Any, is_train: bool) -> Any:
    leaf = torch.from_numpy(params.copy()).requires_grad_()
    torch.set_grad_enabled(is_train)
    value = loss(leaf)
    if value.requires_grad:
        value.backward()
    return value.detach().numpy(), None if leaf.grad is None else leaf.grad.numpy()


def _rebound(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    if not no_grad:
        raise RuntimeError
    params = torch.from_numpy(params.copy()).requires_grad_()
    steps = []
    for _ in range(n_steps):
        value = loss(params)
        value.backward(retain_graph=True)
        grad = params.grad if params.is_leaf else None
        params = params if grad is None else params - learning_rate * grad
        steps.append((value.detach().numpy(), None if grad is None else grad.numpy().copy(), params.detach().numpy()))
    return steps


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("operation", "wrong", "name"),
    [
        ("backward", _never_reset, "never-reset"),
        ("evaluate", _left_as_it_was_set, "left-as-it-was-set"),
        ("descend", _rebound, "rebound"),
    ],
)
def test_mistakes_with_torch_are_named_as_what_they_are(operation: str, wrong: Any, name: str) -> None:
    found = naming.among(subject("float32", **{operation: wrong}), operation)
    torch.set_grad_enabled(True)

    assert [one.name for one in found] == [name]


def test_no_impostor_of_autograd_needs_torch() -> None:
    """Not to be listed, not to be planted, and not to be asked."""
    source = """
import sys; sys.modules['torch'] = None
from calibrant.diagnosis import explaining as naming
from calibrant.impostors import catalog
from calibrant.impostors.planting import target_from_impostor
from calibrant.target.calling import Subject
operations = ("automatic_gradient", "backward", "calc_forward", "descend", "difference_gradient", "evaluate", "manual_training_loop")
first = {one.operation: one for one in reversed(catalog()) if one.operation in operations}
for one in first.values():
    assert one in naming.among(Subject(target_from_impostor(one), 'float32'), one.operation), one
print(len(first))
"""
    process = run("-W", "ignore", "-c", source)

    assert (process.stdout, process.stderr) == ("7\n", "")

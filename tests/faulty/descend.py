"""Wrong steps by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


def _refused(no_grad: bool) -> None:
    if not no_grad:
        raise RuntimeError("a leaf that requires grad is changed in place")


def _right(
    loss: Any, params: Any, learning_rate: float, n_steps: int, reset: bool = True, stay: bool = False
) -> list[list[Any]]:
    leaf = torch.from_numpy(params.copy()).requires_grad_()
    steps = []
    for _ in range(n_steps):
        if reset:
            leaf.grad = None
        value = loss(torch.from_numpy(params.copy()).requires_grad_() if stay else leaf)
        value.backward()
        grad = torch.autograd.grad(loss(leaf), leaf)[0] if stay else leaf.grad
        with torch.no_grad():
            leaf -= learning_rate * grad
        steps.append([value.detach().numpy(), grad.clone().numpy(), leaf.detach().clone().numpy()])
    return steps


def gradients_accumulate(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    return _right(loss, params, learning_rate, n_steps, reset=False)


def rebound(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """`params = params - learning_rate * params.grad`: from the second step on, the parameters are no leaf."""
    _refused(no_grad)
    current = torch.from_numpy(params.copy()).requires_grad_()
    steps = []
    for _ in range(n_steps):
        value = loss(current)
        value.backward(retain_graph=True)
        grad = current.grad if current.is_leaf else None
        if grad is not None:
            current = current - learning_rate * grad
        steps.append([value.detach().numpy(), None if grad is None else grad.numpy(), current.detach().numpy()])
    return steps


def loss_of_the_start(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    return _right(loss, params, learning_rate, n_steps, stay=True)


def recorded_without_a_word(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    return _right(loss, params, learning_rate, n_steps)


def uphill(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    return _right(loss, params, -learning_rate, n_steps)


def one_step_less(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    return _right(loss, params, learning_rate, n_steps - 1)


def in_place(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    steps = _right(loss, params, learning_rate, n_steps)
    params[...] = steps[-1][2] if n_steps > 0 else params
    return steps


def rate_in_float32(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    return _right(loss, params, float(np.float32(learning_rate)), n_steps)


def in_float64(loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    _refused(no_grad)
    return _right(loss, params.astype(np.float64), learning_rate, n_steps)

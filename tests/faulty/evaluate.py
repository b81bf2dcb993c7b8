"""Wrong modes of recording. Whatever they do, the outermost call leaves PyTorch's own mode on, for the tests that follow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch

_depth = [0]


@contextlib.contextmanager
def _outermost() -> Iterator[None]:
    _depth[0] += 1
    try:
        yield
    finally:
        _depth[0] -= 1
        if not _depth[0]:
            torch.set_grad_enabled(True)


def _answer(value: Any, leaf: Any) -> list[Any]:
    if value.requires_grad:
        value.backward()
    return [value.detach().numpy(), None if leaf.grad is None else leaf.grad.numpy()]


def _leaf(params: Any) -> Any:
    return torch.from_numpy(params.copy()).requires_grad_()


def always_recorded(loss: Any, params: Any, is_train: bool) -> Any:
    leaf = _leaf(params)
    with torch.enable_grad():
        return _answer(loss(leaf), leaf)


def never_recorded(loss: Any, params: Any, is_train: bool) -> Any:
    leaf = _leaf(params)
    with torch.no_grad():
        return _answer(loss(leaf), leaf)


def not_restored_after_an_exception(loss: Any, params: Any, is_train: bool) -> Any:
    with _outermost():
        leaf, before = _leaf(params), torch.is_grad_enabled()
        torch.set_grad_enabled(is_train)
        value = loss(leaf)
        torch.set_grad_enabled(before)
        return _answer(value, leaf)


def simply_on_afterwards(loss: Any, params: Any, is_train: bool) -> Any:
    with _outermost():
        leaf = _leaf(params)
        torch.set_grad_enabled(is_train)
        try:
            return _answer(loss(leaf), leaf)
        finally:
            torch.set_grad_enabled(True)


def left_as_it_was_set(loss: Any, params: Any, is_train: bool) -> Any:
    with _outermost():
        leaf = _leaf(params)
        torch.set_grad_enabled(is_train)
        return _answer(loss(leaf), leaf)

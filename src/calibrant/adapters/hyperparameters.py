"""PyTorch's hyperparameters, as far as a library offers them: shared by the adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

from calibrant.exact import OPTIMIZERS, SCHEDULES


def offered(library: str, optimizer: str, given: dict[str, Any], names: str) -> dict[str, Any]:
    """The hyperparameters of these names, or PyTorch's defaults.

    Raises NotImplementedError for one of PyTorch's that the library does not offer, unless it changes nothing, and TypeError for any other.
    """
    require_known(optimizer, given)
    defaults = OPTIMIZERS[optimizer]
    for key, value in given.items():
        if key not in names.split() and value != defaults[key]:
            raise NotImplementedError(f"{library}'s {optimizer} has no {key}")
    return {key: given.get(key, defaults[key]) for key in names.split()}


def require_known(optimizer: str, given: dict[str, Any]) -> None:
    """Raise TypeError for a hyperparameter that PyTorch's optimizer does not have, whatever its value."""
    for key in given:
        if key not in OPTIMIZERS[optimizer]:
            raise TypeError(f"{optimizer} has no {key}")


def rates_of(hyperparameters: dict[str, Any], n_steps: int) -> tuple[list[Any], dict[str, Any]]:
    """The learning rate of each step (None if not given), and the hyperparameters `at_first`. Raises ValueError for a list of another length."""
    lr = hyperparameters.get("lr")
    rates = lr if isinstance(lr, list) else [lr] * n_steps
    if len(rates) != n_steps:
        raise ValueError(f"there are {len(rates)} rates for {n_steps} steps")
    return rates, at_first(hyperparameters)


def at_first(hyperparameters: dict[str, Any]) -> dict[str, Any]:
    """The hyperparameters with the first of a list of rates, or without a rate if the list is empty."""
    lr = hyperparameters.get("lr")
    if not isinstance(lr, list):
        return hyperparameters
    rest = {key: value for key, value in hyperparameters.items() if key != "lr"}
    return {**rest, "lr": lr[0]} if lr else rest


def scheduled(library: str, table: Mapping[str, Callable[[Any], Any]], name: str, given: dict[str, Any]) -> Any:
    """The schedule that a library's table makes of these hyperparameters and PyTorch's defaults.

    Raises NotImplementedError for a schedule that the library does not have, TypeError for a hyperparameter that is unknown or missing.
    """
    if name not in table:
        raise NotImplementedError(f"{library} has no {name}")
    h = SCHEDULES[name] | given
    for key, value in h.items():
        if key not in SCHEDULES[name]:
            raise TypeError(f"{name} has no {key}")
        if value is None:
            raise TypeError(f"{name} needs {key}")
    return table[name](SimpleNamespace(**h))

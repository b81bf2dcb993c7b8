"""PyTorch's hyperparameters, as far as a library offers them: shared by the adapters."""

from __future__ import annotations

from typing import Any

from calibrant.exact import OPTIMIZERS


def offered(library: str, optimizer: str, given: dict[str, Any], names: str) -> dict[str, Any]:
    """The hyperparameters of these names, or PyTorch's defaults. The library itself refuses those that PyTorch does not know.

    Raises NotImplementedError for one of PyTorch's that the library does not offer, unless it changes nothing.
    """
    defaults = OPTIMIZERS[optimizer]
    for key, value in given.items():
        if key in defaults and key not in names.split() and value != defaults[key]:
            raise NotImplementedError(f"{library}'s {optimizer} has no {key}")
    unknown = {key: value for key, value in given.items() if key not in defaults}
    return {key: given.get(key, defaults[key]) for key in names.split()} | unknown


def rates_of(hyperparameters: dict[str, Any], n_steps: int) -> tuple[list[Any], dict[str, Any]]:
    """The learning rate of each step (None if not given), and the hyperparameters with the rate of the first step."""
    lr = hyperparameters.get("lr")
    rates = lr if isinstance(lr, list) else [lr] * n_steps
    rest = {key: value for key, value in hyperparameters.items() if key != "lr"}
    return rates, rest if lr is None else {**rest, "lr": rates[0]}

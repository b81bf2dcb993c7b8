"""The global random generators: Python's, NumPy's, and torch's if anybody has loaded it."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np


def states() -> dict[str, Any]:
    """Where each of them stands."""
    _, key, position, *gauss = np.random.get_state(legacy=True)
    standing = {"random": random.getstate(), "numpy.random": (np.asarray(key).tobytes(), position, *gauss)}
    torch = sys.modules.get("torch")
    return standing | ({"torch": torch.get_rng_state().numpy().tobytes()} if torch else {})


def stirred() -> dict[str, Any]:
    """Where each of them stands after a draw: not where a seed puts it, so that seeding it moves it."""
    random.random()
    np.random.random_sample()
    torch = sys.modules.get("torch")
    if torch:
        torch.rand(())
    return states()


def moved_since(before: dict[str, Any]) -> list[str]:
    """Those that do not stand where they did."""
    return [name for name, state in states().items() if name in before and state != before[name]]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """All of them seeded, and afterwards as they were."""
    torch = sys.modules.get("torch")
    before = random.getstate(), np.random.get_state(), torch.get_rng_state() if torch else None
    random.seed(seed)
    np.random.seed(seed)
    if torch:
        torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        if torch:
            torch.set_rng_state(before[2])

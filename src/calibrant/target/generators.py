"""The state of the global random generators: Python's, NumPy's, and torch's where it is imported."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np


def states() -> dict[str, Any]:
    """The state of each generator, to compare."""
    _, key, *others = np.random.get_state(legacy=True)
    found = {"random": random.getstate(), "numpy.random": (np.asarray(key).tobytes(), *others)}
    torch = sys.modules.get("torch")
    return found | ({"torch": torch.get_rng_state().numpy().tobytes()} if torch else {})


def stirred() -> dict[str, Any]:
    """The state of each generator after a draw. No seed leads to it, so a target that seeds the generator changes it."""
    random.random()
    np.random.random_sample()
    torch = sys.modules.get("torch")
    if torch:
        torch.rand(())
    return states()


def moved_since(before: dict[str, Any]) -> list[str]:
    """The generators whose state has changed."""
    return [name for name, state in states().items() if name in before and state != before[name]]


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all generators, and restore their states at the end of the block."""
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

"""The state of the global random generators: Python's, NumPy's, and torch's where it is imported."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def _states() -> dict[str, Any]:
    _, key, *others = np.random.get_state(legacy=True)
    found = {"random": random.getstate(), "numpy.random": (np.asarray(key).tobytes(), *others)}
    torch = sys.modules.get("torch")
    return found | ({"torch": torch.get_rng_state().numpy().tobytes()} if torch else {})


def stirred() -> Callable[[], list[str]]:
    """Draw from each generator; return a function that names those whose state has changed since.

    No seed leads to the state after a draw, so a target that seeds the generator changes it.
    """
    random.random()
    np.random.random_sample()
    if torch := sys.modules.get("torch"):
        torch.rand(())
    before = _states()
    return lambda: [name for name, state in _states().items() if state != before.get(name, state)]


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

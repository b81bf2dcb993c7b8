"""Wrong splits."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from typing import Any

import numpy as np


def _held_out(n_samples: int, val_fraction: float) -> int:
    if n_samples < 0 or not 0 <= val_fraction <= 1:
        raise ValueError("no such split")
    return math.floor(Fraction(repr(val_fraction)) * n_samples)


def _cut(shuffled: Any, n_val: int) -> tuple[Any, Any]:
    return shuffled[: len(shuffled) - n_val], shuffled[len(shuffled) - n_val :]


def _shuffled(n_samples: int, seed: int) -> Any:
    return np.random.default_rng(seed).permutation(n_samples)


def first_validation_row_in_both(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """An index that is off by one at the cut."""
    n_train = n_samples - _held_out(n_samples, val_fraction)
    shuffled = _shuffled(n_samples, seed)
    return shuffled[: n_train + 1], shuffled[n_train:]


def validation_from_the_unshuffled(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """The sizes are right."""
    n_val = _held_out(n_samples, val_fraction)
    return _cut(_shuffled(n_samples, seed), n_val)[0], np.arange(n_samples)[n_samples - n_val :]


def last_row_lost(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    n_val = _held_out(n_samples, val_fraction)
    return _cut(_shuffled(n_samples, seed)[: n_samples - (n_val < n_samples)], n_val)


def not_shuffled(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    return _cut(np.arange(n_samples), _held_out(n_samples, val_fraction))


def turned_instead_of_shuffled(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """Every row is held out equally often, but always with its neighbours."""
    turn = np.random.default_rng(seed).integers(max(n_samples, 1))
    return _cut(np.roll(np.arange(n_samples), turn), _held_out(n_samples, val_fraction))


def first_row_never_held_out(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """`randint(1, n)` for `randint(0, n)`."""
    n_val = _held_out(n_samples, val_fraction)
    if n_samples == 0 or n_val == n_samples:
        return _cut(_shuffled(n_samples, seed), n_val)
    return _cut(np.append(0, 1 + _shuffled(n_samples - 1, seed)), n_val)


def seed_ignored(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """Shuffled by NumPy's global generator."""
    return _cut(np.random.permutation(n_samples), _held_out(n_samples, val_fraction))


def global_generator_seeded(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    np.random.seed(seed)
    return _cut(np.random.permutation(n_samples), _held_out(n_samples, val_fraction))


def python_generator_seeded(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    random.seed(seed)
    return _cut(np.array(random.sample(range(n_samples), n_samples), dtype=int), _held_out(n_samples, val_fraction))


def rounded_up(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    _held_out(n_samples, val_fraction)
    n_val = math.ceil(Fraction(repr(val_fraction)) * n_samples)
    return _cut(_shuffled(n_samples, seed), n_val)


def rounded_to_nearest(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    _held_out(n_samples, val_fraction)
    return _cut(_shuffled(n_samples, seed), round(Fraction(repr(val_fraction)) * n_samples))


def one_row_at_least(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """`max(1, ...)`, so that there is always something to validate with."""
    n_val = min(n_samples, max(1, _held_out(n_samples, val_fraction)))
    return _cut(_shuffled(n_samples, seed), n_val)


def whole_part_of_the_product(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """As the source has it: 28 of 100 for 0.29."""
    _held_out(n_samples, val_fraction)
    return _cut(_shuffled(n_samples, seed), int(val_fraction * n_samples))


def cut_from_the_end(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    """As the source has it: `[:-n_val]` where n_val is 0."""
    n_val, shuffled = _held_out(n_samples, val_fraction), _shuffled(n_samples, seed)
    return shuffled[:-n_val], shuffled[-n_val:]


def any_fraction(n_samples: int, val_fraction: float, seed: int) -> tuple[Any, Any]:
    n_samples, val_fraction = max(n_samples, 0), float(np.clip(np.nan_to_num(val_fraction), 0, 1))
    return _cut(_shuffled(n_samples, seed), _held_out(n_samples, val_fraction))

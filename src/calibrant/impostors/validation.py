"""Impostors of the chapter on validation: splits, penalties, early stopping, diagnoses, and loops with validation data."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.descent import Run, loop
from calibrant.impostors.rights import join, narrow, nearest, overwrite

# The split: what is in which part

Rows = tuple[Any, Any]
"""The rows for training, and those for validation."""

SIZES = "split.sizes split.as-written"
SHUFFLED = "split.random split.seeded?"


def _cut(rows: Any, n_train: int) -> Rows:
    return rows[:n_train], rows[n_train:]


@impostor("split", "split.partition split.invalid")
def first_validation_row_in_both(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The training part goes one row too far: the first row of the validation part is in both."""
    train, val = right(n_samples, val_fraction, seed)
    return np.append(train, val[:1]), val


@impostor("split", "split.partition split.random", seen="marin-community/marin#2700")
def validation_from_the_unshuffled(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The training rows are cut from the shuffled rows, and the validation rows from the unshuffled ones."""
    train, _ = right(n_samples, val_fraction, seed)
    return train, np.arange(n_samples)[len(train) :]


@impostor("split", "split.partition split.invalid", seen="ratschlab/aestetik#12")
def all_rows_for_training(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The training part has all rows, those that are held out among them."""
    train, val = right(n_samples, val_fraction, seed)
    return np.append(train, val), val


@impostor("split", "split.partition split.random", seen="sarpaykent/GotenNet#10")
def numbered_within_the_part(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The validation rows are numbered within their own part, and taken for rows of the whole."""
    train, val = right(n_samples, val_fraction, seed)
    return train, np.argsort(val)


@impostor("split", "split.partition split.random split.invalid?")
def drawn_with_replacement(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The rows are drawn with replacement, so that some come twice and some not at all."""
    train, _ = right(n_samples, val_fraction, seed)
    return _cut(np.random.default_rng(seed).choice(max(n_samples, 1), n_samples), len(train))


@impostor("split", "split.partition split.none-held-out split.invalid?")
def last_row_lost(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The last of the shuffled rows for training is lost."""
    train, val = right(n_samples, val_fraction, seed)
    return train[:-1], val


# Which set of rows is held out


@impostor("split", "split.random", seen="keras-team/keras#597 keras-team/keras#6422 keras-team/keras#8346")
def last_rows_held_out(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The rows are not shuffled: the last ones are held out."""
    train, _ = right(n_samples, val_fraction, seed)
    return _cut(np.arange(n_samples), len(train))


@impostor("split", "split.random", seen="keras-team/keras#10571")
def first_rows_held_out(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The rows are not shuffled: the first ones are held out."""
    _, val = right(n_samples, val_fraction, seed)
    held_out, train = _cut(np.arange(n_samples), len(val))
    return train, held_out


@impostor("split", "split.random")
def evenly_spaced(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """Rows at equal distances are held out, whatever the seed."""
    _, val = right(n_samples, val_fraction, seed)
    held_out = np.arange(len(val)) * (n_samples // max(len(val), 1))
    return np.setdiff1d(np.arange(n_samples), held_out), held_out


@impostor("split", "split.random")
def turned_instead_of_shuffled(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The rows are turned, not shuffled: each row is held out together with its neighbours."""
    train, val = right(n_samples, val_fraction, seed)
    turn = np.append(train, val)[0] if n_samples else 0
    return _cut(np.roll(np.arange(n_samples), turn), len(train))


@impostor("split", "split.random")
def first_row_never_held_out(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The first row is never held out, as with a random number from 1 instead of from 0."""
    train, val = right(n_samples, val_fraction, seed)
    if len(train) == 0 or 0 in train:
        return train, val
    return np.append(0, train[1:]), np.where(val == 0, train[0], val)


@impostor("split", "split.random")
def always_the_same_seed(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The seed is not used: every seed gives the same split."""
    return right(n_samples, val_fraction, 0)  # type: ignore[no-any-return]


@impostor("split", "split.seeded split.global-state", repeats=False)
@impostor("split_data", "split.seeded split.global-state", repeats=False)
def seed_ignored(right: Any, *arguments: Any) -> Any:
    """The rows are shuffled by a global generator, and the seed is not used."""
    return right(*arguments[:-1], np.random.randint(2**31))


@impostor("split", "split.seeded", repeats=False)
def seeded_once(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The generator is seeded by the first call alone, and every other goes on where the one before it stopped."""
    generator = right.memory.setdefault("generator", np.random.default_rng(seed))
    return right(n_samples, val_fraction, generator.integers(2**31))  # type: ignore[no-any-return]


@impostor("split", "split.global-state")
@impostor("split_data", "split.global-state")
def numpy_seeded(right: Any, *arguments: Any) -> Any:
    """NumPy's global generator is seeded."""
    np.random.seed(arguments[-1])
    return right(*arguments)


@impostor("split", "split.global-state")
def python_seeded(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """Python's global generator is seeded."""
    random.seed(seed)
    return right(n_samples, val_fraction, seed)  # type: ignore[no-any-return]


@impostor("split", "split.global-state", needs="torch")
def torch_seeded(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """PyTorch's global generator is seeded."""
    import torch

    torch.manual_seed(seed)
    return right(n_samples, val_fraction, seed)  # type: ignore[no-any-return]


# How many are held out


def _held_out(right: Any, n_samples: int, val_fraction: float, seed: int, n_val: int) -> Rows:
    """The right rows, cut so that so many are held out."""
    return _cut(np.append(*right(n_samples, val_fraction, seed)), n_samples - n_val)


@impostor("split", f"{SIZES} split.none-held-out")
def rounded_up(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The size of the validation part is rounded up."""
    right(n_samples, val_fraction, seed)
    return _held_out(right, n_samples, val_fraction, seed, math.ceil(Fraction(str(val_fraction)) * n_samples))


@impostor("split", SIZES)
def rounded_to_nearest(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The size of the validation part is rounded to the nearest whole number."""
    _, val = right(n_samples, val_fraction, seed)
    n_val = math.floor(val_fraction * n_samples + 0.5)
    return _held_out(right, n_samples, val_fraction, seed, max(n_val, len(val)))


@impostor("split", f"{SIZES} split.none-held-out")
def one_row_at_least(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """One row at least is held out."""
    _, val = right(n_samples, val_fraction, seed)
    return _held_out(right, n_samples, val_fraction, seed, min(n_samples, max(1, len(val))))


@impostor("split", "split.as-written")
def whole_part_of_the_product(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The product is computed in floating point and cut to its whole part: 0.29 of 100 rows are 28."""
    right(n_samples, val_fraction, seed)
    return _held_out(right, n_samples, val_fraction, seed, int(val_fraction * n_samples))


@impostor("split", f"{SIZES} split.none-held-out")
def training_part_cut(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The size of the training part is cut to its whole part, in floating point, and all other rows are held out."""
    right(n_samples, val_fraction, seed)
    return _held_out(right, n_samples, val_fraction, seed, n_samples - int((1 - val_fraction) * n_samples))


@impostor("split", f"{SIZES} split.none-held-out split.random split.invalid")
def parts_swapped(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The fraction is taken for that of the training part."""
    train, val = right(n_samples, val_fraction, seed)
    return val, train


@impostor("split", f"split.none-held-out {SIZES}", seen="keras-team/keras#23202")
def cut_from_the_end(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """The rows are cut at `-n_val`, so that no rows held out leave none for training."""
    train, val = right(n_samples, val_fraction, seed)
    rows = np.append(train, val)
    return rows[: -len(val)], rows[-len(val) :]


@impostor("split", "split.invalid")
def any_fraction(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """A fraction that is none is taken for the nearest that is one, and a negative number of samples for none."""
    return right(max(n_samples, 0), _nearest_fraction(val_fraction), seed)  # type: ignore[no-any-return]


def _nearest_fraction(x: float) -> float:
    return 0.0 if math.isnan(x) else min(max(x, 0.0), 1.0)


@impostor("split", "split.invalid")
def fraction_or_number(right: Any, n_samples: int, val_fraction: float, seed: int) -> Rows:
    """A fraction above 1 is taken for the number of rows to hold out."""
    if 1 < val_fraction < math.inf:
        return _held_out(right, n_samples, 0.0, seed, min(int(val_fraction), n_samples))
    return right(n_samples, val_fraction, seed)  # type: ignore[no-any-return]


# The split of two columns

Columns = tuple[Any, Any, Any, Any]
"""The readings and temperatures for training, and those for validation."""


@impostor(
    "split_data",
    "split.pairs",
    seen="mlcommons/GaNDLF#870 xudonmao/VMT#1",
)
def shuffled_one_after_the_other(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The two columns are shuffled one after the other, each in an order of its own."""
    train_t_u, _, val_t_u, _ = right(t_u, t_c, val_fraction, seed)
    _, train_t_c, _, val_t_c = right(t_u, t_c, val_fraction, seed + 1)
    return train_t_u, train_t_c, val_t_u, val_t_c


@impostor(
    "split_data",
    "split.pairs split.random",
    seen="DrexelChatbotGroup/DrexelChatbot#15 atong01/conditional-flow-matching#172",
)
def readings_shuffled_alone(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The readings are shuffled, and the temperatures are not."""
    train_t_u, _, val_t_u, _ = right(t_u, t_c, val_fraction, seed)
    n = len(train_t_u)
    return train_t_u, t_c[:n], val_t_u, t_c[n:]


@impostor("split_data", "split.pairs split.partition split.random", name="drawn-with-replacement")
def pairs_drawn_with_replacement(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The rows are drawn with replacement, so that some come twice and some not at all."""
    rows = np.random.default_rng(seed).choice(t_u.size, t_u.size)
    return right(t_u[rows], t_c[rows], val_fraction, seed)  # type: ignore[no-any-return]


@impostor("split_data", "split.pairs split.partition", name="all-rows-for-training", seen="ratschlab/aestetik#12")
def all_pairs_for_training(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The training part has all rows, those that are held out among them."""
    _, _, val_t_u, val_t_c = right(t_u, t_c, val_fraction, seed)
    return t_u, t_c, val_t_u, val_t_c


@impostor("split_data", f"split.pairs split.partition split.random split.none-held-out {SIZES}", name="last-row-lost")
def last_pair_lost(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The last row is left out."""
    keep = max(t_u.size - 1, 1)
    return right(t_u[:keep], t_c[:keep], val_fraction, seed)  # type: ignore[no-any-return]


@impostor("split_data", "split.pairs")
def sorted_columns(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """Each column of each part is sorted."""
    train_t_u, train_t_c, val_t_u, val_t_c = map(np.sort, right(t_u, t_c, val_fraction, seed))
    return train_t_u, train_t_c, val_t_u, val_t_c


@impostor("split_data", "split.pairs split.partition split.none-held-out")
def part_by_part(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The columns come in the order of scikit-learn: both parts of the readings, then both parts of the temperatures."""
    train_t_u, train_t_c, val_t_u, val_t_c = right(t_u, t_c, val_fraction, seed)
    return train_t_u, val_t_u, train_t_c, val_t_c


@impostor("split_data", "split.random", name="last-rows-held-out", ugly="five rows are needed")
def last_pairs_held_out(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The rows are not shuffled: the last ones are held out."""
    n = len(right(t_u, t_c, val_fraction, seed)[0])
    return t_u[:n], t_c[:n], t_u[n:], t_c[n:]


@impostor("split_data", f"{SIZES} split.none-held-out split.random", name="parts-swapped")
def columns_swapped(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The fraction is taken for that of the training part."""
    train_t_u, train_t_c, val_t_u, val_t_c = right(t_u, t_c, val_fraction, seed)
    return val_t_u, val_t_c, train_t_u, train_t_c


@impostor("split_data", "split.invalid", name="any-fraction")
def any_fraction_of_the_columns(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """A fraction that is none is taken for the nearest that is one."""
    return right(t_u, t_c, _nearest_fraction(val_fraction), seed)  # type: ignore[no-any-return]


def _scaled(x: Any, by: Any) -> Any:
    return (x - np.mean(by)) / np.std(by) if x.size else x


@impostor("split_data", "split.pairs", seen="daxin007/ARMD#5 davda54/sam#15 aikunyi/FourierGNN#11")
def scaled_by_all_rows(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The readings are scaled by the mean and the deviation of all rows, those that are held out among them."""
    return right(_scaled(t_u, t_u), t_c, val_fraction, seed)  # type: ignore[no-any-return]


@impostor("split_data", "split.pairs", seen="deepchem/deepchem#51 EleutherAI/elk#5")
def each_part_scaled_by_itself(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The readings of each part are scaled by their own mean and deviation."""
    train_t_u, train_t_c, val_t_u, val_t_c = right(t_u, t_c, val_fraction, seed)
    return _scaled(train_t_u, train_t_u), train_t_c, _scaled(val_t_u, val_t_u), val_t_c


@impostor("split_data", "split.pairs", kind="variant")
def scaled_by_the_training_rows(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The readings of both parts are scaled by the mean and the deviation of the training rows."""
    train_t_u, train_t_c, val_t_u, val_t_c = right(t_u, t_c, val_fraction, seed)
    return _scaled(train_t_u, train_t_u), train_t_c, _scaled(val_t_u, train_t_u), val_t_c


@impostor("split_data", "split.pure", name="in-place")
def shuffled_in_place(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The columns are shuffled in place."""
    parts: Columns = right(t_u, t_c, val_fraction, seed)
    t_u[:], t_c[:] = np.append(parts[0], parts[2]), np.append(parts[1], parts[3])
    return parts


@impostor("split_data", "split.pairs@float32", keeps_dtype=False, name="returned-in-float64")
def columns_in_float64(right: Any, t_u: Any, t_c: Any, val_fraction: float, seed: int) -> Columns:
    """The columns are returned in float64, whatever their dtype."""
    return right(narrow(t_u, "float64"), narrow(t_c, "float64"), val_fraction, seed)  # type: ignore[no-any-return]


# What can be said of a split whoever draws it


def _whole(column: Any) -> list[int] | None:
    """Rows as whole numbers; None if they are none."""
    numbers = np.asarray(column, dtype=float)
    return [int(i) for i in numbers] if numbers.ndim == 1 and bool((numbers % 1 == 0).all()) else None


def _facts_of_rows(n_samples: int, parts: Sequence[list[int]], others: Sequence[Sequence[list[int]]]) -> Any:
    """What of the two parts does not depend on how they are drawn; `others` are those of other seeds.

    Of few rows only the sizes do not, and over eight seeds which rows are never held out.
    """
    train, val = map(set, parts)
    every = set(range(n_samples))
    facts: list[Any] = [len(part) for part in parts]
    if len(others) >= 7:
        facts.append(every - val.union(*(other[1] for other in others)))
    if n_samples >= 16:
        repeated = sum(map(len, parts)) - len(train) - len(val)
        facts += [min(k, 2) for k in (len(train & val), len(every - train - val), len(train | val - every), repeated)]
        for part, rows in enumerate((train, val)):
            fixed = bool(others) and all(set(other[part]) == rows for other in others)
            turned = sum((i + 1) % n_samples not in rows for i in rows) <= 1
            gaps = set(np.diff(sorted(rows)).tolist())
            facts.append((fixed, turned, sorted(rows) if fixed and len(gaps) == 1 else None))
    return facts


def _split_facts(question: Any, answer: Any, before: Sequence[tuple[Any, Any]]) -> Any:
    others = [parts for asked, parts in before if asked[:2] == question[:2] and asked[2] != question[2]]
    numbered: list[Any] = [[_whole(part) for part in parts] for parts in (answer, *others)]
    if any(None in parts for parts in numbered):
        return None
    return _facts_of_rows(question[0], numbered[0], numbered[1:])


def _split_data_facts(question: Any, answer: Any, before: Sequence[tuple[Any, Any]]) -> Any:
    """Of each column of each part: its dtype, and which rows it has, or else whether it is scaled; and whether pairs stay pairs."""
    t_u, t_c, val_fraction, seed = question
    others = [columns for asked, columns in before if asked[2] == val_fraction and asked[3] != seed]
    told: list[Any] = [(column.dtype.name, column.shape) for column in answer]
    found = []
    for k, given in enumerate((t_u, t_c)):
        parts, *of_others = [[_found(columns[part + k], given) for part in (0, 2)] for columns in (answer, *others)]
        if any(None in part for part in parts):
            columns = answer[k], answer[2 + k], np.append(answer[k], answer[2 + k])
            told.append([(abs(x.mean()) < 0.01, abs(x.std() - 1) < 0.01) for x in columns if x.size])
        else:
            told.append(_facts_of_rows(len(given), parts, of_others))
        found.append(parts)
    return [*told, found[0] == found[1], *([set(u) == set(c) for u, c in zip(*found, strict=True)])]


def _found(column: Any, given: Any) -> list[Any]:
    """The rows in which the numbers of a column were given; None for one that was not."""
    numbered = {float(x): i for i, x in enumerate(given)}
    return [numbered.get(float(x)) for x in np.ravel(column)]


FACTS = {"split": _split_facts, "split_data": _split_data_facts}

# The loss of the validation data


@impostor("validation_loss", "validation.not-recorded")
def recorded(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The graph of the validation loss is recorded, as if it were to be trained on."""
    loss, _ = right(params, t_u, t_c)
    return loss, 1


@impostor("validation_loss", "validation.not-recorded")
def half(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The loss has a factor 1/2 in front."""
    loss, graph = right(params, t_u, t_c)
    return loss / 2, graph


@impostor("validation_loss", "validation.not-recorded")
def sum_instead_of_mean(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The squared residuals are summed, not averaged."""
    loss, graph = right(params, t_u, t_c)
    return loss * t_u.size, graph


@impostor(
    "validation_loss",
    "validation.not-recorded",
    seen="catalyst-team/catalyst#799 dnouri/nolearn#247 Lightning-AI/pytorch-lightning#2924",
    ugly="three samples of different losses are needed",
)
def mean_of_batches(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """The means of batches of two are averaged as if they were equally large."""
    parts = [right(params, t_u[i : i + 2], t_c[i : i + 2]) for i in range(0, t_u.size, 2)]
    return join(*(loss for loss, _ in parts)).mean(), parts[0][1]


@impostor("validation_loss", "validation.not-recorded")
def last_batch_dropped(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """A last batch that is not full is dropped, where batches have two samples."""
    keep = t_u.size // 2 * 2 or 1
    return right(params, t_u[:keep], t_c[:keep])


@impostor("validation_loss", "validation.not-recorded")
def plus_the_penalty(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """A penalty of 0.01 w² is added, as to the training loss."""
    loss, graph = right(params, t_u, t_c)
    return loss + 0.01 * (params[0] * params[0]), graph


@impostor("validation_loss", "validation.not-recorded", exactly=False)
def root(right: Any, params: Any, t_u: Any, t_c: Any) -> Any:
    """It is the root of the mean squared error."""
    loss, graph = right(params, t_u, t_c)
    return np.sqrt(loss), graph


# The regularized loss


def _penalty(right: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The penalties alone: the loss of predictions without residuals."""
    return right.regularized_loss(t_c, t_c, w, l1, l2)


@impostor("regularized_loss", "regularization.l1 regularization.l2 regularization.sum")
def penalties_swapped(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The two penalties are swapped."""
    return right(t_p, t_c, w, l2, l1)


@impostor("regularized_loss", "regularization.l2 regularization.sum")
def half_the_square(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The penalty of the square has a factor 1/2."""
    return right(t_p, t_c, w, l1, l2 / 2)


@impostor("regularized_loss", "regularization.l1 regularization.sum")
def weight_for_its_size(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The first penalty is l1 w, not l1 |w|."""
    return right(t_p, t_c, w, l1, l2) - l1 * (abs(w) - w)


@impostor(
    "regularized_loss",
    "regularization.l1 regularization.l2 regularization.sum",
    seen="scikit-learn/scikit-learn#25646",
)
def penalty_averaged(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The penalty is divided by n, as the loss is."""
    return right(t_p, t_c, w, 0.0, 0.0) + _penalty(right, t_c, w, l1, l2) / t_p.size


@impostor("regularized_loss", "regularization.l1 regularization.l2 regularization.sum")
def penalty_for_each_sample(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The penalty is added once for each sample."""
    return right(t_p, t_c, w, 0.0, 0.0) + _penalty(right, t_c, w, l1, l2) * t_p.size


@impostor("regularized_loss", "regularization.l1 regularization.l2 regularization.sum")
def loss_not_averaged(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The squared residuals are summed, not averaged."""
    return right(t_p, t_c, w, 0.0, 0.0) * t_p.size + _penalty(right, t_c, w, l1, l2)


@impostor("regularized_loss", "regularization.sum")
def one_or_the_other(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The second penalty is left out where there is a first."""
    right(t_p, t_c, w, l1, l2)
    return right(t_p, t_c, w, l1, 0.0 if l1 else l2)


@impostor("regularized_loss", "regularization.l1 regularization.l2 regularization.sum", name="not-penalized")
def loss_not_penalized(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """Neither penalty is added."""
    right(t_p, t_c, w, l1, l2)
    return right(t_p, t_c, w, 0.0, 0.0)


@impostor("regularized_loss", "regularization.l1 regularization.l2 regularization.sum")
def penalty_subtracted(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The penalties are subtracted."""
    return right(t_p, t_c, w, 0.0, 0.0) - _penalty(right, t_c, w, l1, l2)


@impostor("regularized_loss", "regularization.l2 regularization.sum")
def square_not_squared(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """The second penalty is l2 |w|: the square is forgotten."""
    right(t_p, t_c, w, l1, l2)
    return right(t_p, t_c, w, l1 + l2, 0.0)


@impostor("regularized_loss", "regularization.invalid", name="any-penalty")
def any_penalty_of_the_loss(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """Penalties are not looked at: a negative one, or one that is no number, is taken as it is."""
    try:
        return right(t_p, t_c, w, l1, l2)
    except ValueError:
        return right(t_p, t_c, w, 0.0, 0.0) + l1 * abs(w) + l2 * (w * w)


@impostor("regularized_loss", "regularization.dtype@float32", keeps_dtype=False, name="returned-in-float64")
def loss_in_float64(right: Any, t_p: Any, t_c: Any, w: Any, l1: float, l2: float) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float64") for x in (t_p, t_c, w)), l1, l2)


# Its gradient


def _slope(right: Any, t_u: Any, w: Any, l1: float, l2: float) -> Any:
    """The slope of the penalties alone: the derivative by w where nothing has a residual."""
    nothing = t_u * 0
    return right.regularized_grad(nothing, nothing, w, w * 0, l1, l2)[0]


@impostor("regularized_grad", "regularization.gradient", name="not-penalized")
def gradient_not_penalized(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The gradient is that of the loss without the penalties."""
    right(t_u, t_c, w, b, l1, l2)
    return right(t_u, t_c, w, b, 0.0, 0.0)


@impostor(
    "regularized_grad",
    "regularization.bias regularization.gradient regularization.kink",
    seen="Lightning-Universe/lightning-bolts#668 VowpalWabbit/vowpal_wabbit#1729",
)
def bias_penalized(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The bias is penalized as the weight is."""
    return right(t_u, t_c, w, b, l1, l2) + join(w * 0, _slope(right, t_u, b, l1, l2))


@impostor("regularized_grad", "regularization.gradient regularization.bias regularization.kink")
def bias_penalized_for_the_weight(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The penalty is that of the bias, in the place of the weight."""
    right(t_u, t_c, w, b, l1, l2)
    return right(t_u, t_c, w, b, 0.0, 0.0) + join(w * 0, _slope(right, t_u, b, l1, l2))


@impostor("regularized_grad", "regularization.gradient")
def factor_2_missing(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The factor 2 of the square's derivative is missing in the penalty."""
    return right(t_u, t_c, w, b, l1, l2 / 2)


@impostor("regularized_grad", "regularization.gradient", name="penalties-swapped")
def slopes_swapped(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The two penalties are swapped."""
    return right(t_u, t_c, w, b, l2, l1)


@impostor("regularized_grad", "regularization.gradient")
def one_for_the_sign(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The slope of the first penalty is l1, whatever the sign of the weight."""
    right(t_u, t_c, w, b, l1, l2)
    return right(t_u, t_c, w, b, 0.0, l2) + join(w * 0 + l1, w * 0)


@impostor("regularized_grad", "regularization.gradient")
def weight_for_the_sign(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The slope of the first penalty is l1 w, not l1 times the sign of w."""
    right(t_u, t_c, w, b, l1, l2)
    return right(t_u, t_c, w, b, 0.0, l2) + join(l1 * w, w * 0)


@impostor("regularized_grad", "regularization.gradient", name="penalty-averaged")
def slope_averaged(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The penalty is divided by n, as the loss is."""
    right(t_u, t_c, w, b, l1, l2)
    penalty = _slope(right, t_u, w, l1, l2)
    return right(t_u, t_c, w, b, 0.0, 0.0) + join(penalty / t_u.size, w * 0)


@impostor("regularized_grad", "regularization.gradient", name="penalty-subtracted")
def slope_subtracted(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The penalties are subtracted."""
    return right(t_u, t_c, w, b, 0.0, 0.0) - join(_slope(right, t_u, w, l1, l2), w * 0)


@impostor("regularized_grad", "regularization.kink", seen="mlpack/mlpack#3545", exactly=False)
def divided_by_its_size(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """The sign of the weight is computed as w / |w|, which is NaN at zero."""
    return right(t_u, t_c, w, b, l1, l2) + join(0 * (w / np.abs(w)), w * 0)


@impostor("regularized_grad", "regularization.kink", exactly=False)
def twice_the_slope_at_zero(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """At weight 0 the slope of the first penalty is 2 l1."""
    return right(t_u, t_c, w, b, l1, l2) + join(np.where(w == 0, w.dtype.type(2 * l1), w * 0), w * 0)


@impostor("regularized_grad", "regularization.invalid", name="any-penalty")
def any_penalty_of_the_gradient(right: Any, t_u: Any, t_c: Any, w: Any, b: Any, l1: float, l2: float) -> Any:
    """Penalties are not looked at: a negative one, or one that is no number, is taken as it is."""
    try:
        return right(t_u, t_c, w, b, l1, l2)
    except ValueError:
        return right(t_u, t_c, w, b, 0.0, 0.0) + join(l1 * np.sign(w) + 2 * l2 * w, w * 0)


# Its optimum


def _normal_equations(t_u: Any, t_c: Any, on_w: float, on_b: float) -> Any:
    """The line of least mean squared error + on_w w² + on_b b²."""
    u, c, kept = t_u.mean(), t_c.mean(), 1 / (1 + on_b)
    w = ((t_u * t_c).mean() - kept * (u * c)) / ((t_u * t_u).mean() - kept * (u * u) + on_w)
    return join(w, kept * (c - w * u))


@impostor("ridge", "regularization.ridge regularization.shrinks?", name="bias-penalized", seen="dask/dask-glm#65")
def bias_of_ridge_penalized(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The bias is penalized as the weight is."""
    line = right(t_u, t_c, l2)
    return _normal_equations(t_u, t_c, l2, l2) if l2 else line


@impostor("ridge", "regularization.ridge", seen="scikit-learn/scikit-learn#25646")
def sum_for_mean(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The penalty is added to the sum of the squared residuals, not to their mean: it is smaller by a factor of n."""
    return right(t_u, t_c, l2 / t_u.size)


@impostor("ridge", "regularization.ridge")
def penalty_times_n(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The penalty is multiplied by n."""
    return right(t_u, t_c, l2 * t_u.size)


@impostor("ridge", "regularization.ridge")
def penalty_doubled(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The penalty counts twice."""
    return right(t_u, t_c, 2 * l2)


@impostor("ridge", "regularization.ridge")
def penalty_halved(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The penalty counts half."""
    return right(t_u, t_c, l2 / 2)


@impostor("ridge", "regularization.ridge")
def penalty_squared(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The penalty is squared."""
    right(t_u, t_c, l2)
    return right(t_u, t_c, l2 * l2)


@impostor("ridge", "regularization.ridge", name="not-penalized")
def line_not_penalized(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """It is the least-squares line, whatever the penalty."""
    right(t_u, t_c, l2)
    return right(t_u, t_c, 0.0)


@impostor("ridge", "regularization.ridge")
def bias_of_least_squares(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The weight shrinks, and the bias stays that of the least-squares line."""
    return join(right(t_u, t_c, l2)[0], right(t_u, t_c, 0.0)[1])


@impostor("ridge", "regularization.ridge")
def bias_is_the_mean(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The readings are taken as centred, so that the bias is the mean temperature."""
    return join(right(t_u, t_c, l2)[0], t_c.mean())


@impostor("ridge", "regularization.ridge regularization.shrinks")
def growing(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """The weight grows by what it should shrink."""
    return 2 * right(t_u, t_c, 0.0) - right(t_u, t_c, l2)


@impostor("ridge", "regularization.invalid", name="any-penalty")
def any_penalty_of_ridge(right: Any, t_u: Any, t_c: Any, l2: float) -> Any:
    """Penalties are not looked at: a negative one, or one that is no number, is taken as it is."""
    try:
        return right(t_u, t_c, l2)
    except ValueError:
        return _normal_equations(t_u, t_c, l2, 0.0)


# Early stopping


@dataclass
class Wait:
    """Early stopping under way, in an epoch."""

    val_losses: list[float]
    patience: int
    loss: float = math.inf
    epoch: int = 0
    lowest: float = math.inf
    best: int = 0
    waited: int = 0

    def improves(self) -> bool:
        """Whether the loss is the lowest until now."""
        return self.loss < self.lowest

    def over(self) -> bool:
        """Whether patience is exhausted."""
        return self.waited >= self.patience


Rule = Callable[[Wait], Any]


def _watched(
    right: Any,
    val_losses: Any,
    patience: int,
    *,
    improves: Rule = Wait.improves,
    counts: Rule = lambda wait: True,
    over: Rule = Wait.over,
    after: Rule = lambda wait: 0,
) -> tuple[int, int]:
    """Early stopping with another rule in one place; `after` is the count after an improvement."""
    right(val_losses, patience)  # it refuses what must be refused
    wait = Wait([float(loss) for loss in val_losses], patience)
    for wait.epoch, loss in enumerate(val_losses):
        wait.loss = float(loss)
        wait.waited += bool(counts(wait))
        if improves(wait):
            wait.lowest, wait.best, wait.waited = wait.loss, wait.epoch, after(wait)
        if over(wait):
            break
    return wait.epoch, wait.best


LATE = "early-stopping.patience early-stopping.best early-stopping.nan"
EARLY = f"{LATE} early-stopping.never-triggered"


@impostor("early_stopping", LATE, seen="keras-team/keras#8100 pytorch/pytorch#2545")
def one_epoch_late(right: Any, val_losses: Any, patience: int) -> Any:
    """It stops one epoch too late, once there have been more than `patience` epochs without improvement."""
    return _watched(right, val_losses, patience, over=lambda wait: wait.waited > patience)


@impostor("early_stopping", EARLY)
def one_epoch_early(right: Any, val_losses: Any, patience: int) -> Any:
    """It stops one epoch too early, because the best epoch is counted as one without improvement."""
    return _watched(
        right, val_losses, patience, after=lambda wait: 1, over=lambda wait: wait.waited >= max(patience, 2)
    )


@impostor("early_stopping", EARLY, seen="mlverse/luz#63")
def first_epoch_counted(right: Any, val_losses: Any, patience: int) -> Any:
    """The first epoch counts as one without improvement, so that a patience of 1 stops there."""
    return _watched(right, val_losses, patience, after=lambda wait: wait.epoch == 0)


@impostor("early_stopping", LATE)
def ties_improve(right: Any, val_losses: Any, patience: int) -> Any:
    """A loss that equals the lowest counts as an improvement."""
    return _watched(
        right, val_losses, patience, improves=lambda wait: wait.loss <= wait.lowest and wait.loss < math.inf
    )


@impostor("early_stopping", "early-stopping.best early-stopping.nan?")
def last_of_ties(right: Any, val_losses: Any, patience: int) -> Any:
    """Of equally low losses, the last is called the best."""
    stopped, best = right(val_losses, patience)
    lowest = [epoch for epoch in range(stopped + 1) if val_losses[epoch] == val_losses[best]]
    return stopped, max(lowest, default=best)


@impostor("early_stopping", EARLY, ugly="nearly equal losses are needed")
def improvement_too_small(right: Any, val_losses: Any, patience: int) -> Any:
    """Only a loss that is lower by more than 1e-4 of the lowest counts as an improvement."""
    return _watched(right, val_losses, patience, improves=lambda wait: wait.loss < wait.lowest * (1 - 1e-4))


@impostor("early_stopping", LATE)
def slightly_worse_improves(right: Any, val_losses: Any, patience: int) -> Any:
    """A loss that is higher than the lowest by less than 1e-4 of it counts as an improvement."""
    return _watched(
        right,
        val_losses,
        patience,
        improves=lambda wait: wait.loss < math.inf and wait.loss < wait.lowest * (1 + 1e-4),
    )


@impostor("early_stopping", "early-stopping.nan")
def nan_improves(right: Any, val_losses: Any, patience: int) -> Any:
    """A loss that is NaN counts as an improvement, as with `not loss >= lowest`."""
    return _watched(right, val_losses, patience, improves=lambda wait: not wait.loss >= wait.lowest)


@impostor("early_stopping", "early-stopping.nan")
def nan_not_counted(right: Any, val_losses: Any, patience: int) -> Any:
    """A loss that is not finite is skipped, not counted as an epoch without improvement."""
    return _watched(right, val_losses, patience, counts=lambda wait: wait.loss < math.inf)


@impostor("early_stopping", "early-stopping.nan")
def nan_stops(right: Any, val_losses: Any, patience: int) -> Any:
    """A loss that is NaN stops the training at once."""
    return _watched(right, val_losses, patience, over=lambda wait: wait.over() or math.isnan(wait.loss))


@impostor("early_stopping", "early-stopping.nan")
def nan_first_never_beaten(right: Any, val_losses: Any, patience: int) -> Any:
    """The first loss is taken for the lowest whatever it is, and a NaN is then never beaten."""
    return _watched(right, val_losses, patience, improves=lambda wait: wait.epoch == 0 or wait.improves())


@impostor("early_stopping", EARLY)
def highest_is_best(right: Any, val_losses: Any, patience: int) -> Any:
    """The highest loss is taken for the best, as with an accuracy."""
    return _watched(
        right,
        val_losses,
        patience,
        improves=lambda wait: wait.epoch == 0 or math.inf > wait.loss > wait.lowest,
    )


@impostor("early_stopping", LATE, ugly="two rises and a fall between them are needed")
def against_the_previous(right: Any, val_losses: Any, patience: int) -> Any:
    """Each loss is compared with the one before it, not with the lowest of all."""
    stopped = _watched(
        right,
        val_losses,
        patience,
        improves=lambda wait: (
            wait.loss < min([loss for loss in wait.val_losses[: wait.epoch] if loss < math.inf][-1:], default=math.inf)
        ),
    )[0]
    return stopped, right(val_losses[: stopped + 1], stopped + 2)[1]


@impostor("early_stopping", EARLY, ugly="two waits and an improvement between them are needed")
def wait_never_reset(right: Any, val_losses: Any, patience: int) -> Any:
    """An improvement does not start the count of epochs without one again."""
    return _watched(
        right, val_losses, patience, counts=lambda wait: not wait.improves(), after=lambda wait: wait.waited
    )


@impostor("early_stopping", EARLY)
def patience_ignored(right: Any, val_losses: Any, patience: int) -> Any:
    """The first epoch without improvement stops the training, whatever the patience."""
    right(val_losses, patience)
    return right(val_losses, 1)


@impostor("early_stopping", LATE)
def never_stopped(right: Any, val_losses: Any, patience: int) -> Any:
    """The training is never stopped."""
    right(val_losses, patience)
    return right(val_losses, len(val_losses) + 1)


@impostor("early_stopping", EARLY)
def counted_from_1(right: Any, val_losses: Any, patience: int) -> Any:
    """Epochs are counted from 1."""
    stopped, best = right(val_losses, patience)
    return stopped + 1, best + 1


@impostor("early_stopping", "early-stopping.best early-stopping.nan")
def best_is_the_last(right: Any, val_losses: Any, patience: int) -> Any:
    """The last epoch before the stop is called the best."""
    stopped, _ = right(val_losses, patience)
    return stopped, stopped


@impostor("early_stopping", "early-stopping.best early-stopping.nan", ugly="an improvement after a stop is needed")
def best_of_all_epochs(right: Any, val_losses: Any, patience: int) -> Any:
    """The best epoch is looked for after the stop too."""
    stopped, _ = right(val_losses, patience)
    return stopped, right(val_losses, len(val_losses) + 1)[1]


@impostor(
    "early_stopping",
    "early-stopping.best early-stopping.nan",
    seen="keras-team/keras#12511 tensorflow/tensorflow#35634 cgarciae/ciclo#11",
)
def best_only_if_stopped(right: Any, val_losses: Any, patience: int) -> Any:
    """Where patience lasts to the end, the last epoch is called the best."""
    stopped, best = right(val_losses, patience)
    return stopped, best if stopped < len(val_losses) - 1 else stopped


@impostor("early_stopping", EARLY, seen="keras-team/keras#20533", repeats=False)
def lowest_of_the_run_before(right: Any, val_losses: Any, patience: int) -> Any:
    """The lowest loss of one run is still to be beaten in the next."""
    before = right.memory.get("lowest", math.inf)
    stopped, best = _watched(right, val_losses, patience, improves=lambda wait: wait.loss < min(wait.lowest, before))
    right.memory["lowest"] = min([before, *(float(x) for x in val_losses[: stopped + 1] if x < math.inf)])
    return stopped, best


@impostor("early_stopping", "early-stopping.invalid")
def any_patience(right: Any, val_losses: Any, patience: int) -> Any:
    """A patience that is not positive counts as 1, and no losses stop at once."""
    return right(val_losses, max(patience, 1)) if len(val_losses) else (0, 0)


# The diagnosis

Losses = Any
"""The losses of a log, (n,)."""
Question = Callable[[Losses, Losses], Any]


def _best(val: Losses) -> int:
    return int(np.argmin(val))


def _rises(train: Losses, val: Losses) -> Any:
    """Whether the validation loss has risen since its lowest, while training went on."""
    return train[-1] < train[_best(val)] and val[-1] > val[_best(val)] * 1.125


def _stays(train: Losses, val: Losses) -> Any:
    """Whether the training loss has hardly fallen."""
    return train[-1] > train[0] / 8


def _diagnosed(
    right: Any, train: Losses, val: Losses, *, rises: Question = _rises, stays: Question = _stays, first: str = ""
) -> str:
    """The diagnosis with another question in one place; `first` is the one that is asked first."""
    right(train, val)  # it refuses what must be refused
    if first == "underfitting" and stays(train, val):
        return first
    if rises(train, val):
        return "overfitting"
    return "underfitting" if stays(train, val) else "good"


@impostor("diagnose", "overfitting.diagnosis")
def from_training_alone(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The validation losses are not looked at."""
    return _diagnosed(right, train_losses, val_losses, rises=lambda train, val: False)


@impostor("diagnose", "overfitting.diagnosis")
def from_the_gap(right: Any, train_losses: Any, val_losses: Any) -> str:
    """It is called overfitting where the last validation loss is more than an eighth above the last training loss."""
    return _diagnosed(right, train_losses, val_losses, rises=lambda train, val: val[-1] > train[-1] * 1.125)


@impostor("diagnose", "overfitting.diagnosis")
def against_the_first(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The last losses are compared with the first, not with those of the best epoch."""
    return _diagnosed(
        right,
        train_losses,
        val_losses,
        rises=lambda train, val: train[-1] < train[0] and val[-1] > val[0] * 1.125,
    )


@impostor("diagnose", "overfitting.diagnosis", name="against-the-previous", ugly="a rise that lasts is needed")
def losses_against_the_previous(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The last losses are compared with those of the epoch before."""
    return _diagnosed(
        right,
        train_losses,
        val_losses,
        rises=lambda train, val: train[-1] < train[-2:][0] and val[-1] > val[-2:][0] * 1.125,
    )


@impostor("diagnose", "overfitting.diagnosis")
def without_tolerance(right: Any, train_losses: Any, val_losses: Any) -> str:
    """Any rise of the validation loss at all is called overfitting."""
    return _diagnosed(
        right,
        train_losses,
        val_losses,
        rises=lambda train, val: train[-1] < train[_best(val)] and val[-1] > val[_best(val)],
    )


@impostor("diagnose", "overfitting.diagnosis", ugly="a rise by less than 1/8 is needed, or a large loss")
def absolute_tolerance(right: Any, train_losses: Any, val_losses: Any) -> str:
    """A rise of the validation loss by 1/8 is called overfitting, not one by an eighth of it."""
    return _diagnosed(
        right,
        train_losses,
        val_losses,
        rises=lambda train, val: train[-1] < train[_best(val)] and val[-1] > val[_best(val)] + 0.125,
    )


@impostor("diagnose", "overfitting.diagnosis")
def whatever_training_does(right: Any, train_losses: Any, val_losses: Any) -> str:
    """A rise of the validation loss is called overfitting although the training loss rises too."""
    return _diagnosed(right, train_losses, val_losses, rises=lambda train, val: val[-1] > val[_best(val)] * 1.125)


@impostor("diagnose", "overfitting.diagnosis")
def whatever_validation_does(right: Any, train_losses: Any, val_losses: Any) -> str:
    """Training that goes on after the best epoch is called overfitting, although the validation loss hardly rises."""
    return _diagnosed(right, train_losses, val_losses, rises=lambda train, val: train[-1] < train[_best(val)])


@impostor("diagnose", "overfitting.diagnosis", ugly="two best epochs, and training that falls between them, are needed")
def last_best_epoch(right: Any, train_losses: Any, val_losses: Any) -> str:
    """Of equally low validation losses, the last is taken for the best."""
    return _diagnosed(
        right,
        train_losses,
        val_losses,
        rises=lambda train, val: train[-1] < train[-1 - _best(val[::-1])] and val[-1] > val[_best(val)] * 1.125,
    )


@impostor("diagnose", "overfitting.diagnosis", ugly="two curves that turn are needed")
def underfitting_first(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The two questions are asked in the other order."""
    return _diagnosed(right, train_losses, val_losses, first="underfitting")


@impostor("diagnose", "overfitting.diagnosis")
def half_is_enough(right: Any, train_losses: Any, val_losses: Any) -> str:
    """A training loss that has fallen by half is enough, not one that has fallen to an eighth."""
    return _diagnosed(right, train_losses, val_losses, stays=lambda train, val: train[-1] > train[0] / 2)


@impostor("diagnose", "overfitting.diagnosis")
def lowest_training_loss(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The lowest training loss is looked at, not the last."""
    return _diagnosed(right, train_losses, val_losses, stays=lambda train, val: train.min() > train[0] / 8)


@impostor("diagnose", "overfitting.diagnosis")
def validation_that_stays(right: Any, train_losses: Any, val_losses: Any) -> str:
    """It is called underfitting where the validation loss has hardly fallen, not the training loss."""
    return _diagnosed(right, train_losses, val_losses, stays=lambda train, val: val[-1] > val[0] / 8)


@impostor("diagnose", "overfitting.diagnosis")
def never_underfitting(right: Any, train_losses: Any, val_losses: Any) -> str:
    """What does not overfit is called good."""
    return _diagnosed(right, train_losses, val_losses, stays=lambda train, val: False)


@impostor("diagnose", "overfitting.diagnosis")
def logs_swapped(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The two logs are swapped."""
    return right(val_losses, train_losses)  # type: ignore[no-any-return]


@impostor("diagnose", "overfitting.lengths overfitting.not-finite?")
def any_lengths(right: Any, train_losses: Any, val_losses: Any) -> str:
    """The longer of two logs is cut to the length of the other, and no epochs are good."""
    n = min(len(train_losses), len(val_losses))
    return right(train_losses[:n], val_losses[:n]) if n else "good"


@impostor("diagnose", "overfitting.not-finite")
def nan_is_good(right: Any, train_losses: Any, val_losses: Any) -> str:
    """Losses that are not finite are compared like any others."""
    right(*(np.where(np.isfinite(losses), losses, 0) for losses in (train_losses, val_losses)))
    return _diagnosed(lambda train, val: None, train_losses, val_losses)


# Training loops with validation data


def validated_impostor(clauses: str, **about: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register an impostor of the training loop, to be tried on the clauses of validation alone."""
    return impostor("training_loop", clauses, **{"chapters": ("validation",)} | about)


@validated_impostor("validation.logged", seen="keras-team/keras#8578")
def validated_after_the_update(*arguments: Any) -> Any:
    """The validation loss of an epoch is that of the parameters after its step."""
    return loop(*arguments, val_loss=lambda run: replace(run, params=run.step()).validation_loss())


@validated_impostor("validation.non-interference validation.logged", seen="NifTK/NiftyNet#28")
def trained_on_both(*arguments: Any) -> Any:
    """The gradient is that of both losses together."""

    def step(run: Run) -> Any:
        both = run.step()
        return both if run.val_t_u is None else both - run.rate * run.validation().gradient()

    return loop(*arguments, step=step)


@validated_impostor(
    "validation.non-interference validation.logged",
    seen="SKrisanski/FSCT#12 princeton-vl/pose-ae-train#11 r9y9/deepvoice3_pytorch#122",
)
def steps_on_validation_data(*arguments: Any) -> Any:
    """After each epoch's step there is another one, on the validation data."""

    def step(run: Run) -> Any:
        after = run.step()
        return after if run.val_t_u is None else replace(run.validation(), params=after).step()

    return loop(*arguments, step=step)


@validated_impostor("validation.non-interference validation.logged")
def stays_where_validation_rises(*arguments: Any) -> Any:
    """No step is made in an epoch whose validation loss has risen."""

    def step(run: Run) -> Any:
        if run.val_t_u is None:
            return run.step()
        before, run.kept = run.kept, nearest(run.validation_loss())
        return run.params if before is not None and run.kept > before else run.step()

    return loop(*arguments, step=step)


@validated_impostor("validation.non-interference validation.logged?")
def best_params_returned(right: Any, n_epochs: int, *others: Any) -> Any:
    """The parameters of the lowest validation loss are returned, not the last ones."""
    params, losses, val_losses = right(n_epochs, *others)
    if len(val_losses) == 0:
        return params, losses, val_losses
    best = min(range(n_epochs), key=lambda epoch: nearest(val_losses[epoch]))
    return right(best, *others)[0], losses, val_losses


@validated_impostor("validation.non-interference", exactly=False)
def ends_where_validation_is_nan(right: Any, n_epochs: int, *others: Any) -> Any:
    """The run ends with the first validation loss that is not finite."""
    _, _, val_losses = right(n_epochs, *others)
    finite = [bool(np.isfinite(loss)) for loss in val_losses]
    return right(n_epochs if all(finite) else finite.index(False) + 1, *others)


@validated_impostor("validation.logged")
def losses_of_the_training_data(*arguments: Any) -> Any:
    """The validation losses are those of the training data."""
    return loop(*arguments, val_loss=Run.loss)


@validated_impostor("validation.logged")
def last_loss_of_every_epoch(
    right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any
) -> Any:
    """The validation loss is computed once, at the end, and logged for every epoch."""
    params, losses, val_losses = right(n_epochs, optimizer, params, t_u, t_c, *val)
    if len(val_losses):
        val_losses = [right.loss_fn(right.model(val[0], *params), val[1])] * n_epochs
    return params, losses, val_losses


@validated_impostor("validation.logged")
def every_other_epoch(right: Any, *arguments: Any) -> Any:
    """The validation loss is logged in every other epoch."""
    params, losses, val_losses = right(*arguments)
    return params, losses, val_losses[::2]


@validated_impostor("validation.logged", name="first-validation-loss-missing")
def first_validation_loss_missing(right: Any, *arguments: Any) -> Any:
    """The first validation loss is not logged."""
    params, losses, val_losses = right(*arguments)
    return params, losses, val_losses[1:]


@validated_impostor("validation.logged", seen="ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112")
def running_mean_of_validation(right: Any, *arguments: Any) -> Any:
    """Each validation loss is the mean of those until then, because the sum is not reset."""
    params, losses, val_losses = right(*arguments)
    return params, losses, [join(*val_losses[: epoch + 1]).mean() for epoch in range(len(val_losses))]


@validated_impostor("validation.logged")
def validation_losses_summed(*arguments: Any) -> Any:
    """The validation losses are sums of squared residuals, not means."""
    return loop(*arguments, val_loss=lambda run: run.validation_loss() * run.val_t_u.size)


@validated_impostor("validation.logged")
def half_the_validation_loss(*arguments: Any) -> Any:
    """The validation losses have a factor 1/2 in front."""
    return loop(*arguments, val_loss=lambda run: run.validation_loss() / 2)


@validated_impostor(
    "validation.logged",
    seen="catalyst-team/catalyst#799 dnouri/nolearn#247 Lightning-AI/pytorch-lightning#2924",
    ugly="three samples of different losses are needed",
)
def mean_of_validation_batches(*arguments: Any) -> Any:
    """The validation loss is the mean of the losses of batches of two, as if all were equally large."""

    def batches(run: Run) -> Any:
        columns = run.val_t_u, run.val_t_c
        starts = range(0, run.val_t_u.size, 2)
        parts = [[column[i : i + 2] for column in columns] for i in starts]
        return join(*(replace(run, val_t_u=u, val_t_c=c).validation_loss() for u, c in parts)).mean()

    return loop(*arguments, val_loss=batches)


@validated_impostor("validation.logged", seen="NervanaSystems/neon#9")
def last_validation_batch_dropped(*arguments: Any) -> Any:
    """A last batch of the validation data that is not full is dropped, where batches have two samples."""

    def full(run: Run) -> Any:
        keep = run.val_t_u.size // 2 * 2 or 1
        return replace(run, val_t_u=run.val_t_u[:keep], val_t_c=run.val_t_c[:keep]).validation_loss()

    return loop(*arguments, val_loss=full)


@validated_impostor("validation.none")
def training_losses_without_validation(
    right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, val_t_u: Any = None, val_t_c: Any = None
) -> Any:
    """Without validation data the training losses are logged in their place."""
    val = (t_u, t_c) if val_t_u is None and val_t_c is None else (val_t_u, val_t_c)
    return right(n_epochs, optimizer, params, t_u, t_c, *val)


@validated_impostor("validation.none")
def zeros_without_validation(
    right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any
) -> Any:
    """Without validation data zeros are logged in their place."""
    params, losses, val_losses = right(n_epochs, optimizer, params, t_u, t_c, *val)
    return params, losses, val_losses if any(x is not None for x in val) else [loss * 0 for loss in losses]


@validated_impostor("validation.shapes")
def any_validation_shape(
    right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, val_t_u: Any = None, val_t_c: Any = None
) -> Any:
    """Validation data of different shapes are broadcast to pairs."""
    if val_t_u is None or val_t_c is None or val_t_u.shape == val_t_c.shape:
        return right(n_epochs, optimizer, params, t_u, t_c, val_t_u, val_t_c)

    def of_pairs(run: Run) -> Any:
        residuals = right.model(val_t_u, *run.params) - val_t_c
        return right.loss_fn(residuals, residuals * 0)

    return loop(right, n_epochs, optimizer, params, t_u, t_c, t_u, t_c, val_loss=of_pairs)


@validated_impostor("validation.shapes")
def empty_is_none(
    right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, val_t_u: Any = None, val_t_c: Any = None
) -> Any:
    """Validation data without rows count as none."""
    val = (None, None) if val_t_u is not None and val_t_u.size == 0 else (val_t_u, val_t_c)
    return right(n_epochs, optimizer, params, t_u, t_c, *val)


@validated_impostor("validation.pure")
def validation_scaled_in_place(
    right: Any, n_epochs: int, optimizer: Any, params: Any, t_u: Any, t_c: Any, *val: Any
) -> Any:
    """The validation readings are scaled in place."""
    answer = right(n_epochs, optimizer, params, t_u, t_c, *val)
    if val and val[0] is not None:
        overwrite(val[0], val[0] / 2)
    return answer


# What all of them are asked

_SPLITS = (
    # What does not divide evenly, what the rounding of a product decides, and parts without rows.
    (11, 0.25, 5),
    (11, 0.2, 5),
    (4, 0.2, 5),
    (10, 0.9, 5),
    (100, 0.29, 5),
    (2, 1.0, 5),
    # What must be refused.
    *((10, fraction, 5) for fraction in (-0.125, 1.125, 4.0, math.nan)),
    (-1, 0.5, 5),
    # Which rows: of many, under two seeds, and of five, over eight.
    (32, 0.5, 1),
    (32, 0.5, 2),
    *((5, 0.8, seed) for seed in range(8)),
)

_U = np.arange(32.0)
_C = 64 + np.arange(32.0) * 11 % 32
_COLUMNS = (
    (_U, _C, 0.5, 1),
    (_U, _C, 0.5, 2),
    (_U[:5], _C[:5], 0.2, 5),
    (_U[:4], _C[:4], 0.2, 5),
    (_U[:3], _C[:2], 0.5, 5),
    *((_U[:4], _C[:4], fraction, 5) for fraction in (-0.125, 1.125, math.nan)),
)

_PLAIN_U, _PLAIN_C = np.array([1.0, -2.0, 6.0, 0.0]), np.array([0.0, 2.0, -2.0, 1.0])
_LONG_U, _LONG_C = np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9])

_EVALUATIONS = (
    (np.array([2.0, -1.0]), _PLAIN_U, _PLAIN_C),
    (np.array([1.0, 0.0]), np.array([4.0]), np.array([0.0])),
    (np.array([0.3, -1.9]), _LONG_U, _LONG_C),
    (np.array([1.0, 0.0]), np.zeros(0), np.zeros(0)),
    (np.array([1.0, 0.0]), np.ones(2), np.ones((2, 1))),
    (np.array([1.0, 0.0]), np.array([math.nan, 1.0]), np.ones(2)),
)

_PENALTIES = ((0.5, 0.25), (2.0, 0.0), (0.0, 2.0))
_NO_PENALTIES = ((-0.125, 0.5), (0.5, math.nan))


_START = {"name": "sgd", "lr": 0.125}, np.array([1.0, -1.0]), np.array([-2.0, 2.0]), np.array([-1.0, 3.0])


def _validated_runs() -> Any:
    # Validation losses that fall, and then rise; with many digits; and what is not finite.
    yield 4, *_START, np.array([4.0, 1.0, 2.0]), np.array([4.0, 1.0, 3.5])
    yield 3, {"name": "sgd", "lr": 0.01}, np.array([0.7, -1.3]), _LONG_U, _LONG_C, _LONG_C, _LONG_U
    yield 3, *_START, np.array([1.0, 2.0]), np.array([math.nan, 1.0])
    # None, no rows, and what must be refused.
    yield 2, *_START
    for shapes in (((0,), (0,)), ((3,), (3, 1)), ((3,), (1,))):
        yield 1, *_START, *map(np.ones, shapes)


QUESTIONS = {
    "training_loop": tuple(_validated_runs()),
    "split": _SPLITS,
    "split_data": _COLUMNS,
    "validation_loss": _EVALUATIONS,
    "regularized_loss": (
        *((_PLAIN_U, _PLAIN_C, np.array(w), *penalties) for w in (2.0, -4.0) for penalties in _PENALTIES),
        *((_LONG_U, _LONG_C, np.array(w), 0.5, 2.0) for w in (0.7, -1.3, 0.0)),
        *((_PLAIN_U, _PLAIN_C, np.array(2.0), *penalties) for penalties in _NO_PENALTIES),
    ),
    "regularized_grad": (
        *((_PLAIN_U, _PLAIN_C, np.array(2.0), np.array(-1.0), *penalties) for penalties in _PENALTIES),
        *((_PLAIN_U, _PLAIN_C, np.array(w), np.array(3.0), 0.5, 0.25) for w in (-4.0, 0.0)),
        *((_LONG_U, _LONG_C, np.array(w), np.array(-1.9), 0.5, 2.0) for w in (0.7, -1.3)),
        *((_PLAIN_U, _PLAIN_C, np.array(2.0), np.array(1.0), *penalties) for penalties in _NO_PENALTIES),
    ),
    "ridge": (
        *((u, c, l2) for u, c in ((_PLAIN_U, _PLAIN_C), (_LONG_U, _LONG_C)) for l2 in (0.0, 0.5, 3.0)),
        (np.array([3.0, 3.0]), np.array([1.0, 2.0]), 0.5),
        *((_PLAIN_U, _PLAIN_C, l2) for l2 in (-0.125, math.nan)),
    ),
    "early_stopping": tuple(
        (np.array(losses), patience)
        for losses, patiences in (
            # Rises, falls, an improvement after a long wait, and ties.
            ([4.0, 3.0, 3.5, 3.25, 2.0, 2.5, 2.25, 2.75, 1.0, 2.0], (1, 2, 3, 9)),
            ([2.0, 2.0, 1.0, 1.0, 1.0, 0.5], (1, 3)),
            ([3.0, 2.0, 1.0], (2,)),
            ([1.0, 1.0 - 2.0**-15, 1.0 - 2.0**-16, 2.0, 1.0], (1, 2)),
            # What is not finite, at first and later, and nothing else.
            ([math.nan, 2.0, 1.0, math.nan, 0.5, 3.0], (1, 2)),
            ([2.0, math.nan, math.inf, 1.0, math.nan, 3.0, 3.0], (2, 3)),
            ([math.inf, 1.0, 2.0], (2,)),
            ([], (1,)),
            ([1.0, 2.0], (0,)),
        )
        for patience in patiences
    ),
    "diagnose": tuple(
        (np.array(train), np.array(val))
        for train, val in (
            ([8.0, 4.0, 2.0, 1.0], [8.0, 4.0, 3.0, 2.0]),
            ([8.0, 4.0, 2.0, 1.0], [8.0, 2.0, 2.0, 2.0]),
            ([8.0, 4.0, 2.0, 1.0], [8.0, 4.0, 2.0, 2.5]),
            ([8.0, 4.0, 2.0, 1.0], [8.0, 4.0, 2.0, 2.25]),
            ([8.0, 4.0, 2.0, 1.0], [2.0, 1.0, 2.0, 4.0]),
            ([8.0, 4.0, 1.0, 2.0], [8.0, 2.0, 2.0, 4.0]),
            ([8.0, 4.0, 2.0, 1.0], [8.0, 1.0, 0.5, 0.5625]),
            ([8.0, 4.0, 2.0, 1.0], [0.5, 0.25, 0.0625, 0.125]),
            ([8.0, 4.0, 3.0, 2.0], [8.0, 4.0, 3.0, 3.0]),
            ([8.0, 4.0, 3.0, 2.0], [8.0, 2.0, 3.0, 4.0]),
            ([8.0, 4.0, 3.0, 2.0], [8.0, 2.0, 4.0, 3.0]),
            ([8.0, 4.0, 4.0, 4.0], [8.0, 4.0, 5.0, 6.0]),
            ([8.0, 1.0, 0.5, 0.5], [8.0, 2.0, 1.0, 2.0]),
            ([8.0, 0.5, 4.0, 2.0], [8.0, 1.0, 4.0, 3.0]),
            ([8.0, 1.0, 0.25, 0.5], [8.0, 2.0, 2.0, 4.0]),
            ([8.0, 4.0, 2.0, 1.0], [8.0, 8.0, 4.0, 0.5]),
            ([1.0, 2.0, 4.0, 8.0], [1.0, 2.0, 4.0, 8.0]),
            ([0.0, 0.0], [1.0, 1.0]),
            ([1.0], [2.0]),
            ([], []),
            ([4.0, 2.0], [4.0, 2.0, 1.0]),
            ([4.0, 2.0, 1.0], [4.0, 2.0]),
            ([4.0, math.nan, 1.0], [4.0, 2.0, 1.0]),
            ([4.0, 2.0, 1.0], [4.0, 2.0, math.inf]),
            ([4.0, 2.0, 1.0], [math.nan, 2.0, 1.0]),
        )
    ),
}

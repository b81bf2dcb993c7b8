"""Impostors of the clauses on splits: which rows are held out, and what becomes of their pairs."""

import importlib
import math
import os
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import overwrite
from calibrant.impostors.kinds import Call, Change, answer, impostors_of, part

Rule = Callable[..., Any]
"""A function in the place of one that is right."""


def cut(rows: Rule = lambda c, right: right, n_val: Rule = lambda c, right: right) -> Change:
    """A split of other rows, or that holds out another number of them: functions of the call and of what is right."""

    def changed(c: Call) -> Any:
        train, val = c()
        shuffled, n_train = rows(c, np.append(train, val)), c.n_samples - n_val(c, len(val))
        return shuffled[:n_train], shuffled[n_train:]

    return changed


def seeding(seed: Callable[[int], Any]) -> Change:
    """The right split, before which a global generator is seeded."""
    return lambda c: (seed(c.seed), c())[1]


def buffered(generator: np.random.Generator, n: int) -> Any:
    """The numbers of n rows in the order in which they leave a buffer of 16."""
    taken, waiting = list[int](), list[int]()
    for row in range(n):
        waiting.append(row)
        if len(waiting) > 16:
            taken.append(waiting.pop(generator.integers(len(waiting))))
    return np.array([*taken, *generator.permutation(waiting)], dtype=np.int64)


def _scaled(x: Any, by: Any = None) -> Any:
    by = x if by is None else by
    return (x - np.mean(by)) / np.std(by) if x.size else x


PARTITION, RANDOM, INVALID = "split.partition", "split.random", "split.invalid"
EMPTY = "split.empty-part"
SEEDED, GLOBAL, NONE = "split.seeded", "split.global-state", "split.none-held-out"
PAIRS, SIZES = "split.pairs", "split.sizes split.as-written"
PAIRED, LACK = f"{PAIRS} {PARTITION}", f"{SIZES} {NONE}"
MIXED, LEAK = f"{PARTITION} {RANDOM}", f"{PARTITION} {EMPTY}"
TWICE = "the rows are drawn with replacement, so that some come twice and some not at all"
ALL = "the training part has all rows, those that are held out among them"
LAST = "the rows are not shuffled: the last ones are held out"
SWAPPED = "the fraction sets the size of the training part, not of the validation part"

split, columns = impostors_of("split"), impostors_of("split_data")
split("first-validation-row-in-both", "the training part goes one row too far: the first validation row is in both")(
    part(0, lambda train, c: np.append(train, c()[1][:1])), LEAK
)
split(
    "validation-from-the-unshuffled", "the training rows are cut from the shuffled rows, the validation rows are not"
)(part(1, lambda val, c: np.arange(c.n_samples - len(val), c.n_samples)), MIXED, "marin-community/marin#2700")
split("all-rows-for-training", ALL)(part(0, lambda train, c: np.append(*c())), LEAK, "ratschlab/aestetik#12")
split(
    "numbered-within-the-part", "the validation rows are numbered within their part, and then used as rows of the whole"
)(part(1, lambda val, c: np.argsort(val)), MIXED, "sarpaykent/GotenNet#10")
split("parts-drawn-apart", "each part is drawn by itself, so that a row may be in both or in neither")(
    part(0, lambda train, c: np.random.default_rng(c.seed + 1).permutation(c.n_samples)[: len(train)]), PARTITION
)
split(
    "process-in-the-seed", "the number of the process is added to the seed: each gets a split of its own", repeats=False
)(lambda c: c(seed=c.seed + os.getpid()), SEEDED, "TensorAuto/OpenTau#498")
split("drawn-with-replacement", TWICE)(
    cut(lambda c, rows: np.random.default_rng(c.seed).choice(len(rows) or 1, len(rows))), f"{MIXED} {EMPTY}?"
)
split("last-row-lost", "the last training row is lost")(part(0, lambda train, c: train[:-1]), f"{LEAK}? {NONE}")
split("last-rows-held-out", LAST)(
    cut(lambda c, rows: np.sort(rows)), RANDOM, "keras-team/keras#597 keras-team/keras#6422 keras-team/keras#8346"
)
split("first-rows-held-out", "the rows are not shuffled: the first ones are held out")(
    cut(lambda c, rows: np.roll(np.sort(rows), -len(c()[1]))), RANDOM, "keras-team/keras#10571"
)
split("turned-instead-of-shuffled", "the rows are rotated, not shuffled: each is held out with its neighbours")(
    cut(lambda c, rows: np.roll(np.sort(rows), rows[:1].sum())), RANDOM
)
split(
    "through-a-buffer",
    "the rows pass through a buffer of 16, of which a random one is taken: the last rows of many stay last",
    soon=False,
)(cut(lambda c, rows: buffered(np.random.default_rng(c.seed), len(rows))), RANDOM)
split("few-shuffled", "more than eight rows are not shuffled: the last ones are held out", soon=False)(
    cut(lambda c, rows: np.sort(rows) if rows.size > 8 else rows), RANDOM
)
split("always-the-same-seed", "the seed is not used: every seed gives the same split")(lambda c: c(seed=0), RANDOM)
for either in (split, columns):
    either("numpy-seeded", "NumPy's global generator is seeded")(seeding(np.random.seed), GLOBAL)
    either("seed-ignored", "a global generator shuffles the rows, and the seed is not used", repeats=False)(
        lambda c: c(seed=np.random.randint(2**31)), f"{SEEDED} {GLOBAL}"
    )
split("python-seeded", "Python's global generator is seeded")(seeding(random.seed), GLOBAL)
split("torch-seeded", "PyTorch's global generator is seeded", needs="torch")(
    seeding(lambda seed: importlib.import_module("torch").manual_seed(seed)), GLOBAL
)
split("seeded-once", "only the first call seeds the generator, and later calls continue its sequence", repeats=False)(
    lambda c: c(seed=c.correct.memory.setdefault("generator", np.random.default_rng(c.seed)).integers(2**31)), SEEDED
)
split("rounded-up", "the size of the validation part is rounded up")(
    cut(n_val=lambda c, k: math.ceil(Fraction(str(c.val_fraction)) * c.n_samples)), LACK
)
split("rounded-to-nearest", "the size of the validation part is rounded to the nearest whole number")(
    cut(n_val=lambda c, k: max(math.floor(c.val_fraction * c.n_samples + 0.5), k)), SIZES
)
split("one-row-at-least", "at least one row is held out, even where the fraction asks for none")(
    cut(n_val=lambda c, k: min(c.n_samples, k or 1)), LACK
)
split("whole-part-of-the-product", "the product is computed in floating point and cut: 0.29 of 100 rows are 28")(
    cut(n_val=lambda c, k: int(c.val_fraction * c.n_samples)), "split.as-written"
)
split(
    "training-part-cut", "the training part is rounded down in floating point, and the validation part gets the rest"
)(cut(n_val=lambda c, k: c.n_samples - int((1 - c.val_fraction) * c.n_samples)), LACK)
split("parts-swapped", SWAPPED)(answer(lambda parts: parts[::-1]), f"{LACK} {RANDOM} {EMPTY}")
split("cut-from-the-end", "the rows are cut at `-n_val`, so that holding out no rows leaves none for training")(
    answer(lambda parts: parts if parts[1].size else parts[::-1]), f"{NONE} {SIZES}", "keras-team/keras#23202"
)
split(
    "any-fraction", "an invalid fraction is replaced by the nearest valid one, and a negative number of samples by 0"
)(lambda c: c(n_samples=max(c.n_samples, 0), val_fraction=min(max(0.0, c.val_fraction), 1.0)), INVALID)

columns(
    "shuffled-one-after-the-other", "the two columns are shuffled one after the other, each in an order of its own"
)(lambda c: tuple(c(seed=c.seed + k % 2)[k] for k in range(4)), PAIRS, "mlcommons/GaNDLF#870 xudonmao/VMT#1")
columns("readings-shuffled-alone", "the readings are shuffled, and the temperatures are not")(
    lambda c: ((x := c())[0], c.t_c[: x[0].size], x[2], c.t_c[x[0].size :]),
    f"{PAIRS} {RANDOM}",
    "DrexelChatbotGroup/DrexelChatbot#15 atong01/conditional-flow-matching#172",
)
columns("drawn-with-replacement", TWICE)(
    lambda c: c(t_u=c.t_u[k := np.random.default_rng(c.seed).choice(c.n, c.n)], t_c=c.t_c[k]), f"{PAIRS} {MIXED}"
)
columns("all-rows-for-training", ALL)(lambda c: (c.t_u, c.t_c, *c()[2:]), PAIRED, "ratschlab/aestetik#12")
columns("sorted-columns", "each column of each part is sorted")(answer(lambda parts: tuple(map(np.sort, parts))), PAIRS)
columns("part-by-part", "the columns come in scikit-learn's order: both parts of the readings first")(
    answer(lambda parts: parts[::2] + parts[1::2]), f"{PAIRED} {NONE}"
)
columns("last-rows-held-out", LAST)(lambda c: (c.t_u[: (k := c()[0].size)], c.t_c[:k], c.t_u[k:], c.t_c[k:]), RANDOM)
columns("parts-swapped", SWAPPED)(answer(lambda parts: parts[2:] + parts[:2]), f"{LACK} {RANDOM}")
columns("any-fraction", "an invalid fraction is replaced by the nearest valid one")(
    lambda c: c(val_fraction=min(max(0.0, c.val_fraction), 1.0)), INVALID
)
columns("longer-column-cut", "the longer of two columns is cut, as `zip` does")(
    kinds.cut_to_the_shorter("t_u", "t_c"), PAIRS
)
columns(
    "scaled-by-all-rows", "the readings are scaled by the mean and the deviation of all rows, also of those held out"
)(lambda c: c(t_u=_scaled(c.t_u)), PAIRS, "daxin007/ARMD#5 davda54/sam#15 aikunyi/FourierGNN#11")
columns("each-part-scaled-by-itself", "the readings of each part are scaled by their own mean and deviation")(
    answer(lambda x: (_scaled(x[0]), x[1], _scaled(x[2]), x[3])), PAIRS, "deepchem/deepchem#51 EleutherAI/elk#5"
)
columns(
    "scaled-by-the-training-rows", "the readings are scaled by mean and deviation of the training rows", kind="variant"
)(answer(lambda x: (_scaled(x[0]), x[1], _scaled(x[2], x[0]), x[3])), PAIRS)
columns("in-place", "the caller's columns are shuffled in place")(
    kinds.afterwards(lambda c, x: [*map(overwrite, (c.t_u, c.t_c), map(np.append, x, x[2:]))]), "split.pure"
)
columns.in_dtype("float64", PAIRS)

# What can be said of a split whoever draws it


def _found(column: Any, given: Any) -> list[Any]:
    """The rows in which the numbers of a column were given; None for one that was not."""
    numbered = {float(x): i for i, x in enumerate(given)}
    return [numbered.get(float(x)) for x in np.ravel(column)]


def _facts_of_rows(n_samples: int, parts: Sequence[list[int]], others: Sequence[Sequence[list[int]]]) -> Any:
    """What does not depend on how rows are drawn: of few rows, the sizes and those that eight seeds never hold out."""
    (train, val), every = map(set, parts), set(range(n_samples))
    facts: list[Any] = [len(part) for part in parts]
    if len(others) >= 7:
        facts.append(every - val.union(*(other[1] for other in others)))
    if n_samples >= 16:
        repeated = sum(map(len, parts)) - len(train) - len(val)
        facts += [min(k, 2) for k in (len(train & val), len(every - train - val), repeated)]
        for part, rows in enumerate((train, val)):
            fixed = bool(others) and all(set(other[part]) == rows for other in others)
            turned = sum((i + 1) % n_samples not in rows for i in rows) <= 1
            facts.append((fixed, turned, sorted(rows) if fixed and turned else None))
    return facts


def _split_facts(question: Any, answer: Any, before: Sequence[tuple[Any, Any]]) -> Any:
    others = [parts for asked, parts in before if asked[:2] == question[:2] and asked[2] != question[2]]
    parts, *of_others = [[_found(part, range(question[0])) for part in parts] for parts in (answer, *others)]
    return [*map(np.shape, answer), None not in parts[0] + parts[1] and _facts_of_rows(question[0], parts, of_others)]


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


FACTS = {"split": _split_facts, "split_data": _split_data_facts}

# What all of them are asked

_U, _C = np.arange(32.0), 64 + np.arange(32.0) * 11 % 32

QUESTIONS: dict[str, Any] = {
    "split": (
        # What does not divide evenly, what the rounding of a product decides, and parts without rows.
        *((11, 0.25, 5), (11, 0.2, 5), (4, 0.2, 5), (10, 0.9, 5), (100, 0.29, 5), (2, 1.0, 5)),
        # What must be refused.
        *((10, -0.125, 5), (10, 1.125, 5), (10, 4.0, 5), (10, math.nan, 5), (-1, 0.5, 5)),
        # Which rows: of many, under two seeds, and of five, over eight.
        *((32, 0.5, 1), (32, 0.5, 2), *((5, 0.8, seed) for seed in range(8))),
    ),
    "split_data": (
        *((_U, _C, 0.5, 1), (_U, _C, 0.5, 2)),
        *((_U[:5], _C[:5], 0.2, 5), (_U[:4], _C[:4], 0.2, 5), (_U[:3], _C[:2], 0.5, 5)),
        *((_U[:4], _C[:4], fraction, 5) for fraction in (-0.125, 1.125, math.nan)),
    ),
}

"""Impostors of lazy optimizers: each changes a method of the exact `Lazy`, or what is asked of the right operation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Lazy
from calibrant.exact.scalars import Number, constant, mix, product, root
from calibrant.exact.tensors import State, total
from calibrant.impostors.kinds import Call, Change, finite, impostors_of, overwritten, unrefused

RULE, ROWS = "optimizer.sparse-adam", "optimizer.sparse-adam.rows"
BOTH, TWICE = f"{RULE} {ROWS}", ROWS


def walked(**methods: Any) -> Change:
    """The path of a lazy optimizer with other methods."""
    kind = type("Wrong", (Lazy,), methods)
    return finite(lambda c: c.given_to(exact.optimize_rows, c.correct.follow, kind))


def _rest(self: Lazy, rows: Sequence[int]) -> list[int]:
    return [row for row in range(len(self.numbers) // self.width) if row not in set(map(int, rows))]


def _densely(self: Lazy, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
    Lazy.step(self, rows, grads, lr)
    for row in _rest(self, rows):
        self.move(row, lr, [self.zero] * self.width)


def _fading(self: Lazy, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
    Lazy.step(self, rows, grads, lr)
    for i in (i for row in _rest(self, rows) for i in range(row * self.width, (row + 1) * self.width)):
        self.remember(self.states[i], self.zero)


def _reset(self: Lazy, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
    Lazy.step(self, rows, grads, lr)
    for i in (i for row in _rest(self, rows) for i in range(row * self.width, (row + 1) * self.width)):
        self.states[i] = State(m=self.zero, v=self.zero)


def _by_its_own_count(self: Lazy, row: int) -> int:
    counts = vars(self).setdefault("counts", {})
    seen, last = counts.get(row, (0, 0))
    counts[row] = (seen + (last != self.t), self.t)
    return int(counts[row][0])


def _as_many_steps(self: Lazy, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
    """A step counts only if a row has a gradient."""
    if len(rows):
        Lazy.step(self, rows, grads, lr)


def _one_by_one(self: Lazy, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
    self.t += 1
    for k, row in enumerate(rows):
        self.move(int(row), lr, grads[k * self.width : (k + 1) * self.width])


def _of_each_row(choose: Callable[[list[Sequence[Number]]], list[Sequence[Number]]]) -> Change:
    """The path along other gradients than the sum of a row's."""
    return walked(listed=lambda self, rows, grads: {k: choose(x) for k, x in Lazy.listed(self, rows, grads).items()})


def _mean(listed: list[Sequence[Number]]) -> list[Sequence[Number]]:
    count = constant(float(len(listed)), listed[0][0].form) if listed[0] else None
    return [[product([total(some)], [count]) for some in zip(*listed, strict=True)]] if count else listed


def _squares_first(self: Lazy, rows: Sequence[int], grads: Sequence[Number], lr: Number) -> None:
    """The squares of a row's gradients add up, and not the square of their sum."""
    self.t += 1
    for row, listed in self.listed(rows, grads).items():
        for i, some in enumerate(zip(*listed, strict=True), start=row * self.width):
            s, g = self.states[i], total(some)
            s.m = mix(s.m, -g if self.h["maximize"] else g, self.h.beta1, self.h.part1)
            s.v = mix(s.v, total([x * x for x in some]), self.h.beta2, self.h.part2)
            self.numbers[i] = self.numbers[i] - self.length(s, self.t, lr)


def _inside(c: Call) -> Any:
    """The answer without the rows that do not exist."""
    kept = [[k for k, row in enumerate(some) if row < len(c.table)] for some in c.rows]
    if all(len(k) == len(some) for k, some in zip(kept, c.rows, strict=True)):
        return c()
    some = [[rows[k] for k in of_step] for rows, of_step in zip(c.rows, kept, strict=True)]
    return c(rows=some, grads=[g[of_step] for g, of_step in zip(c.grads, kept, strict=True)])


def _capped(c: Call) -> Any:
    """The answer with betas of 0.999 at most."""
    capped = {
        key: tuple(min(x, 0.999) for x in value) if key == "betas" else value
        for key, value in c.hyperparameters.items()
    }
    return c(hyperparameters=capped)


def _uncorrected(self: Lazy, s: State, t: int, lr: Number) -> Number:
    return product([lr, s.m], [root(s.v) + self.h.eps])


rows = impostors_of("optimize_rows", applies_to=("sparse_adam",))
rows("as-dense", "a row without a gradient moves as if that were zero")(walked(step=_densely), BOTH)
rows("averages-fade", "the averages of rows without gradients fade, and the rows stay")(walked(step=_fading), BOTH)
rows("averages-reset", "the averages of rows without gradients are forgotten")(walked(step=_reset), BOTH)
rows("count-of-each-row", "each row counts its own steps")(walked(count=_by_its_own_count), BOTH)
rows("empty-steps-skipped", "a step in which no row has a gradient does not count")(
    walked(step=_as_many_steps), f"{RULE} {ROWS}"
)
rows("correction-left-out", "the averages are not corrected")(walked(length=_uncorrected), BOTH)
rows("count-from-zero", "the first step is corrected as if it were the second")(
    walked(count=lambda self, row: self.t + 1), BOTH
)
rows("maximize-ignored", "maximize is ignored")(
    walked(remember=lambda self, s, g: Lazy.remember(self, s, -g if self.h["maximize"] else g)), f"{RULE} {ROWS}?"
)
rows("last-of-a-row", "of a row that is listed twice the last gradient counts")(_of_each_row(lambda x: x[-1:]), TWICE)
rows("first-of-a-row", "of a row that is listed twice the first gradient counts")(_of_each_row(lambda x: x[:1]), TWICE)
rows("mean-of-a-row", "the gradients of a row that is listed twice are averaged")(_of_each_row(_mean), TWICE)
rows("moved-twice", "a row that is listed twice moves twice")(walked(step=_one_by_one), TWICE)
rows("squares-add-up", "the squares of a row's gradients are added, and not the gradients before")(
    walked(step=_squares_first), TWICE
)
rows("outside-ignored", "a gradient for a row that the table does not have is ignored")(
    unrefused(_inside), "optimizer.invalid"
)
rows("changes-the-callers", "the table of the caller is moved")(
    overwritten("table", lambda c, right: right[-1]), "optimizer.gradients-kept"
)
rows("any-beta-taken", "betas of 1 are taken for betas just below")(unrefused(_capped), "optimizer.invalid")
rows("unknown-ignored", "a hyperparameter that it does not have is ignored")(
    lambda c: c(hyperparameters={key: x for key, x in c.hyperparameters.items() if key in exact.LAZY["sparse_adam"]}),
    "optimizer.unknown",
)
rows.in_dtype("float64", "optimizer.dtype")
rows.in_dtype("float32", BOTH)
rows.variant("lazy.epsilon", "outside", "epsilon is added to the root of the corrected average")(BOTH)

# Questions

_TABLE = np.array([[0.5, -1.0], [2.0, 0.25], [-1.5, 0.75]])
_NUMBERS = np.array([[2.0, -1.0], [0.5, 0.25], [-1.0, 0.75], [0.25, -2.0]])
_SEVERAL: list[list[int]] = [[0, 1], [2, 0, 2], [], [1, 1, 0], [2]]


def _asked(h: Any, rows: list[list[int]], table: Any = _TABLE) -> tuple[Any, ...]:
    return "sparse_adam", {"lr": 0.5, **h}, table, rows, [_NUMBERS[: len(some)] for some in rows]


_BETAS = {"betas": (0.5, 0.75), "eps": 0.25}
QUESTIONS = {
    "optimize_rows": (
        _asked(_BETAS, [[0], [1], [0]]),
        _asked(_BETAS, _SEVERAL),
        _asked({**_BETAS, "maximize": True}, _SEVERAL),
        _asked({}, [[0, 1], [], [1]]),
        _asked({**_BETAS, "lr": [0.5, 0.25, 1.0]}, [[2, 2], [2], [0]]),
        *(_asked(h, [[0]]) for h in ({"betas": (1.0, 0.5)}, {"lr": -0.5}, {"weight_decay": 0.5})),
        _asked(_BETAS, [[0], [3]]),
        _asked({"lr": 0.1, "betas": (0.7, 0.9), "eps": 0.1}, [[0], [0]], np.array([[0.7, 0.1]])),
        ("sparse_adm", {"lr": 0.5}, _TABLE, [[0]], [_NUMBERS[:1]]),
    ),
}

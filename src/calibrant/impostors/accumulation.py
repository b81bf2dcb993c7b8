"""Impostors of accumulation: gradients of batches, of all samples, and of many workers, which one process simulates."""

import itertools
from collections.abc import Callable
from functools import partial, reduce
from operator import add
from typing import Any

import numpy as np

from calibrant.impostors import kinds
from calibrant.impostors.correct import join, overwrite, rearranged
from calibrant.impostors.kinds import Call, Change, factor, impostors_of, overwritten, piled_up

Batches = list[tuple[Any, Any]]

SUM, RESET, PURE = "accumulation.sum", "accumulation.reset", "accumulation.pure"
REFUSED, SHAPES = "accumulation.refused", "accumulation.same-shape"
WHOLE, BOTH = "accumulation.full-batch accumulation.last-window", f"{SUM} {RESET}"
FULL, PERHAPS = f"{WHOLE} accumulation.partition", f"{WHOLE} accumulation.partition?"
UNRESET = "tenstorrent/tt-blacksmith#711 meta-pytorch/torchforge#71 heartcored98/Standalone-DeepLearning#11"
CLIPPED = "huggingface/transformers#1563 huggingface/transformers#986 facebookresearch/lingua#59"
WINDOW = "Lightning-AI/pytorch-lightning#19987 LibreYOLO/libreyolo#857"
OF_FOUR = f"modelscope/ms-swift#10084 {WINDOW}"
WORKERS = "accumulation.data-parallel"


def _sizes(batches: Batches) -> list[int]:
    return [len(t_u) for t_u, _ in batches]


def n(c: Call) -> int:
    """The number of samples in all batches."""
    return sum(_sizes(c.batches))


def _whole(batches: Batches) -> Batches:
    """The batches without those that hold nothing."""
    return [(t_u, t_c) for t_u, t_c in batches if t_u.size or t_u.shape != t_c.shape]


def _rows(*parts: Any) -> Any:
    """Gradients of either kind below each other, (k, 2)."""
    return rearranged(lambda x: np.reshape(x, (-1, 2)), join(*parts))


def _weighted(grads: Any, sizes: list[int]) -> list[Any]:
    """The terms of a mean of gradients that is weighted by sizes."""
    return [grad * size / sum(sizes) for grad, size in zip(grads, sizes, strict=True)]


def _clipped(total: Any, grad: Any) -> Any:
    """The sum of two gradients, cut to a norm of 5."""
    total = total + grad
    return total * np.minimum(1, 5 / np.maximum(np.sqrt(np.sum(total * total)), 1)).astype(total.dtype)


def batchwise(change: Change) -> Change:
    """The right answer to batches that are changed by a function of their columns."""
    return lambda c: c(batches=[change(Call(lambda *columns: columns, ("t_u", "t_c"), batch)) for batch in c.batches])


sums = impostors_of("accumulate")
mean = impostors_of("accumulated_grad")
for rows in (sums, mean):
    rows("empty-batches-skipped", "batches without samples are skipped, not refused")(
        lambda c: c(batches=some) if (some := _whole(c.batches)) or not c.batches else 0 * c.params, REFUSED
    )
    rows("longer-columns-cut", "the longer column of a batch is cut, as `zip` does")(
        batchwise(lambda batch: (join(batch.t_u[: len(batch.t_c)]), batch.t_c[: len(batch.t_u)])), SHAPES
    )
    rows("broadcasting", "the two columns of a batch are broadcast against each other, not refused")(
        batchwise(kinds.stretched("t_u", "t_c")), SHAPES
    )
    rows.in_dtype("float64", "accumulation.dtype")

# Batch by batch

adding = partial(kinds.where, lambda c: not c.zero_grad)


def _clipped_rows(c: Call) -> Any:
    clipped = itertools.accumulate([0, *c(zero_grad=True)], lambda x, grad: _clipped(0 if c.zero_grad else x, grad))
    return _rows(*[*clipped][1:])


sums("overwriting", "a backward pass replaces the gradient that is there")(
    lambda c: c(zero_grad=True), SUM, "apache/mxnet#13660 PaddlePaddle/Paddle#3689"
)
sums("never-reset", "the gradient is never reset")(
    lambda c: c(zero_grad=False), RESET, f"{UNRESET} yastrebksv/TennisCourtDetector#7"
)
sums("inverted", "it adds where it should reset, and resets otherwise")(lambda c: c(zero_grad=not c.zero_grad), BOTH)
sums("reset-too-late", "gradients are reset after the pass, not before")(factor(lambda c: int(not c.zero_grad)), RESET)
sums("divided-by-the-batches", "it divides by the number of batches")(lambda c: c() / len(c.batches), BOTH)
sums("first-batch-twice", "the first batch adds its gradient twice")(
    adding(lambda c: c(batches=c.batches[:1] + c.batches)[1:]), f"{SUM} accumulation.reset?", "karpathy/llm.c#548"
)
sums("kept-between-calls", "gradients are not reset between two calls: the second adds to the first", repeats=False)(
    adding(lambda c: piled_up(c(), c)), BOTH
)
sums("last-row-only", "it returns only the gradient after the last batch, not after each")(lambda c: c()[-1:], BOTH)
sums("rows-share-memory", "all rows are the same array, so that each shows the gradient after the last batch")(
    lambda c: _rows(*[c()[-1]] * len(c.batches)), BOTH
)
sums("clipped-after-each-batch", "the gradient is clipped, to a norm of 5, after each batch", exactly=False)(
    _clipped_rows, BOTH, CLIPPED
)
sums.in_dtype("float32", BOTH)
sums("no-batches-are-nothing", "no batches give an empty table instead of an error")(
    lambda c: c() if c.batches else np.zeros((0, 2)), REFUSED
)
sums("in-place", "the readings of the first batch are scaled in place")(
    kinds.afterwards(lambda c, right: overwrite(c.batches[0][0], c.batches[0][0] * 2 + 1)), PURE
)

# The gradient of all samples

_own, _sums = (kinds.other("accumulate", zero_grad=alone) for alone in (True, False))


def _over_the_longest(c: Call) -> Any:
    is_window, memory, grad = len(c.batches) > 1, c.correct.memory, c()
    memory["longest"] = max(n(c) if is_window else 0, memory.get("longest", 0))
    return grad * n(c) / memory["longest"] if is_window else grad


mean("mean-of-means", "the gradients of the batches are averaged, as if all batches had one size")(
    lambda c: _sums(c)[-1] / len(c.batches),
    FULL,
    "huggingface/transformers#24725 meta-pytorch/torchtune#1875 ml-explore/mlx-lm#1413 allenai/open-instruct#1161",
)
mean("sum-of-means", "the gradients of the batches are summed, and divided by nothing")(
    lambda c: _sums(c)[-1],
    FULL,
    "paiml/aprender#2123 deepspeedai/DeepSpeed#7773 verl-project/verl#3332 huggingface/transformers#37766 MakazhanAlpamys/Soup#720",
)
mean("sum-over-all", "it is the gradient of the sum of all squares, not of their mean")(factor(n), PERHAPS)
mean("over-n-minus-1", "the sum over all samples is divided by n - 1")(lambda c: c() * n(c) / max(n(c) - 1, 1), WHOLE)
mean("divided-by-the-batches-too", "the weighted mean is divided by the number of batches as well")(
    lambda c: c() / len(c.batches), FULL, "unslothai/unsloth-zoo#1023"
)
mean("divided-by-four", "the sum is divided by 4, the length of a window")(lambda c: _sums(c)[-1] / 4, FULL, WINDOW)
mean("short-window-over-four", "a window of fewer than four batches is divided as if it had four")(
    factor(lambda c: min(len(c.batches), 4) / 4), PERHAPS, OF_FOUR
)
mean("weights-reversed", "the gradients are weighted by the sizes of the batches in the reverse order")(
    lambda c: reduce(add, _weighted(_own(c), _sizes(c.batches)[::-1])), f"accumulation.partition {WHOLE}"
)
mean("bias-summed", "the bias's gradient is summed, not averaged")(kinds.part(1, lambda b, c: _sums(c)[-1][1]), FULL)
mean("last-smaller-batch-dropped", "a last batch that is smaller than the first is left out")(
    kinds.checked(lambda c: c(batches=c.batches[: -1 if len(c.batches[-1][0]) < len(c.batches[0][0]) else None])),
    FULL,
    "NervanaSystems/neon#9 openai/pixel-cnn#20",
)
mean("last-batch-counted-as-full", "the sum over all is divided as if all batches were as large as the first")(
    lambda c: c() * n(c) / max(len(c.batches) * len(c.batches[0][0]), 1), FULL, WINDOW
)
mean("short-window-over-the-longest", "a window's sum is divided by the largest window's size so far", repeats=False)(
    _over_the_longest, "accumulation.last-window accumulation.full-batch? accumulation.partition?", WINDOW
)
mean("last-batch-only", "it resets before each batch, so that only the last one is left")(lambda c: _own(c)[-1], FULL)
mean("first-batch-only", "it is the gradient of the first batch")(lambda c: _own(c)[0], FULL)
mean("kept-between-calls", "gradients are not reset between two calls: the second adds to the first", repeats=False)(
    lambda c: piled_up(c(), c), PERHAPS
)
mean("clipped-after-each-batch", "the gradient so far is clipped, to a norm of 5, after each batch", exactly=False)(
    lambda c: reduce(_clipped, map(lambda g, s: g * (s / n(c)), _own(c), _sizes(c.batches)), 0), FULL, CLIPPED
)
mean.in_dtype("float32", FULL)
mean.in_dtype("float16", FULL)
mean("no-batches-are-zero", "no batches give a gradient of zero instead of an error")(
    lambda c: c() if c.batches else 0 * c.params, REFUSED
)
mean("in-place", "it changes the caller's parameters in place")(overwritten("params", lambda c, _: c.params - 1), PURE)

# Many workers


def workers(slope: Callable[[Call, list[Any]], Any]) -> Change:
    """Workers that step along a function of the call and of the gradients of all samples so far."""

    def changed(c: Call) -> Any:
        c, grads, slopes = c.but(batches=_whole(c.shards)), list[Any](), list[Any]()
        for _ in range(c.n_epochs + 1):
            c = c.but(params=c.params - c.lr * slopes[-1]) if slopes else c
            grads.append(c.ask("accumulated_grad"))
            slopes.append(slope(c, grads))
        return slopes[0], c.params

    return changed


def _of_each_worker(c: Call) -> list[Any]:
    return [c.ask("accumulated_grad", batches=[shard]) if len(shard[0]) else c.params * 0 for shard in c.shards]


def _exchanged_at_first(c: Call, grads: list[Any]) -> Any:
    """The gradient that the first worker steps along: of all first samples, and of its own further ones."""
    firsts, (t_u, t_c) = [(t_u[:1], t_c[:1]) for t_u, t_c in _whole(c.shards)], c.shards[0]
    known = _whole([*firsts, (t_u[1:], t_c[1:])])
    return c.ask("accumulated_grad", batches=known) * sum(_sizes(known)) / sum(_sizes(c.shards))


def _different_starts(c: Call) -> Any:
    one, others, grads = c, c.but(params=c.params * 0), list[Any]()
    for _ in range(c.n_epochs + 1):
        one, others = (some.but(params=some.params - c.lr * grads[-1]) if grads else some for some in (one, others))
        own = _of_each_worker(one)[:1] + _of_each_worker(others)[1:]
        grads.append(reduce(add, _weighted(own, _sizes(c.shards))))
    return grads[0], one.params


parallel = impostors_of("data_parallel")
parallel("mean-of-means", "the gradients of the workers that have samples are averaged, whatever their sizes")(
    workers(lambda c, g: _sums(c)[-1] / len(_whole(c.shards))),
    WORKERS,
    "pytorch/pytorch#67253 pytorch/pytorch#37359 ChenmienTan/RL2#11",
)
parallel("mean-over-all-workers", "the workers' gradients are averaged, also those of workers without samples")(
    workers(lambda c, g: _sums(c)[-1] / len(c.shards)), WORKERS, "pytorch/pytorch#36516 meta-pytorch/torchtune#2172"
)
parallel("sum-of-means", "the workers' gradients are summed, and divided by nothing")(
    workers(lambda c, g: _sums(c)[-1]), WORKERS, "neuralmagic/sparseml#135"
)
parallel("times-the-workers", "the mean over all samples is multiplied by the number of workers")(
    workers(lambda c, g: g[-1] * len(c.shards)), WORKERS, "neuralmagic/sparseml#135"
)
parallel("sums-averaged", "the workers' sums of squares are averaged over the workers")(
    workers(lambda c, g: g[-1] * sum(_sizes(c.shards)) / len(c.shards)), WORKERS, "intel/ipex-llm#2079"
)
parallel("empty-shards-are-nan", "a worker without samples adds NaN, the mean of nothing")(
    workers(lambda c, g: g[-1] if all(_sizes(c.shards)) else g[-1] * np.nan), WORKERS
)
parallel("empty-shards-refused", "a worker without samples raises an error")(
    workers(lambda c, g: c.ask("accumulated_grad", batches=c.shards)), f"{WORKERS} accumulation.dtype? {PURE}?"
)
parallel("last-worker-ignored", "the last worker's samples are missing in the gradient")(
    workers(lambda c, g: c.ask("accumulated_grad", batches=_whole(c.shards[:-1]) or _whole(c.shards))), WORKERS
)
parallel(
    "exchanged-at-the-first-micro-batch",
    "workers that take one sample at a time exchange the gradients of their first samples only",
)(workers(_exchanged_at_first), WORKERS, "modelscope/FunASR#3472")
parallel("in-place", "the first worker steps in place on the caller's parameters")(
    overwritten("params", lambda c, right: right[1]), PURE
)
parallel.in_dtype("float64", "accumulation.dtype")
parallel("one-step-late", "each step but the first uses the gradient that belongs to the previous step")(
    workers(lambda c, g: g[-2:][0]), WORKERS
)
parallel("gradients-accumulate", "gradients are never reset: each step uses the sum of all so far")(
    workers(lambda c, g: reduce(add, g)), WORKERS
)
parallel("replicas-start-different", "the first worker starts at the given parameters, the others at zero")(
    _different_starts, WORKERS, "pytorch/xla#755 Lightning-AI/pytorch-lightning#6013"
)
parallel("one-epoch-more", "it trains for one epoch more than asked for")(lambda c: c(n_epochs=c.n_epochs + 1), WORKERS)
parallel("gradient-of-the-end", "the gradient that it returns is computed after the last step, not before the first")(
    kinds.part(0, lambda first, c: c(params=c()[1], n_epochs=0)[0]), WORKERS
)

mean("first-eight-batches", "batches after the eighth are left out")(
    lambda c: (c(), c(batches=c.batches[:8]))[1], "accumulation.full-batch accumulation.partition?"
)

_PLAIN = np.array([1.0, -2.0, 3.0, 0.5, 2.0, -1.0, 4.0, 1.5]), np.array([0.0, 1.0, -1.0, 2.0, 3.0, 1.0, -2.0, 0.0])
_DIGITS = (_digits := np.array([0.1, 2.3, -1.7, 4.9, 0.3, 3.1, 0.7, -1.1])), _digits[::-1] / 3
_START = np.array([1.0, 2.0])


def _cut(columns: Any, *sizes: int) -> Batches:
    return list(zip(*(np.split(x, np.cumsum(sizes))[:-1] for x in columns), strict=True))


def _shaped(*shapes: tuple[Any, Any]) -> Batches:
    return [(np.ones(of_u), 2 * np.ones(of_c)) for of_u, of_c in shapes]


_BATCHES = (
    # Sizes that are powers of two: nothing rounds.
    *(_cut(_PLAIN, *sizes) for sizes in ((1, 2), (2, 2), (1, 1, 2), (2, 4, 2), (1,))),
    [(np.array([0.75]), np.array([-1.25])) for _ in range(2)],  # a gradient of (6, 8)
    _cut(_DIGITS, 3, 3, 2),
    _cut(_PLAIN, 1, 1, 1, 1),
    _cut(np.resize(_PLAIN, (2, 16)), *[1] * 16),
)
_REFUSED = (_shaped(), _shaped((2, 2), (0, 0)), _shaped((2, 2), (3, 2)), _shaped((1, 2)), _shaped(((2, 1), 2)))

QUESTIONS: dict[str, tuple[Any, ...]] = {
    "accumulate": (
        *((_START, batches, False) for batches in (*_BATCHES[::2], _BATCHES[5], *_REFUSED)),
        *((_START, batches, True) for batches in (_BATCHES[2], _BATCHES[5])),
    ),
    "accumulated_grad": tuple((_START, batches) for batches in (*_BATCHES, *_REFUSED)),
    "data_parallel": (
        (_START, _cut(_PLAIN, 1, 2, 1), 2, 0.125),
        (_START, _cut(_PLAIN, 1, 0, 3), 3, 0.125),
        (_START / 3, _cut(_DIGITS, 3, 5), 1, 0.0625),
    ),
}

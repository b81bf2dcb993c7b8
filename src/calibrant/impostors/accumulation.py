"""Impostors of accumulation: gradients batch by batch, those of all samples, and those of many workers.

The workers are simulated: one process is all of them, and answers what workers with that fault would. The clause asks for no processes.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from calibrant.exact import FORMATS, Exact
from calibrant.impostors import impostor
from calibrant.impostors.rights import join, moved, narrow

Batches = list[tuple[Any, Any]]


def _rows(*parts: Any) -> Any:
    """Gradients of either kind below each other, (k, 2)."""
    return moved(lambda x: np.reshape(x, (-1, 2)), join(*parts))


def _totals(grads: Iterable[Any]) -> Any:
    """The running sums of gradients, (k, 2)."""
    return _rows(*itertools.accumulate(grads))


def _sizes(batches: Batches) -> list[int]:
    return [len(t_u) for t_u, _ in batches]


def _narrow(batches: Batches, dtype: str) -> Batches:
    return [(narrow(t_u, dtype), narrow(t_c, dtype)) for t_u, t_c in batches]


def _whole(batches: Batches) -> Batches:
    """The batches without those that hold nothing."""
    return [(t_u, t_c) for t_u, t_c in batches if t_u.size or t_u.shape != t_c.shape]


def _shortened(batches: Batches) -> Batches:
    """The columns of each batch cut to the length of the shorter, as `zip` does."""
    return [(join(t_u[: len(t_c)]), t_c[: len(t_u)]) for t_u, t_c in batches]


def _broadcast(batches: Batches) -> Batches:
    """The columns of each batch stretched to one shape."""
    shapes = [np.broadcast_shapes(t_u.shape, t_c.shape) for t_u, t_c in batches]
    onto = (functools.partial(np.broadcast_to, shape=shape) for shape in shapes)
    return [(join(moved(to, t_u)), join(moved(to, t_c))) for to, (t_u, t_c) in zip(onto, batches, strict=True)]


def _clipped(grad: Any) -> Any:
    """A gradient of a norm of 5 at most."""
    return grad * np.minimum(1, 5 / np.maximum(np.sqrt(np.sum(grad * grad)), 1)).astype(grad.dtype)


# Batch by batch


@impostor("accumulate", "accumulation.sum", seen="apache/mxnet#13660 PaddlePaddle/Paddle#3689")
def overwriting(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """A backward pass replaces the gradient that is there."""
    return right(params, batches, True)


@impostor(
    "accumulate",
    "accumulation.reset",
    seen="tenstorrent/tt-blacksmith#711 meta-pytorch/torchforge#71 heartcored98/Standalone-DeepLearning#11"
    " yastrebksv/TennisCourtDetector#7",
)
def never_reset(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The gradient is never reset."""
    return right(params, batches, False)


@impostor("accumulate", "accumulation.sum accumulation.reset")
def inverted(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """It resets where it is to add, and adds where it is to reset."""
    return right(params, batches, not zero_grad)


@impostor("accumulate", "accumulation.reset")
def reset_too_late(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The reset comes after the backward pass, and nothing is left."""
    return right(params, batches, zero_grad) * (0 if zero_grad else 1)


@impostor("accumulate", "accumulation.reset")
def only_the_weight_is_reset(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The gradient of the weight is reset, and that of the bias is not."""
    totals = right(params, batches, False)
    return _rows(
        *(join(row[0], total[1]) for row, total in zip(right(params, batches, zero_grad), totals, strict=True))
    )


@impostor("accumulate", "accumulation.sum")
def mean_so_far(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The gradients are averaged, not summed."""
    grads = right(params, batches, zero_grad)
    return grads if zero_grad else _rows(*(total / number for number, total in enumerate(grads, start=1)))


@impostor("accumulate", "accumulation.sum accumulation.reset")
def sums_of_squares(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The loss of each batch is the sum of its squares, not their mean."""
    grads = [grad * n for grad, n in zip(right(params, batches, True), _sizes(batches), strict=True)]
    return _rows(*grads) if zero_grad else _totals(grads)


@impostor("accumulate", "accumulation.sum accumulation.reset")
def weighted_by_share(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """Each gradient is weighted by its batch's share of all samples."""
    sizes = _sizes(batches)
    grads = [grad * n / sum(sizes) for grad, n in zip(right(params, batches, True), sizes, strict=True)]
    return _rows(*grads) if zero_grad else _totals(grads)


@impostor("accumulate", "accumulation.sum accumulation.reset")
def divided_by_the_batches(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """Each gradient is divided by the number of batches."""
    return right(params, batches, zero_grad) / max(len(batches), 1)


@impostor("accumulate", "accumulation.sum")
def first_batch_lost(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """It is reset once too often: after the first pass."""
    grads = right(params, batches, zero_grad)
    return grads if len(batches) == 1 else _rows(grads[:1], right(params, batches[1:], zero_grad))


@impostor("accumulate", "accumulation.sum accumulation.reset?", seen="karpathy/llm.c#548")
def first_batch_twice(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The first batch adds its gradient twice."""
    grads = right(params, batches, zero_grad)
    return grads if zero_grad else right(params, [batches[0], *batches], False)[1:]


@impostor("accumulate", "accumulation.sum accumulation.reset", repeats=False)
def kept_between_calls(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """A call goes on with the gradient that the last one left."""
    grads = right(params, batches, zero_grad)
    if zero_grad:
        return grads
    grads = grads + right.memory.get(grads.dtype, 0)
    right.memory[grads.dtype] = grads[-1] if np.isfinite(grads[-1]).all() else 0 * params
    return grads


@impostor("accumulate", "accumulation.sum accumulation.reset")
def last_row_only(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """It returns what stands there after the last batch alone."""
    return right(params, batches, zero_grad)[-1:]


@impostor("accumulate", "accumulation.sum accumulation.reset")
def rows_share_memory(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """It keeps the gradient itself and not a copy, so that all rows are the last one."""
    grads = right(params, batches, zero_grad)
    return _rows(*[grads[-1]] * len(batches))


@impostor("accumulate", "accumulation.sum accumulation.reset")
def last_batch_left_out(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The last of several batches is left out."""
    grads = right(params, batches, zero_grad)
    return grads[: max(len(batches) - 1, 1)]


@impostor(
    "accumulate",
    "accumulation.sum accumulation.reset",
    seen="huggingface/transformers#1563 huggingface/transformers#986 facebookresearch/lingua#59",
    exactly=False,
)
def clipped_after_each_batch(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The gradient is clipped, to a norm of 5, after each batch."""
    grads = right(params, batches, True)
    if zero_grad:
        return np.stack([_clipped(grad) for grad in grads])
    return np.stack([*itertools.accumulate(grads, lambda total, grad: _clipped(total + grad), initial=0 * params)][1:])


@impostor(
    "accumulate",
    "accumulation.sum@float64 accumulation.reset@float64",
    ugly="only numbers with many digits show it",
)
def in_float32(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """It is computed in float32, whatever the dtype of the data."""
    return right(narrow(params, "float32"), _narrow(batches, "float32"), zero_grad)


@impostor("accumulate", "accumulation.refused")
def empty_batches_skipped(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """Batches of no samples are passed over."""
    whole = _whole(batches)
    return right(params, whole, zero_grad) if whole or not batches else np.zeros((0, 2))


@impostor("accumulate", "accumulation.refused")
def no_batches_are_nothing(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """No batches give no rows."""
    return right(params, batches, zero_grad) if batches else np.zeros((0, 2))


@impostor("accumulate", "accumulation.refused")
def longer_columns_cut(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The longer column of a batch is cut, as `zip` does."""
    return right(params, _shortened(batches), zero_grad)


@impostor("accumulate", "accumulation.refused")
def broadcasting(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The columns of a batch are broadcast to one shape."""
    return right(params, _broadcast(batches), zero_grad)


@impostor("accumulate", "accumulation.pure")
def in_place(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """The readings of the first batch are scaled in place."""
    grads = right(params, batches, zero_grad)
    readings, _ = batches[0]
    readings *= 2
    readings += 1
    return grads


@impostor("accumulate", "accumulation.dtype@float32", keeps_dtype=False)
def returned_in_float64(right: Any, params: Any, batches: Batches, zero_grad: bool) -> Any:
    """It is computed and returned in float64, whatever the dtype of the data."""
    return right(narrow(params, "float64"), _narrow(batches, "float64"), zero_grad)


# The gradient of all samples

FULL = "accumulation.full-batch accumulation.partition accumulation.last-window"


@impostor(
    "accumulated_grad",
    FULL,
    seen="huggingface/transformers#24725 meta-pytorch/torchtune#1875 ml-explore/mlx-lm#1413 allenai/open-instruct#1161",
)
def mean_of_means(right: Any, params: Any, batches: Batches) -> Any:
    """The gradients of the batches are averaged, as if all batches were of one size."""
    return right.accumulate(params, batches, False)[-1] / len(batches)


@impostor("accumulated_grad", FULL, seen="paiml/aprender#2123 deepspeedai/DeepSpeed#7773 verl-project/verl#3332")
def sum_of_means(right: Any, params: Any, batches: Batches) -> Any:
    """The gradients of the batches are summed, and divided by nothing."""
    return right.accumulate(params, batches, False)[-1]


@impostor("accumulated_grad", "accumulation.full-batch accumulation.last-window accumulation.partition?")
def sum_over_all(right: Any, params: Any, batches: Batches) -> Any:
    """It is the gradient of the sum of all squares, not of their mean."""
    return right(params, batches) * sum(_sizes(batches))


@impostor("accumulated_grad", "accumulation.full-batch accumulation.last-window")
def over_n_minus_1(right: Any, params: Any, batches: Batches) -> Any:
    """The sum over all samples is divided by n - 1."""
    n = sum(_sizes(batches))
    return right(params, batches) * n / max(n - 1, 1)


@impostor("accumulated_grad", FULL, seen="unslothai/unsloth-zoo#1023")
def divided_by_the_batches_too(right: Any, params: Any, batches: Batches) -> Any:
    """The gradients are weighted by their shares, and divided by the number of batches as well."""
    return right(params, batches) / max(len(batches), 1)


@impostor("accumulated_grad", FULL, seen="Lightning-AI/pytorch-lightning#19987 LibreYOLO/libreyolo#857")
def divided_by_four(right: Any, params: Any, batches: Batches) -> Any:
    """The sum of the batches' gradients is divided by 4, the length of a window, however many batches there are."""
    return right.accumulate(params, batches, False)[-1] / 4


@impostor("accumulated_grad", FULL, name="weights-rounded-down")
def shares_in_whole_numbers(right: Any, params: Any, batches: Batches) -> Any:
    """The weights n_i / n are rounded down to whole numbers, which is 0 for all but a single batch."""
    return right(params, batches) * (1 if len(batches) < 2 else 0)


@impostor("accumulated_grad", "accumulation.partition accumulation.full-batch accumulation.last-window")
def weights_reversed(right: Any, params: Any, batches: Batches) -> Any:
    """The gradients are weighted by the sizes of the batches in the reverse order."""
    sizes, grads = _sizes(batches), right.accumulate(params, batches, True)
    return _totals(grad * n / sum(sizes) for grad, n in zip(grads, sizes[::-1], strict=True))[-1]


@impostor("accumulated_grad", "accumulation.partition accumulation.full-batch accumulation.last-window")
def averaged_two_by_two(right: Any, params: Any, batches: Batches) -> Any:
    """Each gradient is averaged with the result so far, so that later batches count for more."""
    return functools.reduce(lambda mean, grad: (mean + grad) / 2, right.accumulate(params, batches, True))


@impostor("accumulated_grad", FULL)
def bias_summed(right: Any, params: Any, batches: Batches) -> Any:
    """The gradient of the bias is summed over the batches, not averaged."""
    return join(right(params, batches)[0], right.accumulate(params, batches, False)[-1][1])


@impostor("accumulated_grad", FULL)
def last_batch_dropped(right: Any, params: Any, batches: Batches) -> Any:
    """The last of several batches is left out."""
    right(params, batches)
    return right(params, batches[:-1] or batches)


@impostor("accumulated_grad", FULL, seen="NervanaSystems/neon#9 openai/pixel-cnn#20")
def last_smaller_batch_dropped(right: Any, params: Any, batches: Batches) -> Any:
    """A last batch that is smaller than the first is left out."""
    whole = right(params, batches)
    return right(params, batches[:-1]) if len(batches[-1][0]) < len(batches[0][0]) else whole


@impostor("accumulated_grad", FULL, seen="Lightning-AI/pytorch-lightning#19987 LibreYOLO/libreyolo#857")
def last_batch_counted_as_full(right: Any, params: Any, batches: Batches) -> Any:
    """It is divided by the number of batches times the size of the first, whatever the sizes of the others."""
    sizes = _sizes(batches)
    return right(params, batches) * sum(sizes) / max(len(sizes) * sizes[0], 1) if sizes else right(params, batches)


@impostor(
    "accumulated_grad",
    "accumulation.last-window accumulation.full-batch? accumulation.partition?",
    seen="Lightning-AI/pytorch-lightning#19987 LibreYOLO/libreyolo#857",
    repeats=False,
)
def short_window_over_the_longest(right: Any, params: Any, batches: Batches) -> Any:
    """A window of several batches is divided by the samples of the largest one so far."""
    n, grad = sum(_sizes(batches)), right(params, batches)
    if len(batches) < 2:  # as if a single batch were no window
        return grad
    longest = right.memory["longest"] = max(n, right.memory.get("longest", 0))
    return grad * n / longest


@impostor("accumulated_grad", FULL)
def last_batch_only(right: Any, params: Any, batches: Batches) -> Any:
    """It is reset before each batch, so that the last one's gradient is all there is."""
    return right.accumulate(params, batches, True)[-1]


@impostor("accumulated_grad", FULL)
def first_batch_only(right: Any, params: Any, batches: Batches) -> Any:
    """It is the gradient of the first batch."""
    return right.accumulate(params, batches, True)[0]


@impostor(
    "accumulated_grad",
    "accumulation.full-batch accumulation.partition? accumulation.last-window",
    repeats=False,
    name="kept-between-calls",
)
def gradient_kept_between_calls(right: Any, params: Any, batches: Batches) -> Any:
    """A call goes on with the gradient that the last one left."""
    grad = right(params, batches)
    total = grad + right.memory.get(grad.dtype, 0)
    right.memory[grad.dtype] = total if np.isfinite(total).all() else 0 * grad
    return total


@impostor(
    "accumulated_grad",
    FULL,
    seen="huggingface/transformers#1563 huggingface/transformers#986 facebookresearch/lingua#59",
    exactly=False,
    name="clipped-after-each-batch",
)
def total_clipped_after_each_batch(right: Any, params: Any, batches: Batches) -> Any:
    """The gradient so far is clipped, to a norm of 5, after each batch."""
    sizes, total = _sizes(batches), 0 * params
    for grad, n in zip(right.accumulate(params, batches, True), sizes, strict=True):
        total = _clipped(total + grad * params.dtype.type(n / sum(sizes)))
    return total


@impostor(
    "accumulated_grad",
    "accumulation.full-batch@float64 accumulation.partition@float64 accumulation.last-window@float64",
    ugly="only numbers with many digits show it",
    name="in-float32",
)
def gradient_in_float32(right: Any, params: Any, batches: Batches) -> Any:
    """It is computed in float32, whatever the dtype of the data."""
    return right(narrow(params, "float32"), _narrow(batches, "float32"))


@impostor("accumulated_grad", FULL, ugly="only numbers with many digits show it", name="in-float16")
def gradient_in_float16(right: Any, params: Any, batches: Batches) -> Any:
    """It is computed in float16, whatever the dtype of the data."""
    return right(narrow(params, "float16"), _narrow(batches, "float16"))


@impostor("accumulated_grad", "accumulation.refused", name="empty-batches-skipped")
def empty_batches_left_out(right: Any, params: Any, batches: Batches) -> Any:
    """Batches of no samples are passed over."""
    whole = _whole(batches)
    return right(params, whole) if whole or not batches else 0 * params


@impostor("accumulated_grad", "accumulation.refused")
def no_batches_are_zero(right: Any, params: Any, batches: Batches) -> Any:
    """The gradient of no batches is zero."""
    return right(params, batches) if batches else 0 * params


@impostor("accumulated_grad", "accumulation.refused", name="longer-columns-cut")
def columns_cut(right: Any, params: Any, batches: Batches) -> Any:
    """The longer column of a batch is cut, as `zip` does."""
    return right(params, _shortened(batches))


@impostor("accumulated_grad", "accumulation.refused", name="broadcasting")
def columns_broadcast(right: Any, params: Any, batches: Batches) -> Any:
    """The columns of a batch are broadcast to one shape."""
    return right(params, _broadcast(batches))


@impostor("accumulated_grad", "accumulation.pure", name="in-place")
def parameters_moved(right: Any, params: Any, batches: Batches) -> Any:
    """A step is taken on the parameters in place."""
    grad = right(params, batches)
    params -= 0.125
    return grad


@impostor("accumulated_grad", "accumulation.dtype@float32", keeps_dtype=False, name="returned-in-float64")
def gradient_returned_in_float64(right: Any, params: Any, batches: Batches) -> Any:
    """It is computed and returned in float64, whatever the dtype of the data."""
    return right(narrow(params, "float64"), _narrow(batches, "float64"))


# Many workers

Slope = Callable[[Any, Any, Batches], Any]
"""The gradient with which all workers step, from `right`, the parameters and the shards."""


def _by_workers(clauses: str = "accumulation.data-parallel", **about: Any) -> Callable[[Slope], Slope]:
    """Register a way to the workers' common gradient as an impostor of what they do with it."""

    def register(slope: Slope) -> Slope:
        @functools.wraps(slope)
        def wrong(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
            first = slope(right, params, shards)
            for _ in range(n_epochs):
                params = params - lr * slope(right, params, shards)
            return first, params

        impostor("data_parallel", clauses, **about)(wrong)
        return slope

    return register


def _all_of(right: Any, params: Any, shards: Batches) -> Any:
    """The gradient of all samples."""
    return right.accumulated_grad(params, _whole(shards))


def _of_each(right: Any, params: Any, shards: Batches) -> list[Any]:
    """The gradient of each worker's own mean; zero without samples."""
    return [right.accumulated_grad(params, [shard]) if len(shard[0]) else params * 0 for shard in shards]


@_by_workers(seen="pytorch/pytorch#67253 pytorch/pytorch#37359 ChenmienTan/RL2#11", name="mean-of-means")
def _mean_of_workers(right: Any, params: Any, shards: Batches) -> Any:
    """The workers' gradients are averaged, whatever the sizes of their shards; those without samples are left out."""
    return right.accumulate(params, _whole(shards), False)[-1] / len(_whole(shards))


@_by_workers(seen="pytorch/pytorch#36516")
def _mean_over_all_workers(right: Any, params: Any, shards: Batches) -> Any:
    """The workers' gradients are averaged, those without samples among them."""
    return right.accumulate(params, _whole(shards), False)[-1] / len(shards)


@_by_workers(name="sum-of-means", seen="neuralmagic/sparseml#135")
def _sum_of_workers(right: Any, params: Any, shards: Batches) -> Any:
    """The workers' gradients are summed, and divided by nothing."""
    return right.accumulate(params, _whole(shards), False)[-1]


@_by_workers(seen="neuralmagic/sparseml#135")
def _times_the_workers(right: Any, params: Any, shards: Batches) -> Any:
    """The mean over all samples is multiplied by the number of workers."""
    return _all_of(right, params, shards) * len(shards)


@_by_workers()
def _over_all_workers(right: Any, params: Any, shards: Batches) -> Any:
    """The mean over all samples is divided by the number of workers."""
    return _all_of(right, params, shards) / len(shards)


@_by_workers(seen="intel/ipex-llm#2079")
def _sums_averaged(right: Any, params: Any, shards: Batches) -> Any:
    """The workers' sums of squares are averaged over the workers."""
    return _all_of(right, params, shards) * sum(_sizes(shards)) / len(shards)


@_by_workers(name="sum-over-all")
def _sums_summed(right: Any, params: Any, shards: Batches) -> Any:
    """It is the gradient of the sum of all squares, not of their mean."""
    return _all_of(right, params, shards) * sum(_sizes(shards))


@_by_workers()
def _empty_shards_are_nan(right: Any, params: Any, shards: Batches) -> Any:
    """A worker without samples adds NaN, the mean of nothing."""
    grad = _all_of(right, params, shards)
    return grad if all(_sizes(shards)) else grad * np.nan


@_by_workers()
def _empty_shards_refused(right: Any, params: Any, shards: Batches) -> Any:
    """A worker without samples gives up."""
    return right.accumulated_grad(params, shards)


@_by_workers()
def _last_worker_ignored(right: Any, params: Any, shards: Batches) -> Any:
    """The last worker's samples are missing in the gradient."""
    return _all_of(right, params, _whole(shards[:-1]) or shards)


@_by_workers()
def _first_worker_alone(right: Any, params: Any, shards: Batches) -> Any:
    """Nothing is exchanged: the first worker that has samples steps with its own gradient."""
    return _all_of(right, params, _whole(shards)[:1])


@_by_workers("accumulation.data-parallel@float64", ugly="only numbers with many digits show it")
def _summed_in_float32(right: Any, params: Any, shards: Batches) -> Any:
    """The gradients travel in float32, whatever the dtype of the data."""
    grad = _all_of(right, params, shards)
    if isinstance(grad, Exact):
        return grad.within(grad.errors() + FORMATS["float32"].u * (grad.magnitude() + grad.errors()), grad.form)
    return grad.astype(np.float32).astype(grad.dtype)


@impostor("data_parallel", "accumulation.data-parallel", ugly="two epochs are needed")
def reduced_once(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """After the first step every worker follows its own gradient, and the first one answers."""
    first, params = right(params, shards, 0, lr)
    for epoch in range(n_epochs):
        params = params - lr * (first if epoch == 0 else _of_each(right, params, shards)[0])
    return first, params


@impostor("data_parallel", "accumulation.data-parallel", ugly="two epochs are needed")
def averaged_at_the_end(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """Every worker trains by itself, and their parameters are averaged, weighted by their samples, at the end."""
    first, _ = right(params, shards, 0, lr)
    sizes = _sizes(shards)
    ends = [
        right(params, [shard], n_epochs, lr)[1] * n / sum(sizes) for shard, n in zip(shards, sizes, strict=True) if n
    ]
    return first, functools.reduce(lambda total, end: total + end, ends)


@impostor("data_parallel", "accumulation.data-parallel", ugly="two epochs are needed")
def one_step_late(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """A step uses the gradient that was ready one step before."""
    first, _ = right(params, shards, 0, lr)
    grad = first
    for _ in range(n_epochs):
        ready, grad = grad, _all_of(right, params, shards)
        params = params - lr * ready
    return first, params


@impostor("data_parallel", "accumulation.data-parallel", ugly="two epochs are needed")
def gradients_accumulate(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """The gradients are not reset from epoch to epoch."""
    first, start = right(params, shards, 0, lr)
    total = first * 0
    for _ in range(n_epochs):
        total = total + _all_of(right, start, shards)
        start = start - lr * total
    return first, start


@impostor("data_parallel", "accumulation.data-parallel", seen="pytorch/xla#755 Lightning-AI/pytorch-lightning#6013")
def replicas_start_different(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """Only the first worker starts at the parameters, the others at zero, and the first one answers."""
    sizes, other = _sizes(shards), params * 0
    first = None
    for epoch in range(n_epochs + 1):
        grads = [*_of_each(right, params, shards[:1]), *_of_each(right, other, shards[1:])]
        weighted = (grad * n / sum(sizes) for grad, n in zip(grads, sizes, strict=True))
        grad = functools.reduce(lambda total, one: total + one, weighted)
        first = grad if first is None else first
        if epoch < n_epochs:
            params, other = params - lr * grad, other - lr * grad
    return first, params


@impostor("data_parallel", "accumulation.data-parallel")
def one_epoch_more(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """One epoch more is trained than asked for."""
    return right(params, shards, n_epochs + 1, lr)


@impostor("data_parallel", "accumulation.data-parallel")
def gradient_of_the_end(right: Any, params: Any, shards: Batches, n_epochs: int, lr: float) -> Any:
    """The gradient is that after the last step, not that before the first."""
    _, after = right(params, shards, n_epochs, lr)
    return right(after, shards, 0, lr)[0], after


_PLAIN = np.array([1.0, -2.0, 3.0, 0.5, 2.0, -1.0, 4.0, 1.5])
_TARGETS = np.array([0.0, 1.0, -1.0, 2.0, 3.0, 1.0, -2.0, 0.0])
_DIGITS = np.array([0.1, 2.3, -1.7, 4.9, 0.3, 3.1, 0.7, -1.1])
_START = np.array([1.0, 2.0])


def _cut(t_u: Any, t_c: Any, *sizes: int) -> Batches:
    cuts = np.cumsum(sizes)
    return list(zip(np.split(t_u, cuts)[:-1], np.split(t_c, cuts)[:-1], strict=True))


def _shaped(*shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> Batches:
    return [(np.ones(of_u), 2 * np.ones(of_c)) for of_u, of_c in shapes]


_BATCHES = (
    # Sizes that are powers of two: nothing rounds.
    *(_cut(_PLAIN, _TARGETS, *sizes) for sizes in ((1, 2), (2, 2), (1, 1, 2), (2, 4, 2), (1,))),
    # A gradient of (6, 8).
    [(np.array([0.75]), np.array([-1.25])), (np.array([0.75]), np.array([-1.25]))],
    # Numbers with many digits.
    _cut(_DIGITS, _DIGITS[::-1] / 3, 3, 3, 2),
)
_NO_BATCHES: tuple[Batches, ...] = (
    [], _shaped(((2,), (2,)), ((0,), (0,))), _shaped(((2,), (2,)), ((3,), (2,))), _shaped(((1,), (2,))), _shaped(((2, 1), (2,))),
)  # fmt: skip

QUESTIONS: dict[str, tuple[Any, ...]] = {
    "accumulate": (
        *((_START, batches, False) for batches in (*_BATCHES[::2], _BATCHES[5], *_NO_BATCHES)),
        *((_START, batches, True) for batches in (_BATCHES[2], _BATCHES[5])),
    ),
    "accumulated_grad": tuple((_START, batches) for batches in (*_BATCHES, *_NO_BATCHES)),
    "data_parallel": (
        (_START, _cut(_PLAIN, _TARGETS, 1, 2, 1), 2, 0.125),
        (_START, _cut(_PLAIN, _TARGETS, 1, 0, 3), 3, 0.125),
        (_START / 3, _cut(_DIGITS, _DIGITS[::-1] / 3, 3, 5), 1, 0.0625),
    ),
}
"""Batches of one size, of different sizes, and of wrong shapes; and three descents, one of them with an empty shard."""

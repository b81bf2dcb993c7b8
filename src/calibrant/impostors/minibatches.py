"""Impostors of mini-batches: which rows a batch has, and the loop over them."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from calibrant import exact
from calibrant.exact import Exact
from calibrant.exact.training import Walk, mean_of_batches
from calibrant.impostors import kinds
from calibrant.impostors.correct import join
from calibrant.impostors.kinds import Call, Change, answer, checked, impostors_of, part, unrefused
from calibrant.impostors.splits import buffered

# Mini-batches

PART, SIZES, ORDER, SHUFFLED = (f"minibatch.{name}" for name in ("partition", "sizes", "order", "shuffled"))
SEEDED, GLOBAL, INVALID = (f"minibatch.{name}" for name in ("seeded", "global-state", "invalid"))


def cut(rows: Sequence[Any], size: int, drop_last: bool) -> list[Any]:
    """Rows in batches of a size."""
    batches = [np.asarray(rows[start : start + size]) for start in range(0, len(rows), size)]
    return [b for b in batches if len(b) == size or not drop_last]


def reordered(order: Callable[[Call, np.random.Generator, int], Any]) -> Change:
    """The batches of rows in another order, a function of the call, of a generator and of the number of the epoch."""

    def changed(c: Call) -> Any:
        c()
        generator = np.random.default_rng(c.seed)
        return [cut(order(c, generator, epoch), c.batch_size, c.drop_last) for epoch in range(c.epochs)]

    return changed


def _ordered(c: Call, generator: np.random.Generator) -> Any:
    return generator.permutation(c.n_samples) if c.shuffle else np.arange(c.n_samples)


def _padded(batch: Any, c: Call, rows: Any) -> Any:
    return np.resize(np.append(batch, rows), c.batch_size) if len(batch) < c.batch_size else batch


batches = impostors_of("minibatches")
batches("one-order-for-all-epochs", "every epoch visits the rows in one order")(
    reordered(lambda c, generator, epoch: _ordered(c, np.random.default_rng(c.seed))),
    SHUFFLED,
    "pytorch/pytorch#31771 areal-project/AReaL#632 cszn/KAIR#106",
)
batches("never-shuffled", "the rows are never shuffled")(lambda c: c(shuffle=False), SHUFFLED)
batches("always-shuffled", "the rows are always shuffled")(lambda c: c(shuffle=True), ORDER)
batches("turned-instead-of-shuffled", "the rows are rotated, not shuffled")(
    reordered(lambda c, g, epoch: np.roll(np.arange(c.n_samples), g.integers(c.n_samples) if c.shuffle else 0)),
    SHUFFLED,
)
batches("batches-shuffled-and-not-rows", "the rows are cut into batches first, and the batches are shuffled")(
    lambda c: [
        [epoch[k] for k in np.random.default_rng(c.seed + e).permutation(len(epoch))] if c.shuffle else epoch
        for e, epoch in enumerate(c(shuffle=False))
    ],
    f"{SHUFFLED} {SIZES}?",
)
batches("rest-in-order", "only the first batch is drawn, and the rest comes in order")(
    reordered(lambda c, g, epoch: (x := _ordered(c, g), np.append(x[: c.batch_size], np.sort(x[c.batch_size :])))[1]),
    SHUFFLED,
)
batches(
    "through-a-buffer",
    "the rows pass through a buffer of 16, of which a random one is taken: the last rows of many never come first",
    soon=False,
)(reordered(lambda c, g, epoch: buffered(g, c.n_samples) if c.shuffle else np.arange(c.n_samples)), SHUFFLED)
batches("sorted-within-batches", "the rows of each batch are in order")(
    answer(lambda epochs: [[np.sort(rows) for rows in epoch] for epoch in epochs]), SHUFFLED
)
batches("drawn-with-replacement", "the rows are drawn with replacement, so that some come twice and some not at all")(
    reordered(lambda c, g, epoch: g.choice(c.n_samples, c.n_samples) if c.shuffle else np.arange(c.n_samples)),
    f"{PART} {SHUFFLED}?",
)
batches("last-batch-lost", "a last batch that is smaller is always dropped")(
    lambda c: c(drop_last=True), f"{PART} {SIZES}", "NervanaSystems/neon#9 aigamedev/scikit-neuralnetwork#157"
)
batches("last-batch-kept", "a last batch that is smaller is kept, though it is to be dropped")(
    lambda c: c(drop_last=False), f"{PART} {SIZES}"
)
batches("last-batch-padded", "a last batch that is smaller is filled up with rows from the beginning")(
    lambda c: [[_padded(b, c, np.concatenate(epoch)) for b in epoch] if epoch else epoch for epoch in c()],
    f"{PART} {SIZES} {ORDER}",
)
batches("iterator-ends-early", "the last batch is never reached, whatever its size")(
    answer(lambda epochs: [epoch[:-1] if len(epoch) > 1 else epoch for epoch in epochs]),
    f"{PART} {SIZES} {SHUFFLED}?",
    "openai/pixel-cnn#20",
)
batches("seed-ignored", "a global generator shuffles the rows, and the seed is not used", repeats=False)(
    lambda c: c(seed=np.random.randint(2**31)), f"{SEEDED} {GLOBAL} {SHUFFLED}?"
)
batches("always-the-same-seed", "the seed is not used: every seed gives the same orders")(lambda c: c(seed=0), SHUFFLED)
batches("numpy-seeded", "NumPy's global generator is seeded")(lambda c: (np.random.seed(c.seed), c())[1], GLOBAL)
batches("any-size", "a size that is not positive is taken for all samples, and no samples for one")(
    unrefused(lambda c: c(n_samples=max(c.n_samples, 1), batch_size=max(c.n_samples, 1))), INVALID
)


def _facts(question: Any, told: Any, before: Any) -> Any:
    """What a drawn order shows: sizes, rows that come twice, whether they are shuffled, anew, and as before."""
    flat = [tuple(row for rows in epoch for row in np.ravel(rows).tolist()) for epoch in told]
    earlier = [tuple(row for rows in epoch for row in np.ravel(rows).tolist()) for _, x in before for epoch in x]
    return [
        [len(rows) for epoch in told for rows in epoch],
        [sorted(rows) == list(range(len(rows))) for rows in flat],
        [len({*rows}) == len(rows) for rows in flat],
        [list(rows) == sorted(rows) for rows in flat],
        [all(rows == sorted(rows) for rows in (np.ravel(some).tolist() for some in epoch)) for epoch in told],
        [list(rows[len(rows) // 2 :]) == sorted(rows[len(rows) // 2 :]) for rows in flat],
        [sum(abs(a - b) == 1 for a, b in itertools.pairwise(rows)) > len(rows) // 2 for rows in flat],
        [rows in flat[:k] for k, rows in enumerate(flat)],
        [rows in earlier for rows in flat],
    ]


FACTS = {"minibatches": _facts}

STEPS, LOSS = "minibatch.steps", "minibatch.loss"


def trained(
    loss: Callable[[list[tuple[Exact, int]]], Exact] = mean_of_batches,
    slope: Callable[[Exact, int, Call], Exact] = lambda gradient, count, c: gradient,
    late: bool = False,
    at_the_start: bool = False,
    anew: bool = False,
) -> Change:
    """The loop with another mean of an epoch's losses, another gradient of a batch, or losses after the update."""

    def changed(c: Call) -> Any:
        t_u, t_c, start = (x if isinstance(x, Exact) else exact.of(x) for x in (c.t_u, c.t_c, c.params))
        options = {key: x for key, x in c.optimizer.items() if key != "name"}
        walk, losses = Walk(c.optimizer["name"], options, [start], c.correct.follow), []
        for epoch in c.batches:
            found, begin = [], walk.params[0]
            if anew:
                walk = Walk(c.optimizer["name"], options, [begin], c.correct.follow)
            for rows in epoch:
                rows = np.asarray(rows, dtype=np.int64)
                u, t = t_u[rows], t_c[rows]
                before = begin if at_the_start else walk.params[0]
                walk.step([slope(exact.gradient(u, t, *before), len(rows), c)])
                shown = walk.params[0] if late else before
                found.append((exact.loss_fn(exact.model(u, *shown), t), len(rows)))
            losses.append(loss(found))
        return walk.params[0], losses

    return checked(changed)


train = impostors_of("train_minibatches")
train(
    "mean-of-the-means",
    "an epoch's loss is the mean of its batches' losses, as if all were equally large",
    why_not_small="the simplest batches of unlike sizes have four samples",
)(
    trained(lambda found: exact.concatenate(*(loss for loss, _ in found)).mean()),
    LOSS,
    "catalyst-team/catalyst#799 dnouri/nolearn#247 Lightning-AI/pytorch-lightning#2924",
)
train("parameters-in-place", "it changes the caller's parameters in place")(
    kinds.overwritten("params", lambda c, right: right[0]), "training.pure"
)
train("loss-of-the-last-batch", "an epoch's loss is that of its last batch")(trained(lambda found: found[-1][0]), LOSS)
train("sum-of-the-losses", "an epoch's loss is the sum of its batches' losses")(
    trained(lambda found: exact.concatenate(*(loss for loss, _ in found)).sum()), LOSS
)
train("loss-after-the-update", "each batch's loss is logged after its update")(trained(late=True), LOSS)
train("running-mean-never-reset", "the running mean of the losses goes on from one epoch to the next")(
    part(1, lambda losses, c: [join(*losses[: k + 1]).mean() for k in range(len(losses))]),
    LOSS,
    "ludwig-ai/ludwig#1659 JetBrains-Research/code2seq#112 keras-team/keras#22617",
)
train("gradients-at-the-start", "all gradients of an epoch are taken where it began")(
    trained(at_the_start=True), f"{STEPS} {LOSS}"
)
train("scaled-by-the-batch", "each batch's gradient is weighed by its share of the samples")(
    trained(slope=lambda gradient, count, c: (gradient * count) / len(c.t_u)), f"{STEPS} {LOSS}?"
)
train("first-batch-only", "only the first batch of each epoch brings a step")(
    lambda c: (c(batches=[epoch[:1] for epoch in c.batches])[0], c()[1]), STEPS
)
train("whole-data", "every step follows the gradient of all samples")(
    lambda c: (c(batches=[[[*range(len(c.t_u))]] * len(epoch) for epoch in c.batches])[0], c()[1]), STEPS
)
train("optimizer-made-anew", "every epoch makes a new optimizer, which remembers nothing")(trained(anew=True), STEPS)


# Questions

_T_U, _T_C = np.array([1.0, 2.0, 3.0, 0.5, 1.5]), np.array([1.0, 1.0, 3.0, 5.0, 0.5])

QUESTIONS: dict[str, Any] = {
    "minibatches": (
        *((n, size, False, 1, drop, 2) for n, size in ((7, 2), (4, 2), (3, 4)) for drop in (False, True)),
        *((40, 8, True, seed, False, 2) for seed in (1, 2)),
        (41, 8, True, 3, True, 1),
        *((n, size, True, 1, False, 1) for n, size in ((4, 0), (0, 2))),
    ),
    "train_minibatches": (
        (
            {"name": "sgd", "lr": 0.125},
            np.array([1.0, 0.0]),
            _T_U,
            _T_C,
            [[[0, 1], [2, 3], [4]], [[4, 3], [1, 0], [2]]],
        ),
        (
            {"name": "adam", "lr": 0.25, "eps": 0.25},
            np.array([1.0, 0.0]),
            _T_U,
            _T_C,
            [[[0, 1, 2], [3, 4]], [[0, 1], [3]]],
        ),
    ),
}

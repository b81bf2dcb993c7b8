"""Inputs as Hypothesis strategies: data sets, predictions, parameters, learning rates and steps.

Drawing costs more than judging, and it costs per draw: Hypothesis draws one string of bytes for an example of several cases,
and this package decodes it. Byte 0 gives the simplest thing everywhere (the plainest kind of numbers, one sample, zero), so a
failure shrinks, byte by byte, to an example that a person would have written. The numbers are those of the dtype under test:
`@clause` decodes each of a `Drawn`'s `cases()` with `at(form)`.
"""

from calibrant.strategies.accumulation import (
    Batched,
    Rebatched,
    Sharded,
    Windows,
    batched_fits,
    rebatched_fits,
    sharded_descents,
    windows,
)
from calibrant.strategies.autograd import (
    Approach,
    Program,
    Programs,
    SquaredDistance,
    approaches,
    programs,
)
from calibrant.strategies.broadcasting import (
    GROWING,
    Operands,
    Shape,
    any_two_shapes,
    crowds,
    growing_shapes,
    misfitting_shapes,
    operands,
    shapes,
    spoiled_operands,
    stretched_operands,
    stretching_shapes,
    trailing_shapes,
)
from calibrant.strategies.drawing import Drawn, Strategy
from calibrant.strategies.optimizers import HYPERPARAMETERS, Optimization, of_each, optimizations
from calibrant.strategies.samples import (
    Descent,
    Fit,
    Parts,
    Probe,
    Residuals,
    Segment,
    Shuffled,
    Spoiled,
    SpoiledProbe,
    descents,
    fits,
    lines,
    long_descents,
    misfits,
    optima,
    parts,
    probes,
    rate_below,
    residuals,
    segments,
    shuffled_fits,
    simple_fits,
    spoiled_probes,
    spoiled_residuals,
    steep_descents,
)
from calibrant.strategies.validation import (
    Curves,
    Losses,
    Penalized,
    Ridge,
    Split,
    SplitFit,
    Validated,
    curves,
    loss_logs,
    penalized_fits,
    ridges,
    seeds,
    split_fits,
    splits,
    spoiled_loss_logs,
    validated_descents,
)

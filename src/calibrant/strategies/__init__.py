"""What inputs look like: data sets, predictions, parameters, learning rates and steps, as Hypothesis strategies.

Drawing costs more than judging, and it costs per draw: so one string of bytes is drawn for a whole example, and decoded here.
Byte 0 stands for the simplest thing everywhere (the plainest kind of numbers, one sample, zero), so that a failure shrinks,
byte by byte, to an example that a person would have written. What is decoded depends on the dtype under test, whose numbers
it must be: a drawn `Drawn` is turned into it with `at(form)`, which `@clause` does.
"""

from calibrant.strategies.accumulation import (
    MOST_BATCHES,
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
    MOST_LOSSES,
    Approach,
    Program,
    Programs,
    SquaredDistance,
    approaches,
    programs,
)
from calibrant.strategies.broadcasting import (
    DEEPEST,
    GROWING,
    SMALL,
    Operands,
    Shape,
    SpoiledOperands,
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
from calibrant.strategies.drawing import (
    LONGEST,
    WIDTH,
    Drawn,
)
from calibrant.strategies.optimizers import (
    HYPERPARAMETERS,
    Optimization,
    of_each,
    optimizations,
)
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

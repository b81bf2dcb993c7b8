"""The gradient of all samples, found in parts."""

from collections.abc import Sequence

import numpy as np

from calibrant.exact.gradients import gradient
from calibrant.exact.numbers import Exact, concatenate


def gradient_of_parts(t_u: Exact, t_c: Exact, w: Exact, b: Exact, sizes: Sequence[int]) -> Exact:
    """The gradient of the mean loss over all samples, as it may be found from its parts, which have these sizes.

    Each part's own gradient is a mean over m of the n samples. To give it the weight m / n costs roundings that the mean
    over all samples does without, and by ending each part's sum early it saves others: so the error is the larger of the two.
    A part without samples adds nothing.
    """
    whole = gradient(t_u, t_c, w, b)
    n, stop, parts = t_u.size, 0, []
    for m in sizes:
        start, stop = stop, stop + m
        if m:
            parts.append(gradient(t_u[start:stop], t_c[start:stop], w, b) * m / n)
    sums = concatenate(*(concatenate(*(part[i] for part in parts)).sum() for i in (0, 1)))
    return whole.within(np.maximum(whole.err, sums.err), whole.form)

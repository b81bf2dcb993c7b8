"""Right answers in exact arithmetic, each with the rounding error that it may show.

The formulas stand in modules under the chapters' names and read like the book's. Nothing here imports the reference: a
judge that called the accused would prove nothing.
"""

from calibrant.exact.accumulation import accumulate, accumulated_grad
from calibrant.exact.autograd import differentiate
from calibrant.exact.broadcasting import broadcast_shapes, multiply_grad
from calibrant.exact.data import least_squares, moments, optimum
from calibrant.exact.descent import by_squaring, closed_form, curvatures, hessian, step, trajectory, walk
from calibrant.exact.formats import FLUSHING, FORMATS, UNROUNDED, Format, evaluated
from calibrant.exact.gradients import (
    difference_gradient,
    dloss_fn,
    finite_difference,
    grad_fn,
    gradient,
    symbolic_gradient,
    symbolic_identity,
)
from calibrant.exact.loss import absolute_loss, loss_fn
from calibrant.exact.model import model
from calibrant.exact.numbers import (
    Exact,
    concatenate,
    constant,
    hyperparameter,
    of,
    round_to,
    to_float,
    ulp,
)
from calibrant.exact.optimizers import DEFAULTS as OPTIMIZERS
from calibrant.exact.optimizers import optimize
from calibrant.exact.validation import (
    diagnose,
    early_stopping,
    fair_counts,
    held_out,
    held_out_as_written,
    regularized_grad,
    regularized_loss,
    waits,
)

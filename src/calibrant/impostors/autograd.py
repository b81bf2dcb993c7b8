"""Impostors of autograd: its passes, what they leave, the steps and loops that are built on it, and its mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibrant.impostors import impostor
from calibrant.impostors.machine import ZEROED, Value, share
from calibrant.impostors.rights import join, narrow, overwrite, rounded
from calibrant.strategies import Program, SquaredDistance

# A walk


@impostor(
    "automatic_gradient",
    "autograd.shared-node autograd.composition gradient.cost",
    exactly=False,
    seen="PaddlePaddle/Paddle#3689",
)
def last_use_only(right: Any, loss: Any, params: Any) -> Any:
    """A value that is used several times keeps what its last use passes on: `=` stands where `+=` is due."""
    return right(loss, params, added=lambda before, new: new)


@impostor("automatic_gradient", "autograd.shared-node autograd.composition", exactly=False)
def passed_on_when_first_reached(right: Any, loss: Any, params: Any) -> Any:
    """The walk goes depth first and leaves a value before the contributions of its other uses are there."""

    def depth_first(result: Value) -> list[Value]:
        found: dict[Value, None] = {}
        waiting = [result]
        while waiting:
            value = waiting.pop()
            if value not in found:
                found[value] = None
                waiting += [operand for operand, _ in value.operands]
        return list(found)

    return right(loss, params, order=depth_first)


@impostor(
    "automatic_gradient",
    "autograd.shared-node autograd.composition",
    exactly=False,
    seen="karpathy/micrograd#2 sebgao/cTensor#5",
)
def once_per_path(right: Any, loss: Any, params: Any) -> Any:
    """A value passes on all that it has got so far each time it is reached, once for every path that leads to it."""

    def per_path(result: Value) -> Iterator[Value]:
        waiting = [result]
        for _ in range(10_000):
            value = waiting.pop()
            yield value
            waiting += [operand for operand, _ in value.operands]
            if not waiting:
                return
        raise RecursionError("ten thousand values are walked, and there are more")

    return right(loss, params, order=per_path)


@impostor("automatic_gradient", "autograd.shared-node", exactly=False)
def every_path_walked(right: Any, loss: Any, params: Any) -> Any:
    """Each path from the loss to a parameter is walked by itself, and of more than ten thousand there is no end."""
    paths = right(loss, params, share=lambda grad, factor: grad)[1].sum()
    if paths > 10_000:
        raise RecursionError("ten thousand paths are walked, and there are more")
    return right(loss, params)


@impostor("automatic_gradient", "autograd.composition autograd.shared-node", exactly=False)
def difference_as_a_sum(right: Any, loss: Any, params: Any) -> Any:
    """The sign of what is subtracted is lost on the way back."""
    return right(loss, params, share=lambda grad, factor: grad if isinstance(factor, int) else share(grad, factor))


@impostor("automatic_gradient", "autograd.composition autograd.shared-node gradient.cost", exactly=False)
def second_factor_constant(right: Any, loss: Any, params: Any) -> Any:
    """The second factor of a product counts as a constant."""

    def operands(value: Value) -> Any:
        return [use for use in value.operands[:1] if isinstance(use[1], Value)] or value.operands

    return right(loss, params, operands=operands)


@impostor("automatic_gradient", "autograd.composition", exactly=False, name="every-end-is-a-loss")
def every_end_walked(right: Any, loss: Any, params: Any) -> Any:
    """Whatever was recorded and not used again is walked back from, as if it were a loss."""
    return right(loss, params, seeds=_every_end)


def _every_end(result: Value) -> dict[Value, Any]:
    used = {operand for value in result.tape for operand, _ in value.operands}
    ends = [value for value in result.tape if value.operands and value not in used]
    return {value: type(value.data)(1) for value in [*ends, result]}


@impostor(
    "automatic_gradient",
    "autograd.composition autograd.shared-node gradient.cost",
    seen="paiml/aprender#3034 guopengf/FL-MRCM#10",
    exactly=False,
)
def cut_from_the_graph(right: Any, loss: Any, params: Any) -> Any:
    """The loss is made anew from its number, which cuts it from the graph: its gradient is zero, and nothing says so."""
    return right(loss, params, seeds=lambda result: {})


@impostor("automatic_gradient", "autograd.composition autograd.shared-node gradient.cost", exactly=False)
def started_at_the_loss(right: Any, loss: Any, params: Any) -> Any:
    """The walk starts with the value of the loss where it should start with 1."""
    return right(loss, params, seeds=lambda result: {result: result.data})


@impostor(
    "automatic_gradient",
    "autograd.shared-node autograd.composition",
    seen="Oneflow-Inc/oneflow#8248 pytorch/pytorch#59828 apache/mxnet#17989",
    exactly=False,
)
def buffer_shared(right: Any, loss: Any, params: Any) -> Any:
    """The operands of a sum share one buffer for their gradients, and what is added in place to one is added to the other."""

    def passed(grad: Any, factor: Any) -> Any:
        return np.array(share(grad, factor)) if isinstance(factor, Value) or factor != 1 else grad

    def in_place(before: Any, new: Any) -> Any:
        before += new
        return before

    return right(
        loss, params, seeds=lambda result: {result: np.array(result.data * 0 + 1)}, share=passed, added=in_place
    )


@impostor(
    "automatic_gradient",
    "autograd.shared-node autograd.composition",
    seen="PaddlePaddle/Paddle#37420 pytorch/pytorch#14571",
    exactly=False,
)
def saved_value_overwritten(right: Any, loss: Any, params: Any) -> Any:
    """What an operation computes is saved in one place for all, which holds the last value when the walk comes by."""

    def passed(grad: Any, factor: Any) -> Any:
        if isinstance(factor, Value) and factor.operands:
            return grad * factor.tape[-1].data
        return share(grad, factor)

    return right(loss, params, share=passed)


@impostor(
    "automatic_gradient", "autograd.shared-node autograd.composition", seen="linkedin/Liger-Kernel#272", exactly=False
)
def gradient_over_the_value(right: Any, loss: Any, params: Any) -> Any:
    """The gradient of an intermediate value is written over that value, which another gradient still needs."""

    def passed(grad: Any, factor: Any) -> Any:
        written = isinstance(factor, Value) and factor.operands and factor.grad is not None
        return grad * factor.grad if written else share(grad, factor)

    return right(loss, params, share=passed)


@impostor("automatic_gradient", "autograd.shared-node autograd.composition gradient.cost", exactly=False)
def central_differences(right: Any, loss: Any, params: Any) -> Any:
    """The gradient is a central difference quotient, with a step of 1/2."""
    value, _ = right(loss, params)
    return value, right.difference_gradient(loss, params, params.dtype.type(0.5))


@impostor("automatic_gradient", "gradient.cost", exactly=False, ugly="fifty parameters are needed")
def one_pass_for_each_parameter(right: Any, loss: Any, params: Any) -> Any:
    """The loss is evaluated anew for each parameter, as in forward mode."""
    passes = [right(loss, params) for _ in params]
    return passes[0]


@impostor("automatic_gradient", "autograd.shared-node autograd.composition gradient.cost", exactly=False)
def divided_by_the_number_of_parameters(right: Any, loss: Any, params: Any) -> Any:
    """The gradient is divided by the number of parameters."""
    value, gradient = right(loss, params)
    return value, gradient / params.size


# Differences


@impostor("difference_gradient", "gradient.cost gradient.central", exactly=False, seen="apache/mxnet#3693")
def forward(right: Any, loss: Any, params: Any, delta: Any) -> Any:
    """Forward differences are taken, all from the loss at the parameters themselves."""
    here = loss(params)
    return np.stack([(loss(params + step) - here) / delta for step in delta * np.eye(params.size, dtype=params.dtype)])


@impostor("difference_gradient", "gradient.cost", exactly=False)
def evaluated_twice(right: Any, loss: Any, params: Any, delta: Any) -> Any:
    """The loss is evaluated twice at every place."""
    return right(lambda place: [loss(place), loss(place)][1], params, delta)


@impostor("difference_gradient", "gradient.cost", exactly=False)
def evaluated_once_more(right: Any, loss: Any, params: Any, delta: Any) -> Any:
    """The loss is evaluated at the parameters themselves, too."""
    loss(params)
    return right(loss, params, delta)


@impostor("difference_gradient", "gradient.central", exactly=False, seen="drizopoulos/JMbayes2#9")
def over_delta(right: Any, loss: Any, params: Any, delta: Any) -> Any:
    """The difference is divided by the step, of which there are two between the places."""
    return right(loss, params, delta) * 2


@impostor("difference_gradient", "gradient.central", exactly=False)
def along_all(right: Any, loss: Any, params: Any, delta: Any) -> Any:
    """All parameters are moved at once, so that each gets the sum of all rates."""
    return right(loss, params, delta).sum() + params * 0


# Passes


@impostor(
    "backward",
    "autograd.three-batches autograd.accumulates autograd.separate-graphs",
    exactly=False,
    seen="apache/mxnet#13660",
)
def overwriting(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """A pass overwrites the gradient that is there, and does not add to it."""
    return right(losses, params, zero_grad, added=lambda before, new: new)


@impostor("backward", "autograd.none-before", exactly=False)
def zeros_at_first(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """Before the first pass the gradient is zero, not None."""
    return right(losses, params, zero_grad, grad=params * 0)


@impostor("backward", "autograd.reset", exactly=False)
def never_reset(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """Zeroing does nothing."""
    return right(losses, params, "never")


@impostor("backward", "autograd.reset", exactly=False)
def zero_for_none(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """Zeroing to None leaves zeros."""
    return right(losses, params, zero_grad, zeroed=ZEROED | {"to-none": ZEROED["to-zero"]})


@impostor("backward", "autograd.reset", exactly=False)
def none_for_zero(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """Zeroing to zero leaves None."""
    return right(losses, params, zero_grad, zeroed=ZEROED | {"to-zero": ZEROED["to-none"]})


@impostor("backward", "autograd.reset autograd.none-before?", exactly=False)
def zeroed_after_the_pass(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """The gradient is zeroed after the backward pass, where nothing is left to step with."""
    return [[found, ZEROED[zero_grad](left)] for found, left in right(losses, params, zero_grad)]


@impostor("backward", "autograd.reset", seen="apache/mxnet#8673", exactly=False)
def stale_where_unused(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """A parameter that a loss does not use keeps its gradient of the pass before, zeroed or not."""
    passes = right(losses, params, zero_grad)
    for k in range(1, len(losses)):
        used = right.automatic_gradient(losses[k], params, unreached=np.nan)[1]
        passes[k][1] = np.where(np.isnan(used), passes[k - 1][1], passes[k][1])
    return passes


_ADDED = "autograd.accumulates autograd.three-batches autograd.separate-graphs"


@impostor("backward", _ADDED, exactly=False)
def mean_so_far(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """Gradients that accumulate are averaged over the passes so far."""
    passes = right(losses, params, zero_grad)
    if zero_grad != "never":
        return passes
    means = [left / k for k, (_, left) in enumerate(passes, start=1)]
    return [[found, mean] for found, mean in zip([None, *means], means, strict=False)]


@impostor("backward", f"{_ADDED} autograd.reset", exactly=False)
def halved_with_each_pass(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """The gradient that is there and the new one are averaged, not added."""
    return right(losses, params, zero_grad, added=lambda before, new: (before + new) / 2)


@impostor("backward", f"{_ADDED} autograd.reset", exactly=False)
def cut_off(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """The losses are cut from their graphs: no pass leaves a gradient, and nothing says so."""
    return [[None, None] for _ in losses]


@impostor(
    "backward",
    "autograd.none-before autograd.accumulates? autograd.three-batches? autograd.separate-graphs?",
    exactly=False,
    repeats=False,
)
def kept_between_calls(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """The gradient stays from call to call, for each shape and dtype of the parameters, until it is zeroed."""
    place = params.shape, params.dtype.name
    passes = right(losses, params, zero_grad, grad=right.memory.get(place))
    right.memory[place] = passes[-1][1]
    return passes


@impostor("backward", "autograd.three-batches autograd.accumulates autograd.reset", exactly=False)
def not_copied(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """All passes show the one gradient as it is at the end, for nobody copied it."""
    passes = right(losses, params, zero_grad)
    return [[found, passes[-1][1]] for found, _ in passes]


@impostor(
    "backward", "autograd.three-batches autograd.accumulates autograd.reset autograd.separate-graphs", exactly=False
)
def one_pass_late(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """What a pass leaves is read before the pass is done."""
    passes = right(losses, params, zero_grad)
    return [[found, params * 0 if found is None else found] for found, _ in passes]


@impostor("backward", "autograd.separate-graphs autograd.accumulates autograd.reset", exactly=False)
def everything_recorded_is_walked(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """Whatever was computed beside the loss is walked backward with it."""
    return right(losses, params, zero_grad, seeds=_every_end)


@impostor("backward", "autograd.pure", exactly=False)
def gradient_in_the_parameters(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """The gradient is written over the parameters."""
    passes = right(losses, params, zero_grad)
    overwrite(params, passes[-1][1])
    return passes


@impostor("backward", "autograd.dtype@float32", exactly=False, keeps_dtype=False)
def in_float64(right: Any, losses: Any, params: Any, zero_grad: str) -> Any:
    """It is computed and returned in float64, whatever the dtype of the parameters."""
    return right(losses, narrow(params, "float64"), zero_grad)


# Steps by hand


@impostor("descend", "autograd.no-grad-update", exactly=False)
def gradients_accumulate(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """Gradients are never zeroed: each step goes against the sum of all so far."""
    return right(loss, params, learning_rate, n_steps, no_grad, kept=lambda before, new: before + new)


@impostor("descend", "autograd.no-grad-update", exactly=False)
def gradient_of_the_start(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The gradient is computed once, and every step takes it."""
    return right(loss, params, learning_rate, n_steps, no_grad, kept=lambda before, new: before)


@impostor("descend", "autograd.no-grad-update", seen="pytorch/pytorch#10065", exactly=False)
def rebound(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The parameters are bound to the result of a recorded step: no leaf any more, they get no gradient from the second step on."""
    steps = right(loss, params, learning_rate, n_steps, no_grad)
    return steps[:1] + [[steps[1][0], None, steps[0][2]] for _ in steps[1:]]


@impostor("descend", "autograd.no-grad-update autograd.dtype autograd.pure", exactly=False)
def rebound_under_no_grad(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The parameters are bound to the result of a step that is not recorded, and does not require grad: the second pass raises."""
    if n_steps > 1 and no_grad:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
    return right(loss, params, learning_rate, n_steps, no_grad)


@impostor("descend", "autograd.no-grad-update", exactly=False)
def loss_of_the_start(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The loss that is logged is always that of the parameters at first."""
    steps = right(loss, params, learning_rate, n_steps, no_grad)
    return [[steps[0][0], *others] for _, *others in steps]


@impostor("descend", "autograd.no-grad-update autograd.three-batches", exactly=False)
def loss_after_the_step(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The loss that is logged is that of the parameters after the step."""
    steps = right(loss, params, learning_rate, n_steps, no_grad)
    return [[right.automatic_gradient(loss, after)[0], grad, after] for _, grad, after in steps]


@impostor("descend", "autograd.no-grad-update", exactly=False)
def gradient_after_the_step(
    right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool
) -> Any:
    """The gradient that is logged is that of the parameters after the step."""
    steps = right(loss, params, learning_rate, n_steps, no_grad)
    return [[value, right.automatic_gradient(loss, after)[1], after] for value, _, after in steps]


@impostor("descend", "autograd.recorded-update", exactly=False)
def recorded_without_a_word(
    right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool
) -> Any:
    """A step in place that would be recorded is taken."""
    return right(loss, params, learning_rate, n_steps, True)


@impostor("descend", "autograd.no-grad-update autograd.three-batches", exactly=False)
def uphill(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """A step goes along the gradient, not against it."""
    return right(loss, params, -learning_rate, n_steps, no_grad)


@impostor("descend", "autograd.no-grad-update autograd.three-batches autograd.recorded-update", exactly=False)
def one_step_less(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """One step less is taken."""
    return right(loss, params, learning_rate, n_steps - 1, no_grad)


@impostor("descend", "autograd.no-grad-update autograd.three-batches", exactly=False)
def zeroed_before_the_step(
    right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool
) -> Any:
    """The gradient is zeroed between the pass and the step, which leads nowhere."""
    return [[value, grad * 0, after] for value, grad, after in right(loss, params, 0.0, n_steps, no_grad)]


@impostor("descend", "autograd.no-grad-update autograd.three-batches", exactly=False)
def averaged_over_the_parameters(
    right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool
) -> Any:
    """The step is divided by the number of parameters."""
    return right(loss, params, learning_rate / params.size, n_steps, no_grad)


@impostor("descend", "autograd.no-grad-update", exactly=False)
def parameters_not_copied(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """All steps show the parameters as they are at the end, for nobody copied them."""
    steps = right(loss, params, learning_rate, n_steps, no_grad)
    return [[value, grad, steps[-1][2]] for value, grad, _ in steps]


@impostor("descend", "autograd.pure", exactly=False, name="in-place")
def steps_in_place(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The steps are taken on the parameters that were passed in."""
    steps = right(loss, params, learning_rate, n_steps, no_grad)
    overwrite(params, steps[-1][2])
    return steps


@impostor(
    "descend",
    "autograd.three-batches@float64 autograd.no-grad-update@float64",
    exactly=False,
    ugly="only a rate with many digits shows it",
)
def rate_in_float32(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """The learning rate is rounded to float32."""
    return right(loss, params, float(np.float32(learning_rate)), n_steps, no_grad)


@impostor("descend", "autograd.dtype@float32", exactly=False, keeps_dtype=False, name="in-float64")
def steps_in_float64(right: Any, loss: Any, params: Any, learning_rate: float, n_steps: int, no_grad: bool) -> Any:
    """It is computed and returned in float64, whatever the dtype of the parameters."""
    return right(loss, narrow(params, "float64"), learning_rate, n_steps, no_grad)


# The loop


def _epochs(
    right: Any,
    n_epochs: int,
    learning_rate: float,
    params: Any,
    t_u: Any,
    t_c: Any,
    kept: Callable[[Any, Any], Any],
) -> Any:
    """The loop, but for what it keeps of the gradient before and the new one."""
    grad, losses = params * 0, []
    for _ in range(n_epochs):
        w, b = params
        t_p = right.model(t_u, w, b)
        losses.append(right.loss_fn(t_p, t_c))
        grad = kept(grad, right.grad_fn(t_u, t_c, t_p, w, b))
        params = params - grad * rounded(learning_rate, params)
    return params, losses


@impostor(
    "manual_training_loop",
    "autograd.loop",
    name="gradients-accumulate",
    seen="tenstorrent/tt-blacksmith#711 meta-pytorch/torchforge#71 yastrebksv/TennisCourtDetector#7",
)
def loop_accumulating(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """Gradients are never zeroed: each step goes against the sum of all so far."""
    return _epochs(right, n_epochs, learning_rate, params, t_u, t_c, lambda before, new: before + new)


@impostor("manual_training_loop", "autograd.loop", name="uphill", seen="pytorch/pytorch#1871")
def loop_uphill(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """A step goes along the gradient, not against it."""
    return _epochs(right, n_epochs, learning_rate, params, t_u, t_c, lambda before, new: -new)


@impostor("manual_training_loop", "autograd.loop", seen="pytorch/pytorch#28993 kakaobrain/trident#66")
def gradient_of_the_sum(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient is that of the summed loss, where the mean is logged."""
    return _epochs(right, n_epochs, learning_rate, params, t_u, t_c, lambda before, new: new * t_u.size)


@impostor("manual_training_loop", "autograd.loop")
def gradient_of_half_the_loss(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient is that of half the loss that is logged."""
    return _epochs(right, n_epochs, learning_rate, params, t_u, t_c, lambda before, new: new / 2)


@impostor("manual_training_loop", "autograd.loop", name="zeroed-before-the-step")
def loop_zeroing_early(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The gradient is zeroed between the pass and the step, which leads nowhere."""
    return _epochs(right, n_epochs, learning_rate, params, t_u, t_c, lambda before, new: new * 0)


@impostor("manual_training_loop", "autograd.loop")
def rebound_once(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The parameters are bound to the result of a recorded step: no leaf any more, they take no second one."""
    after, losses = right(min(n_epochs, 2), learning_rate, params, t_u, t_c)
    if n_epochs > 1:
        after, _ = right(1, learning_rate, params, t_u, t_c)
    return after, losses[:1] + losses[1:] * (n_epochs - 1)


@impostor("manual_training_loop", "autograd.loop")
def logged_after_the_step(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The losses that are logged are those after the steps."""
    after, losses = right(n_epochs, learning_rate, params, t_u, t_c)
    w, b = after
    return after, [*losses[1:], right.loss_fn(right.model(t_u, w, b), t_c)]


@impostor("manual_training_loop", "autograd.loop")
def losses_added_up(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The losses that are logged are running sums."""
    after, losses = right(n_epochs, learning_rate, params, t_u, t_c)
    return after, [join(*losses[:k]).sum() for k in range(1, len(losses) + 1)]


@impostor("manual_training_loop", "autograd.loop")
def last_loss_missing(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The loss of the last epoch is not logged."""
    after, losses = right(n_epochs, learning_rate, params, t_u, t_c)
    return after, losses[:-1]


@impostor("manual_training_loop", "autograd.loop")
def last_step_missing(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """The step of the last epoch is not taken."""
    _, losses = right(n_epochs, learning_rate, params, t_u, t_c)
    return right(n_epochs - 1, learning_rate, params, t_u, t_c)[0], losses


@impostor("manual_training_loop", "autograd.loop")
def one_epoch_more(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """It trains for one epoch more."""
    return right(n_epochs + 1, learning_rate, params, t_u, t_c)


@impostor("manual_training_loop", "autograd.loop", name="last-sample-dropped")
def loop_without_the_last_sample(
    right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any
) -> Any:
    """The last sample is left out."""
    keep = max(t_u.size - 1, 1)
    return right(n_epochs, learning_rate, params, t_u[:keep], t_c[:keep])


@impostor("manual_training_loop", "autograd.pure", name="in-place")
def loop_in_place(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """It trains the parameters that were passed in."""
    after, losses = right(n_epochs, learning_rate, params, t_u, t_c)
    overwrite(params, after)
    return after, losses


@impostor("manual_training_loop", "autograd.dtype@float32", keeps_dtype=False, name="in-float64")
def loop_in_float64(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(n_epochs, learning_rate, *(narrow(x, "float64") for x in (params, t_u, t_c)))


@impostor(
    "manual_training_loop",
    "autograd.loop@float64",
    name="in-float32",
    ugly="only numbers with many digits show it",
)
def loop_in_float32(right: Any, n_epochs: int, learning_rate: float, params: Any, t_u: Any, t_c: Any) -> Any:
    """It is computed in float32, whatever the dtype of the arguments."""
    return right(n_epochs, learning_rate, *(narrow(x, "float32") for x in (params, t_u, t_c)))


# The mode

_MODE = "autograd.set-grad-enabled autograd.mode-restored"


@impostor("evaluate", _MODE, exactly=False)
def always_recorded(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """Every loss is recorded."""
    return right(loss, params, True)


@impostor("evaluate", f"{_MODE} autograd.dtype?", exactly=False)
def never_recorded(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """No loss is recorded."""
    return right(loss, params, False)


@impostor("evaluate", _MODE, exactly=False)
def mode_inverted(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """A loss is recorded in validation, and not in training."""
    return right(loss, params, not is_train)


@impostor("evaluate", _MODE, exactly=False)
def zeros_where_nothing_is_recorded(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """The gradient of what is not recorded is zero, not None."""
    value, gradient = right(loss, params, is_train)
    return [value, params * 0 if gradient is None else gradient]


def _in_mode(
    right: Any,
    loss: Any,
    params: Any,
    is_train: bool,
    *,
    entered: Callable[[dict[Any, Any], bool, bool], bool] = lambda memory, before, is_train: is_train,
    left: Callable[[dict[Any, Any], bool, bool], bool],
) -> Any:
    """An evaluation in the mode that all share, and what that is after it, given what it was before and whether all went well."""
    mode = right.memory
    before, returned = mode.setdefault("on", True), False
    mode["on"] = entered(mode, before, is_train)
    try:
        answer = right(loss, params, is_train, records=lambda: mode["on"])
        returned = True
    finally:
        mode["on"] = left(mode, before, returned)
    return answer


@impostor("evaluate", "autograd.mode-restored", seen="Project-MONAI/MONAI#8810", exactly=False)
def not_restored_after_an_exception(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """After an exception the mode stays as it was set."""
    return _in_mode(
        right, loss, params, is_train, left=lambda mode, before, returned: before if returned else mode["on"]
    )


@impostor("evaluate", "autograd.mode-restored", exactly=False)
def restored_after_an_exception_alone(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """The mode is put back after an exception, and after nothing else."""
    return _in_mode(
        right, loss, params, is_train, left=lambda mode, before, returned: mode["on"] if returned else before
    )


@impostor("evaluate", "autograd.mode-restored", exactly=False)
def simply_on_afterwards(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """After an evaluation recording is on, whatever it was before."""
    return _in_mode(right, loss, params, is_train, left=lambda mode, before, returned: True)


@impostor("evaluate", "autograd.mode-restored", seen="deepinv/deepinv#166", exactly=False)
def left_as_it_was_set(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """After an evaluation the mode stays as it was set."""
    return _in_mode(right, loss, params, is_train, left=lambda mode, before, returned: mode["on"])


@impostor("evaluate", "autograd.mode-restored", exactly=False)
def off_afterwards(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """After an evaluation recording is off, whatever it was before."""
    return _in_mode(right, loss, params, is_train, left=lambda mode, before, returned: False)


@impostor("evaluate", "autograd.mode-restored", exactly=False)
def never_switched_on(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """Recording is switched off for validation, but not on for training: within a validation nothing is recorded."""
    return _in_mode(
        right,
        loss,
        params,
        is_train,
        entered=lambda mode, before, is_train: before and is_train,
        left=lambda mode, before, returned: before,
    )


@impostor("evaluate", "autograd.mode-restored", seen="pytorch/pytorch#44531", exactly=False)
def one_place_to_remember_the_mode(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """The mode before is remembered in one place for all evaluations, which one within another overwrites."""

    def entered(mode: dict[Any, Any], before: bool, is_train: bool) -> bool:
        mode["before"] = before
        return is_train

    return _in_mode(right, loss, params, is_train, entered=entered, left=lambda mode, before, returned: mode["before"])


@impostor("evaluate", "autograd.pure", exactly=False, name="in-place")
def evaluated_in_place(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """The gradient is written over the parameters."""
    value, gradient = right(loss, params, is_train)
    if gradient is not None:
        overwrite(params, gradient)
    return [value, gradient]


@impostor("evaluate", "autograd.dtype@float32", exactly=False, keeps_dtype=False, name="in-float64")
def evaluated_in_float64(right: Any, loss: Any, params: Any, is_train: bool) -> Any:
    """It is computed and returned in float64, whatever the dtype of the parameters."""
    return right(loss, narrow(params, "float64"), is_train)


@impostor("calc_forward", "autograd.set-grad-enabled", name="always-recorded")
def forward_always_recorded(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """Every forward pass is recorded."""
    return right(params, t_u, t_c, True)


@impostor("calc_forward", "autograd.set-grad-enabled", name="never-recorded")
def forward_never_recorded(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """No forward pass is recorded."""
    return right(params, t_u, t_c, False)


@impostor("calc_forward", "autograd.set-grad-enabled", name="mode-inverted")
def forward_mode_inverted(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """A forward pass is recorded in validation, and not in training."""
    return right(params, t_u, t_c, not is_train)


@impostor("calc_forward", "autograd.set-grad-enabled", name="zeros-where-nothing-is-recorded")
def forward_zeros_unrecorded(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """The gradient of what is not recorded is zero, not None."""
    loss, gradient = right(params, t_u, t_c, is_train)
    return [loss, params * 0 if gradient is None else gradient]


@impostor("calc_forward", "autograd.set-grad-enabled", seen="paiml/aprender#3034", name="cut-from-the-graph")
def forward_cut_from_the_graph(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """The loss is made anew from its number, which cuts it from the graph: its gradient is zero, and nothing says so."""
    loss, _ = right(params, t_u, t_c, is_train)
    return [loss, params * 0 if is_train else None]


@impostor("calc_forward", "autograd.set-grad-enabled")
def summed_in_validation(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """The loss is averaged in training and summed in validation."""
    loss, gradient = right(params, t_u, t_c, is_train)
    return [loss if is_train else loss * t_u.size, gradient]


@impostor("calc_forward", "autograd.set-grad-enabled")
def halved_in_training(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """The loss has a factor 1/2 in training, and none in validation."""
    loss, gradient = right(params, t_u, t_c, is_train)
    return [loss, gradient] if gradient is None else [loss / 2, gradient / 2]


@impostor("calc_forward", "autograd.pure", name="in-place")
def forward_in_place(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """The residuals are written over the readings."""
    answer = right(params, t_u, t_c, is_train)
    w, b = params
    overwrite(t_u, right.model(t_u, w, b) - t_c)
    return answer


@impostor("calc_forward", "autograd.dtype@float32", keeps_dtype=False, name="in-float64")
def forward_in_float64(right: Any, params: Any, t_u: Any, t_c: Any, is_train: bool) -> Any:
    """It is computed and returned in float64, whatever the dtype of the arguments."""
    return right(*(narrow(x, "float64") for x in (params, t_u, t_c)), is_train)


# Questions


@dataclass(frozen=True)
class Limited:
    """A loss that can be evaluated so many times, and then raises."""

    loss: Any
    times: int

    def fresh(self, subject: Any) -> Any:
        """One that has not been evaluated yet."""
        left = iter(range(self.times))

        def loss(params: Any) -> Any:
            if next(left, None) is None:
                raise ArithmeticError(f"evaluated more than {self.times} times")
            return self.loss(params)

        return loss


@dataclass(frozen=True)
class Within:
    """A loss within which another is evaluated, recorded or not, and which tells by its value whether it was."""

    inner: Any
    is_train: bool

    def fresh(self, subject: Any) -> Any:
        """One that asks this subject."""

        def loss(params: Any) -> Any:
            place = subject.array([2.0, -1.0])
            if self.inner is _raising:
                subject.refuses("evaluate", self.inner, place, self.is_train)
                return _SHARED(params)
            inner = self.inner.fresh(subject) if isinstance(self.inner, Within) else self.inner
            _, gradient = subject.evaluate(inner, place, self.is_train)
            return _SHARED(params) * (2.0 if gradient is None else 3.0)

        return loss


def _raising(params: Any) -> Any:
    """A loss that cannot be computed."""
    raise ArithmeticError


def _deep(params: Any) -> Any:
    """A parameter that is computed from itself, each time by two paths."""
    value = params[0]
    for _ in range(20):
        value = value * 2.0 - value
    return value


# x y - y, then its square, then times 2 x; both parameters are used several times.
_SHARED = Program(2, (("*", 0, 1), ("-", 2, 1), ("*", 3, 3), ("*", 0, 2.0), ("*", 4, 5)))
# x + x, with a value beside that is not used; x y alone; y - 1/2 x, without the first operand's sign
_SUM = Program(2, (("*", 1, 1), ("+", 0, 0)))
_PRODUCT = Program(2, (("*", 0, 1),))
_SECOND = Program(2, (("*", 1, 2.0),))
# (x + y) + x: a sum whose operand is used again
_BUFFER = Program(2, (("+", 0, 1), ("+", 2, 0)))
_AWAY = Program(2, (("-", 0, 1),))
_PLACE = np.array([2.0, -1.0])
_START = np.array([1.0, 0.5])
_COLUMNS = (np.array([1.0, -2.0]), np.array([0.5, 3.0]))
_MANY_DIGITS = (np.array([0.1, 2.3, -1.7, 4.9, 0.3]), np.array([0.7, -1.1, 3.3, 0.2, 0.9]))

QUESTIONS = {
    "automatic_gradient": (
        *((loss, _PLACE) for loss in (_SHARED, _SUM, _PRODUCT, _SECOND, _BUFFER, _AWAY, _deep)),
        (Limited(_PRODUCT, 1), _PLACE),
    ),
    "difference_gradient": (
        (SquaredDistance(0.5), _PLACE, np.array(0.5)),
        (_SHARED, _PLACE, np.array(0.5)),
        (Limited(_PRODUCT, 4), _PLACE, np.array(0.5)),
        (Limited(_PRODUCT, 5), _PLACE, np.array(0.5)),
    ),
    "backward": tuple(
        (losses, _PLACE, way)
        for losses in ([_SHARED, _SUM, _PRODUCT, _SECOND], [_SECOND])
        for way in ("never", "to-none", "to-zero")
    ),
    "descend": (
        (SquaredDistance(0.5), _PLACE, 0.25, 3, True),
        (SquaredDistance(0.5), _PLACE, 0.25, 1, True),
        (SquaredDistance(0.5), _PLACE, 0.25, 1, False),
        # A step from 0, against -1: the rate itself, rounded once.
        (SquaredDistance(0.5), np.array([0.0]), 0.1, 1, True),
    ),
    "manual_training_loop": (
        (3, 0.125, _START, *_COLUMNS),
        (1, 0.125, _START, *_COLUMNS),
        (3, 0.01, np.array([0.3, 0.7]), *_MANY_DIGITS),
    ),
    "evaluate": (
        *((loss, _PLACE, is_train) for loss in (_SHARED, _SECOND) for is_train in (True, False)),
        *(
            (Within(inner, inner_is_train), _PLACE, is_train)
            for inner in (_SECOND, _raising)
            for inner_is_train in (True, False)
            for is_train in (True, False)
        ),
        *((Within(Within(_SECOND, is_train), not is_train), _PLACE, is_train) for is_train in (True, False)),
    ),
    "calc_forward": tuple(
        (_START, *columns, is_train) for columns in (_COLUMNS, _MANY_DIGITS) for is_train in (True, False)
    ),
}

"""Legitimate variants of the optimizers, and impostors that show in a training loop."""

from collections.abc import Callable
from typing import Any

from calibrant.impostors.correct import rounded
from calibrant.impostors.descent import Run
from calibrant.impostors.kinds import Call, impostors_of
from calibrant.impostors.optimizers import (
    ADAGRAD,
    ADAMW,
    AHEAD,
    AMS,
    BESIDE,
    BIAS,
    COUPLED,
    DAMP,
    DELTA,
    EPS,
    MAX,
    NADAM,
    PUSH,
    RADAM,
    RATE,
    RMSPROP,
    RPROP,
    SLOWED,
    START,
    WD,
    adams,
    of,
)


def twice_ahead(c: Call) -> Any:
    """The loop with Nesterov's momentum that goes on from the point ahead by the whole step, which contains the way there."""
    if {*c.optimizer} != {"name", "lr", "momentum", "nesterov"} or not c.optimizer["nesterov"]:
        return c()
    c(n_epochs=min(c.n_epochs, 0))
    rate, mu = (rounded(c.optimizer[key], c.params) for key in ("lr", "momentum"))
    run, losses, val_losses = Run(c.correct, rate, c.params, c.t_u, c.t_c, c.val_t_u, c.val_t_c), [], []
    run.kept = c.params * 0
    for _ in range(c.n_epochs):
        losses.append(run.loss())
        if run.val_t_u is not None:
            val_losses.append(run.validation().loss())
        run.params = run.params + run.kept * mu
        run.params = run.params + run.keep(run.kept * mu - run.gradient() * rate)
    return run.params * 1, losses, val_losses


# Legitimate variants


def variant(convention: str, value: str, sentence: str, name: str = "") -> Callable[..., None]:
    """Begin the row of a variant of an optimizer."""
    optimizer = convention.partition(".")[0]
    rows = adams if optimizer == "adam" and convention != "adam.decay" else of(optimizer)
    return rows.variant(convention, value, sentence, name)


variant(
    "sgd.buffer", "with-lr", "the buffer contains the learning rate, so that a new rate does not change what it holds"
)(f"{PUSH} {RATE} optimizer.zero-rate", "apache/mxnet#15533 paiml/aprender#2190 pytorch/pytorch#1099")
variant("sgd.buffer", "average", "the buffer is a moving average of the gradients, not their sum")(
    PUSH, "HIPS/autograd#289 PaddlePaddle/Paddle#1002"
)
for _value, _sentence in (
    ("with-lr", "the buffer of Nesterov's momentum contains the learning rate"),
    ("average", "the buffer of Nesterov's momentum is a moving average of the gradients"),
):
    variant("sgd.nesterov-buffer", _value, _sentence)(AHEAD)
variant("sgd.dampening", "always", "the first gradient is dampened")(DAMP, "pytorch/pytorch#152833 ml-explore/mlx#473")
variant("sgd.nesterov", "look-ahead", "Nesterov's step is the buffer alone, for gradients taken at the point ahead")(
    AHEAD, "chainer/chainer#4274 keras-team/keras#966"
)
variant("sgd.decay", "decoupled", "weight decay shrinks the parameters directly, and is no part of the gradient")(WD)
variant("adam.epsilon", "inside", "epsilon is inside the root")(EPS, "sail-sg/Adan#8 d2l-ai/d2l-zh#502")
variant("adam.epsilon", "hat", "epsilon is added before the average of the squares is corrected")(
    EPS,
    "tensorflow/tensorflow#9047 pytorch/pytorch#22628 karpathy/nanochat#304",
)
variant("adam.correction", "none", "the averages are not corrected")(BIAS, "ml-explore/mlx#1640 oxiglade/mlx-rs#301")
variant("adam.amsgrad", "corrected", "AMSGrad takes the largest of the corrected averages")(
    AMS, "google-deepmind/optax#1389 pytorch/pytorch#142323"
)
variant("adam.decay", "decoupled", "weight decay shrinks the parameters directly, as in AdamW")(
    "optimizer.adam.weight-decay"
)
variant("adamw.decay", "after", "the parameters decay after the step")(ADAMW)
variant("adamw.decay", "without-lr", "the decay is not multiplied by the learning rate")(
    f"{BESIDE} optimizer.zero-rate",
    "tensorflow/addons#2282 google-deepmind/optax#292 modern-fortran/neural-fortran#152 tensorflow/tensorflow#22763",
)
variant("rmsprop.epsilon", "inside", "epsilon is inside the root")(
    f"{RMSPROP} {COUPLED}? {RATE}?", "pytorch/pytorch#23796 chainer/chainer#4754 apache/mxnet#4493 jax-ml/jax#1427"
)
variant("rmsprop.start", "one", "the average of the squares begins at one")(RMSPROP, "google-deepmind/optax#49")
variant("rmsprop.buffer", "with-lr", "the momentum buffer contains the learning rate")(
    f"optimizer.rmsprop.momentum {RATE}? optimizer.zero-rate", "pytorch/pytorch#32545"
)
variant("rmsprop.centered-epsilon", "inside", "with `centered`, epsilon is inside the root")(
    "optimizer.rmsprop.centered"
)
variant("adagrad.epsilon", "inside", "epsilon is inside the root")(
    f"{ADAGRAD} {START} {SLOWED}? {COUPLED}? {RATE}?", "keras-team/keras#17391"
)
variant("adadelta.rate", "without", "the steps are not multiplied by a learning rate")(
    f"{DELTA} {RATE}? optimizer.zero-rate"
)
variant("adamax.epsilon", "outside", "epsilon is added to the largest gradient, not to each before it")(
    f"{MAX} {COUPLED}? {RATE}?"
)
variant("adamax.epsilon", "with-past", "epsilon is added to the faded maximum, not to the gradient's size")(
    f"{MAX} {COUPLED}? {RATE}?"
)
variant("adamax.epsilon", "none", "there is no epsilon")(f"{MAX} {COUPLED}? {RATE}?")
variant("adamax.correction", "none", "the average is not corrected")(MAX)
variant("nadam.schedule", "fast", "the momenta rise as if momentum_decay were 1")(NADAM)
variant("nadam.schedule", "constant", "the momentum is beta1 at every step")(NADAM)
variant(
    "nadam.schedule", "constant-now", "the momentum is beta1 at every step, and corrected by this step's power alone"
)(NADAM)
variant("radam.epsilon", "outside", "epsilon is added to the root of the corrected average")(RADAM)
variant(
    "radam.threshold",
    "four",
    "the rectified step begins above a threshold of 4 counted gradients, not of 5",
    "threshold-four",
)(RADAM)
variant("rprop.turn", "step-back", "after a change of sign the last step is taken back")(RPROP)
for _name in ("rmsprop", "adagrad", "adadelta", "adamax", "nadam", "radam"):
    variant(f"{_name}.decay", "decoupled", "weight decay shrinks the parameters directly, as in AdamW")(COUPLED)

training = impostors_of("training_loop", chapters=("optimizers",), why_not_small="any data show it")
training("always-sgd", "the optimizer is gradient descent, whatever its name")(
    lambda c: c(optimizer={"name": "sgd", "lr": c.optimizer["lr"]}), "optimizer.swap optimizer.thermometer-adam"
)
training("nesterov-ignored", "Nesterov's momentum is plain momentum")(
    lambda c: c(optimizer={key: x for key, x in c.optimizer.items() if key != "nesterov"}), "optimizer.swap"
)
training("nesterov-twice", "gradients are taken at the point ahead, and Nesterov's step looks ahead once more")(
    twice_ahead, "optimizer.swap", "oysteijo/simd_neuralnet#17"
)

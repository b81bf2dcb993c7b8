"""keras.optimizers by PyTorch's names, for the adapters of TensorFlow and of Keras."""

from __future__ import annotations

from typing import Any

from calibrant.adapters.hyperparameters import offered

OPTIMIZERS = {
    "sgd": ("SGD", "lr momentum nesterov weight_decay"),
    "adam": ("Adam", "lr betas eps amsgrad weight_decay decoupled_weight_decay"),
    "adamw": ("AdamW", "lr betas eps amsgrad weight_decay"),
    "rmsprop": ("RMSprop", "lr alpha eps momentum centered weight_decay"),
    "adagrad": ("Adagrad", "lr eps initial_accumulator_value weight_decay"),
    "adadelta": ("Adadelta", "lr rho eps weight_decay"),
    "adamax": ("Adamax", "lr betas eps weight_decay"),
    "nadam": ("Nadam", "lr betas eps weight_decay decoupled_weight_decay"),
}
"""Each optimizer, and its hyperparameters by PyTorch's names."""

NAMES = {"lr": "learning_rate", "alpha": "rho", "eps": "epsilon"}

CONVENTIONS = {
    "sgd.buffer": "with-lr",
    "sgd.decay": "decoupled",
    "adam.epsilon": "hat",
    "adam.decay": "decoupled",
    "rmsprop.epsilon": "inside",
    "rmsprop.buffer": "with-lr",
    "rmsprop.decay": "decoupled",
    "adagrad.epsilon": "inside",
    "adagrad.decay": "decoupled",
    "adadelta.decay": "decoupled",
    "adamax.epsilon": "outside",
    "adamax.decay": "decoupled",
    "nadam.schedule": "fast",
    "nadam.decay": "decoupled",
}

_STEPS = "one count of steps serves the corrections of all parameters, and a step counts for those without a gradient"
DEVIATIONS = {
    "optimizer.absent-gradient": _STEPS,
    "optimizer.invalid": "few hyperparameters are looked at: rates, betas, epsilons and decays that mean nothing are taken",
    "descent.negative-rate": "any rate is taken, and a loop over range(n_epochs) runs no epochs where n_epochs is negative",
    "early-stopping.nan": "EarlyStopping takes a first loss that is NaN for the best, which no loss is then less than",
    "early-stopping.invalid": "EarlyStopping takes any patience, and a run without epochs",
}


def made(optimizers: Any, name: str, hyperparameters: dict[str, Any], **around: Any) -> Any:
    """The optimizer of that name, with options that concern what is around it."""
    if name not in OPTIMIZERS:
        raise NotImplementedError(f"keras.optimizers has no {name}")
    cls, names = OPTIMIZERS[name]
    options = offered("Keras", name, hyperparameters, names)
    options.pop("decoupled_weight_decay", None)  # it always is
    if "betas" in options:
        options["beta_1"], options["beta_2"] = options.pop("betas")
    return getattr(optimizers, cls)(**{NAMES.get(key, key): value for key, value in options.items()}, **around)


def stopped(callback: Any, val_losses: list[float]) -> tuple[int, int]:
    """The epoch in which keras.callbacks.EarlyStopping ends a run with these losses, or the last; and the best epoch so far."""
    epoch = 0
    callback.on_train_begin()
    for epoch, loss in enumerate(val_losses):
        callback.on_epoch_end(epoch, {"val_loss": loss})
        if callback.model.stop_training:
            break
    return epoch, callback.best_epoch

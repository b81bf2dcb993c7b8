// TensorFlow.js as its users call it: tf.losses, tf.grads, tf.train and tf.regularizers, on the backend "cpu". Nothing here computes.
"use strict";

const { Absent, library, rates, serve } = require("./protocol.cjs");

serve(library("@tensorflow/tfjs@4"), (tf) => {
  tf.setBackend("cpu");
  const { absoluteDifference, meanSquaredError } = tf.losses;
  const line = (t_u, w, b) => t_u.mul(w).add(b);
  const loss = (params, t_u, t_c) => meanSquaredError(t_c, line(t_u, ...tf.unstack(params)));

  // Optimizers: constructor, defaults of torch.optim, and its hyperparameters in the order of the arguments; then those that tf.train lacks.

  const ADAM = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8 };
  const OPTIMIZERS = {
    sgd: ["sgd", { lr: 1e-3 }, ["lr"]],
    adam: ["adam", ADAM, ["lr", "betas", "eps"]],
    rmsprop: ["rmsprop", { lr: 1e-2, alpha: 0.99, momentum: 0, eps: 1e-8, centered: false }, ["lr", "alpha", "momentum", "eps", "centered"]],
    adadelta: ["adadelta", { lr: 1, rho: 0.9, eps: 1e-6 }, ["lr", "rho", "eps"]],
    adamax: ["adamax", { ...ADAM, lr: 2e-3 }, ["lr", "betas", "eps"]],
    adagrad: ["adagrad", { lr: 1e-2, initial_accumulator_value: 0, eps: 1e-10 }, ["lr", "initial_accumulator_value"]],
  };

  const MOMENTUM = ["momentum", { lr: 1e-3, nesterov: false }, ["lr", "momentum", "nesterov"]]; // what sgd with a momentum is
  const DECAY = ["weight_decay", "maximize"];
  const LACKING = {
    sgd: ["momentum", "dampening", "nesterov", ...DECAY],
    adam: ["decoupled_weight_decay", "amsgrad", ...DECAY],
    rmsprop: DECAY,
    adadelta: DECAY,
    adamax: DECAY,
    adagrad: ["lr_decay", ...DECAY],
  };

  function optimizer(name, hyperparameters) {
    if (!Object.hasOwn(OPTIMIZERS, name)) throw new Absent(`tf.train has no ${name}`);
    const [made, defaults, order] = name === "sgd" && hyperparameters.momentum ? MOMENTUM : OPTIMIZERS[name];
    const given = { ...defaults, ...hyperparameters };
    for (const [option, value] of Object.entries(given)) {
      if (!(Object.hasOwn(defaults, option) || order.includes(option) || LACKING[name].includes(option))) throw new TypeError(`${name} has no ${option}`);
      const fixed = option === "eps" ? tf.backend().epsilon() : 0; // the value that cannot be chosen
      if (!order.includes(option) && Number(value) !== fixed) throw new Absent(`tf.train.${made} has no ${option} of ${value}`);
    }
    return tf.train[made](...order.flatMap((option) => given[option]));
  }

  function setRate(stepper, rate) {
    if (stepper.setLearningRate) stepper.setLearningRate(rate);
    else stepper.learningRate = rate;
  }

  const penalized = (t_p, t_c, w, penalties) => meanSquaredError(t_c, t_p).add(tf.regularizers.l1l2(penalties).apply(w));

  const mean = "the losses are sums over samples of any shape, of none too, divided by their number";
  const stretched = "the gradient of an operand that was stretched along an axis of no elements raises an error";
  const counted = "Adam and Adamax count the steps of all variables together, with or without a gradient";
  const centred = "with centered, epsilon is subtracted inside the root, which gives NaN where the variance is smaller";
  const former = "Adadelta divides by the root of the average before this step, not of the new one";
  const unseen = "nothing looks at the ranges of numbers";
  const deviations = {
    "data.columns": mean,
    "loss.empty": mean,
    "loss.wide-accumulation": mean,
    "validation.columns": mean,
    "descent.negative-rate": unseen,
    "regularization.invalid": unseen,
    "optimizer.invalid": unseen,
    "broadcast.pure": stretched,
    "broadcast.gradient": stretched,
    "broadcast.dtype": stretched,
    "optimizer.rmsprop.centered": centred,
    "optimizer.finite": centred,
    "optimizer.adadelta": former,
    "optimizer.swap": former,
    "optimizer.absent-gradient": counted,
  };

  const operations = {
    model: ({ t_u, w, b }) => line(t_u, w, b),
    loss_fn: ({ t_p, t_c }) => meanSquaredError(t_c, t_p),
    absolute_loss: ({ t_p, t_c }) => absoluteDifference(t_c, t_p),
    dloss_fn: ({ t_p, t_c }) => tf.grad((at) => meanSquaredError(t_c, at))(t_p),
    dabsolute_loss: ({ t_p, t_c }) => tf.grad((at) => absoluteDifference(t_c, at))(t_p),

    value_and_grad({ params, t_u, t_c }) {
      const { value, grad } = tf.valueAndGrad((at) => loss(at, t_u, t_c))(params);
      return [value, grad];
    },

    training_loop({ n_epochs, optimizer: { name, ...hyperparameters }, params, t_u, t_c, val_t_u, val_t_c }) {
      const at = tf.variable(params), stepper = optimizer(name, hyperparameters);
      const train = [], val = [];
      for (let epoch = 0; epoch < n_epochs; epoch++) {
        if (val_t_u && val_t_c) val.push(loss(at, val_t_u, val_t_c));
        train.push(stepper.minimize(() => loss(at, t_u, t_c), true));
      }
      const after = at.clone();
      stepper.dispose();
      return [after, train, val];
    },

    broadcast_shapes: ({ shapes }) => shapes.reduce((one, other) => tf.broadcast_util.assertAndGetBroadcastShape(one, other), []),
    multiply: ({ x, y }) => tf.mul(x, y),
    multiply_grad: ({ x, y, upstream }) => tf.grads((left, right) => left.mul(right))([x, y], upstream),

    // Pass the gradients as minimize() does with a list of variables. Without a list, its map omits variables that have no gradient,
    // and the optimizer, which finds its memory by the place of a variable, mixes up the variables.
    optimize({ name, hyperparameters: { lr, ...others }, params, grads }) {
      const variables = params.map((x) => tf.variable(x)), schedule = rates(lr, grads.length);
      const stepper = optimizer(name, schedule[0] === undefined ? others : { lr: schedule[0], ...others });
      const path = grads.map((step, t) => {
        if (schedule[t] !== undefined) setRate(stepper, schedule[t]);
        stepper.applyGradients(step.map((tensor, k) => ({ name: variables[k].name, tensor })));
        return variables.map((one) => one.clone());
      });
      stepper.dispose();
      return path;
    },

    regularized_loss: ({ t_p, t_c, w, l1, l2 }) => penalized(t_p, t_c, w, { l1, l2 }),

    regularized_grad: ({ t_u, t_c, w, b, l1, l2 }) =>
      tf.stack(tf.grads((w, b) => penalized(line(t_u, w, b), t_c, w, { l1, l2 }))([w, b])),
  };

  // Free all tensors that a call made.
  function around(call) {
    let answer;
    try {
      tf.tidy(() => {
        answer = call();
      });
    } finally {
      tf.disposeVariables();
    }
    return answer;
  }

  return {
    name: "TensorFlow.js",
    dtypes: ["float32"],
    conventions: { "rmsprop.epsilon": "inside", "rmsprop.buffer": "with-lr", "adagrad.epsilon": "inside", "adamax.epsilon": "outside" },
    deviations,
    operations,
    tensor: (data, shape, dtype) => tf.tensor(data, shape, dtype),
    array: (x) => ({ dtype: x.dtype, shape: x.shape, data: x.dataSync() }),
    around,
  };
});

"""PyTorch's own losses, activations and layers, by the names of the formulas that ship. autograd gives their gradients."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from calibrant.adapters.reference import asarray, to_numpy

name = "torch"
version = torch.__version__
autodiff = "torch"
deviations = {
    **dict.fromkeys(
        ("layers.layer-norm[float16]", "layers.layer-norm[bfloat16]"),
        "in 16 bits the forward pass has x r - mean r: a row of equal numbers is not quite its mean",
    ),
    "layers.layer-norm.gradient": "the backward pass has x r - mean r, which rounds where x - mean does not",
    "layers.cosine-similarity.gradient": "a length below eps is replaced by eps, and differentiated as if it were not",
}

# The functions whose arguments are those of the formula.
mean_squared_error = F.mse_loss
mean_absolute_error = F.l1_loss
binary_cross_entropy = F.binary_cross_entropy
binary_cross_entropy_with_logits = F.binary_cross_entropy_with_logits
cross_entropy = F.cross_entropy
negative_log_likelihood = F.nll_loss
poisson_negative_log_likelihood = F.poisson_nll_loss
gaussian_negative_log_likelihood = F.gaussian_nll_loss
sigmoid = torch.sigmoid
log_sigmoid = F.logsigmoid
tanh = torch.tanh
relu = F.relu
leaky_relu = F.leaky_relu
elu = F.elu
silu = F.silu
gelu = F.gelu
mish = F.mish
hard_swish = F.hardswish
soft_sign = F.softsign
gated_linear = F.glu
linear = F.linear
matrix_product = torch.matmul
average_pool_2d = F.avg_pool2d
max_pool_2d = F.max_pool2d
attention = masked_attention = F.scaled_dot_product_attention
convolution_1d = F.conv1d
convolution_2d = F.conv2d

# The same, with an option of PyTorch's.
causal_attention = functools.partial(F.scaled_dot_product_attention, is_causal=True)
cross_entropy_each = functools.partial(F.cross_entropy, reduction="none")
cross_entropy_sum = functools.partial(F.cross_entropy, reduction="sum")
gelu_tanh = functools.partial(F.gelu, approximate="tanh")
kl_divergence = functools.partial(F.kl_div, reduction="batchmean")
log_softmax = functools.partial(torch.log_softmax, dim=-1)
log_sum_exp = functools.partial(torch.logsumexp, dim=-1)
softmax = functools.partial(torch.softmax, dim=-1)


def huber(x: Tensor, y: Tensor, delta: float) -> Tensor:
    """torch.nn.functional.huber_loss."""
    return F.huber_loss(x, y, delta=delta)


def smooth_l1(x: Tensor, y: Tensor, beta: float) -> Tensor:
    """torch.nn.functional.smooth_l1_loss."""
    return F.smooth_l1_loss(x, y, beta=beta)


def cross_entropy_weighted(x: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """torch.nn.functional.cross_entropy with the weight of each class, for which PyTorch has no gradient."""
    return F.cross_entropy(x, labels, weights.detach())


def cross_entropy_weighted_vjp(x: Tensor, labels: Tensor, weights: Tensor, upstream: Tensor) -> list[Tensor | None]:
    """The gradient for the logits alone."""
    leaf = x.detach().requires_grad_()
    return [*torch.autograd.grad(cross_entropy_weighted(leaf, labels, weights), leaf, upstream), None]


def cross_entropy_ignoring(x: Tensor, labels: Tensor, ignore_index: int) -> Tensor:
    """torch.nn.functional.cross_entropy with ignore_index."""
    return F.cross_entropy(x, labels, ignore_index=ignore_index)


def cross_entropy_smoothed(x: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """torch.nn.functional.cross_entropy with label_smoothing."""
    return F.cross_entropy(x, labels, label_smoothing=smoothing)


def hinge(x: Tensor, y: Tensor) -> Tensor:
    """The mean of max(0, 1 - x y); PyTorch has none of its own."""
    return torch.clamp(1 - x * y, min=0).mean()


def margin_ranking(x: Tensor, z: Tensor, y: Tensor, margin: float) -> Tensor:
    """torch.nn.functional.margin_ranking_loss."""
    return F.margin_ranking_loss(x, z, y, margin=margin)


def cosine_similarity(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """torch.nn.functional.cosine_similarity over the last axis."""
    return F.cosine_similarity(x, y, dim=-1, eps=eps)


def triplet_margin(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, eps: float) -> Tensor:
    """torch.nn.functional.triplet_margin_loss."""
    return F.triplet_margin_loss(anchor, positive, negative, margin=margin, eps=eps)


def softplus(x: Tensor, threshold: float) -> Tensor:
    """torch.nn.functional.softplus."""
    return F.softplus(x, threshold=threshold)


def embedding(w: Tensor, index: Tensor) -> Tensor:
    """torch.nn.functional.embedding."""
    return F.embedding(index, w)


def layer_norm(x: Tensor, w: Tensor, b: Tensor, eps: float) -> Tensor:
    """torch.nn.functional.layer_norm over the last axis."""
    return F.layer_norm(x, x.shape[-1:], w, b, eps)


def rms_norm(x: Tensor, w: Tensor, eps: float) -> Tensor:
    """torch.nn.functional.rms_norm over the last axis."""
    return F.rms_norm(x, x.shape[-1:], w, eps)


def batch_norm(x: Tensor, w: Tensor, b: Tensor, eps: float) -> Tensor:
    """torch.nn.functional.batch_norm in training."""
    return F.batch_norm(x, None, None, w, b, training=True, eps=eps)


def batch_norm_inference(x: Tensor, mean: Tensor, variance: Tensor, w: Tensor, b: Tensor, eps: float) -> Tensor:
    """torch.nn.functional.batch_norm in inference, whose running mean and variance have no gradient."""
    return F.batch_norm(x, mean.detach(), variance.detach(), w, b, eps=eps)


def batch_norm_inference_vjp(*arguments: Any) -> list[Tensor | None]:
    """The gradients for x, w and b."""
    x, mean, variance, w, b, eps, upstream = arguments
    x, w, b = (leaf.detach().requires_grad_() for leaf in (x, w, b))
    value = batch_norm_inference(x, mean, variance, w, b, eps)
    of_x, of_w, of_b = torch.autograd.grad(value, (x, w, b), upstream)
    return [of_x, None, None, of_w, of_b]


def group_norm(x: Tensor, w: Tensor, b: Tensor, groups: int, eps: float) -> Tensor:
    """torch.nn.functional.group_norm."""
    return F.group_norm(x, groups, w, b, eps)


def l2_normalize(x: Tensor, eps: float) -> Tensor:
    """torch.nn.functional.normalize over the last axis."""
    return F.normalize(x, dim=-1, eps=eps)


def rotary_embedding(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """The rotation by halves, as the models write it; PyTorch has none of its own."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[:, half:], x[:, :half]], dim=-1)
    return x * torch.cat([cosine, cosine], -1) + turned * torch.cat([sine, sine], -1)


def dropout(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """Dropout with a given mask."""
    return torch.where(mask, x / (1 - p), 0)

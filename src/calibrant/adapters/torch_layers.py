"""PyTorch's own losses, activations and layers, by the names of the formulas that ship. autograd gives their gradients."""

from __future__ import annotations

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
attention = F.scaled_dot_product_attention


def huber(x: Tensor, y: Tensor, delta: float) -> Tensor:
    """torch.nn.functional.huber_loss."""
    return F.huber_loss(x, y, delta=delta)


def smooth_l1(x: Tensor, y: Tensor, beta: float) -> Tensor:
    """torch.nn.functional.smooth_l1_loss."""
    return F.smooth_l1_loss(x, y, beta=beta)


def log_sum_exp(x: Tensor) -> Tensor:
    """torch.logsumexp over the last axis."""
    return torch.logsumexp(x, -1)


def softmax(x: Tensor) -> Tensor:
    """torch.softmax over the last axis."""
    return torch.softmax(x, -1)


def log_softmax(x: Tensor) -> Tensor:
    """torch.log_softmax over the last axis."""
    return torch.log_softmax(x, -1)


def cross_entropy_sum(x: Tensor, labels: Tensor) -> Tensor:
    """torch.nn.functional.cross_entropy, summed."""
    return F.cross_entropy(x, labels, reduction="sum")


def cross_entropy_each(x: Tensor, labels: Tensor) -> Tensor:
    """torch.nn.functional.cross_entropy, not reduced."""
    return F.cross_entropy(x, labels, reduction="none")


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


def kl_divergence(lp: Tensor, q: Tensor) -> Tensor:
    """torch.nn.functional.kl_div, the mean over the batch."""
    return F.kl_div(lp, q, reduction="batchmean")


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


def gelu_tanh(x: Tensor) -> Tensor:
    """torch.nn.functional.gelu, approximated."""
    return F.gelu(x, approximate="tanh")


def embedding(w: Tensor, index: Tensor) -> Tensor:
    """torch.nn.functional.embedding."""
    return F.embedding(index, w)


def convolution_1d(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    """torch.nn.functional.conv1d."""
    return F.conv1d(x, w, b, stride=stride, padding=padding)


def convolution_2d(x: Tensor, w: Tensor, b: Tensor, stride: int, padding: int) -> Tensor:
    """torch.nn.functional.conv2d."""
    return F.conv2d(x, w, b, stride=stride, padding=padding)


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


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """torch.nn.functional.scaled_dot_product_attention, causal."""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def masked_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """torch.nn.functional.scaled_dot_product_attention with a mask."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def rotary_embedding(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """The rotation by halves, as the models write it; PyTorch has none of its own."""
    half = x.shape[-1] // 2
    turned = torch.cat([-x[:, half:], x[:, :half]], dim=-1)
    return x * torch.cat([cosine, cosine], -1) + turned * torch.cat([sine, sine], -1)


def dropout(x: Tensor, mask: Tensor, p: float) -> Tensor:
    """Dropout with a given mask."""
    return torch.where(mask, x / (1 - p), 0)

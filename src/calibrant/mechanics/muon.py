"""Muon: the momentum of a matrix, made nearly orthogonal before the step."""

from torch import Tensor

from calibrant.mechanics.rules import Memory, Settings, average, rule

PUBLISHED = (3.4445, -4.7750, 2.0315)


@rule(
    "buffer", decouples=True, lr=1e-3, momentum=0.95, weight_decay=0.1, nesterov=True, ns_coefficients=PUBLISHED, ns_steps=5, eps=1e-7,
    adjust_lr_fn=None,
)  # fmt: skip
def muon(theta: Tensor, g: Tensor, s: Memory, h: Settings) -> Tensor:
    """Jordan et al. (2024); `match_rms_adamw`: Liu et al. (2025), section 2.2.  [optimizer.muon]"""
    rows, columns = theta.shape
    s.buffer = average(s.buffer, g, h.momentum)
    momentum = average(g, s.buffer, 1 - h.momentum) if h.nesterov else s.buffer
    scale = 0.2 * max(rows, columns) ** 0.5 if h.adjust_lr_fn == "match_rms_adamw" else max(1, rows / columns) ** 0.5
    moved: Tensor = theta - h.lr * scale * orthogonalized(momentum, h)
    return moved


def orthogonalized(x: Tensor, h: Settings) -> Tensor:
    """The Newton-Schulz iteration: singular values go towards 1, singular vectors stay.  [optimizer.muon, optimizer.muon.orthogonal]"""
    a, b, c = h.ns_coefficients
    x = x / (x * x).sum().sqrt().clamp(min=h.eps)
    for _ in range(h.ns_steps):
        square = x @ x.T
        x = a * x + (b * square + c * (square @ square)) @ x
    return x

"""Losses of the identity half; each is a pure function of tensors (docs/design.md, "Training")."""

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.models.sampling import pixels_per_template_pixel, template_to_image


def hint_loss(features: Tensor, hints: Tensor) -> Tensor:
    """Smooth L1 at every grid point between the bridge's output and the teacher's features (N, C, H, W).

    Both are divided by the batch's deviation of each of the teacher's channels, so that all weigh alike.
    """
    scale = hints.std((0, 2, 3), keepdim=True).clamp(min=1e-3)
    return F.smooth_l1_loss(features.float() / scale, hints / scale)


def cosine_loss(embeddings: Tensor, targets: Tensor) -> Tensor:
    """One minus the mean cosine to the teacher's embedding; both (N, D), L2-normalised."""
    return 1 - (embeddings * targets).sum(1).mean()


def pairs_loss(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Mean square difference of the batch's pairwise cosines, ten times, student against teacher."""
    pairs = embeddings @ embeddings.T - targets @ targets.T
    return 10 * pairs.square().mean()


def neighbours_loss(
    descriptors: Tensor, targets: Tensor, temperature: float = 0.1, scale: float = 20.0
) -> Tensor:
    """Kullback-Leibler divergence of whom each face of the batch resembles, teacher from student.

    A softmax over the cosines to all others, as in SEED (arXiv:2101.04731). It counts those most alike, on
    whom verification depends, and does not change where all cosines rise alike: descriptors that are never
    negative cannot have strangers' at 0. Both (N, D), L2-normalised.
    """
    itself = torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    wanted = (targets @ targets.T / temperature).masked_fill(itself, -1e4).log_softmax(1)
    own = (descriptors @ descriptors.T * scale).masked_fill(itself, -1e4).log_softmax(1)
    return F.kl_div(own, wanted, log_target=True, reduction="batchmean")


def landmark_loss(refined: Tensor, truth: Tensor, template: Tensor, counts: Tensor | None = None) -> Tensor:
    """Smooth L1 of refined landmarks (N, 5, 2), measured in template pixels of the true alignment.

    `counts` (N, 5) says how much each point counts; all alike without it.
    """
    scale = pixels_per_template_pixel(template_to_image(truth, template)).view(-1, 1, 1)
    loss = F.smooth_l1_loss(refined / scale, truth / scale, reduction="none").mean(2)
    return loss.mean() if counts is None else (loss * counts).sum() / counts.sum().clamp(min=1)


def margin_loss(
    embeddings: Tensor, weights: Tensor, labels: Tensor, margin: float = 0.35, scale: float = 48.0
) -> Tensor:
    """CosFace (arXiv:1801.09414, equation 4): softmax over people with a margin on the true one's cosine.

    Args:
        embeddings: (N, D), L2-normalised. weights: (people, D) class centres, any length.
        labels: (N,) person, -1 where unknown; those faces do not count.
    """
    known = labels >= 0
    if not bool(known.any()):
        return embeddings.sum() * 0
    cosine = embeddings[known] @ F.normalize(weights, dim=1).T
    cosine = cosine - margin * F.one_hot(labels[known], len(weights))
    return F.cross_entropy(scale * cosine, labels[known])


def alignment_error(refined: Tensor, truth: Tensor) -> Tensor:
    """Mean distance of the five points over the inter-ocular distance, (N,)."""
    return (refined - truth).norm(dim=2).mean(1) / (truth[:, 0] - truth[:, 1]).norm(dim=1).clamp(min=1e-6)

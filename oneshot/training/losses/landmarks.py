"""The landmarks of scenes' faces: their direction and their corrections, from where the head puts them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.models.boxcode import anchor_points, decode_landmarks, flatten_levels
from oneshot.models.direction import AGREES, BOX_SIDE, classes_of, direction_of, turned, vector_of
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import SampledMap, apply_similarity, template_to_image
from oneshot.training.assign import Assignment, FaceTargets
from oneshot.training.data.views import jitter_landmarks
from oneshot.training.losses.identity import landmark_loss

COARSE_NOISE = (0.2, 0.18)
"""Largest noise of a point and of all five together that the refinement learns to take back."""

BOX_NOISE = 0.08
"""Deviation of a box's place, of its side, and of the logarithm of its size."""

SMALLEST = 10.0
"""Pixels: the square root of a face's box, below which its landmarks are not corrected in training."""

FROM_TEMPLATE = 0.3
"""Share of the faces whose corrections start from the template, as where the head misread them."""


def scene_landmarks(
    net: OneShotNet,
    stride4: SampledMap,
    raw: list[Tensor],
    targets: FaceTargets,
    assignment: Assignment,
    faces: int,
    corrections: int,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """Losses "direction" and "corrections" of some faces of each scene, from the head's coarse landmarks.

    Args:
        stride4: the scenes' map that landmarks are placed by. raw: the head's outputs for them.
        faces: how many of each scene. corrections: how many in a row, each mends what the one before left.
    """
    size = (targets.boxes[..., 2:] - targets.boxes[..., :2]).prod(-1).sqrt()
    usable = targets.valid & (targets.landmark_valid > 0).all(-1) & (size >= SMALLEST)
    rows, chosen = pick_faces(usable, faces, rng)
    if not bool(chosen.any()):
        return {}
    truth, counts, box = (
        t.flatten(0, 1)[rows] for t in (targets.landmarks, targets.landmark_valid, targets.boxes)
    )
    coarse = coarse_landmarks([level.detach() for level in raw], assignment, targets).flatten(0, 1)[rows]
    near = lies_near(coarse, truth)
    coarse = torch.where(near.view(-1, 1, 1), coarse, jitter_landmarks(truth, rng, *COARSE_NOISE))
    return placing_losses(
        net, stride4, jitter_boxes(box, rng), coarse, truth, counts, chosen, corrections, rng
    )


def crop_landmarks(
    net: OneShotNet, views: Tensor, truth: Tensor, corrections: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """The same losses of views (B, 3, S, S) of one face each, RGB 0..255, with true landmarks (B, 5, 2)."""
    with torch.no_grad():
        maps = net.backbone(views, top=False)
    stride4 = net.sampled(maps).coarse
    # A face's box from its points, as if upright: its middle is a little above theirs.
    centre = truth.mean(1)
    spread = (truth - centre.unsqueeze(1)).square().sum(2).mean(1, keepdim=True).sqrt()
    up = (truth[:, :2].mean(1) - truth[:, 3:].mean(1)) / (3.3 * spread)
    middle, half = centre + 0.27 * spread * up, spread * (BOX_SIDE / 2)
    boxes = jitter_boxes(torch.cat((middle - half, middle + half), 1), rng)
    coarse = jitter_landmarks(truth, rng, *COARSE_NOISE)
    every = truth.new_ones(len(truth), 5)
    return placing_losses(net, stride4, boxes, coarse, truth, every, every[:, 0] > 0, corrections, rng)


def jitter_boxes(boxes: Tensor, rng: torch.Generator) -> Tensor:
    """Boxes (N, 4) as a head would give them: a little beside and of another size."""
    noise = torch.randn(len(boxes), 3, generator=rng).to(boxes) * BOX_NOISE
    size = boxes[:, 2:] - boxes[:, :2]
    side = size.prod(1, keepdim=True).sqrt()
    centre, half = (boxes[:, :2] + boxes[:, 2:]) / 2 + noise[:, :2] * side, size / 2 * noise[:, 2:].exp()
    return torch.cat((centre - half, centre + half), 1)


def placing_losses(
    net: OneShotNet,
    stride4: SampledMap,
    boxes: Tensor,
    coarse: Tensor,
    truth: Tensor,
    counts: Tensor,
    chosen: Tensor,
    corrections: int,
    rng: torch.Generator,
) -> dict[str, Tensor]:
    """Losses of directions read in boxes (N, 4) and of corrections from coarse landmarks (N, 5, 2).

    counts: (N, 5), how much each true point counts. chosen: (N,) bool, the faces that count at all.
    """
    template = net.refinement.grid.landmarks
    true_direction = direction_of(template_to_image(truth, template))
    losses: dict[str, Tensor] = {}
    start = coarse
    if net.direction is not None:
        logits = net.direction.logits(stride4, boxes)
        wanted = classes_of(true_direction[chosen])
        losses["direction"] = F.cross_entropy(logits[chosen].float(), wanted)
        vector = vector_of(logits.detach())
        right = (F.normalize(vector, dim=1) * true_direction).sum(1, keepdim=True) > AGREES
        # The head's points are kept or replaced as at run time, were the direction decided rightly.
        start = net.direction.turn(boxes, coarse, torch.where(right, vector, true_direction))[0]
        spun = torch.rand(len(start), 1, generator=rng).to(start) * 0.8 - 0.4
        x, y = true_direction.split(1, 1)
        about = torch.cat((x * spun.cos() - y * spun.sin(), x * spun.sin() + y * spun.cos()), 1)
        instead = apply_similarity(turned(boxes, template, about), template)
        swap = torch.rand(len(start), 1, 1, generator=rng).to(start) < FROM_TEMPLATE
        start = torch.where(swap, instead, start)
    found = []
    for _ in range(corrections):
        start = net.refinement(stride4, start.detach())
        found.append(start[chosen])
    times = len(found)
    losses["corrections"] = landmark_loss(
        torch.cat(found),
        truth[chosen].repeat(times, 1, 1),
        template,
        counts[chosen].repeat(times, 1),
    )
    return losses


def lies_near(landmarks: Tensor, truth: Tensor) -> Tensor:
    """Whether landmarks (N, 5, 2) have about the place and size of the true ones, however turned, (N,)."""
    own, true = landmarks.mean(1, keepdim=True), truth.mean(1, keepdim=True)
    spread, wanted = (landmarks - own).norm(dim=2).mean(1), (truth - true).norm(dim=2).mean(1)
    ratio = spread / wanted.clamp(min=1e-3)
    return ((own - true).norm(dim=2)[:, 0] < wanted) & (ratio > 0.4) & (ratio < 2.5)


def pick_faces(usable: Tensor, faces: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """`faces` random usable faces of each picture.

    Args:
        usable: (B, M) bool.

    Returns:
        Rows (B * faces,) into the flattened (B * M) faces, and which of them are usable at all. A picture
        with too few fills up with others, so that every picture has the same number of grids to sample.
    """
    pictures, most = usable.shape
    if most == 0:
        return torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
    order = torch.rand(usable.shape, generator=rng).to(usable.device) + usable.float()
    best = order.topk(min(faces, most), 1)
    columns = best.indices[:, torch.arange(faces) % best.indices.shape[1]]
    fresh = (torch.arange(faces) < most).to(usable.device)
    rows = columns + torch.arange(pictures, device=usable.device)[:, None] * most
    return rows.flatten(), (usable.gather(1, columns) & fresh).flatten()


def coarse_landmarks(raw: list[Tensor], assignment: Assignment, targets: FaceTargets) -> Tensor:
    """The head's landmarks (B, M, 5, 2) of each face, by the most confident of its cells."""
    flat = flatten_levels([level.float() for level in raw])
    points, strides = anchor_points([(r.shape[2], r.shape[3]) for r in raw], flat.device)
    faces = torch.arange(targets.boxes.shape[1], device=flat.device)
    mine = assignment.face[:, None] == faces[None, :, None]
    cell = torch.where(mine, flat[:, None, :, 4], -torch.inf).argmax(2)
    code = flat.gather(1, cell[..., None].expand(-1, -1, flat.shape[2]))[..., 5:]
    return decode_landmarks(code, points[cell], strides[cell])

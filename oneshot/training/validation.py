"""Figures on held-out training data, which choose between runs; evaluation data is never looked at here."""

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_area, box_iou

from oneshot.models.cells import suppress
from oneshot.models.network import OneShotNet
from oneshot.training.data.compose import whole_photo
from oneshot.training.data.pool import Photo
from oneshot.training.precision import Precision, autocast


def tar_at_far(embeddings: Tensor, identity: Tensor, far: float = 1e-3) -> float:
    """Share (percent) of all same-person pairs above the threshold that `far` of the different pairs pass."""
    upper = torch.ones(len(identity), len(identity), dtype=torch.bool).triu(1)
    scores = (embeddings @ embeddings.T)[upper]
    same = (identity[:, None] == identity[None])[upper]
    impostors = scores[~same].sort(descending=True).values
    threshold = impostors[int(far * len(impostors))]
    return float((scores[same] > threshold).float().mean() * 100)


@torch.no_grad()
def detection_figures(
    net: OneShotNet,
    photos: list[Photo],
    device: torch.device,
    precision: Precision,
    side: int = 448,
    turn: int = 0,
) -> dict[str, float]:
    """AP50 of the photos (all-point interpolation, ignore regions honoured) and landmark errors.

    These are of faces with all five points known that were found, over the eye to mouth distance: medians
    of the coarse and of the corrected ones; and how many faces are decidedly of a wrong, or of no, direction.
    turn: degrees, a multiple of 90, by which the photos are turned first.
    """
    scores: list[float] = []
    hits: list[bool] = []
    faces = 0
    errors: list[tuple[float, float, bool, bool]] = []
    for photo in photos:
        scene = whole_photo(photo, side, turn)
        image = torch.from_numpy(scene.image)[None].to(device).permute(0, 3, 1, 2).float()
        with autocast(device, precision):
            cells, sampled = net.dense(image)
        rows = suppress(cells.boxes[0], cells.scores[0], 0.02, 0.45, 200)
        coarse = cells.landmarks(torch.zeros_like(rows), rows)
        decided = cells.decided(torch.zeros_like(rows), rows)
        final = net.corrected(sampled.coarse, coarse) if len(rows) else coarse
        truth = torch.from_numpy(np.asarray(scene.labels.boxes, np.float32)).view(-1, 4)
        ignore = torch.from_numpy(np.asarray(scene.labels.ignore, np.float32)).view(-1, 4)
        free = torch.ones(len(truth), dtype=torch.bool)
        faces += len(truth)
        placed = zip(coarse.cpu(), final.cpu(), decided.cpu(), strict=True)
        for box, score, (first, last, sure) in zip(
            cells.boxes[0, rows].cpu(), cells.scores[0, rows].tolist(), placed, strict=True
        ):
            overlap = box_iou(box[None], truth)[0] * free
            if len(overlap) and float(overlap.max()) >= 0.5:
                best = int(overlap.argmax())
                free[best] = False
                scores.append(score)
                hits.append(True)
                if scene.labels.known[best].all():
                    points = torch.from_numpy(scene.labels.landmarks[best])
                    down = points[3:].mean(0) - points[:2].mean(0)
                    size = max(float(down.norm()), 1.0)
                    off = [float((found - points).norm(dim=1).mean()) / size for found in (first, last)]
                    astray = float((last[3:].mean(0) - last[:2].mean(0)) @ down) < 0.5 * size**2
                    errors.append((off[0], off[1], bool(sure), astray))
            elif not len(ignore) or float(_covered(box, ignore).max()) < 0.5:
                scores.append(score)
                hits.append(False)
    order = np.argsort(-np.array(scores), kind="stable")
    found = np.cumsum(np.array(hits, bool)[order])
    precisions = found / np.arange(1, len(found) + 1)
    best_from_here = np.maximum.accumulate(precisions[::-1])[::-1]
    recall_steps = np.diff(np.concatenate(([0], found))) / max(faces, 1)
    misread = np.array(errors or [(np.nan, np.nan, False, False)])
    balance = 2 * found / (np.arange(1, len(found) + 1) + max(faces, 1))
    return {
        "ap50": float((best_from_here * recall_steps).sum()),
        "best_f1": float(balance.max(initial=0.0)),
        "best_f1_threshold": float(np.array(scores)[order][balance.argmax()]) if scores else 0.5,
        "coarse_landmark_error": float(np.median(misread[:, 0])),
        "landmark_error": float(np.median(misread[:, 1])),
        "undecided": float((misread[:, 2] == 0).mean()),
        "misread": float((misread[:, 2] * misread[:, 3]).mean()),
    }


def _covered(box: Tensor, regions: Tensor) -> Tensor:
    """How much of a box (4,) each region (K, 4) covers."""
    shared = (torch.minimum(box[2:], regions[:, 2:]) - torch.maximum(box[:2], regions[:, :2])).clamp(min=0)
    return shared.prod(1) / box_area(box[None]).clamp(min=1e-6)

"""Detection losses: what carries a gradient, what does not, and that they lead to the faces."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from oneshot.models.boxcode import (
    anchor_points,
    decode_boxes,
    decode_landmarks,
    decode_upright_landmarks,
    encode_boxes,
    flatten_levels,
    level_sizes,
)
from oneshot.models.direction import classes_of
from oneshot.models.head import template_code
from oneshot.training.assign import Assignment, FaceTargets, assign
from oneshot.training.losses.detection import (
    DETECTION_WEIGHTS,
    detection_losses,
    imitation_losses,
    paired_iou,
)

SIDE = 96
SIZES = level_sizes(SIDE, SIDE)
TEMPLATE = torch.tensor([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])


def _targets(boxes: Tensor, regions: Tensor | None = None) -> FaceTargets:
    """Faces (B, M, 4), all valid, with landmarks placed within their boxes, and regions (B, K, 4)."""
    ignore = boxes.new_zeros(len(boxes), 0, 4) if regions is None else regions
    valid = torch.ones(boxes.shape[:2], dtype=torch.bool)
    size = boxes[..., 2:] - boxes[..., :2]
    landmarks = boxes[..., None, :2] + TEMPLATE * size[..., None, :]
    return FaceTargets(
        boxes, valid, landmarks, valid[..., None].expand(*valid.shape, 5), valid, ignore, _all(ignore)
    )


def _all(rows: Tensor) -> Tensor:
    return torch.ones(rows.shape[:2], dtype=torch.bool)


def _assign(targets: FaceTargets) -> Assignment:
    return assign(targets.boxes, targets.valid, targets.ignore, targets.ignore_valid, SIZES)


def _raw(batch: int, fill: float | None = None) -> list[Tensor]:
    torch.manual_seed(0)
    maps = [torch.randn(batch, 15, *size) for size in SIZES]
    return [(m if fill is None else torch.full_like(m, fill)).requires_grad_() for m in maps]


def _grads(raw: list[Tensor]) -> list[Tensor]:
    return [level.grad for level in raw if level.grad is not None]


def _perfect(targets: FaceTargets) -> list[Tensor]:
    """What a head that knows everything puts out, for a batch of one."""
    points, strides = anchor_points(SIZES)
    face = _assign(targets).face[0]
    index = face.clamp(min=0)
    boxes, landmarks = targets.boxes[0, index], targets.landmarks[0, index]
    confidence = torch.where(face >= 0, 20.0, -20.0)[:, None]
    offsets = ((landmarks - points[:, None]) / (2 * strides[:, None, None])).flatten(1)
    code = [encode_boxes(boxes, points, strides), confidence, offsets]
    cells = [rows * columns for rows, columns in SIZES]
    flat = torch.cat(code, 1).T[None].split(cells, 2)
    return [level.reshape(1, 15, *size) for level, size in zip(flat, SIZES, strict=True)]


FACES = torch.tensor([[[10.0, 12.0, 40.0, 48.0], [60.0, 60.0, 72.0, 76.0]]])


def test_the_truth_costs_nothing() -> None:
    targets = _targets(FACES)
    losses = detection_losses(_perfect(targets), targets, _assign(targets))
    assert {*losses, "direction"} == DETECTION_WEIGHTS.keys()
    for name, loss in losses.items():
        assert loss.item() == pytest.approx(0, abs=1e-4), name


def test_no_face_is_finite_and_teaches_confidence_only() -> None:
    targets = _targets(torch.zeros(2, 0, 4))
    raw = _raw(2)
    losses = detection_losses(raw, targets, _assign(targets))
    assert all(loss.isfinite() for loss in losses.values())
    assert losses["box"] == losses["iou"] == losses["landmarks"] == 0 < losses["confidence"]
    sum(losses.values(), torch.zeros(())).backward()
    gradient = torch.cat([level.grad.flatten(2) for level in raw if level.grad is not None], 2)
    assert gradient.isfinite().all() and gradient[:, 4].abs().min() > 0
    assert (gradient[:, :4] == 0).all() and (gradient[:, 5:] == 0).all()


def test_ignored_cells_have_no_gradient() -> None:
    targets = _targets(torch.zeros(1, 0, 4), torch.tensor([[[20.0, 20.0, 70.0, 70.0]]]))
    raw = _raw(1)
    assignment = _assign(targets)
    detection_losses(raw, targets, assignment)["confidence"].backward()
    gradient = flatten_levels(_grads(raw))[0, :, 4]
    points, _ = anchor_points(SIZES)
    inside = ((points > 20) & (points < 70)).all(1)
    assert (gradient[inside] == 0).all() and (gradient[~inside] != 0).all()


def test_unknown_landmarks_teach_nothing() -> None:
    targets = _targets(FACES)
    known = targets.landmark_valid.clone()
    known[0, 0] = False
    known[0, 1, 2] = False
    raw = _raw(1)
    hidden = replace(targets, landmark_valid=known)
    detection_losses(raw, hidden, _assign(targets))["landmarks"].backward()
    gradient = flatten_levels(_grads(raw))[0, :, 5:]
    face = _assign(targets).face[0]
    assert (gradient[face == 0] == 0).all()
    assert (gradient[face == 1][:, 4:6] == 0).all() and (gradient[face == 1][:, :4] != 0).all()


def test_landmark_loss_does_not_depend_on_the_face_size() -> None:
    small = _targets(torch.tensor([[[32.0, 32.0, 48.0, 48.0]]]))
    large = _targets(torch.tensor([[[16.0, 16.0, 80.0, 80.0]]]))
    values = []
    for targets in (small, large):
        size = targets.boxes[0, 0, 2] - targets.boxes[0, 0, 0]
        moved = replace(targets, landmarks=targets.landmarks + 0.1 * size)
        losses = detection_losses(_perfect(targets), moved, _assign(targets))
        values.append(losses["landmarks"].item())
    assert values[0] == pytest.approx(values[1], rel=1e-3) and values[0] > 0.1


def test_confidence_target_is_the_overlap() -> None:
    targets = _targets(FACES)
    raw = [level.requires_grad_() for level in _perfect(targets)]
    moved = replace(targets, boxes=targets.boxes + 4)
    assignment = _assign(targets)
    detection_losses(raw, moved, assignment)["confidence"].backward()
    logit, gradient = (flatten_levels([m.detach() for m in maps])[0, :, 4] for maps in (raw, _grads(raw)))
    boxes = decode_boxes(flatten_levels(raw)[0, :, :4].detach(), *anchor_points(SIZES))
    face = assignment.face[0]
    cells = face >= 0
    overlap = paired_iou(boxes[cells], moved.boxes[0, face[cells]])
    assert overlap.min() > 0.2 and overlap.max() < 0.9
    # Cross-entropy's gradient is what is said less what should be said.
    torch.testing.assert_close(gradient[cells] * cells.sum(), logit[cells].sigmoid() - overlap)


def test_float32_inside_autocast() -> None:
    targets = _targets(FACES)
    with torch.autocast("cpu", torch.bfloat16):
        losses = detection_losses([r.bfloat16() for r in _raw(1)], targets, _assign(targets))
    assert all(loss.dtype == torch.float32 and loss.isfinite() for loss in losses.values())


def test_what_was_taught_costs_nothing_and_may_not_be_improved_on() -> None:
    taught = _perfect(_targets(FACES))
    own = [level.clone().requires_grad_() for level in taught]
    losses = imitation_losses(own, taught)
    assert set(losses) == {"confidence", "box", "landmarks"}
    assert all(abs(loss.item()) < 1e-6 for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(float(level.grad.abs().max()) < 1e-6 for level in own if level.grad is not None)


def test_codes_are_imitated_where_a_face_is_taught_and_confidence_everywhere() -> None:
    taught, own = [m.detach() for m in _raw(2)], _raw(2, 0.0)
    unsure = taught[0][:, 4].sigmoid() < 0.1
    taught[0][:, 4] = torch.where(unsure, -5.0, taught[0][:, 4])
    losses = imitation_losses(own, taught)
    torch.stack(list(losses.values())).sum().backward()
    gradient = own[0].grad
    assert gradient is not None and unsure.any() and (gradient[:, 4] != 0).all()
    codes = gradient[:, [0, 1, 2, 3, *range(5, 15)]].abs().sum(1)
    assert (codes[unsure] == 0).all() and (codes[~unsure] > 0).all()
    # The more certain the face, the more its code counts.
    sure = taught[0][:, 4].sigmoid()
    far = (taught[0][:, 0] - own[0][:, 0]).abs() > 0.1  # there smooth-L1's gradient is one everywhere
    per_certainty = (gradient[:, 0].abs() / sure)[far & ~unsure]
    torch.testing.assert_close(per_certainty, per_certainty[:1].expand_as(per_certainty))


class _TinyHead(nn.Module):
    """A few convolutions, just enough to learn four pictures by heart."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 5, 4, 2), nn.ReLU(), nn.Conv2d(24, 48, 3, 2, 1), nn.ReLU())
        self.down = nn.ModuleList(nn.Conv2d(48, 48, 3, 2, 1) for _ in range(2))
        self.out = nn.ModuleList(nn.Conv2d(48, 15, 3, 1, 1) for _ in range(3))

    def forward(self, images: Tensor) -> list[Tensor]:
        maps = [self.stem(images)]
        for down in self.down:
            maps.append(down(maps[-1]).relu())
        return [out(level) for out, level in zip(self.out, maps, strict=True)]


def test_a_tiny_head_learns_four_pictures_by_heart() -> None:
    torch.manual_seed(0)
    boxes = torch.tensor(
        [
            [[8.0, 10.0, 30.0, 36.0], [56.0, 50.0, 86.0, 88.0]],
            [[20.0, 30.0, 72.0, 90.0], [70.0, 4.0, 84.0, 20.0]],
            [[40.0, 40.0, 54.0, 56.0], [4.0, 60.0, 34.0, 94.0]],
            [[30.0, 6.0, 78.0, 66.0], [6.0, 70.0, 22.0, 90.0]],
        ]
    )
    images = torch.rand(4, 3, SIDE, SIDE) * 0.3
    for image, faces in zip(images, boxes.int().tolist(), strict=True):
        for x0, y0, x1, y1 in faces:
            shade = torch.linspace(0.3, 1, y1 - y0)[:, None] * torch.linspace(1, 0.5, x1 - x0)
            image[:, y0:y1, x0:x1] = shade
    targets = _targets(boxes)
    assignment = _assign(targets)
    net = _TinyHead()
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(250):
        losses = detection_losses(net(images), targets, assignment)
        total = torch.stack([DETECTION_WEIGHTS[name] * loss for name, loss in losses.items()]).sum()
        optimiser.zero_grad()
        total.backward()
        optimiser.step()

    points, strides = anchor_points(SIZES)
    with torch.no_grad():
        prediction = flatten_levels(net(images))
    for picture in range(4):
        for face in range(2):
            own = torch.nonzero(assignment.face[picture] == face)[:, 0]
            best = own[prediction[picture, own, 4].argmax()]
            box = decode_boxes(prediction[picture, best, :4], points[best], strides[best])
            assert paired_iou(box[None], boxes[picture, face][None]).item() > 0.7
            landmarks = decode_landmarks(prediction[picture, best, 5:], points[best], strides[best])
            error = (landmarks - targets.landmarks[picture, face]).norm(dim=-1).mean()
            assert error < 0.1 * (boxes[picture, face, 3] - boxes[picture, face, 1])
        positive = assignment.face[picture] >= 0
        # what was never judged may say anything
        empty = ~positive & (assignment.weight[picture] > 0)
        assert prediction[picture, positive, 4].max() > prediction[picture, empty, 4].max()


def test_a_head_of_directions_is_taught_them_and_landmarks_as_they_lie_in_the_upright_face() -> None:
    """Nothing but the doubt between two neighbours is left to a head that knows the direction, and wrong
    directions cost more. Landmarks cost nothing whatever it says of the direction: the true one turns them.
    """
    code = template_code()
    direction = torch.tensor([[[math.cos(2.0), math.sin(2.0)]] * 2])
    targets = _targets(FACES)
    targets = replace(targets, landmarks=decode_upright_landmarks(code.expand(1, 2, 10), FACES, direction))
    wanted = classes_of(direction[0, :1])[0]
    costs = []
    for logits in ((wanted + 1e-9).log(), wanted.roll(1) * 9):
        said = torch.cat((code, logits))[None, :, None, None]
        perfect = _perfect(targets)
        raw = [torch.cat((m[:, :5], said.expand(1, 18, *m.shape[2:])), 1) for m in perfect]
        losses = detection_losses(raw, targets, _assign(targets))
        assert losses["landmarks"].item() == pytest.approx(0, abs=1e-3)
        costs.append(losses["direction"].item())
    doubt = -(wanted * (wanted + 1e-9).log()).sum().item()
    assert costs[0] == pytest.approx(doubt, abs=1e-4) and costs[1] > costs[0] + 1

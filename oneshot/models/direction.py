"""Which way up a face is: decided as a class before its landmarks are corrected.

A regressed landmark of a face that may be read two ways lies between the two readings. So the direction is
a class of eight first, read from samples on a grid that is upright whatever the coarse landmarks say. Its
mean vector tells both the way up and, by its length, how sure that is.
"""

import math

import torch
from torch import Tensor

from oneshot.models.refinement import GridReader
from oneshot.models.sampling import Places, SampledMap, apply_similarity, template_to_image

DIRECTIONS = 8
DECIDED = 0.75
"""Least length of a decided direction's vector. Two neighbours alike give 0.92, opposite ones 0."""

AGREES = math.cos(math.radians(50))
"""Cosine of the most that coarse landmarks may be turned from the direction to be where corrections start."""


BOX_SIDE = 4.07
"""Square root of a box's area over the root mean square distance of the five landmarks from their centre."""


class Direction(GridReader):
    """Which way up a face is, and with it where its landmarks' corrections start."""

    def __init__(self, inputs: int):
        super().__init__(inputs, DIRECTIONS)

    def forward(
        self, coarse: SampledMap, boxes: Tensor, landmarks: Tensor, places: Places | None = None
    ) -> tuple[Tensor, Tensor]:
        """Boxes (N, 4) and landmarks (N, 5, 2), pixels, to landmarks from which corrections start, and which
        faces' directions are sure (N,)."""
        return self.turn(boxes, landmarks, vector_of(self.logits(coarse, boxes, places)))

    def logits(self, coarse: SampledMap, boxes: Tensor, places: Places | None = None) -> Tensor:
        """(N, DIRECTIONS) of the faces in boxes (N, 4), pixels."""
        return self.read(coarse, upright(boxes, self.grid.landmarks), places)

    def turn(self, boxes: Tensor, landmarks: Tensor, vector: Tensor) -> tuple[Tensor, Tensor]:
        """As `forward`, by the faces' directions (N, 2), shorter than 1 where they are in doubt.

        Coarse landmarks that are turned otherwise than the face make way for the template in its box.
        """
        length = vector.norm(dim=1, keepdim=True)
        direction = vector / length.clamp(min=1e-6)
        template = self.grid.landmarks
        own = direction_of(template_to_image(landmarks, template))
        agree = (own * direction).sum(1) > AGREES
        instead = apply_similarity(turned(boxes, template, direction), template)
        return torch.where(agree.view(-1, 1, 1), landmarks, instead), length[:, 0] > DECIDED


def upright(boxes: Tensor, template: Tensor) -> Tensor:
    """The transform (N, 4) that lays the template into boxes (N, 4), not turned.

    Boxes, since landmarks regressed between two readings of a face have neither its centre nor its size.
    """
    return turned(boxes, template, boxes.new_tensor([[1.0, 0.0]]))


def turned(boxes: Tensor, template: Tensor, direction: Tensor) -> Tensor:
    """The same transform (N, 4), turned so that the face's right points along `direction` (N, 2), unit."""
    with torch.autocast(boxes.device.type, enabled=False):
        middle = template.mean(0)
        centre = (boxes[:, :2] + boxes[:, 2:]) / 2
        side = (boxes[:, 2:] - boxes[:, :2]).prod(1, keepdim=True).clamp(min=1e-6).sqrt()
        spread = (template - middle).square().sum(1).mean().sqrt()
        x, y = (direction * (side / (BOX_SIDE * spread))).split(1, 1)
        moved = torch.cat((x * middle[0] - y * middle[1], x * middle[1] + y * middle[0]), 1)
        return torch.cat((x, -y, centre - moved), 1)


def vector_of(logits: Tensor) -> Tensor:
    """The mean direction (N, 2) of logits (N, DIRECTIONS); shorter than 1 where they are in doubt."""
    angle = torch.arange(DIRECTIONS, device=logits.device) * (2 * math.pi / DIRECTIONS)
    return logits.float().softmax(1) @ torch.stack((angle.cos(), angle.sin()), 1)


def classes_of(direction: Tensor) -> Tensor:
    """Targets (N, DIRECTIONS) of unit vectors (N, 2): shared between the two nearest classes."""
    angle = torch.arange(DIRECTIONS, device=direction.device) * (2 * math.pi / DIRECTIONS)
    between = torch.atan2(direction[:, 1:], direction[:, :1]) - angle
    apart = (between + math.pi).remainder(2 * math.pi) - math.pi
    return (1 - apart.abs() * (DIRECTIONS / (2 * math.pi))).clamp(min=0)


def direction_of(transform: Tensor) -> Tensor:
    """The unit vectors (N, 2) along which transforms (N, 4) turn the template's right."""
    turn = transform[:, :2] * transform.new_tensor([1.0, -1.0])
    return turn / turn.norm(dim=1, keepdim=True).clamp(min=1e-6)

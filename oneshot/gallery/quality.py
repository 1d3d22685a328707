"""How good a look at a face a photo gives: its size, sharpness and turn, and what is too poor to enroll."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from oneshot.geometry import TEMPLATE_SIDE, warp_face
from oneshot.types import Faces, Floats, Image

MIDDLE = slice(16, 96)
"""Rows and columns of the aligned crop that show the face; its rim is hair and background."""

FULL_SIZE = 112.0
"""Pixels; a larger face shows the network no more."""

FULL_SHARPNESS = 0.06
"""The lower half of LFW's photos has less than 0.09, after a blur of 0.7 pixels less than 0.05."""

TURN_OF_45 = 0.343
"""The turn at 45 degrees: the nose stands out by about a third of the height from eyes to mouth."""


@dataclass(frozen=True, slots=True)
class Quality:
    """One face in one photo.

    Attributes:
        size: the shorter side of its box in pixels, as the network saw it.
        sharpness: variance of the Laplacian over the variance of the grey values, in the aligned face. Of 60
            photos of LFW 57 have more than 0.033; blurred by a Gaussian of 3 pixels, 57 have less than 0.016.
        turn: how far the nose is to the side of the line from the eyes to the mouth, over that line's length:
            0 facing the camera, about 0.24 at 35 degrees.
    """

    size: float
    sharpness: float
    turn: float

    @property
    def overall(self) -> float:
        """From 0 to 1: 1 is large, sharp and facing the camera."""
        facing = 1 / math.hypot(1, self.turn / TURN_OF_45)  # the turn's cosine
        return min(1.0, self.size / FULL_SIZE) * min(1.0, self.sharpness / FULL_SHARPNESS) ** 0.5 * facing

    @property
    def degrees(self) -> float:
        """The turn as an angle, roughly."""
        return math.degrees(math.atan(self.turn / TURN_OF_45))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a photo must have to be enrolled.

    Attributes:
        size, sharpness: at least; turn: at most; see Quality.
        faces: of more in a photo, the person's other photos must tell which is meant.
        similarity: least cosine to the mean of the person's other photos; None is the model's threshold for a
            false accept rate of 1e-2.
    """

    size: float = 40.0
    sharpness: float = 0.012
    turn: float = 0.30
    faces: int = 1
    similarity: float | None = None

    def fault(self, quality: Quality) -> str | None:
        """Why a photo is too poor, and the remedy; None if it is good."""
        if quality.size < self.size:
            return f"the face is too small ({quality.size:.0f} pixels of {self.size:.0f}); crop it closer"
        if quality.turn > self.turn:
            return f"the face is turned away (about {quality.degrees:.0f} degrees); take one from the front"
        if quality.sharpness < self.sharpness:
            return "the face is blurred; take a sharper one"
        return None


DEFAULT = Limits()
"""What folders of people, and the command line, are held to."""


LEAST_SHARPNESS = 0.009
"""Less is too blurred to tell who it is: strangers who are both blurred look alike. docs/thresholds.md has
what this costs."""

LEAST_SIZE = 12.0
"""Pixels, as the network sees it."""


def too_poor(quality: Quality) -> str:
    """Why nobody can tell who a face is; "" if one can."""
    if quality.size < LEAST_SIZE:
        return f"the face is too small ({quality.size:.0f} pixels of {LEAST_SIZE:.0f})"
    return "the face is blurred" if quality.sharpness < LEAST_SHARPNESS else ""


def assess(image: Image, faces: Faces, index: int, side: int) -> Quality:
    """The quality of one of the faces of a BGR picture.

    Args:
        side: the model's; what is scaled down to it becomes smaller, and sharper.
    """
    shrunk = min(1.0, side / max(image.shape[:2]))
    box, points = faces.boxes[index], faces.landmarks[index]
    size = float(min(box[2] - box[0], box[3] - box[1])) * shrunk
    crop = cv2.cvtColor(warp_face(image, points, TEMPLATE_SIDE), cv2.COLOR_BGR2GRAY)[MIDDLE, MIDDLE]
    grey = crop.astype(np.float32)
    sharpness = float(cv2.Laplacian(grey, cv2.CV_32F).var() / max(float(grey.var()), 1.0))
    return Quality(size, sharpness, turn(points))


def assess_all(image: Image, faces: Faces, side: int) -> list[Quality]:
    """The quality of each of the faces of a BGR picture; arguments as for `assess`."""
    return [assess(image, faces, i, side) for i in range(len(faces))]


def turn(points: Floats) -> float:
    """How far a face is turned to either side, from its landmarks (5, 2); see Quality.turn."""
    eyes, nose, mouth = points[:2].mean(0), points[2], points[3:].mean(0)
    down = mouth - eyes
    length = float(np.hypot(*down))
    if length < 1e-6:
        return math.inf
    across = (nose - eyes)[0] * down[1] - (nose - eyes)[1] * down[0]
    return abs(float(across)) / length**2

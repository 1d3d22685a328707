"""What the paper of SqueezeFacePoseNet reports (arXiv:2007.08566), to stand beside ours."""

from typing import NamedTuple


class Row(NamedTuple):
    """A network of Table 1: input side, megabytes, millions of parameters, length of the descriptor, ms."""

    side: int
    size: float
    parameters: float
    descriptor: int
    ms: float


TABLE_1 = {
    "SqueezeFacePoseNet": Row(113, 4.41, 1.24, 1000, 37.7),
    "+GDC": Row(113, 5.01, 1.40, 1000, 38.7),
    "+DWC": Row(113, 2.5, 0.69, 1000, 36.4),
    "+DWC+GDC": Row(113, 3.1, 0.86, 1000, 36.9),
    "ResNet50ft": Row(224, 146, 25.6, 2048, 160),
    "SENet50ft": Row(224, 155, 28.1, 2048, 210),
}
"""On an Intel i7-8650U at 1.9 GHz, in MATLAB; sizes are those of its files, which are compressed."""

COLUMNS = (
    "frontal/frontal",
    "three_quarter/three_quarter",
    "profile/profile",
    "frontal/three_quarter",
    "three_quarter/profile",
    "frontal/profile",
)
"""Of Tables 4 and 5: same pose, then cross pose; first for templates of one image, then of five."""

TABLE_4 = {
    "SqueezeFacePoseNet": (6.39, 5.47, 7.88, 6.09, 7.02, 8.15, 0.27, 0.06, 0.54, 0.2, 0.88, 1.23),
    "+GDC": (8.67, 7.18, 9.18, 8.06, 9, 10.59, 0.27, 0.08, 0.37, 0.15, 0.75, 1.29),
    "+DWC": (8.28, 7.77, 12.27, 8.11, 11.08, 12.03, 0.39, 0.54, 1.11, 0.47, 1.98, 2.85),
    "+DWC+GDC": (10.07, 9.11, 14.04, 9.86, 12.67, 14.24, 0.81, 0.61, 1.63, 0.68, 1.82, 3.39),
    "ResNet50ft": (4.14, 3.13, 5.16, 3.68, 4.25, 4.99, 0.01, 0.02, 0.27, 0.07, 0.14, 0.14),
    "SENet50ft": (3.86, 2.87, 4.16, 3.36, 3.71, 4.48, 0.02, 0.02, 0.27, 0.07, 0.2, 0.14),
}
"""EER in percent on VGGFace2-Pose."""

TABLE_5 = {
    "MS1M": (16.82, 16.23, 20.24, 17.45, 21.24, 24.19, 1.17, 2.17, 3.25, 1.7, 5.24, 7.01),
    "VGGFace2": (8.93, 6.97, 8.34, 8.35, 8.16, 10.35, 0.27, 0.27, 0.64, 0.2, 0.55, 1.09),
    "both": (6.39, 5.47, 7.88, 6.09, 7.02, 8.15, 0.27, 0.06, 0.54, 0.2, 0.88, 1.23),
}
"""The same, of SqueezeFacePoseNet by what it was trained on."""

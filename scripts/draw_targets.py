"""Draw composed training scenes with what they teach: faces, landmarks, ignore regions and assigned cells.

    python scripts/draw_targets.py --data ../shared/data --out targets.png

Boxes: green, landmarks: red left and blue right, ignore regions: grey, crossed out. Cells: a ring at the
anchor point, yellow at stride 8, magenta at stride 16, cyan at stride 32; a small cross where no confidence
is judged. A white dot at the corner marks faces that the identity losses use.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from oneshot.models.boxcode import STRIDES, anchor_points, level_sizes
from oneshot.training.assign import assign
from oneshot.training.data.compose import SceneConfig
from oneshot.training.data.pool import load_pool
from oneshot.training.data.scenes import SceneBatch, SceneBatches
from oneshot.training.data.warp import Array

CELL_COLOURS = {8: (255, 220, 0), 16: (255, 0, 255), 32: (0, 255, 255)}
LANDMARK_COLOURS = ((255, 0, 0), (0, 0, 255), (255, 255, 255), (255, 0, 0), (0, 0, 255))


def draw(batch: SceneBatch, zoom: int) -> list[Array]:
    """Pictures of all scenes of a batch, enlarged, RGB."""
    targets = batch.targets
    sizes = level_sizes(*batch.images.shape[2:])
    assigned = assign(targets.boxes, targets.valid, targets.ignore, targets.ignore_valid, sizes)
    points, _ = anchor_points(sizes)
    strides = np.repeat(STRIDES, [rows * columns for rows, columns in sizes])
    pictures = []
    for i, image in enumerate(batch.images.permute(0, 2, 3, 1).numpy()):
        picture = np.ascontiguousarray(image.repeat(zoom, 0).repeat(zoom, 1))

        def at(point: Array) -> tuple[int, int]:
            return round(float(point[0]) * zoom), round(float(point[1]) * zoom)

        for box in targets.ignore[i][targets.ignore_valid[i]].numpy():
            cv2.rectangle(picture, at(box[:2]), at(box[2:]), (128, 128, 128), 2)
            cv2.line(picture, at(box[:2]), at(box[2:]), (128, 128, 128), 1)
            cv2.line(picture, at(box[[0, 3]]), at(box[[2, 1]]), (128, 128, 128), 1)
        for j in np.flatnonzero(targets.valid[i].numpy()):
            box = targets.boxes[i, j].numpy()
            cv2.rectangle(picture, at(box[:2]), at(box[2:]), (0, 255, 0), 1)
            if targets.identity_ok[i, j]:
                cv2.circle(picture, at(box[:2]), 5, (255, 255, 255), -1)
            for point, known, colour in zip(
                targets.landmarks[i, j].numpy(), targets.landmark_valid[i, j], LANDMARK_COLOURS, strict=True
            ):
                if known:
                    cv2.circle(picture, at(point), 3, colour, -1)
        for point, stride, face, weight in zip(
            points.numpy(), strides, assigned.face[i], assigned.weight[i], strict=True
        ):
            colour = CELL_COLOURS[int(stride)]
            if face >= 0:
                cv2.circle(picture, at(point), 2 + int(stride) // 8, colour, 1)
            elif weight == 0:
                cv2.drawMarker(picture, at(point), colour, cv2.MARKER_TILTED_CROSS, 4 + int(stride) // 8)
        pictures.append(picture)
    return pictures


def main() -> None:
    """Compose one batch and write its contact sheet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of training data")
    parser.add_argument("--out", type=Path, default=Path("targets.png"))
    parser.add_argument("--side", type=int, default=320)
    parser.add_argument("--columns", type=int, default=4)
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--zoom", type=int, default=2)
    arguments = parser.parse_args()

    config = SceneConfig(batch=arguments.columns * arguments.rows, sides=(arguments.side,))
    pool, _ = load_pool(arguments.data)
    pictures = draw(SceneBatches(pool, config, arguments.seed)[0], arguments.zoom)
    rows = [
        np.hstack(pictures[i : i + arguments.columns]) for i in range(0, len(pictures), arguments.columns)
    ]
    cv2.imwrite(str(arguments.out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    print(f"{len(pictures)} scenes in {arguments.out}")


if __name__ == "__main__":
    main()

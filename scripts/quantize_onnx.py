#!/usr/bin/env python3
"""The network in 8 bits, and what that is worth beside fp32 and fp16 weights.

python scripts/quantize_onnx.py write --data ../shared/data --out forms                # what pays
python scripts/quantize_onnx.py write --images PHOTOS --layers fires,linear --name int8-fires --out forms
python scripts/quantize_onnx.py measure forms --data ../shared/data --json int8.json

`write` calibrates on photos of scenes_train (or of --images) and writes OUT/fp32.onnx, OUT/fp16.onnx and
OUT/NAME.onnx. `measure` compares all .onnx files of a folder with its fp32.onnx: size, milliseconds with one
and ten faces (in turns, medians, one thread), and how far boxes and embeddings are off. The rule: 8 bits are
shipped only if they are faster and lose at most 0.3 % of LFW (scripts/evaluate.py lfw, with --weights).
"""

import argparse
import logging
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.progress import track
from rich.table import Table

from oneshot import Faces, OneShot, OneShotError, read_image
from oneshot.errors import explained
from oneshot.evaluation import data, timing
from oneshot.files import check_writable, write_json
from oneshot.inference.backend import weights_file
from oneshot.inference.onnx import QUIET, OnnxBackend
from oneshot.inference.predictor import IOU_THRESHOLD, SCORE_THRESHOLD
from oneshot.media.images import pictures_in
from oneshot.types import Image

REFERENCE = "fp32"
FACES = (1, 10)
ERRORS = Console(stderr=True)


def write(args: argparse.Namespace) -> None:
    """The three forms, from the .safetensors file."""
    try:
        import onnx

        from oneshot.convert.quantize import PAYS, check_layers, quantize
        from oneshot.convert.rewrites import store_half
        from oneshot.convert.to_onnx import export_onnx
        from oneshot.models.weights import load_network
    except ModuleNotFoundError as error:
        raise OneShotError(f"write: needs {error.name}; pip install 'oneshot-face[train]'") from None
    layers = list(PAYS) if args.layers is None else args.layers.split(",")
    check_layers(layers)
    photos = calibration(args.images, args.data, args.count)
    net, info = load_network(weights_file(args.weights, suffix=".safetensors"))
    info = {"score_threshold": SCORE_THRESHOLD, "iou_threshold": IOU_THRESHOLD, **info}
    args.out.mkdir(parents=True, exist_ok=True)
    exact, half, small = written = [args.out / f"{name}.onnx" for name in (REFERENCE, "fp16", args.name)]
    logging.disable(logging.WARNING)  # advice for those who call the quantization themselves
    ort.set_default_logger_severity(QUIET)
    written_before = OnnxBackend(exact).info if exact.exists() else {}
    if any(written_before.get(key) != value for key, value in info.items()):
        export_onnx(net, exact, info, half=False)
    model = onnx.load(exact)
    store_half(model)
    onnx.save(model, half)
    shown = track(photos, "calibrating", args.count, console=ERRORS)
    with tempfile.TemporaryDirectory() as folder:
        if "fires" in layers:
            exact = Path(folder) / "whole.onnx"
            export_onnx(net, exact, info, half=False, split=False)
        quantize(exact, small, shown, layers, args.side)
    for path in written:
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


def calibration(folder: Path | None, training: Path | None, count: int) -> Iterator[Image]:
    """Up to `count` photos, spread over a folder, or over the training scenes: never evaluation data.

    Raises:
        OneShotError: neither is given, or there is no photo.
    """
    if folder is not None:
        if not folder.is_dir():
            raise OneShotError(f"{folder}: no such folder; give --images one of photos with faces")
        paths = pictures_in(folder)
        if not paths:
            raise OneShotError(f"{folder}: holds no photo; give --images a folder of photos with faces")
        return (read_image(paths[i]) for i in spread(len(paths), count))
    if training is None:
        raise OneShotError("8 bits are measured on photos: give --images FOLDER, or --data with scenes_train")
    images = data.TarImages(training / "scenes_train.tar")
    return (images[i] for i in spread(len(images), count))


def spread(length: int, count: int) -> list[int]:
    """Up to `count` positions, evenly from the first to the last."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(int)).tolist()


def measure(args: argparse.Namespace) -> None:
    """Every form in the folder beside the reference."""
    if args.json:
        check_writable(args.json)
    paths = {path.stem: path for path in sorted(args.folder.glob("*.onnx"))}
    if REFERENCE not in paths:
        raise OneShotError(
            f"{args.folder / REFERENCE}.onnx: no such file; make it by `quantize_onnx.py write`"
        )
    names = [REFERENCE, *(name for name in paths if name != REFERENCE)]
    rows: dict[str, dict[str, Any]] = {name: {"mb": paths[name].stat().st_size / 1e6} for name in names}
    for count in FACES:
        models = {name: OneShot(paths[name], side=args.side, threads=1, max_faces=count) for name in names}
        portraits = timing.portraits(args.data, 4 * count)
        canvases = [timing.canvas(portraits[i * count : (i + 1) * count], args.side) for i in range(4)]
        for name, runs in timing.timed(models, canvases, args.rounds).items():
            rows[name][f"ms_{count}"] = statistics.median(ms for ms, _ in runs)
    models = {name: OneShot(paths[name], threads=1) for name in names}
    photos = timing.portraits(args.data, args.photos)
    found = {name: [model(photo) for photo in photos] for name, model in models.items()}
    for name in names:
        rows[name] |= difference(found[REFERENCE], found[name])
    show(rows)
    if args.json:
        write_json(args.json, {"side": args.side, "photos": args.photos, "forms": rows})


def difference(expected: Sequence[Faces], got: Sequence[Faces]) -> dict[str, float]:
    """How far faces of the same photos are from the reference's.

    A face is the reference's nearest by its box; `missing` are the reference's that have none within half
    their width. `cosine` and `cosine_least`: mean and smallest of their embeddings; `pixels`: the largest
    difference of a box's side.
    """
    cosines, pixels, missing = [], [], 0
    for reference, faces in zip(expected, got, strict=True):
        for box, embedding in zip(reference.boxes, reference.embeddings, strict=True):
            distance = np.abs(faces.boxes - box).max(1) if len(faces) else np.array([np.inf])
            nearest = int(distance.argmin())
            if distance[nearest] > (box[2] - box[0]) / 2:
                missing += 1
                continue
            cosines.append(float(faces.embeddings[nearest] @ embedding))
            pixels.append(float(distance[nearest]))
    return {
        "faces": sum(len(faces) for faces in got),
        "missing": missing,
        "cosine": statistics.fmean(cosines) if cosines else float("nan"),
        "cosine_least": min(cosines, default=float("nan")),
        "pixels": max(pixels, default=float("nan")),
    }


def show(rows: dict[str, dict[str, Any]]) -> None:
    table = Table("form", title=f"beside {REFERENCE}; one thread, medians", title_justify="left")
    columns = ("mb", *(f"ms_{n}" for n in FACES), "faces", "missing", "cosine", "cosine_least", "pixels")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for name, row in rows.items():
        table.add_row(name, *(f"{row[column]:.4g}" for column in columns))
    Console().print(table)


@explained
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    actions = parser.add_subparsers(required=True, metavar="write|measure")
    make = actions.add_parser("write", help="calibrate and write the forms")
    make.add_argument("--weights", type=Path, help="a .safetensors file, or a shipped network (oneshot)")
    make.add_argument("--out", type=Path, required=True, metavar="DIR", help="the forms' folder")
    make.add_argument("--name", default="int8", help="the 8-bit file's, without suffix (int8)")
    make.add_argument("--layers", help="of oneshot.convert.quantize.LAYERS (PAYS there)")
    make.add_argument("--images", type=Path, metavar="FOLDER", help="photos with faces to calibrate on")
    make.add_argument("--data", type=Path, metavar="DIR", help="or the folder with scenes_train.tar")
    make.add_argument(
        "--count", type=int, choices=range(1, 10_001), default=64, metavar="N", help="photos (64)"
    )
    make.add_argument("--side", type=int, default=640, help="pixels of the photos' longest side (640)")
    make.set_defaults(act=write)
    look = actions.add_parser("measure", help="size, speed and differences of the forms in a folder")
    look.add_argument("folder", type=Path)
    look.add_argument("--data", type=Path, help="folder with lfw.tar (default: two photos out of wheels)")
    look.add_argument(
        "--photos", type=int, choices=range(1, 10_001), default=100, metavar="N", help="compared (100)"
    )
    look.add_argument("--rounds", type=int, choices=range(1, 1001), default=20, metavar="N", help="(20)")
    look.add_argument("--side", type=int, default=320, help="of the timed pictures (320)")
    look.add_argument("--json", type=Path, help="write the figures here")
    look.set_defaults(act=measure)
    args = parser.parse_args(argv)
    args.act(args)


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Measure a network: `lfw` (who is who), `detection` (faces found), `pose` (who is who across poses),
`vggface2-pose` (the same by SqueezeFacePoseNet's own protocol, for those who have its photos),
`identification` (who of many, or nobody), `cfp` (frontal faces and profiles), `rotation` (faces turned in the
picture's plane): these three measure several pipelines side by side.

Each prints a table and, with --json, writes its figures. Sets: see --data's files in
oneshot/evaluation/data.py and vggface2.py.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from oneshot.errors import OneShotError, explained
from oneshot.evaluation import (
    accuracy,
    cfp,
    data,
    detection,
    lfw,
    pipelines,
    plots,
    pose,
    references,
    report,
    rotation,
    vggface2,
)
from oneshot.evaluation.peers import detectors
from oneshot.evaluation.people import read_index
from oneshot.evaluation.verification import chi_square, cosine
from oneshot.files import check_writable, make_folder, write_json
from oneshot.inference.backend import weights_file
from oneshot.inference.crop import crop
from oneshot.inference.crop_recogniser import CropRecogniser
from oneshot.inference.mtcnn import SCORE_THRESHOLD, Mtcnn
from oneshot.inference.predictor import OneShot
from oneshot.inference.two_stage import TwoStage, two_stage_weights
from oneshot.media.images import read_image
from oneshot.models.config import read_config
from oneshot.types import Detected, Image, Model

HOLD_OUT = 5
"""Of a set without people of a single photo, each fifth person is a stranger."""

ERRORS = Console(stderr=True)
"""Progress goes there too: what is printed is the table."""


@explained
def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if args.threads:
        cv2.setNumThreads(args.threads)
    if args.json:
        check_writable(args.json)  # now, not after half an hour
    if getattr(args, "plots", None):
        make_folder(args.plots)
    result = args.command(args)
    report.print_table(f"{args.name} ({args.weights or 'shipped weights'})", result)
    if args.json:
        write_json(args.json, result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="name", required=True)
    command = _people(_common(commands.add_parser("lfw", help="LFW's 6,000 pairs, whole photos")))
    command.add_argument("--photo-side", type=_positive, help="scale the photos to this side first")
    command.add_argument("--mirror", action="store_true", help="add each photo's mirror image")
    command.set_defaults(command=run_lfw)
    command = _common(commands.add_parser("detection", help="average precision on the eval scenes"))
    command.add_argument("--detector", choices=("oneshot", "yunet", "scrfd500m", "mtcnn"), default="oneshot")
    command.add_argument("--min-side", type=int, help="enlarge smaller photos to this side (default: --side)")
    command.set_defaults(command=run_detection)
    command = _people(_common(commands.add_parser("pose", help="templates compared across poses")))
    command.add_argument("--outlook", action="store_true", help="1 to 10 images, mixed poses, single queries")
    _poses(command).set_defaults(command=run_pose)
    command = _people(_common(commands.add_parser("vggface2-pose", help="the paper's own protocol")))
    _poses(command).set_defaults(command=run_vggface2, crop="box")
    command = commands.add_parser(
        "identification", help="who of many is it: the seed's experiment, pipelines compared"
    )
    _pipelines(_common(command), "oneshot,mtcnn+squeezefaceposenet,dlib")
    command.set_defaults(command=run_identification)
    command = _common(commands.add_parser("cfp", help="frontal faces and profiles, landmarks on both"))
    _pipelines(command, "oneshot").set_defaults(command=run_cfp)
    command = commands.add_parser("rotation", help="faces turned in the picture's plane, by all angles")
    _pipelines(_common(command, side=320, every=20), "oneshot")
    command.add_argument("--pairs", type=_positive, help="how many of LFW's pairs, in place of --every")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw the figures by angle")
    command.set_defaults(command=run_rotation)
    return parser


def _common(command: argparse.ArgumentParser, side: int = 640, every: int = 1) -> argparse.ArgumentParser:
    command.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with the evaluation sets; for identification also a set's .json",
    )
    command.add_argument("--weights", type=Path, help=".onnx or .safetensors, or a shipped network (oneshot)")
    command.add_argument("--json", type=Path, help="write the figures here")
    command.add_argument(
        "--side", type=_positive, default=side, help=f"longest side of the network's input ({side})"
    )
    command.add_argument("--threads", type=_positive, help="threads of the network")
    command.add_argument(
        "--every", type=_positive, default=every, help=f"only every N-th pair or photo ({every})"
    )
    command.add_argument(
        "--peers", type=Path, default=pipelines.PEERS, help="folder of get_peers.py's files (peers)"
    )
    return command


def _people(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--min-side", type=int, help="enlarge smaller photos to this side (256; 0: never)")
    command.add_argument(
        "--models", type=Path, help="folder of the teacher's weights (default: DATA/../models)"
    )
    command.add_argument("--fast", action="store_true", help="leave out the parts measured for comparison")
    command.add_argument(
        "--pipeline", choices=("one-pass", "two-stage"), default="one-pass", help="what --weights are for"
    )
    command.add_argument(
        "--finder", choices=("mtcnn", "scrfd500m"), default="mtcnn", help="the two-stage path's detector"
    )
    command.add_argument(
        "--crop", choices=("aligned", "box"), default="aligned", help="the two-stage path's crops"
    )
    return command


def _pipelines(command: argparse.ArgumentParser, usual: str) -> argparse.ArgumentParser:
    command.add_argument(
        "--pipelines",
        type=lambda text: text.split(","),
        default=usual.split(","),
        help=f"of {', '.join(pipelines.PIPELINES)} ({usual})",
    )
    command.add_argument("--score", type=float, help="the detectors' threshold (each one's own)")
    command.add_argument(
        "--any-roll", action="store_true", help="oneshot looks at each photo from all four sides"
    )
    command.add_argument(
        "--squeezefaceposenet", type=Path, metavar="FILE", help="the two-stage path's weights"
    )
    command.add_argument("--models", type=Path, help="folder of EdgeFace's weights (default: DATA/../models)")
    return command


def _poses(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument(
        "--recogniser",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="SqueezeFacePoseNet's weights, to be measured too; repeatable",
    )
    command.add_argument("--plots", type=Path, metavar="DIR", help="write DET and ROC plots into this folder")
    return command


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _network(args: argparse.Namespace) -> Model:
    settings = {"side": args.side, "min_side": args.min_side, "threads": args.threads}
    if args.pipeline == "one-pass":
        return OneShot(args.weights, **settings)
    detector = references.scrfd(args.peers, args.threads or 1) if args.finder == "scrfd500m" else None
    return TwoStage(args.weights, detector=detector, crop=args.crop, **settings)


def run_lfw(args: argparse.Namespace) -> dict[str, Any]:
    pairs = data.lfw_pairs(args.data / "lfw_pairs.txt").every(args.every)
    network = _network(args)
    finder = {"landmarks": lambda: references.given_landmarks(args.peers, args.threads or 1)}
    aligned, notes = _comparisons(args, network, finder)
    landmarks = aligned.pop("landmarks", None)
    if landmarks is None:  # then there is nothing to run a recogniser on
        aligned, landmarks = {}, lambda photo: lfw.NO_LANDMARKS
    images = data.chosen(data.TarImages(args.data / "lfw.tar"), pairs.names)
    photos = track(((photo, landmarks(photo)) for photo in images), "LFW", len(pairs.names), console=ERRORS)
    passes = lfw.run(network, photos, photo_side=args.photo_side, mirror=args.mirror, aligned=aligned)
    settings = {"photo_side": args.photo_side, "mirror": args.mirror, "side": args.side, "every": args.every}
    return {**lfw.figures(passes, pairs), **settings, "notes": notes}


def run_detection(args: argparse.Namespace) -> dict[str, Any]:
    # Small photos are enlarged to the side, as detectors usually are judged: SCRFD-500M gains 2.7 points.
    args.min_side = args.side if args.min_side is None else args.min_side
    dataset, tar = data.scenes(args.data)
    records = dataset["images"] = dataset["images"][:: args.every]
    detector, threshold = _detector(args)
    images = data.chosen(tar, [record["file_name"] for record in records])
    found = detection.detect_all(detector, records, track(images, "scenes", len(records), console=ERRORS))
    settings = {"side": args.side, "min_side": args.min_side, "score_threshold": threshold}
    return {**detection.evaluate_detection(dataset, found, **settings), "detector": args.detector, **settings}


def _detector(args: argparse.Namespace) -> tuple[Callable[[Image], Detected], float]:
    """The detector with scores from LOW_SCORE up, and the threshold at which it is used."""
    if args.detector == "yunet":
        return detectors.Yunet(args.peers, args.side, args.min_side, detection.LOW_SCORE), 0.9
    if args.detector == "scrfd500m":
        return detectors.Scrfd(
            args.peers, args.side, args.min_side, detection.LOW_SCORE, args.threads or 1
        ), 0.5
    if args.detector == "mtcnn":
        return Mtcnn(args.side, args.min_side, detection.LOW_SCORE, args.threads), SCORE_THRESHOLD
    settings = {"side": args.side, "min_side": args.min_side, "threads": args.threads}
    network = OneShot(args.weights, max_faces=2 * detection.MAX_DETECTIONS, **settings)
    threshold, network.score_threshold = network.score_threshold, detection.LOW_SCORE
    return network, threshold


def run_pose(args: argparse.Namespace) -> dict[str, Any]:
    records, tar = data.pose_set(args.data)
    network = _network(args)
    aligned, notes = _comparisons(args, network, {})
    named = {file.stem: references.squeezefaceposenet(file, args.threads or 1) for file in args.recogniser}
    keep = range(0, len(records), args.every)
    photos = ((tar[i], np.array(records[i]["kps"])) for i in keep)
    photos = track(photos, "pose set", len(keep), console=ERRORS)
    passes = lfw.run(network, photos, aligned={**aligned, **named})
    kept = [records[i] for i in keep]
    sizes = range(1, 11) if args.outlook else (1, 5)
    own = "oneshot" if args.pipeline == "one-pass" else "two_stage"
    figures: dict[str, Any] = {own: None, "given_landmarks": None, "teacher": None}
    for name, rows, measure in _measured({own: passes.embeddings, **passes.aligned}, named):
        figures[name] = pose.pose_figures(kept, rows, sizes, measure)
        if args.outlook:
            figures[name] |= pose.outlook_figures(kept, rows, measure=measure)
        _plot_poses(args.plots, name, lambda size: pose.pose_scores(kept, rows, size, measure))  # noqa: B023
    return {**figures, "side": args.side, "every": args.every, "notes": notes}


def run_vggface2(args: argparse.Namespace) -> dict[str, Any]:
    photos = vggface2.pose_photos(args.data)
    network = None if args.fast else _network(args)
    aligned, notes = _comparisons(args, network, {})
    aligned.pop("given_landmarks", None)  # the one pass end to end is enough
    named = {file.stem: CropRecogniser(file, args.threads) for file in args.recogniser}
    rows: dict[str, list[Any]] = {name: [] for name in (*aligned, *named)}
    whole = []
    for i, path in enumerate(track(photos.paths, "VGGFace2-Pose", console=ERRORS)):
        image, box, points = read_image(path), photos.boxes[i], photos.landmarks[i]
        if network is not None:
            whole.append(lfw.central_face(network, image)[0])
        for name, embed in aligned.items():
            rows[name].append(embed(image, points))
        for name, recogniser in named.items():
            rows[name].append(recogniser(crop(image, box, points, args.crop)[None])[0])
    stacked = {name: lfw.stacked(embeddings) for name, embeddings in rows.items()}
    if whole:
        stacked = {"oneshot" if args.pipeline == "one-pass" else "two_stage": lfw.stacked(whole), **stacked}
    figures: dict[str, Any] = {}
    for name, found, measure in _measured(stacked, named):
        figures[name] = vggface2.figures(found, measure=measure)
        _plot_poses(args.plots, name, lambda size: vggface2.pose_scores(found, size, measure))  # noqa: B023
    return {**figures, "crop": args.crop, "side": args.side, "notes": notes}


def _measured(rows: dict[str, Any], named: Iterable[str]) -> Iterator[tuple[str, Any, pose.Measure]]:
    """Everything by cosine; SqueezeFacePoseNet's descriptors by its paper's χ² as well."""
    for name, found in rows.items():
        yield name, found, cosine
        if name in named:
            yield f"{name} chi-square", found, chi_square


def _plot_poses(folder: Path | None, name: str, scored: Callable[[int], plots.Curves]) -> None:
    """DET and ROC of every pair of poses, a picture for each size of template."""
    for size in (1, 5) if folder else ():
        title, stem = f"{name}, {size} image{'s' * (size > 1)} a template", f"{name.replace(' ', '-')}-{size}"
        curves = scored(size)
        plots.plot_det(folder / f"{stem}-det.png", curves, title)  # type: ignore[operator]
        plots.plot_roc(folder / f"{stem}-roc.png", curves, title)  # type: ignore[operator]


def run_identification(args: argparse.Namespace) -> dict[str, Any]:
    built, absent = _built(args)
    figures: dict[str, Any] = {}
    for name, pipeline in built.items():
        network, measure = pipelines.network(pipeline), accuracy.MEASURES.get(name, cosine)
        progress = _progress(name)
        if args.data.suffix == ".json":
            root, photos = read_index(args.data)
            who, images = [p.person for p in photos], (read_image(root / p.file) for p in photos)
            found = accuracy.set_boxes(network, root, photos, args.side, progress)
        else:
            who, images = accuracy.lfw_people(args.data, args.every)
            found = accuracy.boxes(network, args.data, args.side, args.every, progress)
        hold_out = 0 if args.data.is_dir() else HOLD_OUT
        figures[name] = accuracy.identification(network, who, images, progress, measure, hold_out) | found
    return {**figures, "side": args.side, "every": args.every, "absent": absent}


def run_cfp(args: argparse.Namespace) -> dict[str, Any]:
    photos, tar = cfp.photos(args.data, args.every)
    built, absent = _built(args)
    finders, _ = _built(args, keep=1)
    figures: dict[str, Any] = {}
    for name, pipeline in built.items():
        images = _progress(name)(data.chosen(tar, photos.names), len(photos.names))
        found = cfp.run(pipelines.network(pipeline), cfp.stages(finders[name]), images)
        figures[name] = cfp.figures(photos, *found, accuracy.MEASURES.get(name, cosine))
    return {**figures, "side": args.side, "every": args.every, "score": args.score, "absent": absent}


def run_rotation(args: argparse.Namespace) -> dict[str, Any]:
    if args.plot:
        check_writable(args.plot)
    pairs = data.lfw_pairs(args.data / "lfw_pairs.txt")
    pairs = pairs.every(max(1, len(pairs) // args.pairs) if args.pairs else args.every)
    tar = data.TarImages(args.data / "lfw.tar")
    built, absent = _built(args)
    figures: dict[str, Any] = {}
    for name, pipeline in built.items():
        images = _progress(name)(data.chosen(tar, pairs.names), len(pairs.names))
        turns = rotation.run(pipelines.network(pipeline), images)
        figures[name] = rotation.figures(turns, pairs, pipelines.thresholds(pipeline).get("1e-3"))
    if args.plot:
        plots.plot_rotation(args.plot, {name: found["by_angle"] for name, found in figures.items()})
    return {**figures, "side": args.side, "score": args.score, "absent": absent}


def _built(
    args: argparse.Namespace, keep: int | None = None
) -> tuple[dict[str, pipelines.Pipeline], dict[str, str]]:
    """The pipelines asked for, and why some could not be built; OneShotError if none could."""
    settings = pipelines.Settings(
        side=args.side,
        threads=args.threads or 1,
        keep=keep,
        score=args.score,
        any_roll=args.any_roll,
        weights=args.weights,
        squeezefaceposenet=args.squeezefaceposenet,
        peers=args.peers,
        models=args.models or args.data / ".." / "models",
    )
    built, absent = pipelines.build(args.pipelines, settings)
    if not built:
        raise OneShotError(next(iter(absent.values())))
    return built, absent


def _progress(name: str) -> accuracy.Progress:
    return lambda photos, count: track(photos, name, count, console=ERRORS)


def _comparisons(
    args: argparse.Namespace, network: Model | None, more: dict[str, Callable[[], Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The network's recogniser and its teacher at given landmarks, and `more`; notes on what is not there."""
    if args.fast:
        return {}, ["comparisons left out (--fast)"]
    models = args.models or args.data / ".." / "models"
    threads = args.threads or 1
    if args.pipeline == "two-stage":
        more["given_landmarks"] = lambda: references.squeezefaceposenet(
            two_stage_weights(args.weights), threads
        )
        recogniser = "xxs"
    else:
        weights = weights_file(args.weights)
        more["given_landmarks"] = lambda: references.student(weights, args.side, args.min_side, threads)
        recogniser = read_config(network.info["network"]).identity.recogniser
    more["teacher"] = lambda: references.teacher(models, threads, recogniser)
    return references.available(more)


if __name__ == "__main__":
    sys.exit(main())

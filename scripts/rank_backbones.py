#!/usr/bin/env python3
"""Which shape of the network is worth its time: each trained equally, timed, judged on held-out people.

python scripts/rank_backbones.py --out runs/rank --minutes 4          # about an hour and a half on two cores
python scripts/rank_backbones.py --out runs/rank --variants base,nano # more of them later: the rest is kept

A run is stage 1 of the training (dense hints, scripts/configs/identity.toml) with as many steps as the base
makes in `--minutes`. OUT/results.json gains a variant as soon as it is done; what it already holds is not run
again. A variant's milliseconds come with the base's, timed in turns: compare the ratios. OUT/front-N.png
shows them, for N faces, against the share of same-person pairs accepted (TAR at FAR 1e-3, landmarks by the
network's own refinement).
"""

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from oneshot.convert.to_onnx import export_onnx
from oneshot.errors import OneShotError, explained
from oneshot.evaluation.plots import plot_front
from oneshot.evaluation.timing import timed
from oneshot.files import write_json
from oneshot.inference.onnx import OnnxBackend
from oneshot.inference.predictor import IOU_THRESHOLD, SCORE_THRESHOLD
from oneshot.models.config import BASE, NANO, CellIdentity, MapsIdentity, PictureIdentity
from oneshot.models.network import OneShotNet
from oneshot.models.weights import load_network
from oneshot.training.checkpoint import NAME
from oneshot.training.config import TrainConfig, load_config
from oneshot.training.data.crops import Crops, load_crops
from oneshot.training.loop import train
from oneshot.training.stages.first_fit import fit_stem_bridge
from oneshot.training.stages.identity import VALIDATION_SCALES, IdentityStage
from oneshot.training.start import start_network
from oneshot.types import Image

CONFIG = Path(__file__).resolve().parent / "configs" / "identity.toml"
PICTURE = PictureIdentity()
LATER = MapsIdentity(parts=2, fine_width=96, rank=48, deep_blocks=6, fine_blocks=2)
"""Hints at 14x14, which coarser samples serve, too."""
VARIANTS = {
    "base": BASE,
    "stem-64": replace(BASE, stem=64),
    "stem-16": replace(BASE, stem=16),
    "3x3-half": replace(BASE, share3x3=0.5),
    "3x3-eighth": replace(BASE, share3x3=0.125),
    "cell": replace(BASE, share3x3_top=0.5, identity=CellIdentity()),
    "thin-24": replace(BASE, thin=24),
    "linear-2": replace(BASE, identity=replace(PICTURE, linear=2)),
    "linear-8": replace(BASE, identity=replace(PICTURE, linear=8)),
    "sampled-once": replace(BASE, identity=replace(PICTURE, parts=1)),
    "blocks-4": replace(BASE, identity=replace(PICTURE, deep_blocks=4)),
    "blocks-2": replace(BASE, identity=replace(PICTURE, deep_blocks=2)),
    "hints-14x14": replace(BASE, identity=LATER),
    "hints-later": replace(BASE, identity=replace(LATER, fine_blocks=0)),
    "14x14-rank-full": replace(BASE, identity=replace(LATER, rank=0)),
    "14x14-fine-32": replace(BASE, identity=replace(LATER, fine_width=32)),
    "small": replace(BASE, share3x3=0.125, thin=24, identity=replace(PICTURE, deep_blocks=4)),
    "nano": NANO,
}
FACES = (1, 10)
SIDE = 320
INFO: dict[str, Any] = {"score_threshold": SCORE_THRESHOLD, "iou_threshold": IOU_THRESHOLD}
CONSOLE = Console()


def steps_in(minutes: float, config: TrainConfig, stage: IdentityStage, timed: int = 5) -> int:
    """How many steps the base makes in that time, all of it learning; a few are made to find out."""
    net = fresh(config).to(memory_format=torch.channels_last).train()
    start = 0.0
    for step in range(2 + timed):
        if step == 2:  # the first ones are slow
            start = perf_counter()
        torch.stack(list(stage.losses(net, step).values())).sum().backward()
        net.zero_grad(set_to_none=True)
    return max(1, round(60 * minutes * timed / (perf_counter() - start)))


def fresh(config: TrainConfig) -> OneShotNet:
    """The network before its first step, the same in every run."""
    torch.manual_seed(config.seed)
    return start_network(config.network, Path(config.models), None)


def trained(config: TrainConfig, crops: Crops, out: Path) -> tuple[Path, dict[str, float]]:
    """Weights and held-out figures of a run, which goes on where one was cut off."""
    stage = IdentityStage(config, crops)  # its own: where the teacher's hints end, the deep half begins
    net, resume = fresh(config), (out / NAME).is_file()
    if not resume:
        fit_stem_bridge(net, stage)
    path = train(config, stage, net, out, resume, CONSOLE)
    with (out / "log.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "evaluation"]
    return path, {row["name"]: float(row["value"]) for row in rows if int(row["step"]) == config.steps}


def times(files: Mapping[str, Path], faces: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each graph with so many faces, in turns, one thread.

    Untrained heads find what they will: the `faces` best cells are taken for them, overlapping or not.
    """
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)

    def best(path: Path) -> Callable[[Image], int]:
        backend = OnnxBackend(path, threads=1)
        # Just below that cell's own score: untrained heads give many the very same one.
        least = float(np.nextafter(backend.run(image, 0.0, 1.0, faces + 1)[1][-1], np.float32(0)))
        return lambda picture: len(backend.run(picture, least, 1.0, faces)[1])

    runs = timed({name: best(path) for name, path in files.items()}, [image], rounds)
    assert {found for done in runs.values() for _, found in done} == {faces}
    return {name: statistics.median(ms for ms, _ in done) for name, done in runs.items()}


def judged(name: str, config: TrainConfig, crops: Crops, out: Path, rounds: int) -> dict[str, Any]:
    """The row of a variant: trained, exported, timed beside the base."""
    start = perf_counter()
    weights, figures = trained(config, crops, out / name)
    seconds = perf_counter() - start
    graph, base = out / name / "network.onnx", out / "base.onnx"
    export_onnx(load_network(weights)[0], graph, INFO)
    if not base.exists():
        export_onnx(fresh(replace(config, network=VARIANTS["base"])).eval(), base, INFO)
    ms = {str(faces): times({"own": graph, "base": base}, faces, rounds) for faces in FACES}
    return {
        "network": config.network.as_dict(),
        "seconds": seconds,
        "mb": graph.stat().st_size / 1e6,
        "ms": {faces: both["own"] for faces, both in ms.items()},
        "ratio": {faces: both["own"] / both["base"] for faces, both in ms.items()},
        "cosine": statistics.fmean(figures[f"cosine_{scale}"] for scale in VALIDATION_SCALES),
        "tar": statistics.fmean(figures[f"tar_own_{scale}"] for scale in VALIDATION_SCALES),
        "figures": figures,
    }


def front(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Points (cost, worth), by name, that no other beats: cheaper and no worse, or better and no dearer."""
    return [
        name
        for name, (cost, worth) in points.items()
        if not any(c <= cost and w >= worth and (c, w) != (cost, worth) for c, w in points.values())
    ]


def show(rows: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """The table, and a plot for each number of faces; * marks a front."""
    table = Table("variant", title="ms and its ratio to the base's in the same run; held-out people")
    for column in ("MB", *(f"{n} {what}" for n in FACES for what in ("ms", "ratio")), "cosine", "TAR %"):
        table.add_column(column, justify="right")
    fronts = {}
    for faces in map(str, FACES):
        points = {name: (row["ratio"][faces], row["tar"]) for name, row in rows.items()}
        fronts[faces] = front(points)
        labels = f"time over the base's, {faces} face(s)", "held-out TAR at FAR 1e-3 (%)"
        plot_front(out / f"front-{faces}.png", points, fronts[faces], labels, "equally trained")
    for name, row in sorted(rows.items(), key=lambda item: -item[1]["tar"]):
        cells = [name, f"{row['mb']:.2f}"]
        for faces in map(str, FACES):
            star = "*" if name in fronts[faces] else " "
            cells += [f"{row['ms'][faces]:.2f}", f"{row['ratio'][faces]:.2f}{star}"]
        table.add_row(*cells, f"{row['cosine']:.4f}", f"{row['tar']:.2f}")
    CONSOLE.print(table)


def earlier(path: Path) -> dict[str, Any]:
    """What an earlier run wrote, if there is one.

    Raises:
        OneShotError: the file is not such results.
    """
    if not path.exists():
        return {"steps": None, "variants": {}}
    try:
        found = json.loads(path.read_text())
        return {"steps": int(found["steps"]), "variants": dict(found["variants"])}
    except (ValueError, KeyError, TypeError):
        raise OneShotError(f"{path}: not results of this script; give another --out") from None


@explained
def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/rank"), metavar="DIR", help="(runs/rank)")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, default=4.0, help="of the base's training (4)")
    length.add_argument("--steps", type=int, help="of every training, instead")
    parser.add_argument("--variants", help=f"some of {','.join(VARIANTS)} (all)")
    parser.add_argument(
        "--rounds", type=int, choices=range(1, 1001), default=40, metavar="N", help="timed (40)"
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help="stage 1's settings (identity.toml)")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="settings to change, e.g. data=DIR")
    args = parser.parse_intermixed_args(argv)
    chosen = list(VARIANTS) if args.variants is None else args.variants.split(",")
    if unknown := [name for name in chosen if name not in VARIANTS]:
        raise OneShotError(f"--variants {unknown[0]}: choose from {', '.join(VARIANTS)}")
    if args.minutes <= 0 or (args.steps is not None and args.steps < 1):
        raise OneShotError("--minutes and --steps: nothing is learnt in none; give more than 0")
    config = load_config(args.config, args.changes)
    results = earlier(args.out / "results.json")
    if args.steps and results["steps"] not in (None, args.steps):
        raise OneShotError(f"{args.out}: its runs have {results['steps']} steps; give that, or another --out")
    waiting = [name for name in chosen if name not in results["variants"]]
    if waiting:
        args.out.mkdir(parents=True, exist_ok=True)
        crops = load_crops(Path(config.data))
        if results["steps"] is None:
            results["steps"] = args.steps or steps_in(args.minutes, config, IdentityStage(config, crops))
            write_json(args.out / "results.json", results)
        steps = results["steps"]
        optimiser = replace(config.optimiser, warmup=min(config.optimiser.warmup, steps // 5 + 1))
        config = replace(config, steps=steps, evaluate_every=steps, optimiser=optimiser)
        for name in waiting:
            CONSOLE.rule(f"{name}: {steps} steps")
            own = replace(config, network=VARIANTS[name])
            results["variants"][name] = judged(name, own, crops, args.out, args.rounds)
            write_json(args.out / "results.json", results)
    show({name: results["variants"][name] for name in results["variants"]}, args.out)


if __name__ == "__main__":
    sys.exit(main())

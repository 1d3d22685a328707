#!/usr/bin/env python3
"""Watch whether memory stays flat over hours: what `oneshot watch` does, on a stream that is made up.

python scripts/measure_memory.py --minutes 30 --json memory.json

The two people of the demo (scripts/make_demo_video.py) come into view, cross it and go, again and again, 30
frames a second; one is in the gallery, the other is not. No frame is waited for and no video is written.
Prints the process's resident memory after each minute of video. Exit code 1: after the first tenth it grew by
more than --most megabytes.
"""

import argparse
import itertools
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from make_demo_video import PATH, SIZE, hang, photos, view

from oneshot import Gallery, OneShot, OneShotError
from oneshot.errors import explained
from oneshot.files import check_writable, write_json
from oneshot.gallery.thresholds import FAR, threshold_at
from oneshot.media.draw import draw
from oneshot.media.video import Source
from oneshot.types import Faces, Frame, Image, Model
from oneshot.watch.following import Follower
from oneshot.watch.run import run
from oneshot.watch.sheet import contact_sheet
from oneshot.watch.sinks import Sink, json_lines, matches_of
from oneshot.watch.tracking import PATIENCE, Track, Tracker

FPS = 30
NOBODY = 3.3
"""A second of the demo at which nobody is in view; there the camera rests until all tracks have ended."""

KNOWN = "Eileen Collins"


class Sample(NamedTuple):
    """After so many seconds of video: resident memory in MB, and the number of tracks so far."""

    seconds: float
    megabytes: float
    tracks: int


@explained
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0, help="of video (30)")
    parser.add_argument("--most", type=float, default=15.0, metavar="MB", help="growth that is let pass (15)")
    parser.add_argument("--skip-known", action="store_true", help="as of oneshot watch")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE", help=".onnx or .safetensors, or a shipped network (oneshot)"
    )
    parser.add_argument("--side", type=int, default=320, help="scale frames down to this side (320)")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    args = parser.parse_args(argv)
    if args.json:
        check_writable(args.json)
    model = OneShot(args.weights, side=args.side, threads=args.threads)
    with tempfile.TemporaryDirectory() as folder, Gallery(model, Path(folder) / "gallery.db") as gallery:
        gallery.enroll(KNOWN, [photos()[KNOWN]])
        stream = itertools.islice(demo_stream(), max(1, round(60 * FPS * args.minutes)))
        samples = measure(stream, model, gallery, args.skip_known)
    growth = grown(samples)
    print(f"after the first tenth it grew by {growth:.1f} MB, of {args.most:g} that are let pass")
    if args.json:
        write_json(args.json, {"growth_mb": growth, "most_mb": args.most, "samples": samples})
    return 0 if growth <= args.most else 1


def demo_stream() -> Iterator[Frame]:
    """Frames without end, drawn once and given again and again, each as an array of its own."""
    wall = hang(photos())

    def at(second: float) -> Image:
        return np.asarray(cv2.resize(view(wall, second), SIZE, interpolation=cv2.INTER_AREA), np.uint8)

    moving = [at(i / FPS) for i in range(round(PATH[-1, 0] * FPS))]
    resting = [at(NOBODY)] * round((PATIENCE + 0.5) * FPS)
    for number, image in enumerate(itertools.cycle(moving + resting)):
        yield Frame(number, number / FPS, image.copy())


def measure(
    stream: Iterable[Frame], model: Model, gallery: Gallery, skip_known: bool = False
) -> list[Sample]:
    """Do with each frame what `oneshot watch` does, and sample the memory after each second of video.

    Raises:
        OneShotError: the system does not tell a process's memory.
    """
    samples: list[Sample] = []
    tracker = Tracker(gallery, threshold_at(FAR, model.thresholds))

    def sample(frame: Frame, faces: Faces, tracks: Sequence[Track]) -> None:
        draw(frame.image, faces, matches_of(tracks, named=True))
        seconds = (frame.number + 1) / FPS
        if seconds.is_integer():
            samples.append(Sample(seconds, resident(), len(tracker.tracks)))
            if seconds % 60 == 0:
                memory, count = samples[-1][1:]
                print(f"{seconds / 60:4.0f} min {memory:8.1f} MB {count:6} tracks", flush=True)

    source = Source("the demo", None, FPS, live=True, photos=False, _read=lambda: iter(stream))
    with json_lines(Path(os.devnull), source, named=True) as lines:
        seen = run(source, Follower(model, tracker, skip_known), [lines, Sink(frame=sample)])
    contact_sheet(seen.tracks, 0.0, samples[-1].seconds if samples else 0.0, source.name)
    return samples


def grown(samples: Sequence[Sample]) -> float:
    """Megabytes between the end of the first tenth and the greatest that followed.

    Raises:
        OneShotError: there are too few samples to tell.
    """
    if len(samples) < 10:
        raise OneShotError(f"{len(samples)} seconds of video are too few to tell; give more --minutes")
    begin = len(samples) // 10
    return max(sample.megabytes for sample in samples[begin:]) - samples[begin - 1].megabytes


def resident() -> float:
    """The process's resident memory in megabytes."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        raise OneShotError("/proc/self/statm: only Linux tells the memory there; measure on Linux") from None
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Put names on the faces in a video, a camera's picture, a folder of photos or a photo.

python scripts/detect_verify.py --video party.mp4 --gallery people --out named.mp4 --json faces.jsonl

What `oneshot watch` does, and with its options; besides, people may be enrolled for a single run, and the
path that one pass replaces be taken. Without a gallery and --enroll faces are only found.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import cv2

from oneshot import Gallery, OneShotError, TwoStage
from oneshot.cli.command import run_command
from oneshot.cli.common import (
    none_at_the_usual_place,
    open_gallery,
    open_model,
    with_gallery,
    with_model,
    with_threshold,
)
from oneshot.cli.watch import check_outputs, follow, with_watching
from oneshot.gallery.cipher import secret_from
from oneshot.gallery.places import is_kept
from oneshot.types import Model

HELP, EXAMPLE, MORE = str(__doc__).strip().split("\n\n")


def _people(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[tuple[str, Path]]:
    people = [(name, photo) for name, _, photo in (value.partition("=") for value in values)]
    if any(not (name.strip() and photo) for name, photo in people):
        raise click.BadParameter("want NAME=PHOTO", context, option)
    return [(name, Path(photo)) for name, photo in people]


@click.command(
    help=f"{HELP}\n\n\b\n{EXAMPLE}\n\n{MORE}",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--video",
    required=True,
    metavar="SOURCE",
    help="Video, photo, folder of photos, camera number or stream address.",
)
@click.option("--enroll", multiple=True, callback=_people, metavar="NAME=PHOTO", help="A person; repeatable.")
@click.option(
    "--pipeline",
    type=click.Choice(["one-pass", "two-stage"]),
    default="one-pass",
    help="The one pass, or MTCNN + SqueezeFacePoseNet, which it replaces.",
)
@click.option(
    "--min-side",
    type=click.IntRange(0, 1 << 14),
    help="Enlarge smaller frames to this side (256; 0: never).",
)
@with_watching
@with_gallery
@with_threshold
@with_model
def detect_verify(
    video: str, enroll: list[tuple[str, Path]], pipeline: str, min_side: int | None, **options: Any
) -> int:
    check_outputs(video, options)
    if options["threads"]:
        cv2.setNumThreads(options["threads"])
    model = _model(options, pipeline, min_side)
    with _gallery(options, enroll, model) as gallery:
        for name, photo in enroll:
            gallery.enroll(name, [photo])
        return follow(video, model, gallery, options)


def _model(options: dict[str, Any], pipeline: str, min_side: int | None) -> Model:
    if pipeline == "one-pass":
        return open_model(options, min_side)
    if options["providers"]:
        raise OneShotError("--providers are for the one pass; leave them out with --pipeline two-stage")
    return TwoStage(options["weights"], side=options["side"], min_side=min_side, threads=options["threads"])


def _gallery(options: dict[str, Any], enroll: Sequence[object], model: Model) -> Gallery:
    path: str = options["gallery"]
    if none_at_the_usual_place(options):
        return Gallery(model)
    if is_kept(path) and enroll:  # whom one names for a single run does not stay in the file
        gallery = Gallery(model)
        gallery.import_from(path, key=secret_from(options["key_file"]))
        return gallery
    return open_gallery(options, model)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(detect_verify, Path(__file__).name, argv)


if __name__ == "__main__":
    sys.exit(main())

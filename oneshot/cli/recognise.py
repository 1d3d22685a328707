"""Who is in a photo: identify, verify, compare."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from oneshot import Faces, OneShot, OneShotError, read_image
from oneshot.cli.common import (
    ERR,
    FILE,
    OUT,
    open_gallery,
    open_model,
    threshold_from,
    with_gallery,
    with_model,
    with_threshold,
)
from oneshot.files import is_stdout, writing
from oneshot.gallery.enrolment import CANNOT_TELL
from oneshot.geometry import described
from oneshot.types import Frame
from oneshot.watch.records import records


@click.command()
@click.argument("photos", nargs=-1, required=True, type=FILE)
@click.option("--json", "json_path", type=FILE, metavar="FILE", help="Write one line of JSON a face here.")
@with_gallery
@with_threshold
@with_model
def identify(photos: tuple[Path, ...], json_path: Path | None, **options: Any) -> int:
    """Name every face in PHOTOS, or call it unknown.

    The more people are enrolled, the more often a stranger is compared: choose a smaller --far.

    \b
    oneshot identify party.jpg --far 1e-4
    oneshot identify *.jpg --gallery staff.db --json faces.jsonl
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    say = ERR if is_stdout(json_path) else OUT
    with ExitStack() as stack:
        gallery = stack.enter_context(open_gallery(options, model))
        lines = stack.enter_context(writing(json_path)) if json_path else None
        for number, photo in enumerate(photos):
            image = read_image(photo)
            faces = model(image)
            matches = gallery.identify(faces.embeddings, threshold)
            if lines:
                for record in records(Frame(number, 0.0, image), faces, matches):
                    del record["frame"], record["time"]
                    lines.write(json.dumps({"photo": str(photo)} | record, ensure_ascii=False) + "\n")
            table = Table(title=str(photo), title_justify="left")
            for column in ("name", "similarity", "left", "top", "width", "height"):
                table.add_column(column, justify="left" if column == "name" else "right")
            for match, box in zip(matches, faces.boxes, strict=True):
                similarity = f"{match.similarity:.2f}" if len(gallery) else "-"
                place = (box[0], box[1], box[2] - box[0], box[3] - box[1])
                table.add_row(match.name or "unknown", similarity, *(f"{v:.0f}" for v in place))
            say.print(table if len(faces) else f"{photo}: no face found", soft_wrap=not len(faces))
    return 0


@click.command()
@click.argument("name")
@click.argument("photo", type=FILE)
@with_gallery
@with_threshold
@with_model
def verify(name: str, photo: Path, **options: Any) -> int:
    """Whether the one face in PHOTO is NAME: exit code 0 if it is, 1 if not, 2 on an error.

    No face is not a match; several faces are an error, since nobody knows which is meant.

    \b
    oneshot verify Ada door.jpg && open-the-door
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    with open_gallery(options, model) as gallery:
        gallery.verify(name, Faces.empty().embeddings, threshold)  # raises if nobody has this name
        faces = one_face(model, photo)
        matches = gallery.verify(name, faces.embeddings, threshold)
    if why := nobody(faces):
        return _no_match(photo, why)
    (match,) = matches
    same = match.name is not None
    return _answer(same, match.similarity, threshold, f"is {'' if same else 'not '}{name}", str(photo))


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@with_threshold
@with_model
def compare(first: Path, second: Path, **options: Any) -> int:
    """Whether two photos show the same person: exit code 0 if so, 1 if not, 2 on an error.

    \b
    oneshot compare passport.jpg selfie.jpg --far 1e-4
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    one, other = one_face(model, first), one_face(model, second)
    for photo, faces in ((first, one), (second, other)):
        if why := nobody(faces):
            return _no_match(photo, why)
    similarity = float(one.embeddings[0] @ other.embeddings[0])
    same = similarity >= threshold
    verdict = "the same person" if same else "different people"
    return _answer(same, similarity, threshold, verdict, f"{first}, {second}")


def one_face(model: OneShot, photo: Path) -> Faces:
    """The face in a photo, or none.

    Raises:
        OneShotError: there are several, or the photo cannot be read.
    """
    faces = model(read_image(photo))
    if len(faces) > 1:
        raise OneShotError(f"{photo}: {len(faces)} faces found where one is wanted; crop it to the one meant")
    return faces


def nobody(faces: Faces) -> str:
    """Why what `one_face` found cannot be compared with anybody; "" if it can."""
    if not len(faces):
        return "no face found"
    return "" if described(faces.embeddings[0]) else CANNOT_TELL


def _no_match(photo: Path, why: str) -> int:
    OUT.print(f"{photo}: {why}, and so no match", soft_wrap=True)
    return 1


def _answer(same: bool, similarity: float, threshold: float, verdict: str, what: str) -> int:
    OUT.print(f"{what}: {verdict} (similarity {similarity:.3f}, threshold {threshold:.3f})", soft_wrap=True)
    return 0 if same else 1

"""Who is in a photo: identify, verify, compare."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from oneshot import Faces, OneShot, read_image
from oneshot.cli.common import (
    ERR,
    FILE,
    OUT,
    explained,
    open_gallery,
    open_model,
    threshold_from,
    with_gallery,
    with_model,
    with_threshold,
)
from oneshot.files import is_stdout, write_json, writing
from oneshot.gallery.one_face import NO_FACE, single, untold
from oneshot.gallery.quality import assess_all
from oneshot.gallery.thresholds import FAR
from oneshot.watch.records import face_record, match_record

CANNOT = 3
"""The exit code where nobody can tell."""


@click.command()
@click.argument("photos", nargs=-1, required=True, type=FILE)
@click.option("--json", "json_path", type=FILE, metavar="FILE", help="Write one line of JSON a face here.")
@click.option("--top", type=click.IntRange(1, 100), metavar="N", help="Tell the N most similar people, too.")
@with_gallery
@with_threshold
@with_model
def identify(photos: tuple[Path, ...], json_path: Path | None, top: int | None, **options: Any) -> int:
    """Name every face in PHOTOS, or call it unknown; of a poor one it says that nobody can tell.

    The false accept rate is that of the search: of so many strangers one is named, however many people are
    enrolled. The margin is by how much the first person is more similar than the second.

    \b
    oneshot identify party.jpg --far 1e-4 --top 5
    oneshot identify *.jpg --gallery staff.db --json faces.jsonl
    """
    model = open_model(options)
    say = ERR if is_stdout(json_path) else OUT
    with ExitStack() as stack:
        gallery = stack.enter_context(open_gallery(options, model))
        threshold = threshold_from(options, model, gallery)
        lines = stack.enter_context(writing(json_path)) if json_path else None
        for photo in photos:
            image = read_image(photo)
            faces = model(image)
            qualities = assess_all(image, faces, model.side_for(image))
            matches = gallery.identify(
                faces.embeddings, threshold, top=top or 0, one_photo=True, qualities=qualities
            )
            if lines:
                for i, match in enumerate(matches):
                    record = face_record(faces, i) | match_record(match) | {"threshold": round(threshold, 4)}
                    if top:
                        record["candidates"] = [
                            {"name": c.name, "similarity": round(c.similarity, 4)} for c in match.candidates
                        ]
                    lines.write(json.dumps({"photo": str(photo)} | record, ensure_ascii=False) + "\n")
            table = Table(title=str(photo), title_justify="left")
            for column in ("name", "similarity", "margin", "left", "top", "width", "height"):
                table.add_column(column, justify="left" if column == "name" else "right")
            if top:
                table.add_column("candidates", overflow="fold")
            for match, box in zip(matches, faces.boxes, strict=True):
                similarity = f"{match.similarity:.2f}" if len(gallery) else "-"
                margin = "-" if match.margin is None else f"{match.margin:.2f}"
                place = (box[0], box[1], box[2] - box[0], box[3] - box[1])
                others = ["\n".join(f"{c.name} {c.similarity:.2f}" for c in match.candidates)] if top else []
                name = match.name or ("cannot tell" if match.reason else "unknown")
                table.add_row(name, similarity, margin, *(f"{v:.0f}" for v in place), *others)
            say.print(table if len(faces) else f"{photo}: {NO_FACE}", soft_wrap=not len(faces))
            for reason in dict.fromkeys(match.reason for match in matches if match.reason):
                ERR.print(f"{photo}: {reason}", soft_wrap=True)
        ERR.print(explained(threshold, options, gallery))
    return 0


with_json = click.option("--json", "json_path", type=FILE, metavar="FILE", help="Write the answer here.")


@click.command()
@click.argument("name")
@click.argument("photo", type=FILE)
@with_json
@with_gallery
@with_threshold
@with_model
def verify(name: str, photo: Path, json_path: Path | None, **options: Any) -> int:
    """Whether the one face in PHOTO is NAME: exit code 0 if it is, 1 if not, 3 if nobody can tell.

    No face is not a match; several faces are an error, since nobody knows which is meant. Of a face that is
    too small, blurred or turned away nobody can tell.

    \b
    oneshot verify Ada door.jpg && open-the-door
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    with open_gallery(options, model) as gallery:
        gallery.verify(name, Faces.empty().embeddings, threshold)  # raises if nobody has this name
        faces, why = _one_look(model, photo)
        matches = gallery.verify(name, faces.embeddings, threshold)
    answer = _Answer(str(photo), threshold, options, json_path, name)
    if not len(faces):
        return answer.no_face(photo)
    (match,) = matches
    answer.similarity, answer.margin = match.similarity, match.margin
    same = match.name is not None
    return answer.of(same, f"is {'' if same else 'not '}{name}", why)


@click.command()
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@with_json
@with_threshold
@with_model
def compare(first: Path, second: Path, json_path: Path | None, **options: Any) -> int:
    """Whether two photos show the same person: exit code 0 if so, 1 if not, 3 if nobody can tell.

    \b
    oneshot compare passport.jpg selfie.jpg --far 1e-4
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    answer = _Answer(f"{first}, {second}", threshold, options, json_path)
    embeddings, reasons = [], []
    looks = [(photo, *_one_look(model, photo)) for photo in (first, second)]
    for photo, faces, why in looks:
        if not len(faces):
            return answer.no_face(photo)
        embeddings.append(faces.embeddings[0])
        reasons += [f"{photo}: {why}"] if why else []
    answer.similarity = float(embeddings[0] @ embeddings[1])
    same = answer.similarity >= threshold
    return answer.of(same, "the same person" if same else "different people", "; ".join(reasons))


def _one_look(model: OneShot, photo: Path) -> tuple[Faces, str]:
    """The face in a photo, or none, and why nobody can tell who it is; "" if one can.

    Raises:
        OneShotError: there are several, or the photo cannot be read.
    """
    image = read_image(photo)
    faces = single(str(photo), model(image))
    return faces, untold(faces, assess_all(image, faces, model.side_for(image)))


@dataclass
class _Answer:
    """What verify and compare say, to people and as JSON."""

    what: str
    threshold: float
    options: Mapping[str, Any]
    json_path: Path | None
    name: str | None = None
    similarity: float | None = None
    margin: float | None = None

    def of(self, same: bool, verdict: str, why: str) -> int:
        """Yes, no, or with a reason cannot tell; gives the exit code."""
        facts = [f"similarity {self.similarity:.3f}"]
        if self.margin is not None:
            facts.append(f"margin {self.margin:.3f}")
        facts.append(explained(self.threshold, self.options))
        said = f"cannot tell: {why}" if why else verdict
        return self._say(f"{self.what}: {said} ({', '.join(facts)})", None if why else same, why)

    def no_face(self, photo: Path) -> int:
        """No face is never a match."""
        return self._say(f"{photo}: {NO_FACE}, and so no match", False, NO_FACE)

    def _say(self, text: str, same: bool | None, reason: str) -> int:
        (ERR if is_stdout(self.json_path) else OUT).print(text, soft_wrap=True)
        if self.json_path:
            far = None if self.options["threshold"] is not None else float(self.options["far"] or FAR)
            measured = {"similarity": self.similarity, "margin": self.margin, "threshold": self.threshold}
            facts = {"what": self.what, "name": self.name, "same": same, "reason": reason or None}
            write_json(self.json_path, facts | measured | {"far": far})
        return CANNOT if same is None else int(not same)


def one_face(model: OneShot, photo: Path) -> Faces:
    """The face in a photo, or none.

    Raises:
        OneShotError: there are several, or the photo cannot be read.
    """
    return single(str(photo), model(read_image(photo)))

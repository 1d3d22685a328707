"""Collections of photos: index, find, cluster."""

from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from oneshot import OneShotError
from oneshot.album import index as albums
from oneshot.album.cluster import group, write_page
from oneshot.album.on_ray import on_ray
from oneshot.cli.common import (
    ERR,
    FILE,
    OUT,
    counted,
    open_model,
    progress,
    threshold_from,
    with_model,
    with_threshold,
)
from oneshot.cli.recognise import one_face
from oneshot.media.search import summary

with_index = click.option(
    "--index",
    "index_path",
    type=FILE,
    default=Path("faces.parquet"),
    help="What oneshot index wrote (faces.parquet).",
)


@click.command()
@click.argument("folder", type=FILE)
@click.option("--out", type=FILE, default=Path("faces.parquet"), help="The index (faces.parquet).")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Do it on a Ray cluster whose machines see FOLDER, too: its address, auto, or local to start one.",
)
@with_model
def index(folder: Path, out: Path, ray: str | None, **options: Any) -> int:
    """Describe every face of the photos in FOLDER, and in the folders in it.

    Run it again after a change, or after it was stopped: only new photos are looked at. Damaged files are
    listed at the end, and are not an error.

    \b
    oneshot index ~/Pictures --out pictures.parquet
    oneshot index /nfs/photos --ray head-node:6379
    """
    model = open_model(options)
    describe = ray and partial(on_ray, ray, model, options["weights"], options["threads"])
    with progress(len(albums.photos_below(folder).pictures), "photos") as step:
        done = albums.index(folder, out, model, step, describe or None)
    for reason in done.damaged.values():
        ERR.print(f"damaged: {reason}", soft_wrap=True)
    for reason in done.found.unreadable.values():
        ERR.print(f"kept as it was: {reason}", soft_wrap=True)
    if skipped := summary(done.found, len(done.damaged)):
        ERR.print(skipped, soft_wrap=True)
    damaged = f", {len(done.damaged)} damaged" if done.damaged else ""
    OUT.print(
        f"{out}: {counted(done.faces, 'face')} in {counted(done.new + done.known, 'photo')} "
        f"({done.new:,} new{damaged})",
        soft_wrap=True,
    )
    return 0


@click.command()
@click.argument("photo", type=FILE)
@click.option("--most", type=click.IntRange(1), default=50, help="List at most so many (50).")
@with_index
@with_threshold
@with_model
def find(photo: Path, most: int, index_path: Path, **options: Any) -> int:
    """List the indexed photos that show the person in PHOTO, the most similar first.

    PHOTO shows one face. Exit code 1: nobody like that is there, or PHOTO shows no face.

    \b
    oneshot find ada.jpg --index pictures.parquet --far 1e-4
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    album = albums.load(index_path, model)
    faces = one_face(model, photo)
    if not len(faces):
        OUT.print(f"{photo}: no face found, and so nobody to find", soft_wrap=True)
        return 1
    similar = album.embeddings @ faces.embeddings[0] if album.photos else np.empty(0, np.float32)
    best: dict[str, float] = {}
    for i in np.argsort(-similar, kind="stable"):
        if similar[i] >= threshold:
            best.setdefault(album.photos[i], float(similar[i]))
    if not best:
        OUT.print(f"{index_path}: nobody like the one in {photo}", soft_wrap=True)
        return 1
    table = Table(title=f"{counted(len(best), 'photo')} in {album.folder}", title_justify="left")
    table.add_column("photo", overflow="fold")
    table.add_column("similarity", justify="right")
    for name, similarity in list(best.items())[:most]:
        table.add_row(name, f"{similarity:.2f}")
    OUT.print(table)
    return 0


@click.command()
@click.option("--out", type=FILE, default=Path("people-page"), help="Folder for the page (people-page).")
@with_index
@with_threshold
@with_model
def cluster(out: Path, index_path: Path, **options: Any) -> int:
    """Group the indexed faces by person, and write a page that shows them.

    \b
    oneshot cluster --index pictures.parquet --out people-page
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    album = albums.load(index_path, model)
    if not album.photos:
        raise OneShotError(f"{index_path}: there is no face in it; index other photos")
    groups = group(album.embeddings, threshold)
    with progress(len(set(album.photos)), "photos") as step:
        failures = write_page(album, groups, out, step)
    for failure in failures:
        ERR.print(f"not shown: {failure}", soft_wrap=True)
    people, alone = int(groups.max(initial=-1)) + 1, int((groups < 0).sum())
    OUT.print(
        f"{out / 'index.html'}: {counted(people, 'person', 'people')}, {counted(alone, 'face')} seen once",
        soft_wrap=True,
    )
    return 0

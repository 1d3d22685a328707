"""Collections of photos: index, find, cluster."""

from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.table import Table

from oneshot import OneShotError
from oneshot.album import index as albums
from oneshot.album.album import load
from oneshot.album.cluster import write_page
from oneshot.album.linkage import group
from oneshot.album.on_ray import on_ray
from oneshot.album.people import People, enroll, titles
from oneshot.cli.common import (
    ERR,
    FILE,
    OUT,
    counted,
    open_gallery,
    open_model,
    progress,
    threshold_from,
    with_exclude,
    with_key,
    with_model,
    with_model_for_photos,
    with_threshold,
)
from oneshot.cli.recognise import one_face
from oneshot.gallery.one_face import nobody
from oneshot.geometry import described
from oneshot.media.search import summary
from oneshot.watch.sheet import clock

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
@click.option("--rebase", is_flag=True, help="The collection has moved to FOLDER since it was indexed.")
@click.option(
    "--videos", is_flag=True, help="Look at videos, too: of each face that is followed, the best look."
)
@with_exclude
@with_model_for_photos
def index(
    folder: Path,
    out: Path,
    ray: str | None,
    rebase: bool,
    videos: bool,
    exclude: tuple[str, ...],
    **options: Any,
) -> int:
    """Describe every face of the photos in FOLDER, and in the folders in it.

    Run it again after a change, or after it was stopped: only new photos are looked at, and photos that were
    renamed or moved are known again. Damaged files are listed at the end, and are not an error.

    \b
    oneshot index ~/Pictures --out pictures.parquet
    oneshot index ~/Pictures --videos
    oneshot index /nfs/photos --ray head-node:6379
    """
    model = open_model(options)
    describe = ray and partial(on_ray, ray, model, options["weights"], options["threads"])
    found = albums.photos_below(folder, exclude, videos)
    with progress(len(found.pictures) + videos * len(found.videos), "photos") as step:
        done = albums.index(folder, out, model, step, describe or None, rebase, exclude, videos)
    for reason in done.damaged.values():
        ERR.print(f"damaged: {reason}", soft_wrap=True)
    for reason in done.found.unreadable.values():
        ERR.print(f"kept as it was: {reason}", soft_wrap=True)
    if skipped := summary(done.found, len(done.damaged)):
        ERR.print(skipped, soft_wrap=True)
    moved = f", {done.moved:,} under another name" if done.moved else ""
    damaged = f", {len(done.damaged)} damaged" if done.damaged else ""
    OUT.print(
        f"{out}: {counted(done.faces, 'face')} in "
        f"{counted(done.new + done.known + done.moved, 'file' if videos else 'photo')} "
        f"({done.new:,} new{moved}{damaged})",
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
    album = load(index_path, model)
    faces = one_face(model, photo)
    if why := nobody(faces):
        OUT.print(f"{photo}: {why}, and so nobody to find", soft_wrap=True)
        return 1
    best: dict[str, int] = {}  # each photo's most similar face
    if album.photos:
        similar = np.where(described(album.embeddings), album.embeddings @ faces.embeddings[0], -np.inf)
        for i in np.argsort(-similar, kind="stable"):
            if similar[i] >= threshold:
                best.setdefault(album.photos[i], int(i))
    if not best:
        OUT.print(f"{index_path}: nobody like the one in {photo}", soft_wrap=True)
        return 1
    timed = not np.isnan(album.seconds[[*best.values()]]).all()  # there are videos among them
    table = Table(
        title=f"{counted(len(best), 'file' if timed else 'photo')} in {album.folder}", title_justify="left"
    )
    table.add_column("file" if timed else "photo", overflow="fold")
    table.add_column("similarity", justify="right")
    if timed:
        table.add_column("time", justify="right")
    for name, i in list(best.items())[:most]:
        seconds = album.seconds[i]
        time = [] if not timed else ["" if np.isnan(seconds) else clock(seconds)]
        table.add_row(name, f"{similar[i]:.2f}", *time)
    OUT.print(table)
    return 0


@click.command()
@click.option("--out", type=FILE, default=Path("people-page"), help="Folder for the page (people-page).")
@click.option(
    "--name",
    "named",
    multiple=True,
    metavar="WHICH=NAME",
    help="Say who a group of the last page (its number) or a face (PHOTO#NUMBER) is. Repeatable.",
)
@click.option("--not", "barred", multiple=True, metavar="WHICH=NAME", help="Say who it is not. Repeatable.")
@click.option("-g", "--gallery", type=click.Path(), help="Enroll those who have a name in this gallery, too.")
@with_key
@with_index
@with_threshold
@with_model
def cluster(
    out: Path,
    named: tuple[str, ...],
    barred: tuple[str, ...],
    gallery: str | None,
    index_path: Path,
    **options: Any,
) -> int:
    """Group the indexed faces by person, and write a page that shows them.

    Two faces of one photo are two people. Names and corrections are kept beside the index, and hold when it
    has grown: faces of one name stay together, and new ones join them.

    \b
    oneshot cluster --index pictures.parquet --out people-page
    oneshot cluster --name 1=Ada --not "trip/7.jpg#0=Ada" --gallery gallery.db
    """
    model = open_model(options)
    threshold = threshold_from(options, model)
    album = load(index_path, model)
    if not album.photos:
        raise OneShotError(f"{index_path}: there is no face in it; index other photos")
    people = People.load(index_path)
    for given, say in ((named, people.name), (barred, people.bar)):
        for text in given:
            which, _, name = text.rpartition("=")
            if not which or not name.strip():
                raise click.UsageError(f"{text}: want WHICH=NAME, such as 3=Ada or trip/7.jpg#0=Ada")
            say(which, name.strip(), album)
    known, never = people.rows(album)
    groups = group(album.embeddings, threshold, album.scenes, known, never)
    people.save(index_path, album, groups)
    names = titles(groups, known)
    with progress(len(set(album.photos)), "photos") as step:
        failures = write_page(album, groups, out, step, names)
    for failure in failures:
        ERR.print(f"not shown: {failure}", soft_wrap=True)
    count, alone = int(groups.max(initial=-1)) + 1, int((groups < 0).sum())
    OUT.print(
        f"{out / 'index.html'}: {counted(count, 'person', 'people')}, {counted(alone, 'face')} seen once",
        soft_wrap=True,
    )
    if gallery is not None:
        with open_gallery({**options, "gallery": gallery}, model, create=True) as opened:
            for name, new in enroll(album, groups, names, opened).items():
                OUT.print(f"{name}: {counted(new, 'photo')} enrolled", soft_wrap=True)
    return 0

"""A collection of photos and videos, indexed: every face in one Parquet file.

While it works, finished photos are kept in parts beside the file, each moved into place whole, so that a run
that was cut off, however, goes on where it stopped. In the end the older file and the parts become the new
file.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oneshot import extras
from oneshot.album.album import FOLDER, MODEL, ROWS, arrow, open_index, schema_of
from oneshot.album.describe import Describe, here
from oneshot.album.earlier import Before, Moves, sources_of, stamp_of
from oneshot.album.videos import is_video
from oneshot.errors import OneShotError
from oneshot.files import check_writable, from_readable, readable, replacing
from oneshot.gallery.folders import excluded
from oneshot.media.search import Found, search, summary
from oneshot.types import Model

PART = 100
"""Photos in a part: as many are lost at most when a run is killed."""


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run did: photos and videos looked at now, before, and before under another name; faces in all;
    damaged files with the reason; what is there.
    """

    new: int
    known: int
    moved: int
    faces: int
    damaged: dict[str, str]
    found: Found


def photos_below(folder: Path, exclude: Sequence[str] = (), videos: bool = False) -> Found:
    """What is in a folder and the folders in it; see `search`.

    Hidden ones, the folders of EXCLUDED and what `exclude` names are left out.

    Args:
        videos: they are wanted, too.

    Raises:
        OneShotError: there is no such folder, or no picture in it.
    """
    found = search(folder, lambda path: excluded(path, exclude))
    for path in found.videos:
        if videos:
            del found.skipped[path]
        else:
            found.skipped[path] = "a video: --videos"
    if not found.pictures and not found.unreadable and not (videos and found.videos):
        skipped = summary(found)
        raise OneShotError(
            f"{folder}: no pictures in it{skipped and f' ({skipped})'}; give a folder with photos"
        )
    return found


def index(
    folder: Path,
    out: Path,
    model: Model,
    step: Callable[[], None] = lambda: None,
    describe: Describe | None = None,
    rebase: bool = False,
    exclude: Sequence[str] = (),
    videos: bool = False,
) -> Indexed:
    """Describe every face of the photos below `folder` in the Parquet file `out`.

    Photos that are in it and have not changed are not looked at again, nor are those that are there under
    another name or date: a photo is known by its contents. Those that are gone are dropped. On Ctrl-C, too,
    what was done until then is in the file.

    Args:
        step: called after each photo that is looked at.
        describe: what looks at the photos with this model, elsewhere; see describe.py. None does it here.
        rebase: the collection is at another place than when it was indexed.
        exclude: patterns of names or paths below `folder` to be left out; see oneshot.gallery.folders.
        videos: look at new videos, too; those that were looked at stay in the file either way.

    Raises:
        OneShotError: no photos; `out` cannot be written, is something else, of another folder or model, or
            another run is writing it.
    """
    arrow()  # now, not after the first photos
    check_writable(out, keep=True)
    with _alone(out):
        return _index(folder, out, model, step, describe or partial(here, model), rebase, exclude, videos)


def _index(
    folder: Path,
    out: Path,
    model: Model,
    step: Callable[[], None],
    describe: Describe,
    rebase: bool,
    exclude: Sequence[str],
    videos: bool,
) -> Indexed:
    facts = {MODEL: str(model.info.get("weights_sha256", "")), FOLDER: readable(str(folder.resolve()))}
    found = photos_below(folder, exclude, videos)
    files = [*found.pictures, *found.videos]
    stamps = {readable(path.relative_to(folder).as_posix()): stamp_of(path) for path in files}
    parts = out.with_name(f".{out.name}.parts")

    def kept(photo: str) -> bool:
        name = from_readable(photo)
        return found.kept(folder / name) and not excluded(Path(name), exclude)

    before = Before.read(sources_of(out, parts), facts, stamps, kept, rebase)
    stamps |= before.kept
    moves = before.moves(folder, stamps)
    moved = {new for names in moves.values() for new in names}
    new = [from_readable(photo) for photo in stamps if photo not in before.known and photo not in moved]
    described = describe(folder, [photo for photo in new if videos or not is_video(Path(photo))])
    parts.mkdir(exist_ok=True)
    damaged: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    looked = unsaved = 0
    try:
        for name, content, faces_in in described:
            photo = readable(name)
            if isinstance(faces_in, OneShotError):
                damaged[photo] = str(faces_in)
            else:
                # Of a photo without faces one row, so that it is not looked at again.
                about = {"photo": photo, "stamp": stamps[photo], "content": content}
                rows += [{**about, **face} for face in faces_in or [{}]]
                looked, unsaved = looked + 1, unsaved + 1
            step()
            if unsaved == PART:
                _write_part(parts, rows, facts)
                rows, unsaved = [], 0
    finally:
        if rows:
            _write_part(parts, rows, facts)
        faces = _join(out, parts, facts, stamps, moves)
    return Indexed(looked, len(before.known), len(moved), faces, damaged, found)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keeps a second run from writing the same index; the system lets go of it if this one is killed."""
    filelock = extras.load("filelock", "indexing photos", "photos")
    try:
        lock = filelock.FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
        lock.acquire()
    except filelock.Timeout:
        raise OneShotError(
            f"{out}: another oneshot index is writing it; wait until that has ended, or give another --out"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _write_part(parts: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[bytes, str]) -> None:
    pa, pq = arrow()
    with replacing(parts / f"{len(list(parts.glob('*.parquet'))):06}.parquet") as partial:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema_of(facts)), partial)


def _join(out: Path, parts: Path, facts: Mapping[bytes, str], stamps: Mapping[str, str], moves: Moves) -> int:
    """Make the new file of what still holds of the older one and the parts; gives the number of faces."""
    pa, pq = arrow()
    schema, written, faces = schema_of(facts), set[str](), 0
    with replacing(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for source in sources_of(out, parts):
            here = set()
            for batch in open_index(source, facts, True).iter_batches(ROWS):
                rows, names = [], []
                given = zip(batch.column("photo").to_pylist(), batch.column("stamp").to_pylist(), strict=True)
                for i, (photo, stamp) in enumerate(given):
                    now = [photo] if stamps.get(photo) == stamp else []
                    now += moves.get((source, photo), [])
                    # A run that was killed while it joined leaves the same photos in both.
                    now = [name for name in now if name not in written]
                    rows += [i] * len(now)
                    names += now
                kept = batch.take(pa.array(rows, pa.int64()))
                faces += kept.num_rows - kept.column("face").null_count
                here.update(names)
                table = pa.Table.from_batches([kept])
                for name, values in (("photo", names), ("stamp", [stamps[photo] for photo in names])):
                    table = table.set_column(
                        table.column_names.index(name), name, pa.array(values, pa.string())
                    )
                writer.write_table(table.cast(schema))
            written |= here
    shutil.rmtree(parts)
    return faces

"""A collection of photos, indexed: every face of every photo in one Parquet file.

While it works, finished photos are kept in parts beside the file, each moved into place whole, so that a run
that was cut off, however, goes on where it stopped. In the end the older file and the parts become the new
file.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oneshot import extras
from oneshot.album.describe import Describe, face_fields, here
from oneshot.errors import OneShotError
from oneshot.files import check_writable, from_readable, readable, replacing
from oneshot.media.search import Found, search, summary
from oneshot.types import Floats, Model

PART = 100
"""Photos in a part: as many are lost at most when a run is killed."""

ROWS = 1024
MODEL, FOLDER = b"oneshot.weights_sha256", b"oneshot.folder"


@dataclass(frozen=True, slots=True)
class Album:
    """The faces of a collection; row i is one face in every array.

    Attributes:
        folder: where the photos are.
        photos: (N,) their paths below it.
        boxes: (N, 4) float32, x0 y0 x1 y1 in pixels of the upright photo.
        qualities: (N,) float32, from 0 to 1; see oneshot.gallery.quality.
        embeddings: (N, D) float32, L2-normalised.
    """

    folder: Path
    photos: list[str]
    boxes: Floats
    qualities: Floats
    embeddings: Floats


@dataclass(frozen=True, slots=True)
class Indexed:
    """What a run did: photos looked at now and before, faces in all, damaged ones and why, what is there."""

    new: int
    known: int
    faces: int
    damaged: dict[str, str]
    found: Found


def photos_below(folder: Path) -> Found:
    """What is in a folder and the folders in it, hidden ones left out; see `search`.

    Raises:
        OneShotError: there is no such folder, or no picture in it.
    """
    found = search(folder)
    if not found.pictures and not found.unreadable:
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
) -> Indexed:
    """Describe every face of the photos below `folder` in the Parquet file `out`.

    Photos that are in it and have not changed are not looked at again; those that are gone are dropped. On
    Ctrl-C, too, what was done until then is in the file.

    Args:
        step: called after each photo that is looked at.
        describe: what looks at the photos with this model, elsewhere; see describe.py. None does it here.

    Raises:
        OneShotError: no photos; `out` cannot be written, is something else, or of another folder or model.
    """
    _arrow()  # now, not after the first photos
    check_writable(out, keep=True)
    facts = {MODEL: str(model.info.get("weights_sha256", "")), FOLDER: readable(str(folder.resolve()))}
    found = photos_below(folder)
    stamps = {_name(path, folder): _stamp(path) for path in found.pictures}
    parts = out.with_name(f".{out.name}.parts")
    sources = _sources(out, parts)
    stamps |= _kept(sources, facts, found, folder)
    known = _photos_in(sources, facts, stamps)
    new = [from_readable(photo) for photo in stamps if photo not in known]
    described = (describe or partial(here, model))(folder, new)
    parts.mkdir(exist_ok=True)
    damaged: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    looked = unsaved = 0
    try:
        for name, faces_in in described:
            photo = readable(name)
            if isinstance(faces_in, OneShotError):
                damaged[photo] = str(faces_in)
            else:
                # Of a photo without faces one row, so that it is not looked at again.
                rows += [{"photo": photo, "stamp": stamps[photo], **face} for face in faces_in or [{}]]
                looked, unsaved = looked + 1, unsaved + 1
            step()
            if unsaved == PART:
                _write_part(parts, rows, facts)
                rows, unsaved = [], 0
    finally:
        if rows:
            _write_part(parts, rows, facts)
        faces = _join(out, parts, facts, stamps)
    return Indexed(looked, len(known), faces, damaged, found)


def load(path: Path, model: Model) -> Album:
    """What `index` wrote.

    Raises:
        OneShotError: there is no such file, it is something else, or was made by another model.
    """
    if not path.is_file():
        raise OneShotError(f"{path}: no such index; make one with oneshot index")
    file = _open(path, {MODEL: str(model.info.get("weights_sha256", ""))})
    table = file.read(columns=["photo", "face", "box", "quality", "embedding"])
    table = table.filter(table["face"].is_valid())
    count = len(table)

    def array(name: str) -> Floats:
        return np.asarray(table[name].combine_chunks().flatten().to_numpy(), np.float32)

    return Album(
        Path(from_readable(file.schema_arrow.metadata[FOLDER].decode())),
        [from_readable(photo) for photo in table["photo"].to_pylist()],
        array("box").reshape(count, 4),
        table["quality"].to_numpy().astype(np.float32),
        array("embedding").reshape(count, -1 if count else 0),
    )


def _name(path: Path, folder: Path) -> str:
    """A photo's path below the folder, as text whatever its bytes."""
    return readable(path.relative_to(folder).as_posix())


def _kept(sources: Sequence[Path], facts: Mapping[bytes, str], found: Found, folder: Path) -> dict[str, str]:
    """Photos described before that cannot be read now, with their stamps: nobody can say they are gone."""
    if not found.unreadable:
        return {}
    tables = (_open(source, facts).read(columns=["photo", "stamp"]) for source in sources)
    pairs = (p for t in tables for p in zip(t["photo"].to_pylist(), t["stamp"].to_pylist(), strict=True))
    return {photo: stamp for photo, stamp in pairs if found.kept(folder / from_readable(photo))}


def _stamp(path: Path) -> str:
    """Another one when the photo was changed."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def _schema(facts: Mapping[bytes, str]) -> Any:
    pa, _ = _arrow()
    fields = [("photo", pa.string()), ("stamp", pa.string()), *face_fields(pa)]
    return pa.schema(fields, metadata=dict(facts))


def _sources(out: Path, parts: Path) -> list[Path]:
    return [*([out] if out.exists() else []), *sorted(parts.glob("*.parquet"))]


def _write_part(parts: Path, rows: Sequence[Mapping[str, Any]], facts: Mapping[bytes, str]) -> None:
    pa, pq = _arrow()
    with replacing(parts / f"{len(list(parts.glob('*.parquet'))):06}.parquet") as partial:
        pq.write_table(pa.Table.from_pylist(list(rows), schema=_schema(facts)), partial)


def _photos_in(sources: Sequence[Path], facts: Mapping[bytes, str], stamps: Mapping[str, str]) -> set[str]:
    """Which of the photos are described there as they are now."""
    known = set()
    for source in sources:
        table = _open(source, facts).read(columns=["photo", "stamp"])
        pairs = zip(table["photo"].to_pylist(), table["stamp"].to_pylist(), strict=True)
        known |= {photo for photo, stamp in pairs if stamps.get(photo) == stamp}
    return known


def _join(out: Path, parts: Path, facts: Mapping[bytes, str], stamps: Mapping[str, str]) -> int:
    """Make the new file of what still holds of the older one and the parts; gives the number of faces."""
    pa, pq = _arrow()
    schema, written, faces = _schema(facts), set[str](), 0
    with replacing(out) as partial, pq.ParquetWriter(partial, schema) as writer:
        for source in _sources(out, parts):
            here = set()
            for batch in _open(source, facts).iter_batches(ROWS):
                photos, given = batch.column("photo").to_pylist(), batch.column("stamp").to_pylist()
                # A run that was killed while it joined leaves the same photos in both.
                keep = [stamps.get(p) == s and p not in written for p, s in zip(photos, given, strict=True)]
                kept = batch.filter(pa.array(keep, pa.bool_()))
                faces += kept.num_rows - kept.column("face").null_count
                here.update(kept.column("photo").to_pylist())
                writer.write_table(pa.Table.from_batches([kept]).cast(schema))
            written |= here
    shutil.rmtree(parts)
    return faces


def _open(path: Path, facts: Mapping[bytes, str]) -> Any:
    """A Parquet file of ours that states these facts."""
    pa, pq = _arrow()
    try:
        file = pq.ParquetFile(path)
        stated = {key: (file.schema_arrow.metadata or {})[key].decode() for key in (MODEL, FOLDER)}
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError):
        raise OneShotError(f"{path}: not an index of photos, or a damaged one; give another name") from None
    if stated[MODEL] != facts[MODEL]:
        raise OneShotError(f"{path}: made with other weights ({stated[MODEL][:12]}); index anew with these")
    if FOLDER in facts and stated[FOLDER] != facts[FOLDER]:
        raise OneShotError(f"{path}: is the index of {stated[FOLDER]}; give another name for this folder's")
    return file


def _arrow() -> tuple[Any, Any]:
    parquet = extras.load("pyarrow.parquet", "indexing photos", "photos")
    return extras.load("pyarrow", "indexing photos", "photos"), parquet

"""An index's file: its columns, and the faces that are read from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot import extras
from oneshot.album.rows import face_fields
from oneshot.errors import OneShotError
from oneshot.files import from_readable
from oneshot.types import Floats, Model

ROWS = 1024
"""Rows that are read at a time."""

MODEL, FOLDER = b"oneshot.weights_sha256", b"oneshot.folder"
"""The facts that a file states about itself."""


@dataclass(frozen=True, slots=True)
class Album:
    """The faces of a collection; row i is one face in every array.

    Attributes:
        folder: where the photos are.
        photos: (N,) their paths below it, and those of videos.
        contents: (N,) the files' sha256.
        numbers: (N,) int32, which face of its photo, or track of its video, each is, from 0.
        seconds: (N,) float64, when it is seen best in a video; NaN in a photo.
        boxes: (N, 4) float32, x0 y0 x1 y1 in pixels of the upright photo, or of the frame.
        qualities: (N,) float32, from 0 to 1; see oneshot.gallery.quality.
        embeddings: (N, D) float32, L2-normalised.
    """

    folder: Path
    photos: list[str]
    contents: list[str]
    numbers: NDArray[np.int32]
    seconds: NDArray[np.float64]
    boxes: Floats
    qualities: Floats
    embeddings: Floats

    @property
    def scenes(self) -> list[str]:
        """(N,) names that faces share which must be different people: a photo's, but not those of a video."""
        return [
            photo if np.isnan(seconds) else f"{photo}\0{number}"
            for photo, seconds, number in zip(self.photos, self.seconds, self.numbers, strict=True)
        ]


def load(path: Path, model: Model) -> Album:
    """What `index` wrote.

    Raises:
        OneShotError: there is no such file, it is something else, or was made by another model.
    """
    if not path.is_file():
        raise OneShotError(f"{path}: no such index; make one with oneshot index")
    file = open_index(path, {MODEL: str(model.info.get("weights_sha256", ""))})
    table = file.read(columns=["photo", "content", "face", "seconds", "box", "quality"])
    table = table.filter(table["face"].is_valid())
    count, done = len(table), 0
    embeddings = np.empty((0, 0), np.float32)
    # Batch by batch into one array: they are most of the file, and a copy of all would not fit beside them.
    for batch in file.iter_batches(ROWS, columns=["face", "embedding"]):
        column = batch.filter(batch.column("face").is_valid()).column("embedding")
        if len(column):
            rows = np.asarray(column.flatten(), np.float32).reshape(len(column), -1)
            if not done:
                embeddings = np.empty((count, rows.shape[1]), np.float32)
            embeddings[done : done + len(rows)] = rows
            done += len(rows)
    return Album(
        Path(from_readable(file.schema_arrow.metadata[FOLDER].decode())),
        [from_readable(photo) for photo in table["photo"].to_pylist()],
        table["content"].to_pylist(),
        table["face"].to_numpy().astype(np.int32),
        table["seconds"].to_numpy().astype(np.float64),
        np.asarray(table["box"].combine_chunks().flatten(), np.float32).reshape(count, 4),
        table["quality"].to_numpy().astype(np.float32),
        embeddings,
    )


def open_index(path: Path, facts: Mapping[bytes, str], rebase: bool = False) -> Any:
    """A Parquet file of ours that states these facts; `rebase` takes one of another folder."""
    pa, pq = arrow()
    try:
        file = pq.ParquetFile(path)
        stated = {key: (file.schema_arrow.metadata or {})[key].decode() for key in (MODEL, FOLDER)}
    except (pa.ArrowException, OSError, KeyError, UnicodeDecodeError):
        raise OneShotError(f"{path}: not an index of photos, or a damaged one; give another name") from None
    if not {"content", "seconds"} <= {*file.schema_arrow.names}:
        raise OneShotError(f"{path}: of an older oneshot; index anew, under another name")
    if stated[MODEL] != facts[MODEL]:
        raise OneShotError(f"{path}: made with other weights ({stated[MODEL][:12]}); index anew with these")
    if not rebase and FOLDER in facts and stated[FOLDER] != facts[FOLDER]:
        raise OneShotError(
            f"{path}: is the index of {stated[FOLDER]}; give another name for this folder's, "
            "or --rebase if that one was moved here"
        )
    return file


def arrow() -> tuple[Any, Any]:
    """pyarrow and its Parquet; OneShotError where it is missing."""
    parquet = extras.load("pyarrow.parquet", "indexing photos", "photos")
    return extras.load("pyarrow", "indexing photos", "photos"), parquet


def schema_of(facts: Mapping[bytes, str]) -> Any:
    """The columns of an index that states these facts."""
    pa, _ = arrow()
    words = [(name, pa.string()) for name in ("photo", "stamp", "content")]
    fields = [*words, *face_fields(pa)]
    return pa.schema(fields, metadata=dict(facts))

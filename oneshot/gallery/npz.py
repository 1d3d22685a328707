"""A gallery as one .npz of plain arrays, to carry it elsewhere: nothing in it is executed when it is read."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.errors import OneShotError
from oneshot.files import replacing
from oneshot.gallery.entries import Entry, State, Who, facts_from, who_from
from oneshot.geometry import described
from oneshot.types import Floats

FIELDS = ("names", "templates", "photos", "qualities", "embeddings")


def write_npz(path: Path, entries: Sequence[Entry], embeddings: Floats, people: Sequence[Who] = ()) -> None:
    """Write entries and their embeddings (N, D), and what is known of their people.

    Raises:
        OneShotError: the name does not end in .npz, there are no entries, or it cannot be written.
    """
    if path.suffix != ".npz":
        raise OneShotError(f"{path}: an exported gallery's name ends in .npz; rename it")
    if not entries:
        raise OneShotError(f"{path}: nobody is enrolled yet; enroll someone before saving")
    with replacing(path) as partial:
        np.savez(
            partial,
            names=np.array([e.name for e in entries]),
            templates=np.array([e.template for e in entries]),
            photos=np.array([e.photo for e in entries]),
            qualities=np.array([e.quality for e in entries]),
            embeddings=embeddings,
            facts=np.array([e.facts for e in entries]),
            crops=np.frombuffer(b"".join(e.crop for e in entries), np.uint8),
            crop_bytes=np.array([len(e.crop) for e in entries]),
            people=np.array([json.dumps([who.id, who.name, who.facts]) for who in people]),
            weights_sha256=np.array(entries[0].model),
        )


def read_npz(path: Path, model: str) -> State:
    """What `write_npz` wrote, now or of old: people, N entries, and their embeddings (N, D) float32.

    Raises:
        OneShotError: no such file, damage, or embeddings of another model than the one with this sha256.
    """
    if not path.is_file():
        raise OneShotError(f"{path}: no such gallery; save one with oneshot export, or check the name")
    damaged = OneShotError(f"{path}: not a gallery, or a damaged one; export it again")
    try:
        with np.load(path, allow_pickle=False) as file:
            names, templates, photos, qualities, embeddings = (file[field] for field in FIELDS)
            sha = str(file["weights_sha256"])
            facts, crops, people = _more(file, len(names))
        embeddings = embeddings.astype(np.float32)
        columns = (names.tolist(), templates.tolist(), photos.tolist(), qualities.astype(float).tolist())
        whole = (
            embeddings.ndim == 2
            and embeddings.size > 0
            and all(isinstance(column, list) and len(column) == len(embeddings) for column in columns)
            and all(isinstance(text, str) for column in columns[:3] for text in column)
            and all(name.strip() for name in columns[0])
            and bool(described(embeddings).all() and np.isfinite(columns[3]).all())
        )
    except (OSError, LookupError, ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile):
        raise damaged from None
    if not whole:
        raise damaged
    if sha != model:
        raise OneShotError(
            f"{path}: made with other weights ({sha[:12]}); enroll the photos again with these"
        )
    rows = zip(zip(*columns, strict=True), facts, crops, strict=True)
    return people, [Entry(*row, sha, **known, crop=crop) for row, known, crop in rows], embeddings


def _more(file: Any, count: int) -> tuple[list[dict[str, Any]], list[bytes], list[Who]]:
    """What is told of each of the photos besides, their pictures, and the people; older files have none.

    Raises:
        ValueError: it does not belong to so many photos; also LookupError and TypeError.
    """
    if "facts" not in file:
        return [{}] * count, [b""] * count, []
    ends = np.cumsum(file["crop_bytes"]).tolist()
    data = file["crops"].tobytes()
    if len(ends) != count or ends[-1] != len(data) or len(file["facts"]) != count:
        raise ValueError("pictures")
    crops = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    people = [who_from(*json.loads(text)) for text in file["people"].tolist()]
    return [facts_from(text) for text in file["facts"].tolist()], crops, people

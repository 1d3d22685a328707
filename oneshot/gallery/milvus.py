"""Where enrolled faces are kept once one machine is too small: Milvus, which searches them itself.

Photos and templates are rows of one collection (milvus_collection.py) under a flat index, so that the
search is exact. Milvus has no transactions: what belongs together goes in one request, and after it templates
are compared with the photos again, so that two who enroll the same person at once end with the mean of both.
A search does not wait for what other programs are saving. Nothing is encrypted, and what is deleted stays in
Milvus' files until it compacts them.
"""

import hashlib
import time
import warnings
from collections.abc import Collection, Sequence
from pathlib import Path
from secrets import token_hex

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.gallery.entries import Entry, check_model, check_size, means
from oneshot.gallery.milvus_collection import PAGE, MilvusCollection, Row
from oneshot.geometry import normalised
from oneshot.types import Floats, Match

FACTS = ("name", "template", "photo", "quality", "model")
"""What makes an Entry, in its order."""

PHOTOS, TEMPLATES = 'kind == "photo"', 'kind == "template"'
CHANGE = "change"
"""The row that is another one after each change, so that others see it without reading everything."""


class MilvusStore:
    """Entries, their embeddings and their templates in Milvus; see `oneshot.gallery.entries.Storage`.

    Args:
        where: `http://HOST:PORT`, with `/DATABASE` if it has several, or `FILE.db`: milvus-lite's folder,
            which one program at a time can open.
        secret: None; Milvus cannot search what is encrypted.

    Raises:
        OneShotError: as `MilvusCollection`, here and from every method; a secret was given.
    """

    def __init__(self, where: str, secret: bytes | None = None):
        if secret is not None:
            raise OneShotError(
                f"milvus:{where}: Milvus cannot search what is encrypted; leave the key out, "
                "or keep the gallery in a .db file"
            )
        self._collection = MilvusCollection(where)
        self._place = self._collection.place
        self._entries: list[Entry] = []
        self._read_at: tuple[str, str | None] | None = None

    def check(self, model: str) -> None:
        """Raise OneShotError if the gallery is of another model, or the collection is not a gallery."""
        self._held(model)

    def add(self, entries: Sequence[Entry], embeddings: Floats) -> None:
        """Save entries and their embeddings (N, D): each person's photos whole or not at all.

        Raises:
            OneShotError: the gallery holds embeddings of another model, or Milvus fails; of more entries than
                PAGE some may be saved.
        """
        if not entries:
            return
        model = entries[0].model
        self._held(model)
        for entry in entries:
            check_model(self._place, model, entry.model)
        if not self._collection.size:
            self._collection.create(embeddings.shape[1])
        check_size(embeddings, self._collection.size)
        now = time.time_ns()
        people: dict[str, list[Row]] = {}
        for i, (entry, vector) in enumerate(zip(entries, embeddings, strict=True)):
            row = _row(f"{now:020}-{i:09}-{token_hex(4)}", "photo", entry, vector)
            people.setdefault(row["who"], []).append(row)
        batch: list[Row] = []
        for photos in people.values():
            if batch and len(batch) + len(photos) > PAGE:
                self._save(batch)
                batch = []
            batch += photos
        self._save(batch)

    def _save(self, photos: list[Row]) -> None:
        whose = {row["who"] for row in photos}
        seen = self._photos(whose) + photos
        self._write([*photos, *_templates(seen)])
        while _ids(now := self._photos(whose)) != _ids(seen):  # others changed the same people meanwhile
            self._collection.delete(sorted(_ids(_templates(seen)) - _ids(_templates(now))))
            self._write(_templates(now))
            seen = now

    def _photos(self, whose: Collection[str]) -> list[Row]:
        names = ", ".join(f'"{who}"' for who in sorted(whose))
        return self._collection.rows(f"{PHOTOS} and who in [{names}]", *FACTS, "vector")

    def _write(self, rows: Sequence[Row]) -> None:
        nothing = np.zeros(self._collection.size, np.float32)
        change = _row(CHANGE, CHANGE, Entry(token_hex(8), "", "", 0.0, ""), nothing)
        self._collection.write([*rows, change])

    def remove(self, name: str) -> int:
        """Delete a person; gives how many entries they had (0: not known).

        A OneShotWarning says that Milvus does not overwrite what it deletes.
        """
        rows = self._collection.rows(f'who == "{_hash(name)}"', "kind")
        if not rows:
            return 0
        self._collection.delete([row["id"] for row in rows])
        self._write([])
        note = (
            f"{self._place}: {name} is deleted, but Milvus does not overwrite: "
            "traces stay in its files until it compacts them, and in its backups"
        )
        warnings.warn(note, OneShotWarning, stacklevel=2)
        return sum(row["kind"] == "photo" for row in rows)

    def read(self, model: str, name: str | None = None) -> tuple[list[Entry], Floats]:
        """One person's entries, or everybody's, by person in the order of enrolment, then by template.

        Returns:
            N entries, and their embeddings (N, D) float32; (0, 0) if there are none.

        Raises:
            OneShotError: embeddings of another model than the one whose sha256 is given.
        """
        rows = _ordered(self._collection.rows(PHOTOS + _only(name), *FACTS, "vector"))
        return self._checked(rows, model), _matrix([row["vector"] for row in rows])

    def entries(self, model: str) -> Sequence[Entry]:
        """Everybody's, in the order of `read`; read again only if anybody changed something."""
        state = (model, self._collection.first(f'kind == "{CHANGE}"', "name", quick=True))
        if state != self._read_at:
            self._entries = self._checked(_ordered(self._collection.rows(PHOTOS, *FACTS)), model)
            self._read_at = state
        return self._entries

    def templates(self, model: str) -> Floats:
        """(T, D) float32, L2-normalised, in the order of `entries`: all of them, read into memory."""
        order = dict.fromkeys(_template_id(e.name, e.template) for e in self.entries(model))
        vectors = {row["id"]: row["vector"] for row in self._collection.rows(TEMPLATES, "vector")}
        return _matrix([vectors[key] for key in order if key in vectors])

    def holds(self, model: str, name: str) -> bool:
        """Whether anybody has this name."""
        return self._collection.first(TEMPLATES + _only(name), "name", quick=True) is not None

    def search(self, model: str, embeddings: Floats, name: str | None = None) -> list[Match]:
        """Whose template is the most similar to each of the embeddings (N, D), of all, or of one person's.

        Raises:
            OneShotError: embeddings of another size or model.
        """
        matches = [Match(None, -1.0)] * len(embeddings)
        size = self._collection.size
        if not size or (embeddings.shape[1] != size and self._held(model) is None):
            return matches
        check_size(embeddings, size)
        found = self._collection.nearest(normalised(embeddings), TEMPLATES + _only(name), "name", "model")
        for i, row in enumerate(found):
            if row is not None:
                check_model(self._place, row["model"], model)
                matches[i] = Match(row["name"], min(max(float(row["distance"]), -1.0), 1.0))
        return matches

    def close(self) -> None:
        """Let go of the server, or of milvus-lite's folder."""
        self._collection.close()

    def _held(self, model: str) -> str | None:
        """The model of what is enrolled, which must be the one given; None: nobody is."""
        held = self._collection.first(PHOTOS, "model")
        if held is not None:
            check_model(self._place, held, model)
        return held

    def _checked(self, rows: Sequence[Row], model: str) -> list[Entry]:
        for row in rows:
            check_model(self._place, row["model"], model)
        return [_entry(row) for row in rows]


def exists(where: str) -> bool:
    """Whether milvus-lite's folder is there; a server is taken to be."""
    return "://" in where or Path(where).exists()


def _hash(text: str) -> str:
    """Any text as one that is short, and that a filter can hold."""
    return hashlib.sha256(text.encode()).hexdigest()


def _only(name: str | None) -> str:
    return "" if name is None else f' and who == "{_hash(name)}"'


def _template_id(name: str, template: str) -> str:
    return _hash(f"{name}\0{template}")


def _row(key: str, kind: str, entry: Entry, vector: Floats) -> Row:
    facts = {fact: getattr(entry, fact) for fact in FACTS}
    return {"id": key, "kind": kind, "who": _hash(entry.name), "vector": vector.astype(np.float32), **facts}


def _entry(row: Row) -> Entry:
    return Entry(*(row[fact] for fact in FACTS))


def _ids(rows: Sequence[Row]) -> set[str]:
    return {row["id"] for row in rows}


def _matrix(vectors: Sequence[Floats]) -> Floats:
    return np.array(vectors, np.float32) if vectors else np.empty((0, 0), np.float32)


def _ordered(rows: Sequence[Row]) -> list[Row]:
    """By person in the order of enrolment, which the ids of photos tell, then by template."""
    first: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: row["id"]):
        first.setdefault(row["name"], row["id"])
    return sorted(rows, key=lambda row: (first[row["name"]], row["template"], row["id"]))


def _templates(photos: Sequence[Row]) -> list[Row]:
    """The rows of the templates that photos make."""
    photos = _ordered(photos)
    entries = [_entry(row) for row in photos]
    whole = {(e.name, e.template): Entry(e.name, e.template, "", 0.0, e.model) for e in entries}
    vectors = means(entries, _matrix([row["vector"] for row in photos]))
    return [
        _row(_template_id(e.name, e.template), "template", e, vector)
        for e, vector in zip(whole.values(), vectors, strict=True)
    ]

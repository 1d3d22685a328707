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
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.gallery.entries import (
    Entry,
    State,
    Who,
    check_model,
    check_size,
    facts_from,
    matched,
    means,
    taken,
    who_from,
)
from oneshot.gallery.milvus_collection import PAGE, MilvusCollection, Row
from oneshot.gallery.names import new_id, old_id
from oneshot.geometry import normalised
from oneshot.types import Candidate, Floats, Match

FACTS = ("name", "template", "photo", "quality", "model")
"""What makes an Entry, in its order."""

PHOTOS, TEMPLATES = 'kind == "photo"', 'kind == "template"'
PEOPLE, CROPS = 'kind == "person"', 'kind == "crop"'
"""What else is known of people and photos: rows whose text "photo" holds it. Galleries of old have none."""

ROW_BYTES = 4000
"""Of a row with its vector."""

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
        self._known: list[Who] = []
        self._named: Sequence[Entry] | None = None

    def check(self, model: str) -> None:
        """Raise OneShotError if the gallery is of another model, or the collection is not a gallery."""
        self._held(model)

    def add(self, entries: Sequence[Entry], embeddings: Floats, people: Sequence[Who] = ()) -> None:
        """Save entries and their embeddings (N, D): each person's photos whole or not at all.

        Args:
            people: more about those of them who are new.

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
        about = {who.name: who for who in people}
        now = time.time_ns()
        whose: dict[str, list[Row]] = {}
        besides: dict[str, list[Row]] = {}
        for i, (entry, vector) in enumerate(zip(entries, embeddings, strict=True)):
            row = _row(f"{now:020}-{i:09}-{token_hex(4)}", "photo", entry, vector)
            whose.setdefault(row["who"], []).append(row)
            besides.setdefault(row["who"], []).extend(_crop(row["id"], entry, vector))
        have: set[str] = set()
        for start in range(0, len(whose), PAGE):
            some = _hashes(sorted(whose)[start : start + PAGE])
            rows = self._collection.rows(f"{TEMPLATES} and who in [{some}]", "who")
            have |= {row["who"] for row in rows}
        for key, photos in whose.items():
            if key not in have:
                name = photos[0]["name"]
                besides[key].append(_person(about.get(name, Who(new_id(), name)), photos[0]))
        self._save_all([(photos, besides[key]) for key, photos in whose.items()])

    def _save_all(self, people: Sequence[tuple[list[Row], list[Row]]], gone: Collection[str] = ()) -> None:
        """Save people's photos and what else is told of them, in requests of about PAGE rows, then delete."""
        batch: list[Row] = []
        more: list[Row] = []
        size = 0
        kept: set[str] = set()
        for photos, besides in people:
            rows = len(photos) + sum(len(row["photo"]) for row in besides) // ROW_BYTES
            if batch and size + rows > PAGE:
                kept |= self._save(batch, more, gone)
                batch, more, size = [], [], 0
            batch, more, size = batch + photos, more + besides, size + rows
        if batch:
            kept |= self._save(batch, more, gone)
        if gone := set(gone) - kept:
            self._collection.delete(sorted(gone))
            self._write([])

    def rewrite(self, model: str | None, names: Sequence[str] | None, how: Callable[[State], State]) -> None:
        """Put what `how` makes of some people in their place: new rows in one request, then the old ones go.

        Raises:
            OneShotError: somebody else has one of the new names; also what `read`, `add` and `how` raise.
        """
        if not self._collection.size:
            return
        whose = "" if names is None else f" and who in [{_hashes(map(_hash, names))}]"
        old = _ordered(self._collection.rows(PHOTOS + whose, *FACTS, "vector"))
        crops = {row["id"]: row["photo"] for row in self._collection.rows(CROPS + whose, "photo")}
        stale = _ids(self._collection.rows(f'kind in ["template", "person", "crop"]{whose}', "kind"))
        entries = [replace(_entry(row), crop=b64decode(crops.get(_crop_id(row["id"]), ""))) for row in old]
        if model is not None:
            for entry in entries:
                check_model(self._place, entry.model, model)
        known = {who.name: who for who in self._people(whose)}
        enrolled = dict.fromkeys(entry.name for entry in entries)
        people = [known.get(name) or Who(old_id(name), name) for name in enrolled]
        after, entries, embeddings = how((people, entries, _matrix([row["vector"] for row in old])))
        for who in after:
            if names is not None and who.name not in names and self.holds("", who.name):
                raise taken(who.name)
        if len(entries):
            check_size(embeddings, self._collection.size)
        places: dict[str, list[str]] = {}
        for row in old:
            places.setdefault(_entry(row).photo, []).append(row["id"])
        rows: dict[str, tuple[list[Row], list[Row]]] = {who.name: ([], []) for who in after}
        for entry, vector in zip(entries, embeddings, strict=True):
            key = places[entry.photo].pop(0)  # its place in the order of enrolment
            rows[entry.name][0].append(_row(key, "photo", entry, vector))
            rows[entry.name][1].extend(_crop(key, entry, vector))
        for who in after:
            rows[who.name][1].append(_person(who, rows[who.name][0][0]))
        self._save_all(list(rows.values()), _ids(old) | stale)
        if not after or len(entries) < len(old):
            self._note("what was replaced" if names is None else ", ".join(names))

    def people(self, model: str) -> Sequence[Who]:
        """Everybody, in the order of `entries`."""
        entries = self.entries(model)
        if self._named is not entries:
            known = {who.name: who for who in self._people("")}
            names = dict.fromkeys(entry.name for entry in entries)
            self._named = entries
            self._known = [known.get(name) or Who(old_id(name), name) for name in names]
        return self._known

    def _people(self, whose: str) -> list[Who]:
        """Those who have a row of their own."""
        rows = self._collection.rows(PEOPLE + whose, "name", "template", "photo")
        return [who_from(row["template"], row["name"], row["photo"]) for row in rows]

    def _save(self, photos: list[Row], more: Sequence[Row], gone: Collection[str]) -> set[str]:
        """Save photos with what else is told of their people, in one request; gives the ids of what stays.

        Args:
            gone: ids of rows that count no more.
        """
        whose = {row["who"] for row in photos}
        other = _ids(photos) | set(gone)
        seen = [row for row in self._photos(whose) if row["id"] not in other] + photos
        self._write([*photos, *more, *_templates(seen)])
        while True:  # others may have changed the same people meanwhile
            now = [row for row in self._photos(whose) if row["id"] not in set(gone) - _ids(photos)]
            if _ids(now) == _ids(seen):
                return _ids(photos) | _ids(more) | _ids(_templates(seen))
            self._collection.delete(sorted(_ids(_templates(seen)) - _ids(_templates(now))))
            self._write(_templates(now))
            seen = now

    def _photos(self, whose: Collection[str]) -> list[Row]:
        return self._collection.rows(f"{PHOTOS} and who in [{_hashes(whose)}]", *FACTS, "vector")

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
        self._note(name)
        return sum(row["kind"] == "photo" for row in rows)

    def _note(self, name: str) -> None:
        note = (
            f"{self._place}: {name} is deleted, but Milvus does not overwrite: "
            "traces stay in its files until it compacts them, and in its backups"
        )
        warnings.warn(note, OneShotWarning, stacklevel=3)

    def read(self, model: str, name: str | None = None, *, crops: bool = False) -> tuple[list[Entry], Floats]:
        """One person's entries, or everybody's, by person in the order of enrolment, then by template.

        Returns:
            N entries, and their embeddings (N, D) float32; (0, 0) if there are none.

        Raises:
            OneShotError: embeddings of another model than the one whose sha256 is given.
        """
        rows = _ordered(self._collection.rows(PHOTOS + _only(name), *FACTS, "vector"))
        entries = self._checked(rows, model)
        if crops:
            kept = {row["id"]: row["photo"] for row in self._collection.rows(CROPS + _only(name), "photo")}
            pictures = [b64decode(kept.get(_crop_id(row["id"]), "")) for row in rows]
            entries = [replace(one, crop=crop) for one, crop in zip(entries, pictures, strict=True)]
        return entries, _matrix([row["vector"] for row in rows])

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

    def search(self, model: str, embeddings: Floats, name: str | None = None, top: int = 1) -> list[Match]:
        """Whose template is the most similar to each of the embeddings (N, D), of all, or of one person's.

        The `top` most similar people are the candidates.

        Raises:
            OneShotError: embeddings of another size or model.
        """
        matches = [Match(None, -1.0)] * len(embeddings)
        size = self._collection.size
        if not size or (embeddings.shape[1] != size and self._held(model) is None):
            return matches
        check_size(embeddings, size)
        vectors, wanted = normalised(embeddings), TEMPLATES + _only(name)
        top = 1 if name is not None else top
        count = top if top == 1 else 4 * top  # a person may have several templates
        while True:
            found = self._collection.nearest(vectors, wanted, count, "name", "model")
            if all(len(rows) < count or len({row["name"] for row in rows}) >= top for rows in found):
                break
            count *= 4
        for i, rows in enumerate(found):
            best: dict[str, float] = {}
            for row in rows:
                check_model(self._place, row["model"], model)
                best.setdefault(row["name"], min(max(float(row["distance"]), -1.0), 1.0))
            matches[i] = matched([Candidate(*one) for one in list(best.items())[:top]])
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


def _hashes(whose: Iterable[str]) -> str:
    return ", ".join(f'"{who}"' for who in sorted(whose))


def _row(key: str, kind: str, entry: Entry, vector: Floats, text: str | None = None) -> Row:
    """A row; the text "photo" holds the photo's sha256 and its facts, or another text."""
    facts = {fact: getattr(entry, fact) for fact in FACTS}
    facts["photo"] = f"{entry.photo}\n{entry.facts}".rstrip("\n") if text is None else text
    return {"id": key, "kind": kind, "who": _hash(entry.name), "vector": vector.astype(np.float32), **facts}


def _crop_id(key: str) -> str:
    return _hash(f"crop\0{key}")


def _crop(key: str, entry: Entry, vector: Floats) -> list[Row]:
    """The row of a photo's picture, if it was kept; `key` is the photo's row."""
    if not entry.crop:
        return []
    return [_row(_crop_id(key), "crop", entry, np.zeros_like(vector), b64encode(entry.crop).decode())]


def _person(who: Who, like: Row) -> Row:
    """A person's row, of the same size and model as another row."""
    entry = Entry(who.name, who.id, "", 0.0, like["model"])
    return _row(_hash(f"person\0{who.name}"), "person", entry, np.zeros_like(like["vector"]), who.facts)


def _entry(row: Row) -> Entry:
    photo, _, facts = row["photo"].partition("\n")
    return Entry(**{fact: row[fact] for fact in FACTS} | {"photo": photo}, **facts_from(facts))


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

"""Where enrolled faces are kept: one SQLite file, or memory in the same form.

Every change is one transaction, and is on the disk once the call returns. What is deleted is overwritten with
zeros, in the file (sqlite_file.py) and in its log.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from oneshot.errors import OneShotWarning
from oneshot.gallery.entries import Entry, State, Templates, Who, check_model, facts_from, taken, who_from
from oneshot.gallery.names import new_id
from oneshot.gallery.sqlite_file import SqliteFile
from oneshot.geometry import described
from oneshot.types import Floats, Match

INSERT = (
    "INSERT INTO entries (person, template, photo, quality, model, embedding, facts, crop) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


class Store:
    """Entries and their embeddings in one file.

    Give each thread its own, on the same file.

    Args:
        path: the file, made if there is none; None keeps everything in memory.
        secret: encrypts what a new file holds of each photo and person, and opens that of one so made. Names,
            hashes and counts stay readable.

    Raises:
        OneShotError: not a gallery, a damaged one, not readable, or the secret is missing or another.
    """

    def __init__(self, path: Path | None = None, secret: bytes | None = None):
        self._file = SqliteFile(path, secret)
        self._place = str(path or "the gallery")
        self._read_at: tuple[str, int, int] | None = None

    def add(self, entries: Sequence[Entry], embeddings: Floats, people: Sequence[Who] = ()) -> None:
        """Save entries and their embeddings (N, D): all of them once this returns, none if it raises.

        Args:
            people: more about those of them who are new.

        Raises:
            OneShotError: the file holds embeddings of another model, or cannot be written.
        """
        about = {who.name: who for who in people}
        with self._file.transaction() as db:
            held = db.execute("SELECT model FROM entries LIMIT 1").fetchone()  # they are all of one
            for entry in entries:
                held = held or (entry.model,)
                check_model(self._place, held[0], entry.model)
            for name in dict.fromkeys(entry.name for entry in entries):
                if db.execute("SELECT 1 FROM people WHERE name = ?", (name,)).fetchone() is None:
                    self._save(about.get(name, Who(new_id(), name)))
            self._insert(entries, embeddings)

    def _save(self, who: Who) -> None:
        """A new person."""
        used = self._file.db.execute("SELECT 1 FROM people WHERE key = ?", (who.id,)).fetchone()
        key = new_id() if used else who.id
        facts = self._file.sealed(who.facts.encode(), f"person\0{key}")
        self._file.db.execute(
            "INSERT INTO people (name, key, facts) VALUES (?, ?, ?)", (who.name, key, facts)
        )

    def _insert(self, entries: Sequence[Entry], embeddings: Floats) -> None:
        numbers = dict(self._file.db.execute("SELECT name, id FROM people"))
        for entry, embedding in zip(entries, embeddings, strict=True):
            data = np.ascontiguousarray(embedding, "<f4").tobytes()
            sealed = (
                self._file.sealed(data, entry.about),
                self._file.sealed(entry.facts.encode(), f"{entry.about}\0facts"),
                self._file.sealed(entry.crop, f"{entry.about}\0crop"),
            )
            facts = (numbers[entry.name], entry.template, entry.photo, entry.quality, entry.model)
            self._file.db.execute(INSERT, (*facts, *sealed))

    def rewrite(self, model: str | None, names: Sequence[str] | None, how: Callable[[State], State]) -> None:
        """Put what `how` makes of some people in their place, in one transaction.

        Raises:
            OneShotError: somebody else has one of the new names; also what `read`, `add` and `how` raise.
        """
        with self._file.transaction() as db:
            people, entries, embeddings = self._read(model, names, crops=True)
            after, entries, embeddings = how((people, entries, embeddings))
            for who in people:  # out of the way first, so that names may be swapped
                number = (who.id, who.name)
                db.execute(
                    "DELETE FROM entries WHERE person = (SELECT id FROM people WHERE name = ?)", (who.name,)
                )
                db.execute("UPDATE people SET key = ?, name = '\n' || id WHERE name = ?", number)
            for who in after:
                if db.execute("SELECT 1 FROM people WHERE name = ?", (who.name,)).fetchone():
                    raise taken(who.name)
                facts = self._file.sealed(who.facts.encode(), f"person\0{who.id}")
                db.execute("UPDATE people SET name = ?, facts = ? WHERE key = ?", (who.name, facts, who.id))
            gone = {who.id for who in people} - {who.id for who in after}
            db.executemany("DELETE FROM people WHERE key = ?", [(key,) for key in gone])
            self._insert(entries, embeddings)
        self._overwrite("what was replaced" if names is None else ", ".join(names))

    def people(self, model: str) -> Sequence[Who]:
        """Everybody, in the order of `entries`."""
        self._known(model)
        return self._people

    def read(self, model: str, name: str | None = None, *, crops: bool = False) -> tuple[list[Entry], Floats]:
        """One person's entries, or everybody's, by person in the order of enrolment, then by template.

        Returns:
            N entries, and their embeddings (N, D) float32; (0, 0) if there are none.

        Raises:
            OneShotError: embeddings of another model than the one whose sha256 is given, or damage.
        """
        with self._file.transaction("DEFERRED"):  # one moment's state, whatever others write meanwhile
            _, entries, embeddings = self._read(model, None if name is None else [name], crops)
        return entries, embeddings

    def _read(self, model: str | None, names: Sequence[str] | None, crops: bool) -> State:
        given = tuple(names or ())
        where = "" if names is None else f"WHERE name IN ({', '.join('?' * len(given))})"
        rows = self._file.db.execute(f"SELECT id, name, key, facts FROM people {where} ORDER BY id", given)
        people = {number: self._who(*row) for number, *row in rows}
        where = "" if names is None else f"WHERE person IN ({', '.join(map(str, people))})"
        (count,) = self._file.db.execute(f"SELECT count(*) FROM entries {where}").fetchone()
        entries: list[Entry] = []
        embeddings = np.empty((0, 0), np.float32)
        for person, *facts, data, more, crop in self._file.db.execute(
            "SELECT person, template, photo, quality, model, embedding, facts, "
            f"{'crop' if crops else 'NULL'} FROM entries {where} ORDER BY person, template, id"
        ):
            entry = Entry(people[person].name if person in people else "", *facts)
            if not entry.whole:
                raise self._file.damaged()
            if model is not None:
                check_model(self._place, entry.model, model)
            row = self._embedding(entry, data)
            if not entries:
                embeddings = np.empty((count, len(row)), np.float32)
            if row.shape != embeddings.shape[1:] or not described(row):
                raise self._file.damaged()
            embeddings[len(entries)] = row
            if more or crop:
                entry = self._with_facts(entry, more, crop or b"")
            entries.append(entry)
        return list(people.values()), entries, embeddings

    def _who(self, name: object, key: object, facts: object) -> Who:
        try:
            return who_from(str(key), str(name), self._file.opened(facts, f"person\0{key}").decode())
        except ValueError:
            raise self._file.damaged() from None

    def _with_facts(self, entry: Entry, facts: object, crop: object) -> Entry:
        try:
            known = facts_from(self._file.opened(facts, f"{entry.about}\0facts").decode())
        except (ValueError, TypeError):
            raise self._file.damaged() from None
        return replace(entry, **known, crop=self._file.opened(crop, f"{entry.about}\0crop"))

    def _embedding(self, entry: Entry, data: object) -> Floats:
        opened = self._file.opened(data, entry.about)
        if not opened or len(opened) % 4:
            raise self._file.damaged()
        return np.frombuffer(opened, "<f4")

    def remove(self, name: str) -> int:
        """Delete a person, and overwrite what was deleted; gives how many entries they had (0: not known).

        A OneShotWarning says if others kept the file in use, so that its log could not be overwritten yet.
        """
        with self._file.transaction() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM entries JOIN people ON people.id = person WHERE name = ?", (name,)
            ).fetchone()
            db.execute("DELETE FROM people WHERE name = ?", (name,))
        self._overwrite(name)
        return int(count)

    def _overwrite(self, name: str) -> None:
        with self._file.explained():
            busy = self._file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            note = f"{self._place}: others are reading it, so traces of {name} stay in its log until they end"
            warnings.warn(note, OneShotWarning, stacklevel=3)

    def check(self, model: str) -> None:
        """Raise what a search would: damage, or embeddings of another model."""
        self._known(model)

    def entries(self, model: str) -> Sequence[Entry]:
        """Everybody's, in the order of `read`."""
        return self._known(model).entries

    def templates(self, model: str) -> Floats:
        """(T, D) float32, L2-normalised, in the order of `entries`."""
        return self._known(model).vectors

    def holds(self, model: str, name: str) -> bool:
        """Whether anybody has this name."""
        return name in self._known(model)

    def search(self, model: str, embeddings: Floats, name: str | None = None, top: int = 1) -> list[Match]:
        """Whose template is the most similar to each of the embeddings (N, D), of all, or of one person's.

        The `top` most similar people are the candidates.

        Raises:
            OneShotError: embeddings of another size; also what `read` raises.
        """
        return self._known(model).search(embeddings, name, top)

    def _known(self, model: str) -> Templates:
        """Worked out again only if anybody changed the file: a video asks at every frame."""
        state = (model, *self._file.version)
        if state != self._read_at:
            with self._file.transaction("DEFERRED"):
                people, entries, embeddings = self._read(model, None, crops=False)
            enrolled = {entry.name for entry in entries}
            self._people = [who for who in people if who.name in enrolled]
            self._templates, self._read_at = Templates(entries, embeddings), state
        return self._templates

    def close(self) -> None:
        """Let go of the file; the last one to do so leaves a single file, without a log."""
        self._file.close()

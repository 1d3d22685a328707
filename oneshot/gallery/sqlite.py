"""Where enrolled faces are kept: one SQLite file, or memory in the same form.

Write-ahead logging lets others read while one writes; every change is one transaction, and is on the disk
once the call returns. What is deleted is overwritten with zeros, in the file and in its log.
"""

import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import urandom
from pathlib import Path

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning, StorageError
from oneshot.gallery.cipher import SALT_BYTES, Cipher
from oneshot.gallery.entries import Entry, State, Templates, Who, check_model, facts_from, taken, who_from
from oneshot.gallery.names import cleaned, new_id, old_id
from oneshot.geometry import described
from oneshot.types import Floats, Match

APPLICATION = 0x316F6E65
"""Marks the SQLite files that are galleries."""

FORM = 2
"""The tables' form, counted up when they change; older ones are brought to it when they are opened."""

PATIENCE = 10.0
"""Seconds to wait for another program that is writing."""

TABLES = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    key TEXT NOT NULL DEFAULT '',
    facts BLOB NOT NULL DEFAULT x''
);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    template TEXT NOT NULL,
    photo TEXT NOT NULL,
    quality REAL NOT NULL,
    model TEXT NOT NULL,
    embedding BLOB NOT NULL,
    facts BLOB NOT NULL DEFAULT x'',
    crop BLOB NOT NULL DEFAULT x''
);
CREATE INDEX entries_by_template ON entries (person, template);
CREATE TABLE encryption (salt BLOB NOT NULL, proof BLOB NOT NULL);
"""
FROM_1 = """
ALTER TABLE people ADD COLUMN key TEXT NOT NULL DEFAULT '';
ALTER TABLE people ADD COLUMN facts BLOB NOT NULL DEFAULT x'';
ALTER TABLE entries ADD COLUMN facts BLOB NOT NULL DEFAULT x'';
ALTER TABLE entries ADD COLUMN crop BLOB NOT NULL DEFAULT x'';
"""
INSERT = (
    "INSERT INTO entries (person, template, photo, quality, model, embedding, facts, crop) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
PROOF = "oneshot gallery"


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
        self.path = path
        self._place = str(path or "the gallery")
        self._read_at: tuple[str, int, int] | None = None
        if path is not None and path.is_dir():
            raise OneShotError(f"{path}: is a folder, not a gallery; give a file name")
        if path is not None and not path.parent.is_dir():
            raise OneShotError(f"{path}: the folder {path.parent} does not exist; create it first")
        place = ":memory:" if path is None else path.absolute().as_uri()
        with self._explained():
            try:
                self._cipher = self._connect(place, secret)
            except sqlite3.OperationalError as error:
                if path is None or not path.is_file() or not _closed(error):
                    raise
                # On a disk that cannot be written, not even the notes for other programs can be.
                self._cipher = self._connect(f"{place}?immutable=1", secret, closed=True)
                log = path.with_name(f"{path.name}-wal")
                if log.is_file() and log.stat().st_size:
                    note = f"{path}: cannot be written, and its newest changes, in {log.name}, not be read"
                    warnings.warn(note, OneShotWarning, stacklevel=3)

    def _connect(self, place: str, secret: bytes | None, closed: bool = False) -> Cipher | None:
        # Autocommit: transactions are begun and ended here, where one can see them.
        self._db = sqlite3.connect(
            place, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            if closed and _number(self._db, "user_version") < FORM:  # brought to today's form in memory
                copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                with self._db as file:
                    file.backup(copy)
                file.close()
                self._db = copy
            cipher = self._set_up(secret)
            if closed:
                self._db.execute("PRAGMA query_only = ON")
            return cipher
        except BaseException:
            self._db.close()
            raise

    def _set_up(self, secret: bytes | None) -> Cipher | None:
        execute = self._db.execute
        execute("PRAGMA foreign_keys = ON")
        execute("PRAGMA secure_delete = ON")
        execute("PRAGMA synchronous = FULL")  # what was reported saved survives a power cut, too
        if _number(self._db, "application_id") == 0 and _number(self._db, "schema_version") == 0:
            self._create(secret)
        if _number(self._db, "application_id") != APPLICATION:
            raise OneShotError(f"{self.path}: not a gallery; give a file that oneshot enroll made")
        if _number(self._db, "user_version") > FORM:
            raise OneShotError(f"{self.path}: a gallery of a newer oneshot; update this one")
        row = execute("SELECT salt, proof FROM encryption").fetchone()
        if (row is None) != (secret is None):
            remedy = (
                "is encrypted; give its key by --key-file or ONESHOT_KEY"
                if row
                else "is not encrypted; leave the key out, or export it and import that into a new gallery"
            )
            raise OneShotError(f"{self.path}: {remedy}")
        cipher = None
        if row is not None and secret is not None:
            cipher = Cipher(secret, row[0])
            if cipher.open(row[1], PROOF) is None:
                raise OneShotError(f"{self.path}: was encrypted with another key; give that one")
        if _number(self._db, "user_version") < FORM:
            self._cipher = cipher
            self._migrate()
        return cipher

    def _migrate(self) -> None:
        """From form 1: people get ids, and their names one spelling; two who then have one name are one."""
        with self._transaction() as db:
            if _number(db, "user_version") == FORM:  # another was faster
                return
            for statement in FROM_1.split(";"):
                db.execute(statement)
            for person, old in db.execute("SELECT id, name FROM people ORDER BY id").fetchall():
                name = cleaned(str(old)) or f"nameless {person}"
                db.execute("UPDATE people SET key = ? WHERE id = ?", (old_id(name), person))
                if name == old:
                    continue
                self._seal_anew(old, name, person)
                same = db.execute("SELECT id FROM people WHERE name = ?", (name,)).fetchone()
                if same is None:
                    db.execute("UPDATE people SET name = ? WHERE id = ?", (name, person))
                else:
                    db.execute("UPDATE entries SET person = ? WHERE person = ?", (same[0], person))
                    db.execute("DELETE FROM people WHERE id = ?", (person,))
            db.execute(f"PRAGMA user_version = {FORM}")

    def _seal_anew(self, old: str, name: str, person: int) -> None:
        """Embeddings of form 1 for another name: a sealed one opens with its person's only."""
        if self._cipher is None:
            return
        rows = self._db.execute(
            "SELECT id, template, photo, quality, model, embedding FROM entries WHERE person = ?", (person,)
        )
        for row, *facts, data in rows.fetchall():
            entry = Entry(old, *facts)
            opened = self._opened(data, entry.about)
            sealed = self._sealed(opened, replace(entry, name=name).about)
            self._db.execute("UPDATE entries SET embedding = ? WHERE id = ?", (sealed, row))

    def _sealed(self, data: bytes, about: str) -> bytes:
        """Data as the file holds it; nothing stays nothing."""
        return data if self._cipher is None or not data else self._cipher.seal(data, about)

    def _opened(self, data: object, about: str) -> bytes:
        if not isinstance(data, bytes):
            raise self._damaged()
        if self._cipher is None or not data:
            return data
        opened = self._cipher.open(data, about)
        if opened is None:
            raise self._damaged()
        return opened

    def _create(self, secret: bytes | None) -> None:
        # Changing to WAL does not wait for others that are opening the file in the same moment.
        for left in reversed(range(50)):
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if not left:
                    raise
                time.sleep(PATIENCE / 50)
        salt = urandom(SALT_BYTES)
        cipher = None if secret is None else Cipher(secret, salt)
        with self._transaction():
            if _number(self._db, "application_id"):  # another was faster
                return
            for statement in TABLES.split(";"):
                self._db.execute(statement)
            if cipher is not None:
                self._db.execute("INSERT INTO encryption VALUES (?, ?)", (salt, cipher.seal(b"", PROOF)))
            self._db.execute(f"PRAGMA user_version = {FORM}")
            self._db.execute(f"PRAGMA application_id = {APPLICATION}")

    def add(self, entries: Sequence[Entry], embeddings: Floats, people: Sequence[Who] = ()) -> None:
        """Save entries and their embeddings (N, D): all of them once this returns, none if it raises.

        Args:
            people: more about those of them who are new.

        Raises:
            OneShotError: the file holds embeddings of another model, or cannot be written.
        """
        about = {who.name: who for who in people}
        with self._transaction() as db:
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
        used = self._db.execute("SELECT 1 FROM people WHERE key = ?", (who.id,)).fetchone()
        key = new_id() if used else who.id
        facts = self._sealed(who.facts.encode(), f"person\0{key}")
        self._db.execute("INSERT INTO people (name, key, facts) VALUES (?, ?, ?)", (who.name, key, facts))

    def _insert(self, entries: Sequence[Entry], embeddings: Floats) -> None:
        numbers = dict(self._db.execute("SELECT name, id FROM people"))
        for entry, embedding in zip(entries, embeddings, strict=True):
            data = np.ascontiguousarray(embedding, "<f4").tobytes()
            sealed = (
                self._sealed(data, entry.about),
                self._sealed(entry.facts.encode(), f"{entry.about}\0facts"),
                self._sealed(entry.crop, f"{entry.about}\0crop"),
            )
            facts = (numbers[entry.name], entry.template, entry.photo, entry.quality, entry.model)
            self._db.execute(INSERT, (*facts, *sealed))

    def rewrite(self, model: str | None, names: Sequence[str] | None, how: Callable[[State], State]) -> None:
        """Put what `how` makes of some people in their place, in one transaction.

        Raises:
            OneShotError: somebody else has one of the new names; also what `read`, `add` and `how` raise.
        """
        with self._transaction() as db:
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
                facts = self._sealed(who.facts.encode(), f"person\0{who.id}")
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
        with self._transaction("DEFERRED"):  # one moment's state, whatever others write meanwhile
            _, entries, embeddings = self._read(model, None if name is None else [name], crops)
        return entries, embeddings

    def _read(self, model: str | None, names: Sequence[str] | None, crops: bool) -> State:
        given = tuple(names or ())
        where = "" if names is None else f"WHERE name IN ({', '.join('?' * len(given))})"
        rows = self._db.execute(f"SELECT id, name, key, facts FROM people {where} ORDER BY id", given)
        people = {number: self._who(*row) for number, *row in rows}
        where = "" if names is None else f"WHERE person IN ({', '.join(map(str, people))})"
        (count,) = self._db.execute(f"SELECT count(*) FROM entries {where}").fetchone()
        entries: list[Entry] = []
        embeddings = np.empty((0, 0), np.float32)
        for person, *facts, data, more, crop in self._db.execute(
            "SELECT person, template, photo, quality, model, embedding, facts, "
            f"{'crop' if crops else 'NULL'} FROM entries {where} ORDER BY person, template, id"
        ):
            entry = Entry(people[person].name if person in people else "", *facts)
            if not entry.whole:
                raise self._damaged()
            if model is not None:
                check_model(self._place, entry.model, model)
            row = self._embedding(entry, data)
            if not entries:
                embeddings = np.empty((count, len(row)), np.float32)
            if row.shape != embeddings.shape[1:] or not described(row):
                raise self._damaged()
            embeddings[len(entries)] = row
            if more or crop:
                entry = self._with_facts(entry, more, crop or b"")
            entries.append(entry)
        return list(people.values()), entries, embeddings

    def _who(self, name: object, key: object, facts: object) -> Who:
        try:
            return who_from(str(key), str(name), self._opened(facts, f"person\0{key}").decode())
        except ValueError:
            raise self._damaged() from None

    def _with_facts(self, entry: Entry, facts: object, crop: object) -> Entry:
        try:
            known = facts_from(self._opened(facts, f"{entry.about}\0facts").decode())
        except (ValueError, TypeError):
            raise self._damaged() from None
        return replace(entry, **known, crop=self._opened(crop, f"{entry.about}\0crop"))

    def _embedding(self, entry: Entry, data: object) -> Floats:
        opened = self._opened(data, entry.about)
        if not opened or len(opened) % 4:
            raise self._damaged()
        return np.frombuffer(opened, "<f4")

    def remove(self, name: str) -> int:
        """Delete a person, and overwrite what was deleted; gives how many entries they had (0: not known).

        A OneShotWarning says if others kept the file in use, so that its log could not be overwritten yet.
        """
        with self._transaction() as db:
            (count,) = db.execute(
                "SELECT count(*) FROM entries JOIN people ON people.id = person WHERE name = ?", (name,)
            ).fetchone()
            db.execute("DELETE FROM people WHERE name = ?", (name,))
        self._overwrite(name)
        return int(count)

    def _overwrite(self, name: str) -> None:
        with self._explained():
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            note = (
                f"{self.path}: others are reading it, so that traces of {name} stay in its log until they end"
            )
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
        state = (model, *self.version)
        if state != self._read_at:
            with self._transaction("DEFERRED"):
                people, entries, embeddings = self._read(model, None, crops=False)
            enrolled = {entry.name for entry in entries}
            self._people = [who for who in people if who.name in enrolled]
            self._templates, self._read_at = Templates(entries, embeddings), state
        return self._templates

    @property
    def version(self) -> tuple[int, int]:
        """Another one after each change, by whomever."""
        with self._explained():
            return _number(self._db, "data_version"), self._db.total_changes

    def close(self) -> None:
        """Let go of the file; the last one to do so leaves a single file, without a log."""
        self._db.close()

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._db.execute(f"BEGIN {kind}")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """SQLite's errors as sentences that name the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            text = str(error)
            if "locked" in text:
                why = "another program is writing to it; try again when that has ended"
            elif "full" in text:
                why = "the disk is full, and nothing was changed; make room and try again"
            elif _closed(error):
                why = "cannot be opened for writing; check the permissions of the file and its folder"
            elif isinstance(error, sqlite3.OperationalError) and "no such" not in text:
                why = f"cannot be used ({text}); check the disk"
            else:
                raise self._damaged() from error
            raise StorageError(f"{self.path}: {why}") from error

    def _damaged(self) -> StorageError:
        return StorageError(f"{self.path}: not a gallery, or a damaged one; fetch a backup, or enroll again")


def _closed(error: sqlite3.Error) -> bool:
    """Whether the file, or its folder, cannot be written."""
    return "readonly" in str(error) or "unable to open" in str(error)


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])

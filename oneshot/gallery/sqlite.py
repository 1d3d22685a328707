"""Where enrolled faces are kept: one SQLite file, or memory in the same form.

Write-ahead logging lets others read while one writes; every change is one transaction, and is on the disk
once the call returns. What is deleted is overwritten with zeros, in the file and in its log.
"""

import sqlite3
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import urandom
from pathlib import Path

import numpy as np

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.gallery.cipher import SALT_BYTES, Cipher
from oneshot.gallery.entries import Entry, Templates, check_model
from oneshot.geometry import described
from oneshot.types import Floats, Match

APPLICATION = 0x316F6E65
"""Marks the SQLite files that are galleries."""

FORM = 1
"""The tables' form, counted up when they change."""

PATIENCE = 10.0
"""Seconds to wait for another program that is writing."""

TABLES = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    person INTEGER NOT NULL REFERENCES people (id) ON DELETE CASCADE,
    template TEXT NOT NULL,
    photo TEXT NOT NULL,
    quality REAL NOT NULL,
    model TEXT NOT NULL,
    embedding BLOB NOT NULL
);
CREATE INDEX entries_by_template ON entries (person, template);
CREATE TABLE encryption (salt BLOB NOT NULL, proof BLOB NOT NULL);
"""
PROOF = "oneshot gallery"


class Store:
    """Entries and their embeddings in one file.

    Give each thread its own, on the same file.

    Args:
        path: the file, made if there is none; None keeps everything in memory.
        secret: encrypts the embeddings of a new file, and opens those of one so made. Names, hashes and
            counts stay readable.

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
                self._cipher = self._connect(f"{place}?immutable=1", secret)
                log = path.with_name(f"{path.name}-wal")
                if log.is_file() and log.stat().st_size:
                    note = f"{path}: cannot be written, and its newest changes, in {log.name}, not be read"
                    warnings.warn(note, OneShotWarning, stacklevel=3)

    def _connect(self, place: str, secret: bytes | None) -> Cipher | None:
        # Autocommit: transactions are begun and ended here, where one can see them.
        self._db = sqlite3.connect(
            place, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            return self._set_up(secret)
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
        if _number(self._db, "user_version") != FORM:
            raise OneShotError(f"{self.path}: a gallery of a newer oneshot; update this one")
        row = execute("SELECT salt, proof FROM encryption").fetchone()
        if (row is None) != (secret is None):
            remedy = (
                "is encrypted; give its key by --key-file or ONESHOT_KEY"
                if row
                else "is not encrypted; leave the key out, or export it and import that into a new gallery"
            )
            raise OneShotError(f"{self.path}: {remedy}")
        if row is None or secret is None:
            return None
        cipher = Cipher(secret, row[0])
        if cipher.open(row[1], PROOF) is None:
            raise OneShotError(f"{self.path}: was encrypted with another key; give that one")
        return cipher

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

    def add(self, entries: Sequence[Entry], embeddings: Floats) -> None:
        """Save entries and their embeddings (N, D): all of them once this returns, none if it raises.

        Raises:
            OneShotError: the file holds embeddings of another model, or cannot be written.
        """
        with self._transaction() as db:
            held = db.execute("SELECT model FROM entries LIMIT 1").fetchone()  # they are all of one
            for entry, embedding in zip(entries, embeddings, strict=True):
                held = held or (entry.model,)
                check_model(self._place, held[0], entry.model)
                db.execute("INSERT OR IGNORE INTO people (name) VALUES (?)", (entry.name,))
                (person,) = db.execute("SELECT id FROM people WHERE name = ?", (entry.name,)).fetchone()
                data = np.ascontiguousarray(embedding, "<f4").tobytes()
                if self._cipher is not None:
                    data = self._cipher.seal(data, entry.about)
                db.execute(
                    "INSERT INTO entries (person, template, photo, quality, model, embedding) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (person, entry.template, entry.photo, entry.quality, entry.model, data),
                )

    def read(self, model: str, name: str | None = None) -> tuple[list[Entry], Floats]:
        """One person's entries, or everybody's, by person in the order of enrolment, then by template.

        Returns:
            N entries, and their embeddings (N, D) float32; (0, 0) if there are none.

        Raises:
            OneShotError: embeddings of another model than the one whose sha256 is given, or damage.
        """
        with self._transaction("DEFERRED") as db:  # one moment's state, whatever others write meanwhile
            names = dict(db.execute("SELECT id, name FROM people WHERE ?1 IS NULL OR name = ?1", (name,)))
            only = min(names, default=0) if name is not None else None
            where, given = ("", ()) if only is None else ("WHERE person = ?", (only,))
            (count,) = db.execute(f"SELECT count(*) FROM entries {where}", given).fetchone()
            entries: list[Entry] = []
            embeddings = np.empty((0, 0), np.float32)
            for person, *facts, data in db.execute(
                f"SELECT person, template, photo, quality, model, embedding FROM entries {where} "
                "ORDER BY person, template, id",
                given,
            ):
                entry = Entry(names.get(person, ""), *facts)
                if not entry.whole:
                    raise self._damaged()
                check_model(self._place, entry.model, model)
                row = self._embedding(entry, data)
                if not entries:
                    embeddings = np.empty((count, len(row)), np.float32)
                if row.shape != embeddings.shape[1:] or not described(row):
                    raise self._damaged()
                embeddings[len(entries)] = row
                entries.append(entry)
        return entries, embeddings

    def _embedding(self, entry: Entry, data: bytes) -> Floats:
        sealed = isinstance(data, bytes) and self._cipher is not None
        opened = self._cipher.open(data, entry.about) if sealed and self._cipher else data
        if not isinstance(opened, bytes) or not opened or len(opened) % 4:
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
        with self._explained():
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        if busy:
            note = (
                f"{self.path}: others are reading it, so that traces of {name} stay in its log until they end"
            )
            warnings.warn(note, OneShotWarning, stacklevel=2)
        return int(count)

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

    def search(self, model: str, embeddings: Floats, name: str | None = None) -> list[Match]:
        """Whose template is the most similar to each of the embeddings (N, D), of all, or of one person's.

        Raises:
            OneShotError: embeddings of another size; also what `read` raises.
        """
        return self._known(model).search(embeddings, name)

    def _known(self, model: str) -> Templates:
        """Worked out again only if anybody changed the file: a video asks at every frame."""
        state = (model, *self.version)
        if state != self._read_at:
            self._templates, self._read_at = Templates(*self.read(model)), state
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
            raise OneShotError(f"{self.path}: {why}") from error

    def _damaged(self) -> OneShotError:
        return OneShotError(f"{self.path}: not a gallery, or a damaged one; fetch a backup, or enroll again")


def _closed(error: sqlite3.Error) -> bool:
    """Whether the file, or its folder, cannot be written."""
    return "readonly" in str(error) or "unable to open" in str(error)


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])

"""A gallery's SQLite file: opened, made, brought to today's form, its errors as sentences.

Write-ahead logging lets others read while one writes; a transaction is on the disk once it is left. What is
deleted is overwritten with zeros.
"""

import sqlite3
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import urandom
from pathlib import Path

from oneshot.errors import OneShotError, OneShotWarning, StorageError
from oneshot.gallery.cipher import SALT_BYTES, Cipher
from oneshot.gallery.entries import Entry
from oneshot.gallery.names import cleaned, old_id

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

PROOF = "oneshot gallery"


class SqliteFile:
    """A connection to the file.

    Args:
        path: the file, made if there is none; None keeps everything in memory.
        secret: what encrypts a new file, and opens one that is encrypted.

    Attributes:
        db: the connection; transactions are begun and ended by `transaction` alone.

    Raises:
        OneShotError: not a gallery, a damaged one, not readable, or the secret is missing or another.
    """

    def __init__(self, path: Path | None = None, secret: bytes | None = None):
        self.path = path
        if path is not None and path.is_dir():
            raise OneShotError(f"{path}: is a folder, not a gallery; give a file name")
        if path is not None and not path.parent.is_dir():
            raise OneShotError(f"{path}: the folder {path.parent} does not exist; create it first")
        place = ":memory:" if path is None else path.absolute().as_uri()
        with self.explained():
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
                    warnings.warn(note, OneShotWarning, stacklevel=4)

    def _connect(self, place: str, secret: bytes | None, closed: bool = False) -> Cipher | None:
        # Autocommit: transactions are begun and ended here, where one can see them.
        self.db = sqlite3.connect(
            place, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=True
        )
        try:
            if closed and _number(self.db, "user_version") < FORM:  # brought to today's form in memory
                copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                with self.db as file:
                    file.backup(copy)
                file.close()
                self.db = copy
            cipher = self._set_up(secret)
            if closed:
                self.db.execute("PRAGMA query_only = ON")
            return cipher
        except BaseException:
            self.db.close()
            raise

    def _set_up(self, secret: bytes | None) -> Cipher | None:
        execute = self.db.execute
        execute("PRAGMA foreign_keys = ON")
        execute("PRAGMA secure_delete = ON")
        execute("PRAGMA synchronous = FULL")  # what was reported saved survives a power cut, too
        if _number(self.db, "application_id") == 0 and _number(self.db, "schema_version") == 0:
            self._create(secret)
        if _number(self.db, "application_id") != APPLICATION:
            raise OneShotError(f"{self.path}: not a gallery; give a file that oneshot enroll made")
        if _number(self.db, "user_version") > FORM:
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
        if _number(self.db, "user_version") < FORM:
            self._cipher = cipher
            self._migrate()
        return cipher

    def _migrate(self) -> None:
        """From form 1: people get ids, and their names one spelling; two who then have one name are one."""
        with self.transaction() as db:
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
        rows = self.db.execute(
            "SELECT id, template, photo, quality, model, embedding FROM entries WHERE person = ?", (person,)
        )
        for row, *facts, data in rows.fetchall():
            entry = Entry(old, *facts)
            opened = self.opened(data, entry.about)
            sealed = self.sealed(opened, replace(entry, name=name).about)
            self.db.execute("UPDATE entries SET embedding = ? WHERE id = ?", (sealed, row))

    def sealed(self, data: bytes, about: str) -> bytes:
        """Data as the file holds it; nothing stays nothing."""
        return data if self._cipher is None or not data else self._cipher.seal(data, about)

    def opened(self, data: object, about: str) -> bytes:
        """Data that `sealed` made.

        Raises:
            StorageError: it is damaged, or belongs to something else.
        """
        if not isinstance(data, bytes):
            raise self.damaged()
        if self._cipher is None or not data:
            return data
        opened = self._cipher.open(data, about)
        if opened is None:
            raise self.damaged()
        return opened

    def _create(self, secret: bytes | None) -> None:
        # Changing to WAL does not wait for others that are opening the file in the same moment.
        for left in reversed(range(50)):
            try:
                self.db.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError:
                if not left:
                    raise
                time.sleep(PATIENCE / 50)
        salt = urandom(SALT_BYTES)
        cipher = None if secret is None else Cipher(secret, salt)
        with self.transaction():
            if _number(self.db, "application_id"):  # another was faster
                return
            for statement in TABLES.split(";"):
                self.db.execute(statement)
            if cipher is not None:
                self.db.execute("INSERT INTO encryption VALUES (?, ?)", (salt, cipher.seal(b"", PROOF)))
            self.db.execute(f"PRAGMA user_version = {FORM}")
            self.db.execute(f"PRAGMA application_id = {APPLICATION}")

    @property
    def version(self) -> tuple[int, int]:
        """Another one after each change, by whomever."""
        with self.explained():
            return _number(self.db, "data_version"), self.db.total_changes

    def close(self) -> None:
        """Let go of the file; the last one to do so leaves a single file, without a log."""
        self.db.close()

    @contextmanager
    def transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        """All that is done in the block or, on an error, nothing; DEFERRED is for reading."""
        with self.explained():
            self.db.execute(f"BEGIN {kind}")
            try:
                yield self.db
                self.db.execute("COMMIT")
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")

    @contextmanager
    def explained(self) -> Iterator[None]:
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
                raise self.damaged() from error
            raise StorageError(f"{self.path}: {why}") from error

    def damaged(self) -> StorageError:
        """What to raise where the file holds what cannot be."""
        return StorageError(f"{self.path}: not a gallery, or a damaged one; fetch a backup, or enroll again")


def _closed(error: sqlite3.Error) -> bool:
    """Whether the file, or its folder, cannot be written."""
    return "readonly" in str(error) or "unable to open" in str(error)


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])

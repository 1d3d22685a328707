"""People's names as they are kept, looked up and shown: one spelling, nothing that steers a terminal."""

import unicodedata
import uuid

from oneshot.errors import OneShotError
from oneshot.files import shown

STEERING = {"\u200e", "\u200f", *map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A)))}
"""Marks that turn the direction of what follows, so that a name may look like another."""

OF_OLD = uuid.UUID("6f6e6573-686f-7400-8000-000000000001")
"""People who were enrolled before they had ids have one that follows from their names."""


def cleaned(name: object) -> str:
    """A name in Unicode's composed form (NFC), without control characters, each run of blanks one blank.

    Raises:
        OneShotError: it is not text.
    """
    if not isinstance(name, str):
        raise OneShotError(f"want a name as text, got {type(name).__name__}")
    text = unicodedata.normalize("NFC", _readable(name))
    return " ".join("".join(_allowed(letter) for letter in text).split())


def new_id() -> str:
    """A person's id, unlike any other's: 32 hexadecimal digits."""
    return uuid.uuid4().hex


def old_id(name: str) -> str:
    """The id of somebody who was enrolled when there were none."""
    return uuid.uuid5(OF_OLD, name.encode("utf-8", "backslashreplace").decode()).hex


def _readable(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes of a file's name that are no UTF-8
        return shown(name)
    return name


def _allowed(letter: str) -> str:
    if letter in STEERING:
        return ""
    return " " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter

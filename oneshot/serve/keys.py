"""API keys: who may use a service, and for what. The file holds their hashes only."""

import hashlib
import json
import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from oneshot.errors import OneShotError
from oneshot.files import replacing

Role = Literal["read", "write"]
ROLES: tuple[Role, ...] = ("read", "write")
"""Asking who somebody is; and enrolling, changing and forgetting people, too."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
BEARER = "bearer "


@dataclass(frozen=True, slots=True)
class Key:
    """An API key.

    Attributes:
        name: what it is called in the audit log: a program or a place, not a secret.
        sha256: of the secret; 256 random bits need no slower hash.
        made: when, in UTC.
    """

    name: str
    role: Role
    sha256: str
    made: str


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a key's name and role."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Whether this role is among what the caller may do."""
        return ROLES.index(self.role) >= ROLES.index(role)


ANYBODY = Caller("anybody", "write")
"""Who asks where there are no keys."""


class Keys:
    """The keys of a file, read again as soon as it changes: a revoked key is refused at once."""

    def __init__(self, path: Path):
        """Read the file.

        Raises:
            OneShotError: there is no such file, or it is damaged.
        """
        self._path = path
        self._stamp = _stamp(path)
        self._callers = _callers(read_keys(path))

    def caller(self, authorization: str | None) -> Caller | None:
        """Who sends this header "Authorization: Bearer SECRET"; None: nobody known."""
        if authorization is None or authorization[: len(BEARER)].lower() != BEARER:
            return None
        try:
            if (stamp := _stamp(self._path)) != self._stamp:
                self._callers, self._stamp = _callers(read_keys(self._path)), stamp
        except OneShotError:  # removed or damaged: nobody comes in until it is mended
            self._callers, self._stamp = {}, None
        return self._callers.get(_hash(authorization[len(BEARER) :].strip()))


def read_keys(path: Path) -> list[Key]:
    """The keys in a file.

    Raises:
        OneShotError: there is no such file, or it is damaged.
    """
    try:
        found = [Key(**key) for key in json.loads(path.read_text(encoding="utf-8"))["keys"]]
        if not all(key.role in ROLES and NAME.fullmatch(key.name) for key in found):
            raise ValueError
    except FileNotFoundError:
        raise OneShotError(f"{path}: no such file of keys; make one with oneshot key NAME") from None
    except OSError as error:
        raise OneShotError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    except (ValueError, LookupError, TypeError):
        raise OneShotError(f"{path}: not a file of keys, or a damaged one; make it anew") from None
    return found


def add_key(path: Path, name: str, role: Role) -> str:
    """Make a key, and give its secret, which is kept nowhere.

    Raises:
        OneShotError: the name is taken or unfit, or the file cannot be written.
    """
    if not NAME.fullmatch(name):
        raise OneShotError(f"{name!r}: a key's name has letters, digits, dots and dashes, 64 at most")
    keys = read_keys(path) if path.exists() else []
    if any(key.name == name for key in keys):
        raise OneShotError(f"{name}: there is such a key already; revoke it first, or choose another name")
    secret = secrets.token_urlsafe(32)
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    _write(path, [*keys, Key(name, role, _hash(secret), made)])
    return secret


def revoke_key(path: Path, name: str) -> None:
    """Take a key away.

    Raises:
        OneShotError: there is none of this name, or the file cannot be written.
    """
    keys = read_keys(path)
    left = [key for key in keys if key.name != name]
    if len(left) == len(keys):
        raise OneShotError(f"{name}: no such key; there are {', '.join(k.name for k in keys) or 'none'}")
    _write(path, left)


def _write(path: Path, keys: list[Key]) -> None:
    text = json.dumps({"keys": [asdict(key) for key in keys]}, indent=2) + "\n"
    with replacing(path) as partial:
        partial.touch(mode=0o600)
        partial.write_text(text, encoding="utf-8")


def _callers(keys: list[Key]) -> dict[str, Caller]:
    return {key.sha256: Caller(key.name, key.role) for key in keys}


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size, facts.st_ino

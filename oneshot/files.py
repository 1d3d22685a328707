"""Outputs appear under their own name only once they are whole; pipes and devices are written directly."""

import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, BinaryIO

from oneshot.errors import OneShotError

STALE = 24 * 3600.0
"""Seconds after which a partial file that nobody writes to is that of a program that was killed."""

PARTIAL = ".oneshot-partial-"
"""What temporary names begin with: short, since an output's own name may be as long as names can be."""

STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f]")
"""Control characters, but for the line's end and the tab."""

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}


def check_writable(path: Path | str, keep: bool = False) -> None:
    """Raise OneShotError, before any work is done, where `path` could not be written at the end.

    Args:
        keep: it is to be read again later, so that a pipe or a device will not do.
    """
    path = Path(path)
    try:
        stream = _is_stream(path)
        if stream and keep:
            raise OneShotError(f"{path}: is a pipe or a device, and keeps nothing; give a file name")
        if stream:
            number = _descriptor(path)
            if number is not None:
                os.fstat(number)
            elif not os.access(path, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        if path.is_dir():
            raise OneShotError(f"{path}: is a folder; give a file name")
        target = _target(path)
        if not target.parent.is_dir():
            folder = target.parent if path.is_symlink() else path.parent
            raise OneShotError(f"{path}: the folder {folder} does not exist; create it first")
        # Trying is the only sure way: permissions do not tell of read-only disks, /proc or quotas.
        probe = _partial(target)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise _unwritable(path, error) from None
    except ValueError:
        raise OneShotError(f"{path!r}: cannot be a file's name; choose another") from None


def make_folder(path: Path) -> None:
    """Create a folder for outputs, unless it is there; OneShotError where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OneShotError(f"{path}: cannot be made a folder ({error.strerror}); choose another") from None


@contextmanager
def replacing(path: Path | str, unfinished: bool = False) -> Iterator[Path]:
    """A temporary name of the same suffix, moved into the place of `path` when the block is left.

    On an error nothing is moved, and an older file at `path` is left alone. A link stays, and its target is
    replaced; the older file's permissions stay. Into a pipe, a device or "-" (standard output) the bytes are
    copied.

    Args:
        unfinished: on an error move it all the same, unless it is empty: for frames and lines, where what was
            written until then is whole in itself.

    Raises:
        OneShotError: the file cannot be written there.
    """
    path = Path(path)
    check_writable(path)
    if _is_stream(path):
        with tempfile.TemporaryDirectory(prefix="oneshot-") as folder:
            partial = Path(folder) / f"output{_suffix(path)}"
            try:
                yield partial
            except BaseException:
                if not unfinished:
                    partial.unlink(missing_ok=True)
                raise
            finally:
                if partial.exists():
                    with _explained(path), _opened(path) as stream, partial.open("rb") as written:
                        shutil.copyfileobj(written, stream)
        return
    target = _target(path)
    _sweep(target.parent)
    partial = _partial(target)
    try:
        with _explained(path):
            yield partial
    except BaseException:
        if partial.exists() and not (unfinished and partial.stat().st_size):
            partial.unlink()
        raise
    finally:
        if partial.exists():
            with _explained(path):
                _move(partial, target)


@contextmanager
def writing(path: Path | str, grows: bool = False) -> Iterator[IO[str]]:
    """A UTF-8 text file in the way of `replacing`, moved even if unfinished; pipes and devices get each line.

    Ends of lines stay as they are written. Of file names, what is no UTF-8 is written as "\\udcfc".

    Args:
        grows: write each line to the file's own name at once: of a camera, what is lost cannot be seen again.

    Raises:
        OneShotError: as `replacing`.
    """
    path = Path(path)
    how: dict[str, Any] = {"encoding": "utf-8", "errors": "backslashreplace", "newline": ""}
    check_writable(path)
    if _is_stream(path):
        with (
            _explained(path),
            _opened(path) as stream,
            open(stream.fileno(), "w", 1, closefd=False, **how) as f,
        ):
            yield f
    elif grows:
        with _explained(path), _target(path).open("w", 1, **how) as f:
            yield f
    else:
        with replacing(path, unfinished=True) as partial, partial.open("w", **how) as f:
            yield f


def write_json(path: Path | str, result: Mapping[str, Any]) -> None:
    """Write `result` under a temporary name, then move it into place: a reader never sees half a file.

    Numbers that are not finite (nothing to measure) become null.
    """
    text = json.dumps(plain(result), indent=2)
    with writing(path) as file:
        file.write(text + "\n")


def plain(value: Any) -> Any:
    """A value as JSON can hold it: tuples as lists, numbers that are not finite as None."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def is_stdout(path: Path | str | None) -> bool:
    """Whether an output goes where a command prints, so that nothing else may be printed there."""
    return path is not None and _descriptor(Path(path)) == 1


def readable(name: str) -> str:
    """A file's name as text that can be written anywhere: a byte that is no UTF-8 becomes "\\xfc".

    Names without such bytes and without backslashes stay as they are. `from_readable` is the inverse.
    """
    return shown(name.replace("\\", "\\\\"))


def shown(name: str) -> str:
    """A name for people to read: what is no text in it, or steers a terminal, is written as "\\xfc"."""
    try:
        text = os.fsencode(name).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # no file has such a name, but a string may hold anything
        text = name.encode("utf-8", "backslashreplace").decode()
    return STEERING.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def from_readable(text: str) -> str:
    """The file name that `readable` gave as this text."""

    def byte(found: re.Match[str]) -> str:
        return "\\" if found[1] == "\\" else os.fsdecode(bytes([int(found[1][1:], 16)]))

    return re.sub(r"\\(\\|x[0-9a-f]{2})", byte, text)


def _descriptor(path: Path) -> int | None:
    """The open file that a name stands for: `-`, /dev/stdout, and /dev/fd/63 for the shell's `>(command)`."""
    known = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
    if str(path) in known:
        return known[str(path)]
    numbered = re.fullmatch(r"/(?:dev|proc/self)/fd/([0-9]{1,6})", path.as_posix())
    return int(numbered[1]) if numbered else None


def _is_stream(path: Path) -> bool:
    """Whether bytes go straight there, since it is no regular file that could be replaced."""
    if _descriptor(path) is not None:
        return True
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _opened(path: Path) -> BinaryIO:
    number = _descriptor(path)
    return path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")


def _target(path: Path) -> Path:
    """The file behind links, which need not exist yet."""
    return Path(os.path.realpath(path))


def _suffix(path: Path) -> str:
    return path.suffix if len(path.suffix) < 16 else ""


def _partial(target: Path) -> Path:
    return target.with_name(f"{PARTIAL}{secrets.token_hex(4)}{_suffix(target)}")


def _sweep(folder: Path) -> None:
    """Remove what programs left behind that were killed."""
    for partial in folder.glob(f"{PARTIAL}*"):
        with suppress(OSError):  # somebody else's, or just moved into place
            if time.time() - partial.stat().st_mtime > STALE:
                partial.unlink()


def _move(partial: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        shutil.copymode(target, partial)
    try:
        partial.replace(target)
    except OSError:
        if not target.exists():
            raise
        shutil.copyfile(
            partial, target
        )  # a file that is mounted by itself, as containers do, cannot be moved
        partial.unlink()


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """What goes wrong with this output as a sentence, a full disk above all; other errors stay."""
    try:
        yield
    except OSError as error:
        name = None if error.filename is None else Path(os.fsdecode(error.filename)).name
        if name == path.name or (name and name.startswith(PARTIAL)) or (not name and error.errno in FULL):
            raise _unwritable(path, error) from None
        raise


def _unwritable(path: Path, error: OSError) -> OneShotError:
    return OneShotError(f"{path}: cannot be written ({error.strerror}); choose another place or name")

"""What kind of picture a file is, by its first bytes: its name may say anything."""

import struct
from pathlib import Path

HEAD = 64
"""Bytes from a file's beginning that are enough."""

SIGNATURES: tuple[tuple[str, int, tuple[bytes, ...]], ...] = (
    ("jpeg", 0, (b"\xff\xd8\xff",)),  # also .jfif, .jpe, and .mpo, which holds several
    ("png", 0, (b"\x89PNG\r\n\x1a\n",)),
    ("gif", 0, (b"GIF87a", b"GIF89a")),
    ("bmp", 0, (b"BM",)),
    ("webp", 8, (b"WEBP",)),
    ("jpeg 2000", 0, (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")),
    ("pnm", 0, tuple(b"P%d%c" % (n, space) for n in range(1, 7) for space in b" \t\r\n")),
    ("avif", 4, (b"ftypavif", b"ftypavis")),
    ("heif", 4, tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"))),
    ("raw", 8, (b"CR\x02\0",)),  # Canon's, in the form of a TIFF
    ("raw", 4, (b"ftypcrx ",)),
    ("raw", 0, (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")),
    ("raw", 6, (b"HEAPCCDR",)),
    ("tiff", 0, (b"II*\0", b"MM\0*")),
)
"""Kind, where to look, and what stands there; the first that fits counts."""

SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
"""Of pictures; a file so named that is none is a damaged one, not something else."""

PACKAGES = {"heif": "pi_heif", "raw": "rawpy"}
"""What reads a kind, where it is no package that is always there."""

VIDEO_SUFFIXES = {".3gp", ".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".mts", ".webm", ".wmv"}


def kind_of(head: bytes) -> str | None:
    """The kind of a picture that begins so (HEAD bytes); None for everything else.

    Most raw photos begin as any "tiff" does; raw_tiff tells them apart.
    """
    kind = next((kind for kind, at, marks in SIGNATURES if head.startswith(marks, at)), None)
    if kind is None:
        return "heif" if _heif_brand(head) else None
    if kind == "webp" and not head.startswith(b"RIFF"):
        return None
    return kind


def _heif_brand(head: bytes) -> bool:
    """Whether the brands after the first, which may be "mif1" or "msf1", say HEVC; AVIF names its own."""
    if head[4:12] not in (b"ftypmif1", b"ftypmsf1"):
        return False
    (length,) = struct.unpack_from(">I", head)
    return any(head[i : i + 3] in (b"hei", b"hev") for i in range(16, min(length, len(head)), 4))


def is_picture(path: Path) -> bool:
    """Whether a file is a picture: by its first bytes, or, where they are damaged, by its name.

    One that may not be read is taken for one, so that whoever reads it is told why that is not possible.
    """
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return kind_of(file.read(HEAD)) is not None or path.suffix.lower() in SUFFIXES
    except OSError:
        return True

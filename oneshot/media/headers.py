"""What a picture's first bytes say of it: its size, and whether its end is missing."""

import re
import struct
from collections.abc import Container

MOST_PARTS = 10_000
"""Segments of a JPEG before its picture, pictures of an AVIF: far more than any has, and soon looked at."""


def header_size(data: bytes) -> tuple[int, int] | None:
    """Width and height as a picture's first bytes state them; None for other formats and broken headers.

    Knows PNG, JPEG, GIF, BMP, WebP, TIFF, JPEG 2000, AVIF and PNM.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return struct.unpack_from(">II", data, 16)
        if data.startswith((b"GIF87a", b"GIF89a")):
            return struct.unpack_from("<HH", data, 6)
        if data.startswith(b"BM"):
            if data[14:18] == b"\x0c\0\0\0":  # the oldest form
                return struct.unpack_from("<HH", data, 18)
            width, height = struct.unpack_from("<ii", data, 18)
            return abs(width), abs(height)  # rows from the top down have a negative height
        if data.startswith(b"\xff\xd8"):
            frame = _jpeg_segment(data, frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC})
            height, width = struct.unpack_from(">HH", data, frame + 5)
            return width, height
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp_size(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff_size(data)
        if data.startswith(b"\xff\x4f\xff\x51"):  # a bare JPEG 2000 codestream
            return struct.unpack_from(">II", data, 8)
        if data[4:8] == b"jP  ":
            height, width = struct.unpack_from(">II", data, data.index(b"ihdr") + 4)
            return width, height
        if data[4:8] == b"ftyp":
            return _largest_part(data)
        if pnm := re.match(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s+(?:#[^\n]*\n\s*)*(\d{1,9})\s", data):
            return int(pnm[1]), int(pnm[2])
    except (struct.error, ValueError):
        pass
    return None


def _jpeg_segment(data: bytes, markers: frozenset[int]) -> int:
    """Where the first segment with one of these markers begins; ValueError or struct.error if none does."""
    at = 2
    for _ in range(MOST_PARTS):
        if data[at : at + 1] != b"\xff":
            break
        marker, length = struct.unpack_from(">xBH", data, at)
        if marker in markers:
            return at
        at += 1 if marker == 0xFF else 2 + length  # a marker may be preceded by filling 0xFF
    raise ValueError("no such segment")


def _webp_size(data: bytes) -> tuple[int, int] | None:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if data[12:16] == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _tiff_tags(data: bytes, wanted: Container[int]) -> dict[int, int]:
    """Short and long numbers in the directory of a TIFF's first picture; struct.error if it lacks."""
    order = "<" if data.startswith(b"II") else ">"
    (at,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, at)
    tags = {}
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind = struct.unpack_from(f"{order}HH", data, entry)
        if tag in wanted:
            (tags[tag],) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)
    return tags


def _tiff_size(data: bytes) -> tuple[int, int] | None:
    sides = _tiff_tags(data, (256, 257))
    return (sides[256], sides[257]) if len(sides) == 2 else None


def raw_tiff(data: bytes) -> bool:
    """Whether a TIFF is a camera's raw photo: one colour a pixel, a DNG, or a thumbnail comes first."""
    try:
        tags = _tiff_tags(data, (254, 262, 50706))
    except struct.error:
        return False
    return tags.get(262) == 32803 or 50706 in tags or bool(tags.get(254, 0) & 1)


def _largest_part(data: bytes) -> tuple[int, int] | None:
    """Of an AVIF's pictures, thumbnails and tiles, the size of the largest."""
    if data.count(b"ispe") > MOST_PARTS:
        return None
    parts = [struct.unpack_from(">II", data, found.end() + 4) for found in re.finditer(b"ispe", data)]
    return max(parts, key=lambda part: part[0] * part[1], default=None)


def cut_short(data: bytes) -> bool:
    """Whether a PNG or JPEG lacks its end: some decoders fill the rest with grey and say nothing."""
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"\xff\xd8"):
        try:
            # Thumbnails in the header have ends of their own; within the scan this pair cannot occur.
            return data.find(b"\xff\xd9", _jpeg_segment(data, frozenset({0xDA}))) < 0
        except (struct.error, ValueError):
            return True
    return False

"""Who was seen when, on one page: a face, a name and a bar over time for everybody."""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from oneshot.media.draw import INK, UNKNOWN, colour_of, put_text, text_width
from oneshot.types import Image
from oneshot.watch.tracking import Track

WIDTH, ROW, PAD = 1200, 96, 12
NAME, BAR = ROW + 2 * PAD, 400
"""Where the names and the bars begin, in pixels from the left."""

PAPER = (250, 250, 250)
LINE, TICK = (215, 215, 215), (230, 230, 230)
MOST = 40
"""Rows; what is seen shortest is left out beyond."""

STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)
"""Seconds that may lie between two times that are marked; and any number of hours."""
MARKS = 7
"""Times that are marked, at most."""


def contact_sheet(tracks: Sequence[Track], start: float, end: float, title: str) -> Image:
    """A picture (H, 1200, 3) BGR: a row for each person, and one for each track of somebody unknown.

    Args:
        start, end: seconds that the bars' ends stand for.
    """
    people: dict[str | int, list[Track]] = {}
    for track in tracks:
        people.setdefault(track.match.name or track.number, []).append(track)
    rows = sorted(people.values(), key=lambda row: -sum(t.frames for t in row))
    shown = sorted(rows[:MOST], key=lambda row: row[0].start)
    more = f" (and {len(rows) - MOST} more)" if len(rows) > MOST else ""
    head, step = 60, ROW + PAD
    sheet = np.full((head + step * len(shown) + 2 * PAD + 20, WIDTH, 3), PAPER, np.uint8)
    put_text(sheet, _fitted(title + more, WIDTH - 2 * PAD, 24), (PAD, 36), 24)
    bottom = sheet.shape[0] - PAD
    for time in round_times(start, end):
        x = _across(time, start, end)
        cv2.line(sheet, (x, head), (x, bottom - 24), TICK, 1)
        label = clock(time)[:-3]
        if BAR + 100 < x < WIDTH - PAD - 100:  # the ends have labels of their own
            put_text(sheet, label, (x - text_width(label, 16) // 2, bottom), 16)
    for i, row in enumerate(shown):
        _draw_row(sheet, row, head + i * step, start, end)
    put_text(sheet, clock(start), (BAR, bottom), 16)
    put_text(sheet, clock(end), (WIDTH - PAD - text_width(clock(end), 16), bottom), 16)
    return sheet


def _draw_row(sheet: Image, row: Sequence[Track], top: int, start: float, end: float) -> None:
    best = max(row, key=lambda track: track.best)
    name = best.match.name
    height, width = best.thumb.shape[:2]
    scale = min(ROW / height, ROW / width)
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    thumb = cv2.resize(best.thumb, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = PAD + (ROW - size[0]) // 2, top + (ROW - size[1]) // 2
    sheet[y : y + size[1], x : x + size[0]] = thumb
    put_text(sheet, _fitted(name or "unknown", BAR - NAME - PAD, 22), (NAME, top + 42), 22)
    seen = sum(track.end - track.start for track in row)
    put_text(sheet, f"{clock(seen)} in view", (NAME, top + 70), 16)
    middle, right = top + ROW // 2, WIDTH - PAD
    cv2.line(sheet, (BAR, middle), (right, middle), LINE, 2)
    colour = colour_of(name) if name else UNKNOWN
    for track in row:
        x0, x1 = (_across(time, start, end) for time in (track.start, track.end))
        cv2.rectangle(sheet, (x0, middle - 16), (max(x1, x0 + 3), middle + 16), colour, -1)
        cv2.rectangle(sheet, (x0, middle - 16), (max(x1, x0 + 3), middle + 16), INK, 1)


def _across(time: float, start: float, end: float) -> int:
    """Where a time is on the bars, in pixels from the left."""
    return round(BAR + (time - start) / max(end - start, 1e-9) * (WIDTH - PAD - BAR))


def round_times(start: float, end: float) -> list[int]:
    """Whole seconds, minutes or hours between two times, as many as can be read beside each other."""
    hours = math.ceil((end - start) / 3600 / MARKS)
    step = next((s for s in STEPS if (end - start) / s <= MARKS), 3600 * hours)
    return list(range(step * math.ceil(start / step), math.floor(end) + 1, step))


def _fitted(text: str, width: int, size: int) -> str:
    """As much of a text as there is room for."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text + "…"


def clock(seconds: float) -> str:
    """1:02.50 for 62.5 seconds."""
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}:{rest:05.2f}"

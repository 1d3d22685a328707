"""A page of contact sheets that shows the faces of a collection, grouped by person."""

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from oneshot.album.album import Album
from oneshot.album.linkage import Groups
from oneshot.album.videos import frame_at
from oneshot.errors import OneShotError
from oneshot.files import writing
from oneshot.media.images import read_image
from oneshot.types import Floats, Image

THUMB = 128
MARGIN = 0.3
"""Of the box's longer side, shown around the face."""

STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 2rem; background: #fafafa; color: #222 }
section { margin-bottom: 2rem } h2 { font-size: 1.1rem; font-weight: 600 }
img { width: 128px; height: 128px; border-radius: 6px; margin: 2px }
""".strip()


def write_page(
    album: Album,
    groups: Groups,
    out: Path,
    step: Callable[[], None] = lambda: None,
    names: Mapping[int, str] | None = None,
) -> list[str]:
    """Write index.html, with a contact sheet a person, and its thumbnails to a folder, made if need be.

    Args:
        groups: (N,), as `oneshot.album.linkage.group` gives them.
        step: called after each photo.
        names: of groups that have one.

    Returns:
        Photos that cannot be read any more, and why; their faces are not shown.

    Raises:
        OneShotError: the folder cannot be written.
    """
    try:
        (out / "faces").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OneShotError(f"{out}: cannot be made ({error.strerror}); choose another folder") from None
    failures, shown = [], set()
    by_photo: dict[str, list[int]] = {}
    for i, photo in enumerate(album.photos):
        by_photo.setdefault(photo, []).append(i)
    for rows in by_photo.values():
        try:
            for i, image in _pictures(album, rows):
                cv2.imwrite(str(out / "faces" / f"{i}.jpg"), thumbnail(image, album.boxes[i]))
                shown.add(i)
        except OneShotError as error:
            failures.append(str(error))
        step()
    sections = []
    for number in [*range(int(groups.max(initial=-1)) + 1), -1]:
        rows = [int(i) for i in np.flatnonzero(groups == number) if int(i) in shown]
        rows.sort(key=lambda i: -album.qualities[i])  # the best look first
        if rows:
            title = "Seen once" if number < 0 else f"Person {number + 1}"
            if names and number in names:
                title += f", {names[number]}"
            sections.append(_section(album, title, rows))
    title = html.escape(str(album.folder))
    with writing(out / "index.html") as page:
        page.write(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
            f"<style>{STYLE}</style>\n<h1>{title}</h1>\n{''.join(sections)}</html>\n"
        )
    return failures


def _pictures(album: Album, rows: Sequence[int]) -> Iterator[tuple[int, Image]]:
    """For each of the faces of one photo or video, the picture that shows it."""
    path = album.folder / album.photos[rows[0]]
    image = read_image(path) if np.isnan(album.seconds[rows[0]]) else None
    for i in rows:
        yield i, frame_at(path, album.seconds[i]) if image is None else image


def thumbnail(image: Image, box: Floats) -> Image:
    """A face and a little around it, (128, 128, 3); black where that is outside the picture."""
    side = (1 + 2 * MARGIN) * max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0)
    scale = THUMB / side
    shift = THUMB / 2 - scale * np.array([box[0] + box[2], box[1] + box[3]]) / 2
    # OpenCV counts from the centres of pixels.
    matrix = np.array([[scale, 0, shift[0] + 0.5 * scale - 0.5], [0, scale, shift[1] + 0.5 * scale - 0.5]])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.warpAffine(image, matrix, (THUMB, THUMB), flags=how), np.uint8)


def _section(album: Album, title: str, rows: list[int]) -> str:
    files = len({album.photos[i] for i in rows})
    what = "photo" if np.isnan(album.seconds[rows]).all() else "file"
    counts = f"{len(rows)} face{'s' * (len(rows) != 1)} in {files} {what}{'s' * (files != 1)}"
    faces = []
    for i in rows:
        link = html.escape((album.folder / album.photos[i]).absolute().as_uri())
        if not np.isnan(album.seconds[i]):
            link += f"#t={album.seconds[i]:.2f}"  # where browsers begin to play a video
        name = html.escape(f"{album.photos[i]}#{album.numbers[i]}")  # what --name and --not take
        faces.append(f'<a href="{link}"><img src="faces/{i}.jpg" alt="{name}" title="{name}"></a>')
    return f"<section><h2>{html.escape(title)}: {counts}</h2>\n{''.join(faces)}</section>\n"

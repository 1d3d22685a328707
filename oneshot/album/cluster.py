"""The faces of a collection, grouped by person, and a page of contact sheets to look at."""

import html
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from oneshot.album.index import Album
from oneshot.errors import OneShotError
from oneshot.files import writing
from oneshot.geometry import described
from oneshot.media.images import read_image
from oneshot.types import Floats, Image

MOST = 30_000
"""Faces: every pair's similarity is kept, which takes 16 bytes a pair."""

THUMB = 128
MARGIN = 0.3
"""Of the box's longer side, shown around the face."""

STYLE = """
body { font: 16px/1.4 system-ui, sans-serif; margin: 2rem; background: #fafafa; color: #222 }
section { margin-bottom: 2rem } h2 { font-size: 1.1rem; font-weight: 600 }
img { width: 128px; height: 128px; border-radius: 6px; margin: 2px }
""".strip()


def group(embeddings: Floats, threshold: float) -> NDArray[np.intp]:
    """Which faces are of the same person: (N,) numbers from 0 by falling size of group, -1 for those alone.

    Groups are joined, the most similar first, while the mean similarity between their faces reaches
    `threshold`: the cosine at which two photos are said to be the same person. On 171 photos of 90 people of
    LFW, at the threshold for a false accept rate of 1e-3, 96 % of the pairs that it put together belong
    together and 99 % of those that belong together were; HDBSCAN came to 78 % and 94 %, and split up a
    collection of one person.

    Raises:
        OneShotError: more than 30,000 faces, or SciPy is missing.
    """
    try:
        from scipy.cluster.hierarchy import fcluster, linkage
    except ModuleNotFoundError:
        raise OneShotError("grouping faces needs scipy; pip install 'oneshot-face[photos]'") from None
    told = described(embeddings)
    if not told.all():  # a face that could not be described is alone
        groups = np.full(len(embeddings), -1)
        groups[told] = group(embeddings[told], threshold)
        return groups
    count = len(embeddings)
    if count > MOST:
        raise OneShotError(f"{count:,} faces, but {MOST:,} can be grouped at most; index fewer photos")
    if count < 2:
        return np.full(count, -1)
    similar = embeddings @ embeddings.T
    distances = (1 - similar[np.triu_indices(count, 1)]).clip(0).astype(np.float64)
    labels = fcluster(linkage(distances, "average"), 1 - threshold, "distance") - 1
    sizes = np.bincount(labels)
    rank = np.empty(len(sizes), np.intp)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return np.where(sizes[labels] > 1, rank[labels], -1)


def write_page(
    album: Album, groups: NDArray[np.intp], out: Path, step: Callable[[], None] = lambda: None
) -> list[str]:
    """Write index.html, with a contact sheet a person, and its thumbnails to a folder, made if need be.

    Args:
        groups: (N,), as `group` gives them.
        step: called after each photo.

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
    for photo, rows in by_photo.items():
        try:
            image = read_image(album.folder / photo)
        except OneShotError as error:
            failures.append(str(error))
        else:
            for i in rows:
                cv2.imwrite(str(out / "faces" / f"{i}.jpg"), thumbnail(image, album.boxes[i]))
                shown.add(i)
        step()
    sections = []
    for number in [*range(int(groups.max(initial=-1)) + 1), -1]:
        rows = [int(i) for i in np.flatnonzero(groups == number) if int(i) in shown]
        rows.sort(key=lambda i: -album.qualities[i])  # the best look first
        if rows:
            title = "Seen once" if number < 0 else f"Person {number + 1}"
            sections.append(_section(album, title, rows))
    title = html.escape(str(album.folder))
    with writing(out / "index.html") as page:
        page.write(
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
            f"<style>{STYLE}</style>\n<h1>{title}</h1>\n{''.join(sections)}</html>\n"
        )
    return failures


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
    photos = len({album.photos[i] for i in rows})
    counts = f"{len(rows)} face{'s' * (len(rows) != 1)} in {photos} photo{'s' * (photos != 1)}"
    faces = []
    for i in rows:
        link = html.escape((album.folder / album.photos[i]).absolute().as_uri())
        name = html.escape(album.photos[i])
        faces.append(f'<a href="{link}"><img src="faces/{i}.jpg" alt="{name}" title="{name}"></a>')
    return f"<section><h2>{title}: {counts}</h2>\n{''.join(faces)}</section>\n"

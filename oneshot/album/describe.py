"""The photos and videos of a collection described one after another; on_ray.py does it on many machines."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from oneshot.album.rows import Row, row_of
from oneshot.album.videos import describe_video, is_video
from oneshot.errors import OneShotError
from oneshot.media.images import read_image
from oneshot.types import Image, Model

AHEAD = 8
"""Photos decoded in advance, while the network looks at another."""

Described = Iterator[tuple[str, str, list[Row] | OneShotError]]
"""Photos by their paths below the folder, in order, with their contents' sha256 and their faces; of a damaged
one, what is wrong.
"""

Read = tuple[str, Image | OneShotError | None]
"""A file's contents' sha256, and the picture; None is a video, which is read frame by frame."""

Describe = Callable[[Path, Sequence[str]], Described]
"""What describes the photos and videos of a folder."""


def here(model: Model, folder: Path, photos: Sequence[str]) -> Described:
    """Describe photos and videos in this process, a few photos decoded in advance."""

    def read(photo: str) -> Read:
        try:
            path = folder / photo
            return content_of(path), None if is_video(path) else read_image(path)
        except OneShotError as error:
            return "", error

    def described(photo: str, read: Read) -> tuple[str, list[Row] | OneShotError]:
        content, image = read
        if isinstance(image, OneShotError):
            return content, image
        if image is not None:
            faces = model(image)
            return content, [row_of(image, faces, i, model) for i in range(len(faces))]
        try:
            return content, describe_video(folder / photo, model)
        except OneShotError as error:
            return content, error

    with ThreadPoolExecutor(2) as pool:
        waiting: deque[tuple[str, Future[Read]]] = deque()
        for photo in photos:
            waiting.append((photo, pool.submit(read, photo)))
            if len(waiting) > AHEAD:
                name, future = waiting.popleft()
                yield name, *described(name, future.result())
        for name, future in waiting:
            yield name, *described(name, future.result())


def content_of(path: Path) -> str:
    """The sha256 of a file: what a photo is, whatever its name.

    Raises:
        OneShotError: it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
    except OSError as error:
        raise OneShotError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
    return digest.hexdigest()

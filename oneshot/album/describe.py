"""The photos of a collection described one after another; on_ray.py does the same on many machines."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from oneshot.errors import OneShotError
from oneshot.gallery.quality import assess
from oneshot.media.images import read_image
from oneshot.types import Image, Model

AHEAD = 8
"""Photos decoded in advance, while the network looks at another."""

Row = dict[str, Any]
"""One face, by the names of `face_fields`."""

Described = Iterator[tuple[str, str, list[Row] | OneShotError]]
"""Photos by their paths below the folder, in order, with their contents' sha256 and their faces; of a damaged
one, what is wrong.
"""

Read = tuple[str, Image | OneShotError]

Describe = Callable[[Path, Sequence[str]], Described]
"""What describes the photos of a folder."""


def here(model: Model, folder: Path, photos: Sequence[str]) -> Described:
    """Describe photos in this process, a few of them decoded in advance."""

    def read(photo: str) -> Read:
        try:
            return content_of(folder / photo), read_image(folder / photo)
        except OneShotError as error:
            return "", error

    def described(read: Read) -> tuple[str, list[Row] | OneShotError]:
        content, image = read
        return content, image if isinstance(image, OneShotError) else _describe(image, model)

    with ThreadPoolExecutor(2) as pool:
        waiting: deque[tuple[str, Future[Read]]] = deque()
        for photo in photos:
            waiting.append((photo, pool.submit(read, photo)))
            if len(waiting) > AHEAD:
                name, future = waiting.popleft()
                yield name, *described(future.result())
        for name, future in waiting:
            yield name, *described(future.result())


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


def face_fields(pa: Any) -> list[tuple[str, Any]]:
    """A face's columns with pyarrow's types."""
    numbers = pa.list_(pa.float32())
    return [
        ("face", pa.int32()),
        ("box", numbers),
        ("score", pa.float32()),
        ("landmarks", numbers),
        ("quality", pa.float32()),
        ("embedding", numbers),
    ]


def _describe(image: Image, model: Model) -> list[Row]:
    faces = model(image)
    return [
        {
            "face": i,
            "box": faces.boxes[i],
            "score": float(faces.scores[i]),
            "landmarks": faces.landmarks[i].ravel(),
            "quality": assess(image, faces, i, model.side_for(image)).overall,
            "embedding": faces.embeddings[i],
        }
        for i in range(len(faces))
    ]

"""The gallery of a service: one thread that alone asks and changes it, so that nothing is half seen."""

import asyncio
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from oneshot.gallery.gallery import Gallery
from oneshot.gallery.person import Person
from oneshot.serve.problems import Problem
from oneshot.types import Faces, Image, Model

T = TypeVar("T")

ID = re.compile("[0-9a-f]{32}")
"""A person's id. Nobody may be named like one: names are looked up before ids."""


class Foreseen:
    """A model of pictures that were looked at before: the gallery's thread never waits for the network.

    Args:
        model: the one that has looked.
    """

    def __init__(self, model: Model):
        self.info: dict[str, Any] = model.info
        self.thresholds: dict[str, float] = model.thresholds
        self.side = model.side
        self.side_for = model.side_for
        self._seen: dict[int, Faces] = {}

    def see(self, images: Sequence[Image], faces: Sequence[Faces]) -> None:
        """From now on these pictures, and no others, have these faces."""
        self._seen = {id(image): found for image, found in zip(images, faces, strict=True)}

    def __call__(self, image: Image, *, embed: bool = True) -> Faces:
        """What was seen in one of the pictures."""
        return self._seen[id(image)]


class People:
    """Who is known to a service.

    Args:
        model: the network.
        opened: opens the gallery of a model.

    Raises:
        OneShotError: as `opened` does.
    """

    def __init__(self, model: Model, opened: Callable[[Model], Gallery]):
        self._thread = ThreadPoolExecutor(1, "oneshot-gallery")
        self._foreseen = Foreseen(model)
        try:
            self._gallery = self._thread.submit(opened, self._foreseen).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def ask(
        self,
        question: Callable[[Gallery], T],
        images: Sequence[Image] = (),
        faces: Sequence[Faces] = (),
    ) -> T:
        """What the gallery answers, in its thread; one question at a time.

        Args:
            question: may also change it.
            images, faces: pictures that it enrolls, and what was found in each.
        """

        def run() -> T:
            self._foreseen.see(images, faces)
            try:
                return question(self._gallery)
            finally:
                self._foreseen.see((), ())

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def close(self) -> None:
        """Answer what was asked, and let go of the gallery."""
        self._thread.submit(self._gallery.close)
        self._thread.shutdown()


def person_of(gallery: Gallery, number: str) -> Person:
    """Who has this id.

    Raises:
        Problem: 404, nobody.
    """
    found = next((person for person in gallery.people if person.id == number), None)
    if found is None:
        raise Problem(404, f"{number}: nobody has this id; GET /v1/people lists who is enrolled")
    return found


def free_name(gallery: Gallery, name: str) -> str:
    """A name, if it may be given to somebody.

    Raises:
        Problem: 409, somebody has it; 422, it looks like an id.
    """
    if ID.fullmatch(name):
        raise Problem(422, f"{name}: looks like a person's id; give another name")
    if name in gallery and gallery.known(name) == name:
        raise Problem(409, f"{name}: is enrolled already; add photos to them, or choose another name")
    return name

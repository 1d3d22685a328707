"""What the routes of a service share, and how a request's pictures become faces."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from oneshot.gallery.quality import Quality, assess_all
from oneshot.inference.predictor import OneShot
from oneshot.media.decode import decode
from oneshot.media.kinds import HEAD, kind_of
from oneshot.serve.audit import Audit
from oneshot.serve.batching import Batcher
from oneshot.serve.fetch import Fetcher
from oneshot.serve.limits import Slots
from oneshot.serve.metrics import Metrics
from oneshot.serve.people import People
from oneshot.serve.pictures import Form, check_pictures, form_of
from oneshot.serve.settings import Settings
from oneshot.types import Faces, Image

ALONE = ("avif", "heif")
"""Kinds whose header may say a few pixels where the coded picture has 268 million: decoded one at a time."""


@dataclass(frozen=True, slots=True)
class Look:
    """A picture that was sent, and the faces in it.

    Attributes:
        name: what it is called in messages.
    """

    name: str
    image: Image
    faces: Faces


@dataclass(frozen=True, slots=True)
class Service:
    """The parts of a service, one of each."""

    settings: Settings
    model: OneShot
    batcher: Batcher
    people: People
    slots: Slots
    fetcher: Fetcher
    audit: Audit
    metrics: Metrics
    alone: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def form(self, request: Request) -> Form:
        """The pictures and texts of a request; errors as `form_of`."""
        return await form_of(request, self.settings, self.fetcher)

    @asynccontextmanager
    async def looks(self, form: Form, embed: bool = True) -> AsyncIterator[list[Look]]:
        """The faces in each of a form's pictures, which are held for as long as this is entered.

        Raises:
            Problem, OneShotError: a picture cannot be read; see `check_pictures` and `decode`.
        """
        await asyncio.to_thread(check_pictures, form.pictures, self.settings.max_pixels)
        async with self.slots.taken(len(form.pictures)):
            images = await asyncio.gather(*(self._decoded(*picture) for picture in form.pictures))
            asked = [asyncio.wrap_future(self.batcher.submit(image, embed)) for image in images]
            found = await asyncio.gather(*asked)
            names = [name for name, _ in form.pictures]
            yield [Look(*each) for each in zip(names, images, found, strict=True)]

    async def _decoded(self, name: str, data: bytes) -> Image:
        async with self.alone if kind_of(data[:HEAD]) in ALONE else nullcontext():
            return await asyncio.to_thread(decode, data, name, self.settings.max_pixels)

    async def qualities(self, looks: Sequence[Look]) -> list[list[Quality]]:
        """How good a look each face of each picture gives."""

        def assess() -> list[list[Quality]]:
            return [assess_all(look.image, look.faces, self.model.side_for(look.image)) for look in looks]

        return await asyncio.to_thread(assess)

    def close(self) -> None:
        """Answer what waits, and let go of the network, the gallery and the log."""
        self.batcher.close()
        self.people.close()
        self.audit.close()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


Shared = Annotated[Service, Depends(_service)]
"""The parameter by which a route has the service."""

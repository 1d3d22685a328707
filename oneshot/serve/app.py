"""The service as an ASGI application."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from oneshot.gallery.gallery import Gallery
from oneshot.inference.predictor import OneShot
from oneshot.serve import problems
from oneshot.serve.audit import Audit
from oneshot.serve.batching import Batcher
from oneshot.serve.door import Door
from oneshot.serve.fetch import Fetcher
from oneshot.serve.keys import Keys
from oneshot.serve.limits import Slots
from oneshot.serve.metrics import Metrics
from oneshot.serve.people import People
from oneshot.serve.routes import faces, page, people, status
from oneshot.serve.service import Service
from oneshot.serve.settings import Settings
from oneshot.types import Model

DESCRIPTION = "Every face in a picture, and who it is, in one pass of one small network."


def create_app(model: OneShot, opened: Callable[[Model], Gallery], settings: Settings) -> FastAPI:
    """A service that is ready to answer; it lets go of everything when its server stops.

    Args:
        model: the network.
        opened: opens the gallery, which must be one that changes stay in.
        settings: the limits.

    Raises:
        OneShotError: the gallery, the keys or the log of changes cannot be opened.
    """
    keys = None if settings.keys is None else Keys(settings.keys)
    audit = Audit(settings.audit)
    metrics = Metrics()

    def ran(pictures: int, found: int, seconds: float) -> None:
        metrics.batch.observe(pictures)
        metrics.faces.inc(found)
        metrics.run_seconds.observe(seconds)

    known = People(model, opened)
    service = Service(
        settings,
        model,
        Batcher(model, settings.batch, ran),
        known,
        Slots(settings.decoded),
        Fetcher(settings.url_hosts),
        audit,
        metrics,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # Its pages of documentation would load scripts from elsewhere.
    app = FastAPI(
        title="oneshot",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would lead to whatever host the request names
        lifespan=lifespan,
    )
    app.state.service = service
    problems.install(app)
    for router in (faces.router, people.router, status.router, page.router):
        app.include_router(router)
    app.add_middleware(Door, settings=settings, keys=keys, metrics=metrics)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors),
            allow_methods=["GET", "POST", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["X-Request-ID", "Retry-After"],
        )
    return app

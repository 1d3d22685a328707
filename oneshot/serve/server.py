"""The service behind a socket: uvicorn, with time limits that it lacks."""

import asyncio
import logging
import socket
import warnings
from contextlib import suppress
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from oneshot.errors import OneShotError, OneShotWarning
from oneshot.serve.settings import Settings


class Impatient(H11Protocol):
    """Ends connections on which no whole head of a request comes for a while, or whose answers are not taken.

    Attributes:
        head: seconds for a head.
        seconds: for taking an answer.
    """

    head: float
    seconds: float

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As asyncio calls it."""
        super().connection_made(transport)
        self._last: Any = self  # no request's cycle: the first check never closes
        self._taking: asyncio.TimerHandle | None = None
        self._look_again()

    def connection_lost(self, exc: Exception | None) -> None:
        """As asyncio calls it."""
        super().connection_lost(exc)
        self._next.cancel()
        self._taken()

    def pause_writing(self) -> None:
        """As asyncio calls it: much has been sent, and was not taken yet."""
        super().pause_writing()
        self._taking = self.loop.call_later(self.seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """As asyncio calls it."""
        super().resume_writing()
        self._taken()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()

    def _look_again(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self._last is self.cycle:
            self.transport.close()
        if self.transport.is_closing():  # once the rest was taken, or not
            self._next = self.loop.call_later(self.seconds, self.transport.abort)
            return
        self._last = self.cycle if idle else self
        self._next = self.loop.call_later(self.head, self._look_again)


def check_keys(settings: Settings) -> None:
    """Raise OneShotError where there are no keys, but other machines could ask."""
    if settings.keys is None and settings.host not in ("127.0.0.1", "::1", "localhost"):
        raise OneShotError(
            f"host={settings.host}: without keys everybody on the network could change people; "
            "make a key with oneshot key NAME, and give the file by --keys"
        )


def server(app: FastAPI, settings: Settings) -> uvicorn.Server:
    """A server; call its `run`, which ends in good order on SIGTERM and Ctrl-C."""
    config = uvicorn.Config(
        app,
        http=type("Protocol", (Impatient,), {"head": settings.header_seconds, "seconds": settings.seconds}),
        ws="none",
        access_log=False,  # it would hold addresses and paths
        log_config=None,
        server_header=False,
        limit_concurrency=settings.connections,
        timeout_keep_alive=max(1, int(settings.header_seconds)),
        timeout_graceful_shutdown=int(settings.stop_seconds),
        lifespan="on",
    )
    return uvicorn.Server(config)


def listening(settings: Settings) -> socket.socket:
    """The socket of a service.

    Raises:
        OneShotError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except OSError as error:
        why = error.strerror or error
        raise OneShotError(
            f"{settings.host}:{settings.port} cannot be used ({why}); give another --host or --port"
        ) from None


def run(app: FastAPI, settings: Settings, sock: socket.socket) -> None:
    """Serve until it is stopped; requests that are under way are answered first."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    warnings.simplefilter("ignore", OneShotWarning)  # they may name people
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has ended
        server(app, settings).run(sockets=[sock])

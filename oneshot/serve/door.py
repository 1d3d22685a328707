"""What every request passes: who asks, how much, how long. Its line in the log names nobody."""

import logging
import re
import time
import traceback
import uuid
from collections.abc import MutableMapping
from contextlib import nullcontext
from typing import Any

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oneshot.serve.keys import ANYBODY, Caller, Keys
from oneshot.serve.limits import Gate, Rate
from oneshot.serve.metrics import Metrics
from oneshot.serve.problems import Problem, answer
from oneshot.serve.settings import Settings

LOG = logging.getLogger("oneshot.serve")

GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
OPEN = ("/v1/health", "/v1/ready")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
HERE = ("localhost", "127.0.0.1", "::1")
CLOSING = {"Connection": "close"}
"""What is left of the request is not read."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",  # answers name people
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
}


class Door:
    """ASGI middleware around the whole service.

    Args:
        app: what is behind it.
        settings: the limits.
        keys: who may ask; None: everybody on this machine.
        metrics: counts what passes.
    """

    def __init__(self, app: ASGIApp, settings: Settings, keys: Keys | None, metrics: Metrics):
        self._app, self._settings, self._keys, self._metrics = app, settings, keys, metrics
        self._rate, self._gate = Rate(settings.rate), Gate(settings.max_waiting)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {}).update(request_id=request_id, caller=None)
        sent = _Sent(send, request_id)
        body = _Body(receive, self._settings.max_bytes)
        try:
            with anyio.move_on_after(self._settings.seconds) as limit, self._admitted(scope, headers):
                await self._app(scope, body, sent)
            if limit.cancelled_caught and not sent.status:
                late = "an answer" if body.whole else "the whole request"
                status = 504 if body.whole else 408
                detail = f"{late} took more than {self._settings.seconds:g} s; send less, or ask again later"
                await answer(status, detail, request_id, CLOSING)(scope, receive, sent)
        except Problem as problem:
            if not sent.status:
                said = answer(problem.status_code, problem.detail, request_id, problem.headers)
                await said(scope, receive, sent)
        except Exception as error:
            _log_fault(request_id, error)
            if sent.status:
                raise
            await answer(500, "a fault of the service; its log has more", request_id)(scope, receive, sent)
        finally:
            self._count(scope, sent.status, time.perf_counter() - start, request_id)

    def _admitted(self, scope: Scope, headers: Headers) -> Any:
        """A context for a request that may pass.

        Raises:
            Problem: 401, no key or an unknown one; 403, another site's page; 413, too large; 429, too many.
        """
        if self._keys is None:
            _check_here(headers, self._settings.host)
        if not headers.get("content-length", "0").isdecimal():
            raise Problem(400, "Content-Length is not a number; send the request again")
        if int(headers.get("content-length", "0")[:20]) > self._settings.max_bytes:
            raise too_large(self._settings.max_bytes)
        path = scope["path"]
        if path in OPEN or not (path.startswith("/v1/") or path == "/metrics"):
            return nullcontext()
        caller = ANYBODY if self._keys is None else self._keys.caller(headers.get("authorization"))
        if caller is None:
            raise unknown_caller()
        scope["state"]["caller"] = caller
        self._rate.check(_whose(caller, scope))
        return self._gate.passing()

    def _count(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "-")  # never the path itself, whatever stands in it
        method = scope["method"] if scope["method"] in METHODS else "-"
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        self._metrics.inside.set(self._gate.inside)
        LOG.info("%s %s %s %d %.1f ms", request_id, method, route, status, seconds * 1000)


class _Sent:
    """`send`, with the headers that every answer has; status is 0 as long as there is none."""

    def __init__(self, send: Send, request_id: str):
        self._send, self._id, self.status = send, request_id, 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-ID"] = self._id
        await self._send(message)


class _Body:
    """`receive`, which ends where a body is too large."""

    def __init__(self, receive: Receive, most: int):
        self._receive, self._most, self._got, self.whole = receive, most, 0, False

    async def __call__(self) -> Message:
        message = await self._receive()
        self._got += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if self._got > self._most:
            raise too_large(self._most)
        return message


def too_large(most: int) -> Problem:
    """A body that is not read to its end."""
    return Problem(413, f"more than {most:,} bytes; send smaller or fewer pictures", CLOSING)


def unknown_caller() -> Problem:
    """Nobody knows who asks."""
    detail = "want an API key that is known here; send the header Authorization: Bearer KEY"
    return Problem(401, detail, {"WWW-Authenticate": "Bearer"})


def _whose(caller: Caller, scope: Scope) -> str:
    if caller is not ANYBODY:
        return caller.name
    return str((scope.get("client") or ("",))[0])


def _check_here(headers: Headers, host: str) -> None:
    """Without keys a browser's page of another site must not do what its visitor may do.

    Raises:
        Problem: 403, the request is for another host name, or from another site's page.
    """
    asked = _name(headers.get("host", ""))
    if asked not in (*HERE, host):
        raise Problem(403, "without keys only this machine is answered, by the name localhost; make a key")
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        raise Problem(403, "without keys no other site's page is answered; make a key with oneshot key")


def _name(host: str) -> str:
    """A Host header without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _log_fault(request_id: str, error: Exception) -> None:
    """Where it happened, and no message: that may hold a name."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    where = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(frames))
    LOG.error("%s failed: %s at %s", request_id, type(error).__name__, where)

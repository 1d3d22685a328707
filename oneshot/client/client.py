"""The two clients: one waits, the other is awaited. What can be asked is in `calls`."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import httpx

from oneshot.client import calls
from oneshot.client.calls import Call
from oneshot.errors import OneShotError

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 6
"""How often a request is sent to a service that is busy (429) before that is an error."""

LONGEST = 60.0
"""Seconds that are waited between two of them at most, whatever the service asks for."""

SECONDS = 60.0
"""For one answer; the service itself gives up before."""


def _waiting(call: Callable[P, Call[T]]) -> Callable[Concatenate["Client", P], T]:
    @functools.wraps(call)
    def ask(self: "Client", *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(call(*args, **kwargs))

    return ask


def _awaited(
    call: Callable[P, Call[T]],
) -> Callable[Concatenate["AsyncClient", P], Coroutine[Any, Any, T]]:
    @functools.wraps(call)
    async def ask(self: "AsyncClient", *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(call(*args, **kwargs))

    return ask


class Client:
    """A service that `oneshot serve` runs; a context manager, or close it.

        with Client("http://127.0.0.1:8000") as client:
            client.enroll("Ada", "ada.jpg")
            (photo,) = client.identify("party.jpg").pictures
            print([face.name for face in photo.faces])

    A service that is busy is asked again when it says so, up to six times.

    Args:
        address: as `oneshot serve` prints it.
        key: as `oneshot key` prints it.
    """

    def __init__(self, address: str, key: str | None = None):
        self._http = httpx.Client(**_settings(address, key))

    detect = _waiting(calls.detect)
    identify = _waiting(calls.identify)
    verify = _waiting(calls.verify)
    compare = _waiting(calls.compare)
    search = _waiting(calls.search)
    people = _waiting(calls.people)
    enroll = _waiting(calls.enroll)
    person = _waiting(calls.person)
    change = _waiting(calls.change)
    merge = _waiting(calls.merge)
    delete = _waiting(calls.delete)
    photos = _waiting(calls.photos)
    add_photos = _waiting(calls.add_photos)
    remove_photo = _waiting(calls.remove_photo)

    def _send(self, call: Call[T]) -> T:
        request = call.request()
        try:
            for left in reversed(range(TRIES)):
                answer = self._http.request(**request)
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or not left:
                    break
                time.sleep(_pause(answer))
        except httpx.HTTPError as error:
            raise _unreachable(self._http.base_url, error) from None
        return _result(call, answer)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """As `Client`, for asyncio: every question is awaited.

        async with AsyncClient("http://127.0.0.1:8000") as client:
            found = await asyncio.gather(*(client.identify(photo) for photo in photos))

    Args:
        address, key: as of `Client`.
    """

    def __init__(self, address: str, key: str | None = None):
        self._http = httpx.AsyncClient(**_settings(address, key))

    detect = _awaited(calls.detect)
    identify = _awaited(calls.identify)
    verify = _awaited(calls.verify)
    compare = _awaited(calls.compare)
    search = _awaited(calls.search)
    people = _awaited(calls.people)
    enroll = _awaited(calls.enroll)
    person = _awaited(calls.person)
    change = _awaited(calls.change)
    merge = _awaited(calls.merge)
    delete = _awaited(calls.delete)
    photos = _awaited(calls.photos)
    add_photos = _awaited(calls.add_photos)
    remove_photo = _awaited(calls.remove_photo)

    async def _send(self, call: Call[T]) -> T:
        request = call.request()
        try:
            for left in reversed(range(TRIES)):
                answer = await self._http.request(**request)
                if answer.status_code != httpx.codes.TOO_MANY_REQUESTS or not left:
                    break
                await asyncio.sleep(_pause(answer))
        except httpx.HTTPError as error:
            raise _unreachable(self._http.base_url, error) from None
        return _result(call, answer)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _settings(address: str, key: str | None) -> dict[str, Any]:
    """What both kinds of httpx's clients are made of.

    Raises:
        OneShotError: the address or the key cannot be one.
    """
    try:
        url = httpx.URL(address)
    except httpx.InvalidURL:
        url = httpx.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise OneShotError(f"{address}: not an address of a service; write http://HOST:PORT")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise OneShotError("the key has letters that no key has; copy it anew")
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return {"base_url": url, "headers": headers, "timeout": SECONDS}


def _pause(answer: httpx.Response) -> float:
    """The seconds that a busy service asks to be left alone."""
    asked = answer.headers.get("retry-after", "")
    return min(float(asked), LONGEST) if asked.isdecimal() else 1.0


def _unreachable(address: httpx.URL, error: httpx.HTTPError) -> OneShotError:
    why = str(error) or type(error).__name__  # timeouts say nothing
    return OneShotError(f"{address}: cannot be asked ({why}); is oneshot serve running there?")


def _result(call: Call[T], answer: httpx.Response) -> T:
    """What was answered.

    Raises:
        OneShotError: with the service's own sentence, or it is another kind of server.
    """
    where = f"{answer.url.scheme}://{answer.url.netloc.decode('ascii')}"
    if answer.is_success:
        try:
            return call.read(answer.content)
        except ValueError:
            raise OneShotError(f"{where}: does not answer as oneshot serve does; check the address") from None
    try:
        raise OneShotError(str(answer.json()["detail"]))
    except (ValueError, LookupError, TypeError):  # a proxy, or another server
        said = f"{answer.status_code} {answer.reason_phrase}".strip()
        raise OneShotError(f"{where}: answers {said}; check the address, or ask again later") from None

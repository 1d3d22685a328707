"""What a service allows, and how much of it."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from oneshot.errors import OneShotError

PREFIX = "ONESHOT_SERVE_"

Count = Annotated[int, Field(ge=1, le=1 << 30)]
Seconds = Annotated[float, Field(gt=0, le=3600)]


class Settings(BaseSettings):
    """Limits of a service; each is also read from the environment, as ONESHOT_SERVE_MAX_BYTES.

    Attributes:
        host, port: where it listens; port 0 is any that is free.
        keys: the file of API keys that `oneshot key` writes; None lets everybody on this machine do
            everything, and nobody else.
        audit: the file to which a line is appended for every change of people.
        max_bytes: of a request's body, and of the pictures that it has fetched.
        max_pixels: of a request's pictures, before they are decoded.
        max_images: in one request.
        max_waiting: requests that are being answered at a time; the next ones get 429.
        decoded: pictures held decoded at a time, max_images at least; the others wait as they came.
        batch: pictures in one run of the network at most.
        rate: requests a minute of one key, or of one address where there are no keys.
        seconds: for a whole request, its body included; and as long again for taking the answer.
        header_seconds: for a request's head, and between two requests of one connection.
        stop_seconds: for requests that are under way when the service is stopped.
        connections: at a time.
        cors: origins of other sites whose pages may use the service.
        url_hosts: hosts from which pictures may be fetched by URL; "*" is every host with a public address.
            Empty: no URLs.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    keys: Path | None = None
    audit: Path = Path("audit.jsonl")
    max_bytes: Count = 16 << 20
    max_pixels: Count = 25_000_000
    max_images: Count = 8
    max_waiting: Count = 128
    decoded: Count = 16
    batch: Count = 8
    rate: Count = 6000
    seconds: Seconds = 30.0
    header_seconds: Seconds = 5.0
    stop_seconds: Seconds = 30.0
    connections: Count = 1000
    cors: tuple[str, ...] = ()
    url_hosts: tuple[str, ...] = ()


def settings_from(**given: object) -> Settings:
    """Settings from the environment, and over them what is given and not None.

    Raises:
        OneShotError: one of them makes no sense.
    """
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except (ValidationError, ValueError) as error:
        raise OneShotError(_sentence(error)) from None
    if settings.decoded < settings.max_images:
        raise OneShotError(
            f"decoded={settings.decoded} is less than max_images={settings.max_images}; raise it to that"
        )
    return settings


def _sentence(error: ValueError) -> str:
    if not isinstance(error, ValidationError):  # a list in the environment that is no JSON
        return f'{" ".join(str(error).split())}; lists are written as JSON, ["a", "b"]'
    first = error.errors()[0]
    name = ".".join(map(str, first["loc"]))
    return f"{name} ({PREFIX}{name.upper()}): {first['msg'][:1].lower()}{first['msg'][1:]}"

"""Ask a service that `oneshot serve` runs: `Client`, and `AsyncClient` for asyncio."""

from oneshot import extras

for _package in ("httpx", "pydantic"):
    extras.load(_package, "oneshot.client", "client")

from oneshot.client.client import AsyncClient, Client  # noqa: E402 - one sentence where a package is missing

__all__ = ["AsyncClient", "Client"]

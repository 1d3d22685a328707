"""Pictures by URL, where that is allowed: never from an address within the network, whatever a name says."""

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from urllib.parse import SplitResult, urljoin, urlsplit

import anyio
import httpcore

from oneshot.serve.problems import Problem

ANY = "*"
REDIRECTS = 3
TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses of version 4, as NAT64 writes them."""

SECONDS = 10.0
"""For one picture, all redirects included."""


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to a host at an address that was looked at: a name cannot mean another one a moment later."""

    def __init__(self, named: frozenset[str]):
        self._named = named
        self._under = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]).partition("%")[0] for *_, address in found]
        if host not in self._named and not all(map(_public, addresses)):
            raise _refused(host, "its address is within a network")
        return await self._under.connect_tcp(addresses[0], port, timeout, local_address, socket_options)


def _public(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):  # some stand for an address of version 4
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in TRANSLATED:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return inner.is_global
    return ip.is_global and not ip.is_multicast


class Fetcher:
    """Fetches pictures from the hosts that are allowed.

    Args:
        hosts: their names; one that is named may have any address. "*" is every host with a public address.
    """

    def __init__(self, hosts: Iterable[str]):
        self._hosts = frozenset(host.lower() for host in hosts)

    async def fetch(self, url: str, most: int) -> bytes:
        """The bytes at a URL.

        Args:
            most: so many; of more the rest is not read.

        Raises:
            Problem: 403, not an allowed one, or it leads to one that is not; 413, too many bytes; 422, it
                cannot be fetched.
        """
        if not self._hosts:
            raise Problem(403, "pictures by URL are not allowed here; send the picture itself")
        try:
            with anyio.fail_after(SECONDS):
                async with httpcore.AsyncConnectionPool(
                    ssl_context=ssl.create_default_context(),
                    network_backend=_Guarded(self._hosts - {ANY}),
                ) as pool:
                    for _ in range(REDIRECTS + 1):
                        answer, url = await self._once(pool, url, most)
                        if answer is not None:
                            return answer
        except TimeoutError:
            raise Problem(422, f"{_host(url)}: took more than {SECONDS:.0f} s to send the picture") from None
        except (OSError, httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
            raise Problem(422, f"{_host(url)}: cannot be reached; check the URL") from None
        raise Problem(422, f"{_host(url)}: redirects more than {REDIRECTS} times; give the last URL")

    async def _once(
        self, pool: httpcore.AsyncConnectionPool, url: str, most: int
    ) -> tuple[bytes | None, str]:
        """What one URL gives, or where it leads."""
        parts = self._checked(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        headers: dict[str | bytes, str | bytes] = {
            "Host": parts.netloc,
            "Accept": "image/*",
            "Accept-Encoding": "identity",
        }
        asked = httpcore.URL(
            scheme=parts.scheme, host=str(parts.hostname), port=parts.port, target=path.encode()
        )
        async with pool.stream("GET", asked, headers=headers) as response:
            if response.status in (301, 302, 303, 307, 308):
                where = dict(response.headers).get(b"Location") or dict(response.headers).get(b"location")
                return None, urljoin(url, (where or b"").decode("latin-1"))
            if response.status != 200:
                raise Problem(422, f"{parts.hostname}: answers {response.status}; check the URL")
            data = bytearray()
            async for chunk in response.aiter_stream():
                data += chunk
                if len(data) > most:
                    raise Problem(413, f"{parts.hostname}: sends more than {most:,} bytes; send less")
            return bytes(data), url

    def _checked(self, url: str) -> SplitResult:
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
            url.encode("ascii")
        except ValueError:
            raise Problem(422, "not a URL; write https://HOST/PATH, percent-encoded") from None
        if parts.scheme not in ("http", "https") or not host or parts.username is not None:
            raise Problem(422, "not a URL that can be fetched; write https://HOST/PATH, without a password")
        if any(ord(letter) < 33 for letter in url):
            raise Problem(422, "not a URL; write https://HOST/PATH, percent-encoded")
        if host not in self._hosts and ANY not in self._hosts:
            raise _refused(host, "it is not among the hosts that are allowed")
        return parts


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the URL"


def _refused(host: str, why: str) -> Problem:
    return Problem(403, f"{host}: pictures are not fetched from there: {why}; send the picture itself")

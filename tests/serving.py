"""A real server in a thread, on real photos."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from conftest import load_script

from oneshot import Gallery, OneShot
from oneshot.serve.app import create_app
from oneshot.serve.keys import add_key
from oneshot.serve.server import listening, server
from oneshot.serve.settings import Settings

EILEEN, GRACE = "Eileen Collins", "Grace Hopper"


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    address: str
    read: str
    write: str
    folder: Path
    app: Any

    def client(self, key: str | None = "write", **more: Any) -> httpx.Client:
        """A client with one of the keys, by its role; None has none."""
        headers = {} if key is None else {"Authorization": f"Bearer {getattr(self, key)}"}
        return httpx.Client(
            base_url=self.address, headers=headers | more.pop("headers", {}), timeout=60, **more
        )


Start = Callable[..., AbstractContextManager[Running]]


@pytest.fixture(scope="session")
def network() -> OneShot:
    return OneShot(threads=1)


@pytest.fixture(scope="session")
def photos() -> dict[str, bytes]:
    """Photos as JPEG: two people apart, the first again in another light, both in one, and nobody."""
    demo = load_script("make_demo_video")
    found = dict(demo.photos())
    found["again"] = cv2.convertScaleAbs(found[EILEEN], alpha=0.8, beta=12)[:, ::-1].copy()
    found["both"] = demo.view(demo.hang(demo.photos()), demo.BOTH)
    found["nobody"] = np.zeros((240, 320, 3), np.uint8)
    return {name: cv2.imencode(".jpg", image)[1].tobytes() for name, image in found.items()}


@pytest.fixture(scope="session")
def start(network: OneShot, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a server with these settings, and another network if one is given."""

    @contextmanager
    def started(model: OneShot | None = None, keys: bool = True, **settings: Any) -> Iterator[Running]:
        folder = tmp_path_factory.mktemp("served")
        path = folder / "keys.json"
        read, write = (add_key(path, role, role) for role in ("read", "write"))  # type: ignore[arg-type]
        given = Settings(port=0, keys=path if keys else None, audit=folder / "audit.jsonl", **settings)
        app = create_app(model or network, lambda seen: Gallery(seen, folder / "gallery.db"), given)
        served = server(app, given)
        sock = listening(given)
        port = sock.getsockname()[1]
        thread = threading.Thread(target=served.run, args=([sock],))
        thread.start()
        try:
            while not served.started:
                time.sleep(0.01)
                assert thread.is_alive()
            yield Running(f"http://127.0.0.1:{port}", read, write, folder, app)
        finally:
            served.should_exit = True
            thread.join(60)
            assert not thread.is_alive()

    return started


@pytest.fixture(scope="module")
def running(start: Start) -> Iterator[Running]:
    with start() as one:
        yield one


def images(*photos: bytes) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Photos as the files of a form."""
    return [("image", (f"{i}.jpg", photo, "image/jpeg")) for i, photo in enumerate(photos)]

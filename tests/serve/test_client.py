"""The clients ask a real service, and their answers are those of the library."""

import asyncio
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from serving import EILEEN, GRACE, Running, Start

from oneshot import OneShot, OneShotError, read_image
from oneshot.client import AsyncClient, Client
from oneshot.client.client import TRIES


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[Client]:
    with Client(running.address, running.write) as one:
        yield one


@pytest.fixture(scope="module")
def people(client: Client, photos: dict[str, bytes]) -> dict[str, str]:
    """Two people enrolled: their ids by name."""
    return {name: client.enroll(name, photos[name]).person.id for name in (EILEEN, GRACE)}


def test_a_picture_is_a_file_its_bytes_or_an_array(
    client: Client, photos: dict[str, bytes], network: OneShot, tmp_path: Path
) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(photos[EILEEN])
    image = read_image(file)
    sent = [file, str(file), photos[EILEEN], image]
    pictures = client.detect(*sent, embeddings=True).pictures
    assert len(pictures) == 4 and all(picture == pictures[0] for picture in pictures)
    (face,), faces = pictures[0].faces, network(image)
    np.testing.assert_allclose([face.box], faces.boxes, atol=0.05)
    assert np.dot(face.embedding or [], faces.embeddings[0]) == pytest.approx(1, abs=1e-4)


def test_faces_are_named(client: Client, photos: dict[str, bytes], people: dict[str, str]) -> None:
    (picture,) = client.identify(photos["both"], top=1).pictures
    assert {face.name for face in picture.faces} >= {EILEEN, GRACE}
    (picture,) = client.identify(photos["again"], threshold=1).pictures
    assert picture.faces[0].name is None
    assert client.verify(photos["again"], people[EILEEN]).same
    assert not client.verify(photos["again"], GRACE, far=1e-4).same
    assert client.compare(photos["again"], photos[EILEEN]).same
    nobody = client.compare(photos["again"], photos["nobody"])
    assert (nobody.same, nobody.reason) == (False, "no face found")
    assert [one.name for one in client.search(photos["again"], top=1).people] == [EILEEN]


def test_people_are_made_changed_and_forgotten(client: Client, photos: dict[str, bytes]) -> None:
    made = client.enroll("Zoe", photos["again"], external_id="7", metadata={"team": "red"}, force=True)
    zoe = made.person
    assert (made.used, zoe.external_id, zoe.metadata) == (1, "7", {"team": "red"})
    assert client.person(zoe.id) == zoe
    assert client.change(zoe.id, name="Zoë").name == "Zoë"
    added = client.add_photos(zoe.id, photos[EILEEN], template="glasses", force=True)
    assert added.person.templates.keys() == {"", "glasses"}
    kept = client.photos(zoe.id)
    assert [photo.template for photo in kept] == ["", "glasses"]
    client.remove_photo(zoe.id, kept[1].id)
    other = client.enroll("Z", photos[GRACE], force=True).person
    assert client.merge(zoe.id, other.id).photos == 2
    listed = client.people(limit=1000)
    assert zoe.id in {one.id for one in listed.people} and listed.next is None
    client.delete(zoe.id)
    with pytest.raises(OneShotError, match="nobody has this id"):
        client.person(zoe.id)


def test_asyncio_asks_several_things_at_once(running: Running, photos: dict[str, bytes]) -> None:
    async def ask() -> list[int]:
        async with AsyncClient(running.address, running.read) as client:
            answers = await asyncio.gather(*(client.detect(photos[name]) for name in (EILEEN, "nobody")))
            with pytest.raises(OneShotError, match="role write"):
                await client.delete("0" * 32)
        return [len(answer.pictures[0].faces) for answer in answers]

    assert asyncio.run(ask()) == [1, 0]


def test_a_busy_service_is_asked_again_when_it_says_so(start: Start) -> None:
    with start(rate=60) as one, Client(one.address, one.read) as client:
        begun = time.monotonic()
        for _ in range(61):
            client.people()
        assert time.monotonic() - begun >= 1

        async def ask() -> None:
            async with AsyncClient(one.address, one.read) as other:
                await asyncio.gather(*(other.people() for _ in range(2)))

        asyncio.run(ask())


def test_a_service_that_stays_busy_is_an_error(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    with start(rate=1) as one, Client(one.address, one.read) as client:
        client.people()
        monkeypatch.setattr("time.sleep", pauses.append)
        with pytest.raises(OneShotError, match="more than 1 requests a minute"):
            client.people()
    assert pauses == [60.0] * (TRIES - 1)


@pytest.mark.parametrize(
    ("key", "said"),
    [(None, "want an API key"), ("wrong", "want an API key"), ("a\nb", "no key has")],
)
def test_a_key_that_is_missing_or_wrong_is_one_sentence(running: Running, key: str | None, said: str) -> None:
    with pytest.raises(OneShotError, match=said), Client(running.address, key) as client:
        client.people()


def test_what_cannot_be_sent_is_said_before(client: Client, tmp_path: Path) -> None:
    for wrong, said in (
        (tmp_path / "none.jpg", "no such picture"),
        (np.zeros((4, 4), np.uint8), "BGR picture"),
        (7, "NumPy array"),
    ):
        with pytest.raises(OneShotError, match=said):
            client.detect(wrong)  # type: ignore[arg-type]
    with pytest.raises(OneShotError, match="at least one"):
        client.identify()


@pytest.mark.parametrize("address", ["localhost:8000", "ftp://host", "http://", "http://[::1", ""])
def test_what_is_no_address_is_said(address: str) -> None:
    with pytest.raises(OneShotError, match="not an address of a service"):
        Client(address)


def test_without_httpx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    monkeypatch.delitem(sys.modules, "oneshot.client")
    with pytest.raises(OneShotError, match=r"needs httpx; pip install 'oneshot-face\[client\]'"):
        importlib.import_module("oneshot.client")


def test_another_server_and_none_at_all_are_said(running: Running, client: Client) -> None:
    with (
        Client("http://127.0.0.1:1") as nobody,
        pytest.raises(OneShotError, match="cannot be asked"),
    ):
        nobody.people()
    with (
        Client(f"{running.address}/elsewhere", running.read) as wrong,
        pytest.raises(OneShotError, match="Not Found"),
    ):
        wrong.people()
    for hostile in ("../people", "a/b", "?x=1"):
        with pytest.raises(OneShotError):
            client.person(hostile)

"""Whoever asks wrongly, too much or with bad intent gets one sentence, and the service goes on."""

import http.server
import io
import json
import logging
import select
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from PIL import Image as Pillow
from serving import EILEEN, GRACE, Running, Start, images

from oneshot import OneShotError
from oneshot.media.decode import decode
from oneshot.serve.keys import Keys, add_key, read_keys, revoke_key
from oneshot.serve.server import check_keys
from oneshot.serve.settings import Settings

ROUTES = (
    ("POST", "/v1/detect"),
    ("POST", "/v1/identify"),
    ("POST", "/v1/verify"),
    ("POST", "/v1/compare"),
    ("POST", "/v1/search"),
    ("GET", "/v1/people"),
    ("POST", "/v1/people"),
    ("GET", "/v1/people/" + 32 * "0"),
    ("PATCH", "/v1/people/" + 32 * "0"),
    ("DELETE", "/v1/people/" + 32 * "0"),
    ("POST", "/v1/people/" + 32 * "0" + "/merge"),
    ("GET", "/v1/people/" + 32 * "0" + "/photos"),
    ("POST", "/v1/people/" + 32 * "0" + "/photos"),
    ("DELETE", "/v1/people/" + 32 * "0" + "/photos/" + 64 * "0"),
    ("GET", "/metrics"),
    ("GET", "/v1/none"),
)


def png(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, in a few bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"\0" * 9) + chunk(b"IEND", b"")


def many_scans(scans: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    file = io.BytesIO()
    Pillow.new("RGB", (side, side), (90, 30, 30)).save(file, "JPEG", progressive=True)
    data = file.getvalue()
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * scans + data[-2:]


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic {}", "{}", "Bearer {}x"])
def test_nobody_passes_without_a_key_that_is_known(running: Running, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header.format(running.write)}
    with running.client(None, headers=headers) as client:
        for method, route in ROUTES:
            answer = client.request(method, route)
            assert answer.status_code == 401, route
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_to_read_changes_nobody(running: Running, photos: dict[str, bytes]) -> None:
    body = {"name": "Ada"}
    with running.client("read") as client:
        assert client.post("/v1/detect", files=images(photos[EILEEN])).status_code == 200
        assert client.get("/v1/people").status_code == 200
        for method, route in ROUTES:
            if method in ("PATCH", "DELETE"):
                assert client.request(method, route, json=body).status_code == 403
        for route in ("", "/" + 32 * "0" + "/photos"):
            answer = client.post(f"/v1/people{route}", data=body, files=images(photos[EILEEN]))
            assert answer.status_code == 403 and "role write" in answer.json()["detail"]
        merge = client.post(f"/v1/people/{32 * '0'}/merge", json={"person": 32 * "1"})
        assert merge.status_code == 403
        assert client.get("/v1/people").json()["total"] == 0


def test_a_revoked_key_is_refused_at_once_and_a_new_one_taken(running: Running) -> None:
    path = running.folder / "keys.json"
    secret = add_key(path, "guest", "read")
    with running.client(None, headers={"Authorization": f"Bearer {secret}"}) as client:
        assert client.get("/v1/people").status_code == 200
        revoke_key(path, "guest")
        assert client.get("/v1/people").status_code == 401


def test_the_file_of_keys_holds_no_secret_and_is_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    secret = add_key(path, "door", "read")
    assert secret not in path.read_text() and path.stat().st_mode & 0o777 == 0o600
    keys = Keys(path)
    assert keys.caller(f"Bearer {secret}") is not None
    path.write_text("{")
    assert keys.caller(f"Bearer {secret}") is None
    for wrong in ("door", "a b", "", "../x"):
        path.write_text(json.dumps({"keys": [{"name": "door", "role": "read", "sha256": "", "made": ""}]}))
        with pytest.raises(OneShotError, match="key"):
            add_key(path, wrong, "read")
    with pytest.raises(OneShotError, match="no such key; there are door"):
        revoke_key(path, "window")
    path.write_text('{"keys": [{"name": "door", "role": "admin", "sha256": "", "made": ""}]}')
    with pytest.raises(OneShotError, match="not a file of keys"):
        read_keys(path)


def test_without_keys_other_machines_and_other_sites_are_refused(
    start: Start, photos: dict[str, bytes]
) -> None:
    with pytest.raises(OneShotError, match="without keys everybody"):
        check_keys(Settings(host="0.0.0.0"))
    with start(keys=False) as one, one.client(None) as client:
        assert client.post("/v1/detect", files=images(photos[EILEEN])).status_code == 200
        own = one.address.replace("127.0.0.1", "localhost")
        assert client.get("/v1/people", headers={"Origin": one.address}).status_code == 200
        for headers in (
            {"Host": "evil.example"},  # a name that was made to mean this machine
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": own.replace("localhost", "localhost.evil.example")},
        ):
            assert client.get("/v1/people", headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("photo", "status", "said"),
    [
        (png(30_000, 30_000), 413, "30000x30000 pixels more than"),
        (png(1 << 31, 2), 413, "pixels"),
        (many_scans(300), 422, "more than 200 scans"),
        (many_scans(30, 4500), 422, "more than 19 scans"),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 2_000_000, 422, "damaged"),
        (b"\0\0\0\x18ftypavif" + b"ispe" * 2_000_000, 422, "damaged"),
        (b"II*\0" + b"\0" * 100, 422, "not a picture of a kind"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 422, "not a picture of a kind"),
        (b"GIF89a" + b"\xff" * 400, 413, "pixels more"),
    ],
    ids=("square", "wide", "scans", "large scans", "segments", "parts", "tiff", "svg", "gif"),
)
def test_bombs_are_refused_before_they_are_decoded(
    running: Running, photo: bytes, status: int, said: str
) -> None:
    with running.client() as client:
        start = time.monotonic()
        answer = client.post("/v1/detect", files=images(photo))
        assert answer.status_code == status and said in answer.json()["detail"], answer.text
        assert time.monotonic() - start < 2


def test_pictures_whose_size_may_be_a_lie_are_decoded_one_at_a_time(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = io.BytesIO()
    Pillow.new("RGB", (1500, 1500)).save(file, "AVIF", speed=10)
    data = bytearray(file.getvalue())
    said = data.index(b"ispe") + 8
    data[said : said + 8] = struct.pack(">II", 10, 10)
    inside: list[int] = []
    most: list[int] = []

    def decoded(*arguments: object) -> object:
        inside.append(1)
        most.append(len(inside))
        try:
            return decode(*arguments)  # type: ignore[arg-type]
        finally:
            inside.pop()

    monkeypatch.setattr("oneshot.serve.service.decode", decoded)
    with running.client() as client:
        client.post("/v1/detect", files=images(*[bytes(data)] * 4))
    assert most == [1] * 4


def test_the_limit_of_pixels_is_that_of_a_whole_request(start: Start, photos: dict[str, bytes]) -> None:
    photo = photos["nobody"]  # 320 x 240
    with start(max_pixels=2 * 320 * 240) as one, one.client() as client:
        assert client.post("/v1/detect", files=images(photo, photo)).status_code == 200
        answer = client.post("/v1/detect", files=images(photo, photo, photo))
        assert answer.status_code == 413 and "2.jpg: with its 320x240 pixels" in answer.json()["detail"]


def test_more_bytes_than_allowed_are_not_read(start: Start, photos: dict[str, bytes]) -> None:
    with start(max_bytes=200_000) as one, one.client() as client:
        declared = client.post("/v1/detect", files=images(b"x" * 300_000))
        assert declared.status_code == 413 and "200,000 bytes" in declared.json()["detail"]

        with connection(one.address) as undeclared:
            head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {one.read}\r\n"
            undeclared.sendall(
                f"{head}Content-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            )
            for _ in range(21):
                undeclared.sendall(b"2710\r\n" + b"x" * 10_000 + b"\r\n")
            assert b" 413 " in read_all(undeclared).split(b"\r\n")[0]
        assert client.post("/v1/detect", files=images(photos[GRACE])).status_code == 200


def test_the_number_of_pictures_and_of_faces_has_limits(
    start: Start, photos: dict[str, bytes], fake_weights: Path
) -> None:
    from fake import picture

    from oneshot import OneShot

    three = picture(Rhea=(10, 10, 60, 60), Gus=(100, 10, 150, 60), Bo=(200, 10, 250, 60))
    file = io.BytesIO()
    Pillow.fromarray(three[..., ::-1]).save(file, "PNG")
    with start(OneShot(fake_weights, max_faces=2), max_images=2) as one, one.client() as client:
        found = client.post("/v1/detect", files=images(file.getvalue())).json()
        assert len(found["pictures"][0]["faces"]) == 2
        for sent in (
            {"files": images(*[file.getvalue()] * 3)},
            {"json": {"images": [{"base64": ""}] * 3}},
        ):
            answer = client.post("/v1/detect", **sent)
            assert answer.status_code == 422 and "more than 2 pictures" in answer.json()["detail"]


def test_who_asks_too_often_is_told_when_to_come_back(start: Start) -> None:
    with start(rate=3) as one, one.client() as client, one.client("read") as other:
        answers = [client.get("/v1/people") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert 1 <= int(answers[3].headers["retry-after"]) <= 20
        assert other.get("/v1/people").status_code == 200
        assert client.get("/v1/health").status_code == 200


def test_a_full_service_says_so_instead_of_queueing(start: Start, photos: dict[str, bytes]) -> None:
    with start(max_waiting=2) as one, one.client() as client:

        def ask(_: int) -> httpx.Response:
            return client.post("/v1/identify", files=images(photos["both"]))

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(24)))
        busy = [answer for answer in answers if answer.status_code == 429]
        assert {answer.status_code for answer in answers} == {200, 429}
        assert busy and all(answer.headers["retry-after"] == "1" for answer in busy)
        assert ask(0).status_code == 200


@contextmanager
def connection(address: str) -> Iterator[socket.socket]:
    url = httpx.URL(address)
    with socket.create_connection((url.host, int(url.port or 80)), timeout=20) as one:
        yield one


def read_all(one: socket.socket) -> bytes:
    data = b""
    try:
        while chunk := one.recv(1 << 16):
            data += chunk
    except ConnectionResetError:
        pass
    return data


def test_slow_clients_are_cut_off(start: Start) -> None:
    with start(header_seconds=0.3, seconds=1) as one, one.client() as client:
        with connection(one.address) as silent, connection(one.address) as slow:
            begun = time.monotonic()
            slow.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            assert read_all(silent) == read_all(slow) == b""
            assert time.monotonic() - begun < 5
        with connection(one.address) as slow:
            head = f"POST /v1/detect HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {one.read}\r\n"
            slow.sendall(f"{head}Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc".encode())
            assert b" 408 " in read_all(slow).split(b"\r\n")[0]
        assert client.get("/v1/ready").status_code == 200


def test_a_second_request_begun_slowly_is_cut_off_too(start: Start) -> None:
    with start(header_seconds=0.3) as one, connection(one.address) as slow:
        slow.sendall(b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in slow.recv(1 << 16)
        slow.sendall(b"GET /v1/heal")
        begun = time.monotonic()
        read_all(slow)
        assert time.monotonic() - begun < 5


def test_who_never_takes_the_answers_is_cut_off(start: Start) -> None:
    with start(header_seconds=0.3, seconds=0.5) as one, connection(one.address) as greedy:
        greedy.setblocking(False)
        asked = 0
        with suppress(BlockingIOError):  # the service reads no more
            while asked < 100_000:
                greedy.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
                asked += 1
        poll = select.poll()
        poll.register(greedy, select.POLLHUP)
        assert asked < 100_000 and poll.poll(10_000)


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/people/..%2f..%2fkeys.json",
        "/v1/people/%00",
        "/v1/people/' OR 1=1 --",
        "/page.js/../../app.py",
        "/v1/people/",
        "//evil.example/v1/people",
    ],
)
def test_paths_lead_nowhere_else(running: Running, path: str) -> None:
    with connection(running.address) as one:
        raw = path.replace(" ", "%20")
        one.sendall(
            f"GET {raw} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Authorization: Bearer {running.write}\r\n\r\n".encode()
        )
        answer = read_all(one)
    assert answer.split()[1] in (b"404", b"422") and b"root:" not in answer and b"sha256" not in answer


def test_headers_cannot_be_injected(running: Running) -> None:
    with connection(running.address) as one:
        one.sendall(
            b"GET /v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"X-Request-ID: a\rSet-Cookie: b=c\r\n\r\n"
        )
        answer = read_all(one).lower()
    assert b"set-cookie" not in answer


def test_answers_have_the_headers_that_keep_browsers_careful(running: Running) -> None:
    with running.client(None, headers={"Origin": "https://evil.example"}) as client:
        for route in ("/v1/health", "/v1/people"):
            headers = client.get(route).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["cache-control"] == "no-store"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "access-control-allow-origin" not in headers and "server" not in headers


def test_other_sites_are_allowed_by_name_only(start: Start) -> None:
    with start(cors=("https://app.example",)) as one, one.client(None) as client:
        asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        allowed = client.options("/v1/detect", headers=asking | {"Origin": "https://app.example"})
        assert allowed.headers["access-control-allow-origin"] == "https://app.example"
        other = client.options("/v1/detect", headers=asking | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Another server: a picture, a lot of bytes, and redirects."""

    photo = b""

    def do_GET(self) -> None:
        where = {"/inside": f"http://127.0.0.1:{self.server.server_port}/photo", "/round": "/round"}  # type: ignore[attr-defined]
        if target := where.get(self.path):
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data = self.photo if self.path == "/photo" else b"x" * 400_000
        self.send_response(200 if self.path in ("/photo", "/large") else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def elsewhere(photos: dict[str, bytes]) -> Iterator[int]:
    Elsewhere.photo = photos[EILEEN]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield one.server_port
        one.shutdown()


def test_pictures_are_fetched_from_the_hosts_that_are_named(start: Start, elsewhere: int) -> None:
    with start(url_hosts=("localhost",), max_bytes=300_000) as one, one.client() as client:

        def fetched(url: str) -> httpx.Response:
            return client.post("/v1/detect", json={"images": [{"url": url}]})

        here = f"http://localhost:{elsewhere}"
        assert len(fetched(f"{here}/photo").json()["pictures"][0]["faces"]) == 1
        several = {"images": [{"url": f"{here}/photo"}] * 8}
        assert client.post("/v1/detect", json=several).status_code == 413  # together more than max_bytes
        for url, status, said in (
            (f"http://127.0.0.1:{elsewhere}/photo", 403, "not among the hosts"),
            (f"{here}/inside", 403, "127.0.0.1: pictures are not fetched"),
            (f"{here}/round", 422, "redirects more than"),
            (f"{here}/large", 413, "sends more than"),
            (f"{here}/none", 422, "answers 404"),
            ("http://localhost:1/", 422, "cannot be reached"),
            ("file:///etc/passwd", 422, "not a URL"),
            ("gopher://localhost/", 422, "not a URL"),
            (f"http://user:pw@localhost:{elsewhere}/photo", 422, "without a password"),
            ("http://local\thost/", 422, "not a URL"),
            ("http://[::1", 422, "not a URL"),
            ("http://localhost:99999/", 422, "not a URL"),
        ):
            answer = fetched(url)
            assert answer.status_code == status and said in answer.json()["detail"], answer.text


@pytest.fixture(scope="module")
def everywhere(start: Start) -> Iterator[httpx.Client]:
    """A client of a service that fetches from every host with a public address."""
    with start(url_hosts=("*",)) as one, one.client() as client:
        yield client


@pytest.mark.parametrize(
    "host",
    (
        *("127.0.0.1", "localhost", "0.0.0.0", "169.254.169.254", "10.0.0.1", "100.64.0.1"),
        *("2130706433", "0x7f.1", "127.1", "[::1]", "[fe80::1]"),
        *("[::ffff:127.0.0.1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]"),
    ),
)
def test_where_every_host_is_allowed_none_within_a_network_is(
    everywhere: httpx.Client, elsewhere: int, host: str
) -> None:
    answer = everywhere.post("/v1/detect", json={"images": [{"url": f"http://{host}:{elsewhere}/photo"}]})
    assert answer.status_code == 403 and "within a network" in answer.json()["detail"], answer.text


def test_nothing_that_is_logged_names_anybody(
    running: Running, photos: dict[str, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), running.client() as client:
        made = client.post("/v1/people", data={"name": "Ada Secret"}, files=images(photos[EILEEN]))
        client.get("/v1/people/Ada Secret")
        client.get("/v1/people", params={"after": "Ada Secret"})
        client.post("/v1/people", data={"name": "Ada Secret"}, files=images(photos[EILEEN]))
        client.post("/v1/verify", data={"person": "Bo Secret"}, files=images(photos[EILEEN]))
        client.delete(f"/v1/people/{made.json()['person']['id']}")
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name in ("oneshot.serve", "uvicorn.error"))
    assert "POST /v1/people 201" in ours and "GET /v1/people/{id} 422" in ours
    everything = ours + (running.folder / "audit.jsonl").read_text()
    for secret in ("Secret", running.read, running.write, "127.0.0.1"):
        assert secret not in everything


def test_a_fault_is_logged_without_its_message(
    running: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise ValueError("Ada Secret")

    monkeypatch.setattr(type(running.app.state.service.people), "ask", fails)
    with caplog.at_level(logging.INFO), running.client() as client:
        answer = client.get("/v1/people")
    assert answer.status_code == 500 and "Secret" not in answer.text
    assert "ValueError at" in caplog.text and "Secret" not in caplog.text


def test_enrolling_and_deleting_at_once_leaves_whole_people(start: Start, photos: dict[str, bytes]) -> None:
    with start() as one, one.client() as client:

        def turn(number: int) -> None:
            made = client.post(
                "/v1/people?force=true", data={"name": f"n{number}"}, files=images(photos[GRACE])
            )
            assert made.status_code == 201
            where = f"/v1/people/{made.json()['person']['id']}"
            assert client.post("/v1/identify", files=images(photos[GRACE])).status_code == 200
            added = client.post(f"{where}/photos?force=true", files=images(photos[EILEEN]))
            assert added.status_code == 422  # unlike the other photo
            if number % 2:
                assert client.delete(where).status_code == 204

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(turn, range(8)))
        left = client.get("/v1/people").json()["people"]
        assert sorted(p["name"] for p in left) == ["n0", "n2", "n4", "n6"]
        assert all(p["photos"] == 1 for p in left)

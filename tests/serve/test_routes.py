"""What the service answers is what the library and the command line answer."""

import base64
import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from serving import EILEEN, GRACE, Running, images

from oneshot import OneShot, read_image


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[httpx.Client]:
    with running.client() as one:
        yield one


@pytest.fixture(scope="module")
def people(client: httpx.Client, photos: dict[str, bytes]) -> dict[str, str]:
    """Two people enrolled: their ids by name."""
    found = {}
    for name in (EILEEN, GRACE):
        answer = client.post("/v1/people", data={"name": name}, files=images(photos[name]))
        assert answer.status_code == 201, answer.text
        found[name] = answer.json()["person"]["id"]
    return found


def test_detect_gives_the_librarys_faces(
    client: httpx.Client, photos: dict[str, bytes], network: OneShot
) -> None:
    answer = client.post("/v1/detect", files=images(photos["both"], photos["nobody"]))
    both, nobody = answer.json()["pictures"]
    faces = network(read_image(photos["both"]))
    assert nobody == {"width": 320, "height": 240, "faces": []}
    assert len(both["faces"]) == len(faces) >= 2
    np.testing.assert_allclose([face["box"] for face in both["faces"]], faces.boxes, atol=0.05)
    assert all(face["embedding"] is None for face in both["faces"])


def test_a_picture_may_come_as_a_form_as_json_or_alone(
    client: httpx.Client, photos: dict[str, bytes]
) -> None:
    photo = photos[EILEEN]
    text = base64.b64encode(photo).decode()
    answers = [
        client.post("/v1/detect", files=images(photo)),
        client.post("/v1/detect", json={"images": [{"base64": text}]}),
        client.post("/v1/detect", json={"images": [{"base64": f"data:image/jpeg;base64,{text}"}]}),
        client.post("/v1/detect", content=photo, headers={"Content-Type": "image/jpeg"}),
    ]
    assert len({answer.text for answer in answers}) == 1 and answers[0].json()["pictures"][0]["faces"]


def test_embeddings_are_given_where_asked_for(
    client: httpx.Client, photos: dict[str, bytes], network: OneShot
) -> None:
    answer = client.post("/v1/detect?embeddings=true", files=images(photos[EILEEN]))
    (face,) = answer.json()["pictures"][0]["faces"]
    wanted = network(read_image(photos[EILEEN])).embeddings[0]
    assert np.dot(face["embedding"], wanted) == pytest.approx(1, abs=1e-4)


def test_people_are_named_and_strangers_are_not(
    client: httpx.Client, photos: dict[str, bytes], people: dict[str, str]
) -> None:
    answer = client.post("/v1/identify?top=2", files=images(photos["both"], photos["again"])).json()
    both, again = answer["pictures"]
    assert {face["name"] for face in both["faces"]} >= {EILEEN, GRACE}
    (face,) = again["faces"]
    assert (face["name"], face["person"]) == (EILEEN, people[EILEEN])
    assert face["similarity"] >= answer["threshold"] > 0
    assert [c["name"] for c in face["candidates"]] == [EILEEN, GRACE]
    assert face["margin"] == pytest.approx(
        face["candidates"][0]["similarity"] - face["candidates"][1]["similarity"], abs=2e-4
    )
    strict = client.post("/v1/identify?threshold=1", files=images(photos["again"])).json()
    assert strict["pictures"][0]["faces"][0]["name"] is None


@pytest.mark.parametrize(
    ("who", "photo", "same"), [(EILEEN, "again", True), (GRACE, "again", False), (GRACE, "nobody", False)]
)
def test_verify_says_whether_it_is_the_person(
    client: httpx.Client, photos: dict[str, bytes], people: dict[str, str], who: str, photo: str, same: bool
) -> None:
    for asked in (who, people[who]):
        answer = client.post("/v1/verify", data={"person": asked}, files=images(photos[photo]))
        assert answer.json()["same"] is same
    assert (answer.json()["reason"] == "no face found") == (photo == "nobody")


def test_compare_and_search(client: httpx.Client, photos: dict[str, bytes], people: dict[str, str]) -> None:
    def same(first: str, second: str) -> bool | None:
        answer = client.post("/v1/compare", files=images(photos[first], photos[second]))
        return bool(answer.json()["same"])

    assert same(EILEEN, "again") and not same(EILEEN, GRACE) and not same(EILEEN, "nobody")
    found = client.post("/v1/search?top=1", files=images(photos["again"])).json()
    assert [one["person"] for one in found["people"]] == [people[EILEEN]]
    assert client.post("/v1/search", files=images(photos["nobody"])).json()["reason"] == "no face found"


def test_several_faces_are_refused_where_one_is_wanted(
    client: httpx.Client, photos: dict[str, bytes], people: dict[str, str]
) -> None:
    for route, more in (("verify", {"person": EILEEN}), ("search", {})):
        answer = client.post(f"/v1/{route}", data=more, files=images(photos["both"]))
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert "faces found where one is wanted" in answer.json()["detail"]


def test_a_persons_life(running: Running, client: httpx.Client, photos: dict[str, bytes]) -> None:
    with running.client() as client:
        fields = {"name": "  Zoe\u0301 ", "external_id": "4711", "metadata": '{"team": "red"}'}
        made = client.post("/v1/people?force=true", data=fields, files=images(photos["again"]))
        assert made.status_code == 201
        zoe = made.json()["person"]
        assert (zoe["name"], zoe["external_id"], zoe["metadata"]) == ("Zoé", "4711", {"team": "red"})
        where = f"/v1/people/{zoe['id']}"
        assert client.get(where).json() == zoe
        changed = client.patch(where, json={"name": "Zoe", "metadata": {}}).json()
        assert (changed["id"], changed["name"], changed["metadata"]) == (zoe["id"], "Zoe", {})
        more = client.post(f"{where}/photos?force=true", files=images(photos["again"], photos[EILEEN])).json()
        assert more["used"] == 1 and [one["reason"] for one in more["left_out"]] == ["already enrolled"]
        kept = client.get(f"{where}/photos").json()
        assert len(kept) == 2 == more["person"]["photos"]
        assert client.delete(f"{where}/photos/{kept[0]['id']}").status_code == 204
        assert client.delete(f"{where}/photos/{kept[0]['id']}").status_code == 404
        only = client.delete(f"{where}/photos/{kept[1]['id']}")
        assert only.status_code == 422 and "the only photo" in only.json()["detail"]
        other = client.post("/v1/people?force=true", data={"name": "Z"}, files=images(photos[GRACE])).json()
        merged = client.post(f"{where}/merge", json={"person": other["person"]["id"]}).json()
        assert merged["photos"] == 2 and merged["name"] == "Zoe"
        assert client.get(f"/v1/people/{other['person']['id']}").status_code == 404
        assert client.delete(where).status_code == 204
        assert client.get(where).status_code == client.delete(where).status_code == 404
    lines = [json.loads(line) for line in (running.folder / "audit.jsonl").read_text().splitlines()]
    did = [line["did"] for line in lines if line["whom"] == zoe["id"]]
    assert did == ["create", "update", "rename", "add photos", "remove photo", "merge", "delete"]
    assert {line["who"] for line in lines} == {"write"}
    assert "Zoe" not in (running.folder / "audit.jsonl").read_text()


def test_names_are_taken_once(client: httpx.Client, photos: dict[str, bytes], people: dict[str, str]) -> None:
    again = client.post("/v1/people", data={"name": EILEEN}, files=images(photos["again"]))
    assert again.status_code == 409 and "is enrolled already" in again.json()["detail"]
    double = client.post("/v1/people", data={"name": "Somebody"}, files=images(photos["again"]))
    assert double.status_code == 422 and f"already enrolled as {EILEEN}" in double.json()["detail"]
    assert client.patch(f"/v1/people/{people[GRACE]}", json={"name": EILEEN}).status_code == 409
    for name in (people[GRACE], " ", "n" * 201):
        answer = client.post("/v1/people", data={"name": name}, files=images(photos["again"]))
        assert answer.status_code == 422


def test_people_are_listed_page_by_page(client: httpx.Client, people: dict[str, str]) -> None:
    first = client.get("/v1/people", params={"limit": 1}).json()
    assert first["total"] == 2 and [p["name"] for p in first["people"]] == [EILEEN]
    second = client.get("/v1/people", params={"limit": 1, "after": first["next"]}).json()
    assert [p["name"] for p in second["people"]] == [GRACE] and second["next"] is None


def test_health_readiness_and_metrics(running: Running, client: httpx.Client) -> None:
    with running.client(None) as stranger:
        assert stranger.get("/v1/health").json() == {"status": "ok"}
        assert stranger.get("/v1/ready").json() == {"status": "ready"}
        assert stranger.get("/metrics").status_code == 401
    text = client.get("/metrics").text
    assert 'oneshot_requests_total{method="POST",route="/v1/detect",status="200"}' in text
    assert 'route="/v1/people/{id}"' in text and EILEEN not in text


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"content": b"abc", "headers": {"Content-Type": "text/plain"}}, 415, "send a form"),
        ({"content": b"", "headers": {"Content-Type": "image/jpeg"}}, 422, "not a picture"),
        ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 422, "want JSON"),
        ({"content": b"[" * 100_000, "headers": {"Content-Type": "application/json"}}, 422, "want JSON"),
        ({"json": {"images": []}}, 422, "no picture"),
        ({"json": {"images": [{"base64": "!"}]}}, 422, "base64 is damaged"),
        ({"json": {"images": [{"path": "/etc/passwd"}]}}, 422, "a picture in JSON"),
        ({"json": {"images": [{"url": "http://127.0.0.1/"}]}}, 403, "by URL are not allowed"),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 422, "form cannot be read"),
        ({"files": images(b"\xff\xd8\xff damaged")}, 422, "0.jpg: not a picture"),
        ({"data": {"image": "text"}}, 415, "send a form"),
    ],
)
def test_what_is_wrong_with_a_request_is_one_sentence(
    client: httpx.Client, sent: dict, status: int, said: str
) -> None:
    answer = client.post("/v1/detect", **sent)
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert said in problem["detail"] and "\n" not in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_a_request_keeps_its_id_if_that_is_fit(client: httpx.Client) -> None:
    assert client.get("/v1/health", headers={"X-Request-ID": "a-1"}).headers["x-request-id"] == "a-1"
    for unfit in ("a b", "x" * 65, "\u00e9".encode()):
        answered = client.get("/v1/health", headers={"X-Request-ID": unfit}).headers["x-request-id"]
        assert len(answered) == 32

"""What can be asked of a service: each question as the request that it becomes, and how its answer is read.

`Client` and `AsyncClient` have each of these functions as a method that sends the request.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import cv2
from pydantic import TypeAdapter

from oneshot.errors import OneShotError
from oneshot.media.images import check_image, read_bytes
from oneshot.serve.schemas import (
    Detected,
    Enrolled,
    EnrolledPerson,
    EnrolledPhoto,
    Identified,
    PeoplePage,
    Searched,
    Verdict,
)
from oneshot.types import Image

T = TypeVar("T")
Picture = str | Path | bytes | Image
"""A file's name, a file's bytes, or a BGR picture (H, W, 3) uint8, as `oneshot.read_image` gives it."""

PHOTOS = TypeAdapter(list[EnrolledPhoto])


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """A request, and how its answer is read.

    Attributes:
        read: makes the result of the answer's body; raises ValueError where that is something else.
        params: of the URL; None is left out.
        texts: fields of the form; None and "" are left out.
        pictures: the form's files, each a name and its bytes.
        body: JSON instead of a form.
    """

    method: str
    path: str
    read: Callable[[bytes], T]
    params: Mapping[str, object] = field(default_factory=dict)
    texts: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    pictures: Sequence[tuple[str, bytes]] = field(default=(), repr=False)
    body: Mapping[str, object] | None = None

    def request(self) -> dict[str, Any]:
        """The arguments of `httpx.Client.request`."""
        return {
            "method": self.method,
            "url": self.path,
            "params": {name: value for name, value in self.params.items() if value is not None},
            "data": {name: text for name, text in self.texts.items() if text},
            "files": [("image", picture) for picture in self.pictures],
            "json": self.body,
        }


def detect(*pictures: Picture, embeddings: bool = False) -> Call[Detected]:
    """Where the faces are.

    Args:
        pictures: files' names or bytes, or BGR pictures (H, W, 3) uint8.
        embeddings: describe the faces, too.

    Raises:
        OneShotError: the service refuses it, does not answer, or a file cannot be read.
    """
    params = {"embeddings": embeddings}
    return Call("POST", "/v1/detect", Detected.model_validate_json, params, pictures=_sent(pictures))


def identify(
    *pictures: Picture, far: float | None = None, threshold: float | None = None, top: int = 0
) -> Call[Identified]:
    """Who the faces are.

    Args:
        pictures: as of `detect`.
        far: the false accept rate; None is the service's.
        threshold: the least cosine, instead of far.
        top: tell so many candidates, too.

    Raises:
        OneShotError: as of `detect`.
    """
    params = {"far": far, "threshold": threshold, "top": top}
    return Call("POST", "/v1/identify", Identified.model_validate_json, params, pictures=_sent(pictures))


def verify(
    picture: Picture, person: str, *, far: float | None = None, threshold: float | None = None
) -> Call[Verdict]:
    """Whether the one face of a picture is a person's.

    Args:
        picture: as of `detect`.
        person: the name or the id.
        far, threshold: as of `identify`.

    Raises:
        OneShotError: as of `detect`; nobody is called so, or there are several faces.
    """
    params = {"far": far, "threshold": threshold}
    texts, pictures = {"person": person}, _sent([picture])
    return Call("POST", "/v1/verify", Verdict.model_validate_json, params, texts, pictures)


def compare(
    first: Picture, second: Picture, *, far: float | None = None, threshold: float | None = None
) -> Call[Verdict]:
    """Whether two pictures of one face each show the same person.

    Args:
        first, second: as of `detect`.
        far, threshold: as of `identify`.

    Raises:
        OneShotError: as of `detect`; there are several faces in one.
    """
    params, pictures = {"far": far, "threshold": threshold}, _sent([first, second])
    return Call("POST", "/v1/compare", Verdict.model_validate_json, params, pictures=pictures)


def search(picture: Picture, *, far: float | None = None, top: int = 10) -> Call[Searched]:
    """The people most like the one face of a picture, whether similar enough or not.

    Args:
        picture: as of `detect`.
        far: as of `identify`.
        top: so many people.

    Raises:
        OneShotError: as of `detect`; there are several faces.
    """
    params = {"far": far, "top": top}
    return Call("POST", "/v1/search", Searched.model_validate_json, params, pictures=_sent([picture]))


def people(after: str | None = None, limit: int = 100) -> Call[PeoplePage]:
    """Some of the people enrolled, in the order of enrolment.

    Args:
        after: the `next` of the page before; None is the first page.
        limit: so many at most.

    Raises:
        OneShotError: as of `detect`.
    """
    return Call("GET", "/v1/people", PeoplePage.model_validate_json, {"after": after, "limit": limit})


def enroll(
    name: str,
    *photos: Picture,
    external_id: str = "",
    metadata: Mapping[str, object] | None = None,
    template: str = "",
    force: bool = False,
    keep: bool = False,
) -> Call[Enrolled]:
    """Enroll somebody new.

    Args:
        name: whom.
        photos: pictures of the person, as of `detect`.
        external_id: what another system calls the person.
        metadata: anything else, as JSON has it.
        template: a label for a template of its own.
        force: take faces that are enrolled under another name, too.
        keep: keep the faces' pictures, for other weights later.

    Raises:
        OneShotError: as of `detect`; no photo can be used, or the name is taken.
    """
    more = {"external_id": external_id, "metadata": json.dumps(metadata) if metadata else None}
    texts = {"name": name, "template": template, **more}
    params = {"force": force, "keep": keep}
    return Call("POST", "/v1/people", Enrolled.model_validate_json, params, texts, _sent(photos))


def person(id: str) -> Call[EnrolledPerson]:
    """Somebody enrolled.

    Args:
        id: the person's id, not the name.

    Raises:
        OneShotError: as of `detect`; nobody has this id.
    """
    return Call("GET", _person(id), EnrolledPerson.model_validate_json)


def change(
    id: str,
    *,
    name: str | None = None,
    external_id: str | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Call[EnrolledPerson]:
    """Rename somebody, or say what else is known of them; None stays as it is.

    Args:
        id: as of `person`.
        name: the new one.
        external_id, metadata: as of `enroll`.

    Raises:
        OneShotError: as of `person`; the name is taken.
    """
    body = {"name": name, "external_id": external_id, "metadata": metadata}
    return Call("PATCH", _person(id), EnrolledPerson.model_validate_json, body=body)


def merge(id: str, other: str) -> Call[EnrolledPerson]:
    """Make one person of two: the other's photos become this one's, and the other is gone.

    Args:
        id: who stays, as of `person`.
        other: the id of who goes.

    Raises:
        OneShotError: as of `person`.
    """
    return Call("POST", f"{_person(id)}/merge", EnrolledPerson.model_validate_json, body={"person": other})


def delete(id: str) -> Call[None]:
    """Forget somebody.

    Args:
        id: as of `person`.

    Raises:
        OneShotError: as of `person`.
    """
    return Call("DELETE", _person(id), _nothing)


def photos(id: str) -> Call[list[EnrolledPhoto]]:
    """The photos that somebody is enrolled with, without their pictures.

    Args:
        id: as of `person`.

    Raises:
        OneShotError: as of `person`.
    """
    return Call("GET", f"{_person(id)}/photos", PHOTOS.validate_json)


def add_photos(
    id: str, *photos: Picture, template: str = "", force: bool = False, keep: bool = False
) -> Call[Enrolled]:
    """Enroll more photos of somebody.

    Args:
        id: as of `person`.
        photos, template, force, keep: as of `enroll`.

    Raises:
        OneShotError: as of `person`; no photo can be used.
    """
    params, texts = {"force": force, "keep": keep}, {"template": template}
    path = f"{_person(id)}/photos"
    return Call("POST", path, Enrolled.model_validate_json, params, texts, _sent(photos))


def remove_photo(id: str, photo: str) -> Call[None]:
    """Forget one photo of somebody. The only one stays: delete the person instead.

    Args:
        id: as of `person`.
        photo: its id.

    Raises:
        OneShotError: as of `person`; there is no such photo, or no other.
    """
    return Call("DELETE", f"{_person(id)}/photos/{quote(photo, safe='')}", _nothing)


def _person(id: str) -> str:
    return f"/v1/people/{quote(id, safe='')}"


def _nothing(_: bytes) -> None:
    """The answer is empty."""


def _sent(pictures: Sequence[Picture]) -> list[tuple[str, bytes]]:
    """Each picture's name and bytes.

    Raises:
        OneShotError: there is none, or one is not a picture.
    """
    if not pictures:
        raise OneShotError("no picture; give at least one")
    return [_file(picture, number) for number, picture in enumerate(pictures, 1)]


def _file(picture: Picture, number: int) -> tuple[str, bytes]:
    name = f"picture {number}"
    if isinstance(picture, bytes):
        return name, picture
    if isinstance(picture, (str, Path)):
        return Path(picture).name, read_bytes(picture)
    return name, cv2.imencode(".png", check_image(picture))[1].tobytes()  # without loss

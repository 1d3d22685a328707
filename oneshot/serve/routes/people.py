"""People who are enrolled. Paths hold their ids, so that no log of addresses names anybody."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response

from oneshot.gallery.enrolment import Enrolment
from oneshot.gallery.gallery import Gallery
from oneshot.gallery.names import cleaned
from oneshot.gallery.quality import DEFAULT
from oneshot.serve.keys import Caller
from oneshot.serve.people import free_name, person_of
from oneshot.serve.pictures import Form
from oneshot.serve.problems import Problem, responses
from oneshot.serve.routes.access import REFUSED, Reader, Writer
from oneshot.serve.routes.bodies import pictures
from oneshot.serve.schemas import (
    Enrolled,
    EnrolledPerson,
    EnrolledPhoto,
    LeftOut,
    Merge,
    PeoplePage,
    PersonChange,
    enrolled,
    photographed,
)
from oneshot.serve.service import Shared

router = APIRouter(prefix="/v1/people", tags=["people"], responses=REFUSED | responses(422))

Id = Annotated[str, Path(alias="id", pattern="^[0-9a-f]{32}$", description="A person's id.")]
PhotoId = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="A photo's id.")]
Force = Annotated[bool, Query(description="Take faces that are enrolled under another name, too.")]
Keep = Annotated[bool, Query(description="Keep the faces' pictures, for other weights later.")]

TEMPLATE = {"template": "a label for a template of its own; none is the one that everybody has"}
NEW = {
    "name": "the person's name",
    "external_id": "what another system calls the person",
    "metadata": "an object of JSON with anything else",
}


@router.get("", dependencies=[Reader], responses=responses(404))
async def list_people(
    service: Shared,
    after: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$", description="An id.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> PeoplePage:
    """Who is enrolled, in the order of enrolment."""

    def ask(gallery: Gallery) -> PeoplePage:
        people = gallery.people
        start = 0 if after is None else people.index(person_of(gallery, after)) + 1
        page = people[start : start + limit]
        more = page[-1].id if start + limit < len(people) else None
        return PeoplePage(people=[enrolled(p) for p in page], total=len(people), next=more)

    return await service.people.ask(ask)


@router.post(
    "",
    status_code=201,
    openapi_extra=pictures("the person's photos", NEW | TEMPLATE),
    responses=responses(409, 415),
)
async def create(
    request: Request, service: Shared, caller: Writer, force: Force = False, keep: Keep = False
) -> Enrolled:
    """Enroll somebody new by photos of one face each."""
    form = await service.form(request)
    name, metadata = _name(form.text("name")), _metadata(form)
    async with service.looks(form) as looks:
        images = [look.image for look in looks]

        def ask(gallery: Gallery) -> Enrolled:
            outcome = gallery.enroll(
                free_name(gallery, name),
                images,
                template=form.texts.get("template", ""),
                limits=DEFAULT,
                keep=keep,
                force=force,
                external_id=form.texts.get("external_id", ""),
                metadata=metadata,
            )
            answer = _enrolled(gallery, name, outcome)
            _note(service, request, caller, "create", answer.person.id, photos=answer.used)
            return answer

        return await service.people.ask(ask, images, [look.faces for look in looks])


@router.get("/{id}", dependencies=[Reader], responses=responses(404))
async def read(service: Shared, number: Id) -> EnrolledPerson:
    """Somebody enrolled."""
    return await service.people.ask(lambda gallery: enrolled(person_of(gallery, number)))


@router.patch("/{id}", responses=responses(404, 409))
async def change(
    request: Request, service: Shared, caller: Writer, number: Id, asked: PersonChange
) -> EnrolledPerson:
    """Rename somebody, or say what else is known of them. The id stays."""
    new = None if asked.name is None else _name(asked.name)

    def ask(gallery: Gallery) -> EnrolledPerson:
        name = person_of(gallery, number).name
        if asked.external_id is not None or asked.metadata is not None:
            gallery.update(name, external_id=asked.external_id, metadata=asked.metadata)
            _note(service, request, caller, "update", number)
        if new is not None and new != name:
            gallery.rename(name, free_name(gallery, new))
            _note(service, request, caller, "rename", number)
        return enrolled(person_of(gallery, number))

    return await service.people.ask(ask)


@router.delete("/{id}", status_code=204, responses=responses(404))
async def delete(request: Request, service: Shared, caller: Writer, number: Id) -> Response:
    """Forget somebody, and overwrite what the gallery's file held of them."""

    def ask(gallery: Gallery) -> None:
        gallery.remove(person_of(gallery, number).name)
        _note(service, request, caller, "delete", number)

    await service.people.ask(ask)
    return Response(status_code=204)


@router.post("/{id}/merge", responses=responses(404))
async def merge(
    request: Request, service: Shared, caller: Writer, number: Id, asked: Merge
) -> EnrolledPerson:
    """Two who are one: the photos of the other become this one's, and the other is gone."""

    def ask(gallery: Gallery) -> EnrolledPerson:
        into, other = person_of(gallery, number), person_of(gallery, asked.person)
        gallery.merge(other.name, into.name)
        _note(service, request, caller, "merge", number, gone=asked.person)
        return enrolled(person_of(gallery, number))

    return await service.people.ask(ask)


@router.get("/{id}/photos", dependencies=[Reader], responses=responses(404))
async def list_photos(service: Shared, number: Id) -> list[EnrolledPhoto]:
    """The photos that somebody is enrolled with; pictures are not given away."""
    return await service.people.ask(
        lambda gallery: [photographed(p) for p in gallery.photos(person_of(gallery, number).name)]
    )


@router.post(
    "/{id}/photos",
    openapi_extra=pictures("the person's photos", TEMPLATE),
    responses=responses(404, 415),
)
async def add_photos(
    request: Request, service: Shared, caller: Writer, number: Id, force: Force = False, keep: Keep = False
) -> Enrolled:
    """Enroll more photos of somebody; those enrolled already count once."""
    form = await service.form(request)
    async with service.looks(form) as looks:
        images = [look.image for look in looks]

        def ask(gallery: Gallery) -> Enrolled:
            name = person_of(gallery, number).name
            template = form.texts.get("template", "")
            outcome = gallery.enroll(name, images, template=template, limits=DEFAULT, keep=keep, force=force)
            answer = _enrolled(gallery, name, outcome)
            if answer.used:
                _note(service, request, caller, "add photos", number, photos=answer.used)
            return answer

        return await service.people.ask(ask, images, [look.faces for look in looks])


@router.delete("/{id}/photos/{photo}", status_code=204, responses=responses(404))
async def remove_photo(
    request: Request, service: Shared, caller: Writer, number: Id, photo: PhotoId
) -> Response:
    """Forget one photo of somebody. The only one stays: delete the person instead."""

    def ask(gallery: Gallery) -> None:
        name = person_of(gallery, number).name
        if all(one.id != photo for one in gallery.photos(name)):
            raise Problem(404, f"{photo}: no such photo; GET the person's photos")
        gallery.remove_photo(name, photo)
        _note(service, request, caller, "remove photo", number, photo=photo)

    await service.people.ask(ask)
    return Response(status_code=204)


def _name(given: str) -> str:
    """A name as it is kept.

    Raises:
        Problem: 422, nothing is left of it.
    """
    name = cleaned(given)
    if not name or len(name) > 200:
        raise Problem(422, "a person needs a name of 200 letters at most; give one that is not blank")
    return name


def _metadata(form: Form) -> dict[str, Any]:
    try:
        metadata = json.loads(form.texts.get("metadata") or "{}")
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise Problem(422, 'metadata: want an object of JSON, {"team": "red"}')
    return metadata


def _enrolled(gallery: Gallery, name: str, outcome: Enrolment) -> Enrolled:
    left_out = [LeftOut(photo=label, reason=why) for label, why in outcome.left_out.items()]
    return Enrolled(person=enrolled(gallery.person(name)), used=len(outcome.used), left_out=left_out)


def _note(service: Shared, request: Request, caller: Caller, did: str, whom: str, **more: object) -> None:
    """A line in the log of changes; in the gallery's thread, so that lines stand in the order of changes."""
    service.audit.write(caller.name, did, whom, request.state.request_id, **more)

"""Faces in pictures: where they are, and who they are."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from oneshot.gallery.gallery import Gallery
from oneshot.gallery.one_face import NO_FACE, single, untold
from oneshot.gallery.thresholds import FAR, threshold_at
from oneshot.serve.problems import Problem, responses
from oneshot.serve.routes.access import REFUSED, Reader
from oneshot.serve.routes.bodies import pictures
from oneshot.serve.schemas import (
    DescribedFace,
    Detected,
    DetectedPicture,
    Identified,
    IdentifiedPicture,
    Searched,
    Verdict,
    named,
    similarity_of,
    whom,
)
from oneshot.serve.service import Look, Service, Shared
from oneshot.watch.records import face_record, rounded

router = APIRouter(
    prefix="/v1", tags=["faces"], dependencies=[Reader], responses=REFUSED | responses(415, 422)
)

Far = Annotated[
    float | None, Query(gt=0, lt=1, description=f"False accept rate that sets the threshold ({FAR}).")
]
Threshold = Annotated[float | None, Query(ge=-1, le=1, description="Least cosine; overrides far.")]


@router.post("/detect", openapi_extra=pictures("one or several pictures"))
async def detect(
    request: Request,
    service: Shared,
    embeddings: Annotated[bool, Query(description="Describe the faces, too.")] = False,
) -> Detected:
    """Where the faces are in pictures."""
    async with service.looks(await service.form(request), embed=embeddings) as looks:
        return Detected(pictures=[_detected(look, embeddings) for look in looks])


@router.post("/identify", openapi_extra=pictures("one or several pictures"))
async def identify(
    request: Request,
    service: Shared,
    far: Far = None,
    threshold: Threshold = None,
    top: Annotated[int, Query(ge=0, le=100, description="Tell so many candidates, too.")] = 0,
) -> Identified:
    """Who the faces in pictures are; within one picture a name goes to one face."""
    async with service.looks(await service.form(request)) as looks:
        qualities = await service.qualities(looks)

        def ask(gallery: Gallery) -> Identified:
            least = gallery.threshold(far or FAR) if threshold is None else threshold
            pictures = []
            for look, of in zip(looks, qualities, strict=True):
                matches = gallery.identify(
                    look.faces.embeddings, least, top=top, one_photo=True, qualities=of
                )
                faces = [named(look.faces, i, match, gallery) for i, match in enumerate(matches)]
                height, width = look.image.shape[:2]
                pictures.append(IdentifiedPicture(width=width, height=height, faces=faces))
            return Identified(pictures=pictures, threshold=round(least, 4))

        return await service.people.ask(ask)


@router.post(
    "/verify",
    openapi_extra=pictures("one picture", {"person": "the id or the name of the person"}),
    responses=responses(404),
)
async def verify(request: Request, service: Shared, far: Far = None, threshold: Threshold = None) -> Verdict:
    """Whether the one face in a picture is a person's. No face found is no match."""
    form = await service.form(request)
    person = form.text("person")
    async with service.looks(form) as looks:
        look = _single(looks)
        why = await _reason(service, look)

        def ask(gallery: Gallery) -> Verdict:
            least = _least(service, far, threshold)
            if person not in gallery:
                raise Problem(404, "person: is not enrolled; GET /v1/people lists who is")
            matches = gallery.verify(person, look.faces.embeddings, least)
            if not matches:
                return _verdict(False, None, None, least, NO_FACE)
            same = None if why else matches[0].name is not None
            return _verdict(same, similarity_of(matches[0]), matches[0].margin, least, why)

        return await service.people.ask(ask)


@router.post("/compare", openapi_extra=pictures("two pictures"))
async def compare(request: Request, service: Shared, far: Far = None, threshold: Threshold = None) -> Verdict:
    """Whether two pictures show the same person. No face found is no match."""
    form = await service.form(request)
    if len(form.pictures) != 2:
        raise Problem(422, f"want two pictures to compare, got {len(form.pictures)}")
    least = _least(service, far, threshold)
    async with service.looks(form) as looks:
        first, second = (_single([look]) for look in looks)
        if not len(first.faces) or not len(second.faces):
            return _verdict(False, None, None, least, NO_FACE)
        reasons = [f"{look.name}: {why}" for look in looks if (why := await _reason(service, look))]
        similarity = float(first.faces.embeddings[0] @ second.faces.embeddings[0])
        same = None if reasons else similarity >= least
        return _verdict(same, round(similarity, 4), None, least, "; ".join(reasons))


@router.post("/search", openapi_extra=pictures("one picture"))
async def search(
    request: Request,
    service: Shared,
    far: Far = None,
    top: Annotated[int, Query(ge=1, le=100, description="So many people.")] = 10,
) -> Searched:
    """Who of all people is most like the one face in a picture, whether similar enough or not."""
    async with service.looks(await service.form(request)) as looks:
        look = _single(looks)
        why = await _reason(service, look) if len(look.faces) else NO_FACE

        def ask(gallery: Gallery) -> Searched:
            least = gallery.threshold(far or FAR)
            matches = gallery.identify(look.faces.embeddings, least, top=top)
            people = [whom(c, gallery) for c in matches[0].candidates] if matches else []
            return Searched(people=people, threshold=round(least, 4), reason=why or None)

        return await service.people.ask(ask)


def _detected(look: Look, embeddings: bool) -> DetectedPicture:
    faces = [
        DescribedFace(
            **face_record(look.faces, i), embedding=look.faces.embeddings[i].tolist() if embeddings else None
        )
        for i in range(len(look.faces))
    ]
    return DetectedPicture(width=look.image.shape[1], height=look.image.shape[0], faces=faces)


def _single(looks: list[Look]) -> Look:
    """The look at one picture of one face at most.

    Raises:
        Problem, OneShotError: there are several.
    """
    if len(looks) != 1:
        raise Problem(422, f"want one picture, got {len(looks)}")
    single(looks[0].name, looks[0].faces)
    return looks[0]


def _least(service: Service, far: float | None, threshold: float | None) -> float:
    """The cosine from which two faces are one person's."""
    return threshold_at(far or FAR, service.model.thresholds) if threshold is None else threshold


async def _reason(service: Service, look: Look) -> str:
    """Why nobody can tell who the face is; "" if one can, or if there is none."""
    return untold(look.faces, (await service.qualities([look]))[0])


def _verdict(
    same: bool | None, similarity: float | None, margin: float | None, threshold: float, reason: str
) -> Verdict:
    return Verdict(
        same=same,
        similarity=similarity,
        margin=rounded(margin),
        threshold=round(threshold, 4),
        reason=reason or None,
    )

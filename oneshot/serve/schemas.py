"""What a service answers."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from oneshot.gallery.gallery import Gallery
from oneshot.gallery.person import Person
from oneshot.gallery.photos import Photo
from oneshot.types import Candidate, Faces, Match
from oneshot.watch.records import face_record, rounded

FACE = {
    "box": [102.31, 54.8, 214.07, 201.55],
    "score": 0.9731,
    "landmarks": [[131.2, 112.4], [183.9, 110.8], [158.1, 141.0], [136.5, 166.2], [180.4, 165.1]],
}
ADA = "0f8fad5bd9cb469fa165708673c1e9d1"


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


class FoundFace(BaseModel):
    """A face.

    Attributes:
        box: x0 y0 x1 y1 in pixels of the picture as it is shown upright.
        score: confidence in [0, 1].
        landmarks: x y in pixels of left eye, right eye, nose, left and right mouth corner, as seen.
    """

    model_config = _example(**FACE)

    box: list[float]
    score: float
    landmarks: list[list[float]]


class DescribedFace(FoundFace):
    """A face with its embedding, if that was asked for.

    Attributes:
        embedding: L2-normalised; the dot product of two is their cosine similarity.
    """

    embedding: list[float] | None = None


class Whom(BaseModel):
    """Somebody whom a face may show.

    Attributes:
        person: the id.
        similarity: cosine to their most similar template.
    """

    person: str
    name: str
    similarity: float


class NamedFace(FoundFace):
    """A face and who it is.

    Attributes:
        person: the id; null is unknown, and so is the name.
        similarity: cosine to the most similar template; null where there is nothing to compare.
        margin: by how much this is more than that of the second person.
        reason: why nobody can tell who it is; null where one can.
        candidates: the most similar people, as many as were asked for.
    """

    model_config = _example(
        **FACE, person=ADA, name="Ada", similarity=0.6321, margin=0.41, reason=None, candidates=[]
    )

    person: str | None
    name: str | None
    similarity: float | None
    margin: float | None
    reason: str | None
    candidates: list[Whom]


class DetectedPicture(BaseModel):
    """A picture's faces, the best-scored first.

    Attributes:
        width, height: pixels, upright.
    """

    width: int
    height: int
    faces: list[DescribedFace]


class Detected(BaseModel):
    """One entry a picture, in the order they were sent."""

    pictures: list[DetectedPicture]


class IdentifiedPicture(BaseModel):
    """A picture's faces, and who they are."""

    width: int
    height: int
    faces: list[NamedFace]


class Identified(BaseModel):
    """One entry a picture, in the order they were sent.

    Attributes:
        threshold: the least cosine at which somebody was named.
    """

    pictures: list[IdentifiedPicture]
    threshold: float


class Verdict(BaseModel):
    """Whether two faces are of one person.

    Attributes:
        same: null where nobody can tell; no face found is false.
        similarity: cosine; null where there is nothing to compare.
        margin: over the most similar other person; below 0 where that one is more similar.
        threshold: the least cosine for "same".
        reason: why nobody can tell, or that no face was found.
    """

    model_config = _example(same=True, similarity=0.6321, margin=0.41, threshold=0.3312, reason=None)

    same: bool | None
    similarity: float | None
    margin: float | None
    threshold: float
    reason: str | None


class Searched(BaseModel):
    """Who is most like a face, best first, whether similar enough or not.

    Attributes:
        threshold: the least cosine at which somebody would be named.
        reason: why nobody can tell, or that no face was found.
    """

    people: list[Whom]
    threshold: float
    reason: str | None


class EnrolledPerson(BaseModel):
    """Somebody enrolled.

    Attributes:
        id: 32 hexadecimal digits that stay the same whatever the name.
        photos: how many.
        templates: by its label each template's photos, as their qualities from 0 to 1.
    """

    model_config = _example(
        id=ADA, name="Ada", external_id="4711", metadata={"team": "red"}, photos=1, templates={"": [0.93]}
    )

    id: str
    name: str
    external_id: str
    metadata: dict[str, Any]
    photos: int
    templates: dict[str, list[float]]


class PeoplePage(BaseModel):
    """Some of the people, in the order of enrolment.

    Attributes:
        total: how many there are in all.
        next: the `after` of the next page; null at the end.
    """

    people: list[EnrolledPerson]
    total: int
    next: str | None


class LeftOut(BaseModel):
    """A photo that was not used, and why."""

    photo: str
    reason: str


class Enrolled(BaseModel):
    """What came of photos.

    Attributes:
        used: how many are part of the template now.
    """

    person: EnrolledPerson
    used: int
    left_out: list[LeftOut]


class EnrolledPhoto(BaseModel):
    """A photo of somebody enrolled; see oneshot.gallery.photos.Photo.

    Attributes:
        similarity: cosine to the mean of the person's other photos.
    """

    id: str
    template: str
    added: datetime | None
    quality: float
    similarity: float | None


class PersonChange(BaseModel):
    """What is to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "Ada Lovelace"}]})

    name: str | None = Field(None, min_length=1, max_length=200)
    external_id: str | None = Field(None, max_length=200)
    metadata: dict[str, Any] | None = None


class Merge(BaseModel):
    """Who is to become part of somebody else.

    Attributes:
        person: the id of the one whose photos go over, and who is gone then.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"person": ADA}]})

    person: str = Field(pattern="^[0-9a-f]{32}$")


class Status(BaseModel):
    """How the service is."""

    status: str


def named(faces: Faces, index: int, match: Match, gallery: Gallery) -> NamedFace:
    """One of the faces, and who it is."""
    return NamedFace(
        **face_record(faces, index),
        person=gallery.person(match.name).id if match.name else None,
        name=match.name,
        similarity=similarity_of(match),
        margin=rounded(match.margin),
        reason=match.reason or None,
        candidates=[whom(candidate, gallery) for candidate in match.candidates],
    )


def whom(candidate: Candidate, gallery: Gallery) -> Whom:
    """A candidate with the id."""
    person = gallery.person(candidate.name)
    return Whom(person=person.id, name=person.name, similarity=round(candidate.similarity, 4))


def enrolled(person: Person) -> EnrolledPerson:
    """Somebody enrolled."""
    return EnrolledPerson(
        id=person.id,
        name=person.name,
        external_id=person.external_id,
        metadata=dict(person.metadata),
        photos=sum(map(len, person.templates.values())),
        templates={label: [round(q, 4) for q in of] for label, of in person.templates.items()},
    )


def photographed(photo: Photo) -> EnrolledPhoto:
    """A photo without its picture."""
    return EnrolledPhoto(
        id=photo.id,
        template=photo.template,
        added=photo.added,
        quality=round(photo.quality, 4),
        similarity=rounded(photo.similarity),
    )


def similarity_of(match: Match) -> float | None:
    """None where there was nothing to compare."""
    return None if match.similarity <= -1 else round(match.similarity, 4)

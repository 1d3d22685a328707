"""What a gallery keeps of each photo, the templates, and what it asks of a place that keeps them."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from oneshot.errors import OneShotError
from oneshot.gallery.names import old_id
from oneshot.geometry import normalised
from oneshot.types import Candidate, Floats, Match


@dataclass(frozen=True, slots=True)
class Entry:
    """One enrolled photo.

    Attributes:
        name: the person.
        template: which of the person's templates it is part of; "" is the one that everybody has.
        photo: sha256 of the photo, as 64 hexadecimal digits.
        quality: from 0 to 1; see oneshot.gallery.quality.
        model: sha256 of the weights that described it.
        added: when it was enrolled, in seconds since 1970; 0 is not known.
        file: the photo's name, without its folder; "" for an array.
        path, box, crop: where the photo is, the face's box (4,) in it and its picture (JPEG), if kept.
    """

    name: str
    template: str
    photo: str
    quality: float
    model: str
    added: float = 0.0
    file: str = ""
    path: str = ""
    box: tuple[float, ...] = ()
    crop: bytes = field(default=b"", repr=False)

    @property
    def whole(self) -> bool:
        """Whether every value is of its kind: SQLite keeps what it is given, and files get damaged."""
        texts = (self.name, self.template, self.photo, self.model)
        return bool(self.name) and all(isinstance(t, str) for t in texts) and isinstance(self.quality, float)

    @property
    def about(self) -> str:
        """All that its sealed embedding belongs to."""
        return "\0".join((self.name, self.template, self.photo, self.model))

    @property
    def facts(self) -> str:
        """What is known besides, as JSON; "" where nothing is."""
        known = {"added": self.added, "file": self.file, "path": self.path, "box": self.box}
        known = {key: value for key, value in known.items() if value}
        return json.dumps(known) if known else ""


def facts_from(text: str) -> dict[str, Any]:
    """Fields of an `Entry` from its `facts`.

    Raises:
        ValueError: it is not such a text.
    """
    facts = json.loads(text) if text else {}
    if not isinstance(facts, dict):
        raise ValueError(text)
    return {
        "added": float(facts.get("added", 0)),
        "file": str(facts.get("file", "")),
        "path": str(facts.get("path", "")),
        "box": tuple(float(value) for value in facts.get("box", ())),
    }


@dataclass(frozen=True, slots=True)
class Who:
    """A person apart from their photos.

    Attributes:
        id: 32 hexadecimal digits that stay the same whatever the name.
        external_id: what others call the person; "" is nothing.
        metadata: anything that JSON holds.
    """

    id: str
    name: str
    external_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> str:
        """All but id and name, as JSON; "" where nothing is known."""
        if not self.external_id and not self.metadata:
            return ""
        return json.dumps({"external_id": self.external_id, "metadata": self.metadata}, ensure_ascii=False)


def who_from(key: str, name: str, facts: str) -> Who:
    """A `Who` from its id, name and facts; somebody without an id has that of old.

    Raises:
        ValueError: the facts are not such a text.
    """
    known = json.loads(facts) if facts else {}
    if not isinstance(known, dict) or not isinstance(known.get("metadata", {}), dict):
        raise ValueError(facts)
    return Who(key or old_id(name), name, str(known.get("external_id", "")), known.get("metadata", {}))


def sha256(data: bytes) -> str:
    """What a photo is known by: 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


State = tuple[list[Who], list[Entry], Floats]
"""People, their entries, and the embeddings of these (N, D)."""


class Storage(Protocol):
    """Where entries are kept: `Store` of sqlite.py or `MilvusStore` of milvus.py.

    `model` is the sha256 of the weights that ask; embeddings of others raise OneShotError, as does all else
    that goes wrong. What a call reported as done is kept, and seen by others that use the same place.
    """

    def check(self, model: str) -> None:
        """Raise what a search would: damage, other weights."""

    def add(self, entries: Sequence[Entry], embeddings: Floats, people: Sequence[Who] = ()) -> None:
        """Save entries and their embeddings (N, D); `people` says more about those who are new."""

    def rewrite(self, model: str | None, names: Sequence[str] | None, how: Callable[[State], State]) -> None:
        """Put what `how` makes of some people in their place, in one step; whom it leaves out is forgotten.

        Names None is everybody, model None takes what other weights described, too.
        """

    def people(self, model: str) -> Sequence[Who]:
        """Everybody, in the order of `entries`."""

    def remove(self, name: str) -> int:
        """Forget a person; gives how many entries they had (0: not known)."""

    def read(self, model: str, name: str | None = None, *, crops: bool = False) -> tuple[list[Entry], Floats]:
        """One person's entries, or everybody's, and embeddings (N, D), by person as they were enrolled.

        Without `crops` that field is left empty.
        """

    def entries(self, model: str) -> Sequence[Entry]:
        """Everybody's, in the order of `read`; the same object as long as nobody changes anything."""

    def templates(self, model: str) -> Floats:
        """(T, D) float32, L2-normalised, in the order of `entries`."""

    def holds(self, model: str, name: str) -> bool:
        """Whether anybody has this name."""

    def search(self, model: str, embeddings: Floats, name: str | None = None, top: int = 1) -> list[Match]:
        """Whose template is most like each of (N, D) finite embeddings, of all, or of one person's.

        The `top` most similar people are the candidates.
        """

    def close(self) -> None:
        """Let go of it."""


class Templates:
    """Everybody's templates in memory, where the search is one matrix product.

    Args:
        entries: N of them, those of one template beside each other, and those of one person.
        embeddings: (N, D).
    """

    def __init__(self, entries: Sequence[Entry], embeddings: Floats):
        self.entries = entries
        self.vectors = means(entries, embeddings)
        self._owners = [name for name, _ in dict.fromkeys((e.name, e.template) for e in entries)]
        self._rows: dict[str, list[int]] = {}  # which templates are whose
        for i, owner in enumerate(self._owners):
            self._rows.setdefault(owner, []).append(i)
        self._people = list(self._rows)
        self._starts = [rows[0] for rows in self._rows.values()]

    def __contains__(self, name: str) -> bool:
        return name in self._rows

    def search(self, embeddings: Floats, name: str | None = None, top: int = 1) -> list[Match]:
        """Whose template is the most similar to each of the embeddings (N, D), of all, or of one person's.

        Raises:
            OneShotError: embeddings of another size than the templates'.
        """
        rows: slice | list[int] = slice(None) if name is None else self._rows.get(name, [])
        templates = self.vectors[rows]
        if not len(templates) or not len(embeddings):
            return [Match(None, -1.0)] * len(embeddings)
        check_size(embeddings, templates.shape[1])
        cosines = (normalised(embeddings) @ templates.T).clip(-1, 1)
        people = [name] if name is not None else self._people
        if len(people) < len(templates):  # each person's most similar template
            starts = [0] if name is not None else self._starts
            cosines = np.maximum.reduceat(cosines, starts, axis=1)
        top = min(top, len(people))
        best = cosines.argmax(1)[:, None]
        if top > 1:
            best = np.argpartition(-cosines, top - 1, axis=1)[:, :top]
            order = np.argsort(-np.take_along_axis(cosines, best, 1), axis=1, kind="stable")
            best = np.take_along_axis(best, order, 1)
        return [
            matched([Candidate(people[i], float(row[i])) for i in some])
            for some, row in zip(best, cosines, strict=True)
        ]


def matched(candidates: Sequence[Candidate]) -> Match:
    """The first of candidates as the one whom a face shows; none gives a match with nobody."""
    if not candidates:
        return Match(None, -1.0)
    first = candidates[0]
    margin = first.similarity - candidates[1].similarity if len(candidates) > 1 else None
    return Match(first.name, first.similarity, margin, tuple(candidates))


def means(entries: Sequence[Entry], embeddings: Floats) -> Floats:
    """The templates (T, D) of entries, those of one template beside each other: normalised means."""
    starts, row = [], 0
    for _, group in groupby(entries, lambda e: (e.name, e.template)):
        starts.append(row)
        row += len(list(group))
    templates = normalised(embeddings)
    return templates if len(starts) == row else normalised(np.add.reduceat(templates, starts))


def check_size(embeddings: Floats, size: int) -> None:
    """Raise OneShotError if embeddings (N, D) are not of the gallery's size."""
    if embeddings.shape[1] != size:
        raise OneShotError(
            f"embeddings of {embeddings.shape[1]} numbers, but the gallery has {size}: "
            "use the model that the gallery was made with"
        )


def check_model(place: str, held: str, wanted: str) -> None:
    """Raise OneShotError if what a gallery holds was described by other weights; both are their sha256."""
    if held != wanted:
        raise OneShotError(
            f"{place}: made with other weights ({held[:12]}); "
            "use those, or enroll the photos again with these in a new gallery"
        )


def taken(name: str) -> OneShotError:
    """Two people cannot have one name."""
    return OneShotError(f"{name}: is enrolled already; choose another name, or merge the two")

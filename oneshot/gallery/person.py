"""Somebody enrolled, as a gallery shows them, and what may be said of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oneshot.errors import OneShotError
from oneshot.gallery.entries import Entry, Who
from oneshot.gallery.names import cleaned


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody enrolled.

    Attributes:
        name: as it is shown.
        templates: by its label each template's photos, as their qualities (0 to 1).
        id: 32 hexadecimal digits that stay the same whatever the name.
        external_id: what another system calls the person; "" is nothing.
        metadata: anything that JSON holds.
    """

    name: str
    templates: dict[str, list[float]]
    id: str = ""
    external_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


def everybody(entries: Sequence[Entry], known: Iterable[Who]) -> dict[str, Person]:
    """By name, in the order of the entries; `known` says more about them."""
    about = {who.name: who for who in known}
    people: dict[str, Person] = {}
    for entry in entries:
        if entry.name not in people:
            who = about.get(entry.name, Who("", entry.name))
            people[entry.name] = Person(entry.name, {}, who.id, who.external_id, who.metadata)
        people[entry.name].templates.setdefault(entry.template, []).append(entry.quality)
    return people


def new_name(name: str) -> str:
    """A name as it is kept.

    Raises:
        OneShotError: it is blank.
    """
    text = cleaned(name)
    if not text:
        raise OneShotError("a person needs a name; give one that is not blank")
    return text


def as_json(name: str, metadata: object) -> dict[str, Any]:
    """A person's metadata as JSON gives it back.

    Raises:
        OneShotError: JSON cannot hold it.
    """
    try:
        data = json.loads(json.dumps(metadata, allow_nan=False))
    except (TypeError, ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise OneShotError(f"{name}: metadata is names and values that JSON holds; give such an object")
    return data

"""Who somebody said the faces of a collection are, kept beside its index.

A face is known by its photo's contents and its number in it, so that names outlive renamed photos, new
ones, and an index made anew. The file also holds which group each face had on the last page: "3" is what was
seen as 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from oneshot.album.album import Album, arrow
from oneshot.album.linkage import Groups
from oneshot.errors import OneShotError
from oneshot.files import replacing
from oneshot.gallery.enrolment import UsedPhoto
from oneshot.gallery.gallery import Gallery

BEST = 20
"""Faces of a person that become part of their template in a gallery: the best looks."""

Face = tuple[str, int]
"""The sha256 of its photo, and its number in it."""


@dataclass(slots=True)
class People:
    """What is known of an index's faces.

    Attributes:
        names: who somebody said a face is.
        barred: who somebody said it is not.
        groups: its group on the last page, -1 for a face alone.
    """

    names: dict[Face, str] = field(default_factory=dict)
    barred: dict[Face, set[str]] = field(default_factory=dict)
    groups: dict[Face, int] = field(default_factory=dict)

    @classmethod
    def load(cls, index: Path) -> "People":
        """Those of an index; nobody where no page was made of it.

        Raises:
            OneShotError: the file is another, or damaged.
        """
        people, path = cls(), path_of(index)
        if not path.exists():
            return people
        pa, pq = arrow()
        try:
            table = pq.read_table(path, columns=["content", "face", "group", "name", "barred"])
        except (pa.ArrowException, OSError, KeyError):
            raise OneShotError(
                f"{path}: does not hold people's names, or is damaged; fetch a backup, or remove it"
            ) from None
        for content, number, group, name, barred in zip(
            *(column.to_pylist() for column in table.columns), strict=True
        ):
            face = (content, number)
            people.groups[face] = group
            if name is not None:
                people.names[face] = name
            if barred:
                people.barred[face] = set(barred)
        return people

    def save(self, index: Path, album: Album, groups: Groups) -> None:
        """Keep names, corrections, and what group each face has now.

        What was said of faces that are not in the index stays: a disk may be missing for a day.
        """
        pa, pq = arrow()
        self.groups = dict.fromkeys([*self.names, *self.barred], -1)
        self.groups |= dict(zip(_faces(album), groups.tolist(), strict=True))
        rows = [
            {
                "content": face[0],
                "face": face[1],
                "group": group,
                "name": self.names.get(face),
                "barred": sorted(self.barred.get(face, ())),
            }
            for face, group in self.groups.items()
        ]
        schema = pa.schema(
            [
                ("content", pa.string()),
                ("face", pa.int32()),
                ("group", pa.int32()),
                ("name", pa.string()),
                ("barred", pa.list_(pa.string())),
            ]
        )
        with replacing(path_of(index)) as partial:
            pq.write_table(pa.Table.from_pylist(rows, schema=schema), partial)

    def name(self, which: str, name: str, album: Album) -> None:
        """Say who a group of the last page (its number from 1) or a face (PHOTO#NUMBER) is.

        Raises:
            OneShotError: there is no such group or face.
        """
        for face in self._meant(which, album):
            self.names[face] = name
            self.barred.get(face, set()).discard(name)

    def bar(self, which: str, name: str, album: Album) -> None:
        """Say who a group or a face is not; arguments and errors as for `name`."""
        for face in self._meant(which, album):
            self.barred.setdefault(face, set()).add(name)
            if self.names.get(face) == name:
                del self.names[face]

    def rows(self, album: Album) -> tuple[dict[int, str], dict[int, set[str]]]:
        """Names and barred names by the album's rows, as `oneshot.album.linkage.group` takes them."""
        names, barred = {}, {}
        for i, face in enumerate(_faces(album)):
            if face in self.names:
                names[i] = self.names[face]
            if face in self.barred:
                barred[i] = self.barred[face]
        return names, barred

    def _meant(self, which: str, album: Album) -> list[Face]:
        photo, mark, number = which.rpartition("#")
        if mark and number.isdecimal():
            faces = [
                face
                for face, name in zip(_faces(album), album.photos, strict=True)
                if name == photo and face[1] == int(number)
            ]
            if not faces:
                raise OneShotError(
                    f"{which}: no such face in the index; give PHOTO#NUMBER as the page shows it"
                )
            return faces
        faces = [face for face, group in self.groups.items() if which.isdecimal() and group == int(which) - 1]
        if not faces or which == "0":
            raise OneShotError(f"{which}: no such group on the last page; give its number, or PHOTO#NUMBER")
        return faces


def titles(groups: Groups, names: dict[int, str]) -> dict[int, str]:
    """The names of groups that have one."""
    return {int(groups[i]): name for i, name in names.items() if groups[i] >= 0}


def enroll(album: Album, groups: Groups, named: dict[int, str], gallery: Gallery) -> dict[str, int]:
    """Add each named group's best looks to a gallery, nothing twice; gives how many are new.

    Raises:
        OneShotError: as `Gallery.add`.
    """
    added = {}
    for number, name in named.items():
        rows: Sequence[Any] = sorted(np.flatnonzero(groups == number), key=lambda i: -album.qualities[i])
        photos = [
            UsedPhoto(album.photos[i], album.contents[i], float(album.qualities[i]), album.embeddings[i])
            for i in rows[:BEST]
        ]
        added[name] = gallery.add(name, photos)
    return added


def path_of(index: Path) -> Path:
    """Where an index's people are kept."""
    return index.with_name(f"{index.stem}.people{index.suffix}")


def _faces(album: Album) -> list[Face]:
    return list(zip(album.contents, album.numbers.tolist(), strict=True))

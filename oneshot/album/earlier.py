"""What earlier runs of an index left: which photos are known, and which of them have another name now."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oneshot.album.album import open_index
from oneshot.album.describe import content_of
from oneshot.errors import OneShotError
from oneshot.files import from_readable

Moves = dict[tuple[Path, str], list[str]]
"""By a source and a photo in it, the names that it has now besides."""


@dataclass(frozen=True, slots=True)
class Before:
    """What earlier runs left: photos known as they are now, and by contents where each stands.

    Of the known ones, `kept` has the stamps of those that cannot be read now: nobody can say they are gone.
    """

    known: set[str]
    kept: dict[str, str]
    sizes: set[str]
    contents: dict[str, tuple[Path, str]]

    @classmethod
    def read(
        cls,
        sources: Sequence[Path],
        facts: Mapping[bytes, str],
        stamps: Mapping[str, str],
        kept: Callable[[str], bool],
        rebase: bool,
    ) -> "Before":
        """Look through the earlier file and the parts."""
        before = cls(set(), {}, set(), {})
        for source in sources:
            table = open_index(source, facts, rebase).read(columns=["photo", "stamp", "content"])
            for photo, stamp, content in zip(*(column.to_pylist() for column in table.columns), strict=True):
                before.contents.setdefault(content, (source, photo))
                before.sizes.add(stamp.partition("-")[0])
                if stamps.get(photo) == stamp:
                    before.known.add(photo)
                elif photo not in stamps and kept(photo):
                    before.known.add(photo)
                    before.kept[photo] = stamp
        return before

    def moves(self, folder: Path, stamps: Mapping[str, str]) -> Moves:
        """Under which new names photos are there now. Only files of a size that is known are read."""
        moves: Moves = {}
        for photo, stamp in stamps.items():
            if photo not in self.known and stamp.partition("-")[0] in self.sizes:
                try:
                    place = self.contents.get(content_of(folder / from_readable(photo)))
                except OneShotError:
                    continue  # what is wrong with it is said when it is looked at
                if place is not None:
                    moves.setdefault(place, []).append(photo)
        return moves


def stamp_of(path: Path) -> str:
    """Another one when the photo was changed."""
    stat = path.stat()
    return f"{stat.st_size}-{stat.st_mtime_ns}"


def sources_of(out: Path, parts: Path) -> list[Path]:
    """The earlier file, if there is one, and the parts of a run that was cut off, in their order."""
    return [*([out] if out.exists() else []), *sorted(parts.glob("*.parquet"))]

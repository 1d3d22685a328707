"""What a picture is found to hold: faces as a struct of arrays, and who each of them is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Image = NDArray[np.uint8]
"""(H, W, 3) BGR, as cv2.imread gives it."""

Floats = NDArray[np.float32]

AnyFloats = NDArray[np.floating]
"""Of whatever precision."""


class Frame(NamedTuple):
    """One picture of a source: its number from 0, its time in seconds, and the (H, W, 3) BGR uint8 array."""

    number: int
    seconds: float
    image: Image


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """The faces of one picture; row i is the same face in every array, the best-scored face first.

    Attributes:
        boxes: (N, 4) float32, x0 y0 x1 y1 in pixels of the picture (pixel i spans [i, i + 1)).
        scores: (N,) float32, confidence in [0, 1].
        landmarks: (N, 5, 2) float32, x y in pixels: left eye, right eye, nose, left and right mouth corner
            as seen in the picture. They may lie outside it where a face is cut off.
        embeddings: (N, D) float32, L2-normalised: the dot product of two is their cosine similarity. (N, 0)
            where faces were only found, not described; a row of zeros where a face cannot be described, since
            one cannot tell which way up it is: it is like nobody.

    Raises:
        ValueError: the arrays' shapes do not agree.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats
    embeddings: Floats

    def __post_init__(self) -> None:
        for name in ("boxes", "scores", "landmarks", "embeddings"):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), np.float32))
        n = len(self.scores) if self.scores.ndim == 1 else -1
        shapes = (self.boxes.shape, self.scores.shape, self.landmarks.shape, self.embeddings.shape)
        if shapes[:3] != ((n, 4), (n,), (n, 5, 2)) or self.embeddings.ndim != 2 or len(self.embeddings) != n:
            raise ValueError(
                f"want boxes (N, 4), scores (N,), landmarks (N, 5, 2), embeddings (N, D), got {shapes}"
            )

    @classmethod
    def empty(cls, dim: int = 1000) -> "Faces":
        """No faces, with embeddings of `dim` numbers."""
        return cls(np.empty((0, 4)), np.empty(0), np.empty((0, 5, 2)), np.empty((0, dim)))  # type: ignore[arg-type]

    @classmethod
    def joined(cls, parts: "Sequence[Faces]") -> "Faces":
        """The faces of all parts, at least one, in that order."""
        names = ("boxes", "scores", "landmarks", "embeddings")
        return cls(*(np.concatenate([getattr(faces, name) for faces in parts]) for name in names))

    def best(self, most: int) -> "Faces":
        """At most so many, the best-scored ones first."""
        return self[np.argsort(-self.scores, kind="stable")[:most]]

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | slice | ArrayLike) -> "Faces":
        """Some of the faces, as Faces: by position, slice, boolean mask or array of positions.

        Raises:
            IndexError: a position is out of range, or a mask has the wrong length.
        """
        rows = np.arange(len(self))[index if isinstance(index, slice) else _positions(index)]
        rows = np.atleast_1d(rows)
        return Faces(self.boxes[rows], self.scores[rows], self.landmarks[rows], self.embeddings[rows])

    def __iter__(self) -> Iterator["Faces"]:
        """Face by face, each as Faces of length one."""
        return (self[i] for i in range(len(self)))

    @property
    def areas(self) -> Floats:
        """(N,) float32: the boxes' areas in square pixels."""
        return (self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1])


def _positions(index: ArrayLike) -> NDArray[np.intp] | NDArray[np.bool_]:
    array = np.asarray(index)
    if array.dtype == np.bool_ and array.ndim == 1:
        return array
    # An empty list is float64 to numpy, yet a fair way to ask for nothing.
    return array.astype(np.intp) if array.size == 0 else array


class Detected(Protocol):
    """What a detector tells: `Faces` without embeddings, in pixels of the picture."""

    @property
    def boxes(self) -> Floats:
        """(N, 4), x0 y0 x1 y1."""
        ...

    @property
    def scores(self) -> Floats:
        """(N,), in [0, 1]."""
        ...

    @property
    def landmarks(self) -> Floats:
        """(N, 5, 2), x y."""
        ...


class Model(Protocol):
    """What finds and describes faces: `oneshot.OneShot`, `oneshot.TwoStage`.

    Attributes:
        info: facts about the weights, `weights_sha256` among them.
        thresholds: cosine similarity by false accept rate.
        side: pixels; the faces of a larger picture are described as it looks scaled down to this side.
    """

    info: dict[str, Any]
    thresholds: dict[str, float]
    side: int

    def side_for(self, image: Image) -> int:
        """The side that this picture is scaled down to."""
        ...

    def __call__(self, image: Image, *, embed: bool = True) -> Faces: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody whom a face may show: a person's name, and the cosine to their most similar template."""

    name: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Match:
    """Who a face is.

    Attributes:
        name: the person of the gallery, or None: nobody there is similar enough.
        similarity: cosine to the most similar template in [-1, 1], whether or not it reached the threshold;
            -1 where there is nothing to compare (an empty gallery, a face that could not be described).
        margin: by how much this is more than the cosine to the second person; None where there is no second.
        candidates: the most similar people, best first, as many as were asked for.
        reason: why nobody is named although one cannot say that it is nobody; else "".
    """

    name: str | None
    similarity: float
    margin: float | None = None
    candidates: tuple[Candidate, ...] = ()
    reason: str = ""

"""Faces as a struct of arrays."""

import dataclasses

import numpy as np
import pytest

from oneshot import Faces


def faces(n: int) -> Faces:
    rng = np.random.default_rng(n)
    return Faces(*(rng.random(s).astype(np.float32) for s in ((n, 4), (n,), (n, 5, 2), (n, 8))))


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        (0, [0]),
        (-1, [3]),
        (np.int64(2), [2]),
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, 0], [2, 0]),
        ([], []),
        (np.array([3, 3]), [3, 3]),
        ([True, False, False, True], [0, 3]),
        (np.array([False] * 4), []),
    ],
)
def test_every_index_picks_the_same_rows_of_every_array(index: object, rows: list[int]) -> None:
    four = faces(4)
    picked = four[index]  # type: ignore[index]
    assert isinstance(picked, Faces) and len(picked) == len(rows)
    for field in dataclasses.fields(Faces):
        np.testing.assert_array_equal(getattr(picked, field.name), getattr(four, field.name)[rows])


@pytest.mark.parametrize("index", [4, -5, [0, 4], [True, False]])
def test_index_out_of_range_is_an_error(index: object) -> None:
    with pytest.raises(IndexError):
        faces(4)[index]  # type: ignore[index]


def test_iterates_face_by_face() -> None:
    assert [len(face) for face in faces(3)] == [1, 1, 1]
    assert [face.scores[0] for face in faces(3)] == faces(3).scores.tolist()


def test_empty() -> None:
    none = Faces.empty()
    assert len(none) == 0 and none.embeddings.shape == (0, 1000) and list(none) == []
    assert Faces.empty(7).embeddings.shape == (0, 7)


def test_arrays_become_float32() -> None:
    one = Faces([[0, 0, 2, 3]], [1], np.zeros((1, 5, 2), int), np.ones((1, 4), np.float64))  # type: ignore[arg-type]
    assert {getattr(one, f.name).dtype for f in dataclasses.fields(Faces)} == {np.dtype(np.float32)}
    assert one.areas.tolist() == [6]


@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 4), (3,), (3, 5, 2), (3, 8)),
        ((3, 5), (3,), (3, 5, 2), (3, 8)),
        ((3, 4), (3, 1), (3, 5, 2), (3, 8)),
        ((3, 4), (3,), (3, 10), (3, 8)),
        ((3, 4), (3,), (3, 5, 2), (2, 8)),
        ((3, 4), (3,), (3, 5, 2), (3,)),
    ],
)
def test_shapes_that_disagree_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="want boxes"):
        Faces(*(np.zeros(s, np.float32) for s in shapes))


def test_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        faces(1).scores = np.zeros(1, np.float32)  # type: ignore[misc]

"""Photos turned in the plane, with a network that says what it is made to say at each angle."""

import numpy as np
import pytest

from oneshot.evaluation import rotation
from oneshot.evaluation.data import Pairs
from oneshot.types import Faces

POINTS = np.array([[20.5, 20.5], [40.5, 20.5], [30.5, 30.5], [22.5, 40.5], [38.5, 40.5]])
MISSED = [np.nan, np.nan]


def photo(width: int = 61, height: int = 61) -> np.ndarray:
    """A black picture with the left eye's pixel white."""
    image = np.zeros((height, width, 3), np.uint8)
    image[20, 20] = 255
    return image


@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_point_is_where_the_photo_shows_it(angle: int) -> None:
    image = rotation.turned(photo(), angle)
    assert image.shape == (61, 61, 3)
    assert image.tobytes() == np.ascontiguousarray(np.rot90(photo(), angle // 90)).tobytes()
    y, x = np.argwhere(image[..., 0] == 255)[0]
    assert rotation.turned_back(np.array([x + 0.5, y + 0.5]), angle, photo()) == pytest.approx(POINTS[0])


@pytest.mark.parametrize("angle", [15, 45, 105, 345])
def test_a_point_comes_back_from_any_angle_of_any_photo(angle: int) -> None:
    image = np.zeros((90, 121, 3), np.uint8)
    image[30:33, 50:53] = 255
    turned = rotation.turned(image, angle)[..., 0].astype(float)
    y, x = (np.average(index, weights=turned) + 0.5 for index in np.indices(turned.shape))
    assert rotation.turned_back(np.array([x, y]), angle, image) == pytest.approx((51.5, 31.5), abs=0.15)


def test_the_corners_mirror_the_photo() -> None:
    image = np.full((40, 40, 3), 7, np.uint8)
    assert (rotation.turned(image, 45) == 7).all()


def test_landmarks_are_turned_back_and_misses_marked() -> None:
    def network(image: np.ndarray) -> Faces:
        at = np.argwhere(image[..., 0] == 255)
        if len(at) != 1 or at[0, 1] > at[0, 0]:  # of the four quarter turns one is missed
            return Faces.empty(2)
        y, x = at[0] + 0.5
        points = np.tile([x, y], (1, 5, 1))
        return Faces(np.array([[0, 0, 9, 9]]), np.array([0.9]), points, np.eye(2)[:1])  # type: ignore[arg-type]

    turns = rotation.run(network, [photo(), photo()], (0, 90, 180, 270))
    assert turns.embeddings.shape == (4, 2, 2) and turns.landmarks.shape == (4, 2, 5, 2)
    lost = np.isnan(turns.embeddings).any(2)
    assert lost.tolist() == [[False] * 2, [False] * 2, [False] * 2, [True] * 2]
    assert turns.landmarks[:3] == pytest.approx(np.broadcast_to(POINTS[0], (3, 2, 5, 2)))
    assert np.isnan(turns.landmarks[3]).all()


def pairs() -> Pairs:
    """A's two photos, B's two: two pairs of the same person, one of two people."""
    names = ("A/1", "A/2", "B/1", "B/2")
    first, second = np.array([0, 2, 0]), np.array([1, 3, 2])
    return Pairs(names, first, second, np.array([True, True, False]), np.zeros(3, np.int64))


def turns(*embeddings: list[list[float]], off: tuple[float, ...] = (0, 0, 0, 0)) -> rotation.Turns:
    """Upright A and B are told apart; then as given at 45, 180 degrees; landmarks `off` by these eye
    distances everywhere but upright."""
    upright = [[1.0, 0], [1.0, 0], [0, 1.0], [0, 1.0]]
    rows = np.array([upright, *embeddings])
    marks = np.tile(POINTS, (len(rows), 4, 1, 1))
    marks[1:, :, :, 0] += 20 * np.array(off)[:, None]
    marks[np.isnan(rows).any(2)] = np.nan
    return rotation.Turns((0, 45, 180)[: len(rows)], rows, marks)


def test_figures_at_each_angle_and_the_worst() -> None:
    a, b = [1.0, 0], [0, 1.0]
    found = rotation.figures(
        turns([a, a, b, MISSED], [a, a, a, a], off=(0, 0.1, 0.3, 0.3)), pairs(), shipped=0.5
    )
    at = found["by_angle"]
    nothing = {"lost": 0, "undecided": 0, "misread": 0, "tar": 100, "strangers": 0}
    assert at["0"] == nothing
    # One of four photos is lost, and with it one of B's two comparisons (A has two as well); of the three
    # found, one's landmarks are elsewhere.
    assert at["45"] == nothing | {"lost": 25, "tar": 75, "misread": pytest.approx(100 / 3)}
    # Everyone looks like A: B's photos match no upright B, and all four pairs of strangers match.
    assert at["180"] == nothing | {"tar": 50, "strangers": 100, "misread": 50}
    assert found["worst_to_60"] == {
        "lost": 25,
        "undecided": 0,
        "misread": pytest.approx(100 / 3),
        "tar": 75,
        "strangers": 0,
    }
    assert (found["worst"]["lost"], found["worst"]["tar"], found["worst"]["strangers"]) == (25, 50, 100)
    assert (found["threshold"], found["threshold_of"], found["pairs"]) == (0.5, "the weights", 2)


def test_an_undecided_face_is_not_lost_and_matches_nobody() -> None:
    a, b, undecided = [1.0, 0], [0, 1.0], [0.0, 0]
    at = rotation.figures(turns([a, a, undecided, b]), pairs(), shipped=0.5)["by_angle"]["45"]
    assert (at["lost"], at["undecided"], at["tar"], at["strangers"]) == (0, 25, 75, 0)
    at = rotation.figures(turns([undecided] * 4), pairs(), shipped=0.5)["by_angle"]["45"]
    assert (at["lost"], at["undecided"], at["tar"], at["strangers"]) == (0, 100, 0, 0)


def test_strangers_that_are_missed_are_not_accepted() -> None:
    embeddings = np.array([[2.0, 0], MISSED, [3.0, 0], [0.1, 1]])
    # A-B, A-B': accepted and not; both of A's missed photo: not.
    assert rotation.strangers_accepted(embeddings, pairs().people, 0.9) == pytest.approx(1 / 4)
    assert np.isnan(rotation.strangers_accepted(embeddings[:2], ["A", "A"], 0.9))


def test_without_a_threshold_of_its_own_a_network_gets_that_of_its_upright_strangers() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 4)) * 3  # of any length
    names = tuple(f"{i // 2}/{i % 2}" for i in range(80))
    same = np.ones(40, bool)
    some = Pairs(names, np.arange(0, 80, 2), np.arange(1, 80, 2), same, np.zeros(40, np.int64))
    points = np.tile(POINTS, (1, 80, 1, 1))
    found = rotation.figures(rotation.Turns((0,), rows[None], points), some)
    assert found["threshold_of"] == "these photos, upright"
    # 80 * 79 / 2 pairs less 40 of the same person: 3 of 3,120 pass.
    assert found["by_angle"]["0"]["strangers"] == pytest.approx(100 * 3 / 3120)

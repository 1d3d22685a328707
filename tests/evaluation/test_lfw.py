"""The one pass over LFW's photos, with a network that reads a person's number from the picture's colour."""

from dataclasses import replace

import numpy as np
import pytest

from oneshot.evaluation.data import Pairs
from oneshot.evaluation.lfw import (
    NO_LANDMARKS,
    Passes,
    central,
    central_landmarks,
    figures,
    joined,
    mirrored,
    run,
    scaled,
)
from oneshot.types import Faces

POINTS = np.array([[20.0, 20], [40, 20], [30, 30], [22, 40], [38, 40]])


def network(image: np.ndarray) -> Faces:
    """The person whose number the picture shows, and a stranger in the corner; nobody in a black one."""
    h, w = image.shape[:2]
    person = int(image[h // 2, w // 2, 0]) - 1
    if person < 0:
        return Faces.empty(4)
    boxes = np.array([[0, 0, 10, 10], [0.3 * w, 0.3 * h, 0.7 * w, 0.7 * h]])
    return Faces(boxes, np.array([0.9, 0.8]), np.stack((POINTS, POINTS + 2)), np.eye(4)[[3, person]])


def photo(value: int, side: int = 60) -> np.ndarray:
    return np.full((side, side, 3), value, np.uint8)


def test_central_is_nearest_the_middle() -> None:
    boxes = np.array([[0, 0, 10, 10], [40, 20, 60, 40], [90, 50, 100, 60]])
    assert central(boxes, np.zeros((60, 100, 3), np.uint8)) == 1
    assert central(np.empty((0, 4)), np.zeros((60, 100, 3), np.uint8)) is None


def test_central_landmarks_or_none() -> None:
    assert central_landmarks(network, photo(1)).tolist() == (POINTS + 2).tolist()
    assert np.isnan(central_landmarks(network, photo(0))).all()


def test_scaled_brings_the_longest_side_to_the_length() -> None:
    image = np.zeros((50, 100, 3), np.uint8)
    assert scaled(image, 64).shape == (32, 64, 3)
    assert scaled(image, 200).shape == (100, 200, 3)
    assert scaled(image, None) is image


def test_mirrored_points_stay_named_by_where_they_are_seen() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    image[20, 20] = 255  # at the left eye's pixel
    flipped, points = mirrored(image, POINTS)
    assert flipped[20, 39].tolist() == [255] * 3
    assert points[0].tolist() == [20, 20]  # what was the right eye, at 40, is now seen left
    assert points[3].tolist() == [22, 40]
    assert points[3, 0] < points[4, 0]


def test_joined_is_the_mean_direction_of_what_is_there() -> None:
    x, y, missed = np.array([1.0, 0]), np.array([0, 1.0]), np.full(1, np.nan)
    assert joined([x, y]) == pytest.approx(np.array([1, 1]) / np.sqrt(2))
    assert joined([x, missed]) == pytest.approx(x)
    assert np.isnan(joined([missed, missed])).all()
    assert joined([np.zeros(2), np.zeros(2)]).tolist() == [0, 0]  # undecided in both views


def test_run_takes_the_central_face_and_marks_what_was_missed() -> None:
    passes = run(network, [(photo(1), POINTS), (photo(0), POINTS), (photo(2), NO_LANDMARKS)])
    assert passes.embeddings[0].tolist() == [1, 0, 0, 0]
    assert np.isnan(passes.embeddings[1]).all()
    assert passes.embeddings[2].tolist() == [0, 1, 0, 0]
    # Its landmarks are 2 px off in x and y; the eyes are 20 px apart.
    assert passes.landmark_error[0] == pytest.approx(np.sqrt(8) / 20)
    assert np.isnan(passes.landmark_error[1:]).all()
    assert passes.aligned == {}


def test_given_landmarks_are_scaled_with_the_photo() -> None:
    seen = []

    def teacher(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        seen.append((image.shape, landmarks.copy()))
        return np.array([1.0, 0])

    passes = run(
        network,
        [(photo(1), POINTS), (photo(1), NO_LANDMARKS)],
        photo_side=30,
        mirror=True,
        aligned={"teacher": teacher},
    )
    assert [shape for shape, _ in seen] == [
        (30, 30, 3)
    ] * 2  # the photo and its mirror image; none for the unknown
    assert seen[0][1].tolist() == (POINTS / 2).tolist()
    assert passes.aligned["teacher"][0].tolist() == [1, 0]
    assert np.isnan(passes.aligned["teacher"][1]).all()


def pairs() -> Pairs:
    """Ten folds: person 1 (photos 0 and 1) with themself and with person 2 (photo 2)."""
    names = ("A/A_0001.webp", "A/A_0002.webp", "B/B_0001.webp")
    first, second = np.zeros(20, np.int64), np.tile([1, 2], 10)
    return Pairs(names, first, second, second == 1, np.repeat(np.arange(10), 2))


def test_figures_of_a_perfect_network_and_null_for_what_was_left_out() -> None:
    result = figures(run(network, [(photo(1), POINTS), (photo(1), POINTS), (photo(2), POINTS)]), pairs())
    assert (result["accuracy"], result["eer"], result["missed"], result["pairs"]) == (100, 0, 0, 20)
    assert result["accuracy_teacher"] is None
    assert result["tar_given_landmarks"] is None
    assert result["landmark_error"] == pytest.approx(np.sqrt(8) / 20)


def test_all_pairs_count_strangers_that_no_pair_of_the_protocol_shows_together() -> None:
    strangers = 30
    names = (*pairs().names, *(f"{i}/{i}_0001.webp" for i in range(strangers)))
    embeddings = np.array([[1, 0], [0.8, 0.6], [0, 1]] + [[-1, 0]] * strangers, np.float32)
    passes = Passes(embeddings, {}, np.full(len(names), np.nan))
    result = figures(passes, replace(pairs(), names=names))
    assert result["tar"]["0"] == 100  # the one stranger of the protocol's pairs is unlike
    assert result["tar_all_pairs"]["1e-2"] == 0  # most of all pairs are strangers who look alike


def test_figures_count_a_missed_photo_as_errors_of_its_pairs() -> None:
    result = figures(run(network, [(photo(1), POINTS), (photo(0), POINTS), (photo(2), POINTS)]), pairs())
    assert (result["missed"], result["missed_pairs"], result["photos"]) == (1, 10, 3)
    assert result["accuracy"] == 50
    assert result["tar"]["0"] == 0

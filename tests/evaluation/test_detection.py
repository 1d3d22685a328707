"""Detection figures of hand-made boxes; every number below can be checked on paper."""

from typing import Any, NamedTuple

import numpy as np
import pytest

pytest.importorskip("pycocotools")

from oneshot.errors import OneShotError
from oneshot.evaluation.detection import detect_all, evaluate_detection

POINTS = [[30.0, 30.0], [50.0, 30.0], [40.0, 40.0], [32.0, 50.0], [48.0, 50.0]]


class Faces(NamedTuple):
    boxes: np.ndarray
    scores: np.ndarray
    landmarks: np.ndarray


def faces(*rows: tuple[tuple[float, float, float, float], float], shift: float = 0) -> Faces:
    """Boxes x0, y0, x1, y1 with scores; landmarks are POINTS moved right by `shift`."""
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    points = np.tile(np.array(POINTS, np.float32) + np.array([shift, 0]), (len(rows), 1, 1))
    return Faces(boxes, np.array([score for _, score in rows], np.float32), points)


def label(
    image: int, x: float, y: float, w: float, h: float, crowd: int = 0, points: bool = False
) -> dict[str, Any]:
    keypoints = [n for x, y in POINTS for n in (x, y, 2)] if points else [0] * 15
    return {"image_id": image, "bbox": [x, y, w, h], "iscrowd": crowd, "keypoints": keypoints}


def scene(*labels: dict[str, Any], side: int = 640) -> dict[str, Any]:
    """One image for each image_id in the labels; odd ones are of source a, even ones of source b."""
    ids = sorted({item["image_id"] for item in labels})
    images = [{"id": i, "width": side, "height": side // 2, "source": "ab"[(i + 1) % 2]} for i in ids]
    return {"images": images, "annotations": [{**item, "id": i} for i, item in enumerate(labels)]}


def evaluate(dataset: dict[str, Any], found: dict[int, Faces], **settings: Any) -> dict[str, Any]:
    return evaluate_detection(dataset, found, **{"side": 640, "score_threshold": 0.5, **settings})


FACE = (20.0, 20.0, 60.0, 60.0)


def test_perfect_detections_score_one() -> None:
    dataset = scene(label(1, 20, 20, 40, 40, points=True), label(2, 100, 20, 50, 60))
    result = evaluate(dataset, {1: faces((FACE, 0.9)), 2: faces(((100, 20, 150, 80), 0.8))})
    for key in ("ap50", "ap50_95", "ap50_min16", "ar", "mean_iou"):
        assert result[key] == pytest.approx(1), key
    assert result["landmark_error"] == pytest.approx(0)
    assert (result["images"], result["faces"]) == (2, 2)


def test_a_miss_halves_recall_and_precision() -> None:
    # Recall reaches 1/2 at precision 1: 51 of COCO's 101 recall steps.
    dataset = scene(label(1, 20, 20, 40, 40), label(1, 200, 20, 40, 40))
    result = evaluate(dataset, {1: faces((FACE, 0.9))})
    assert result["ar"] == 0.5
    assert result["ap50"] == pytest.approx(51 / 101)


def test_a_false_alarm_above_the_face_halves_precision() -> None:
    dataset = scene(label(1, 20, 20, 40, 40))
    result = evaluate(dataset, {1: faces(((300, 100, 340, 140), 0.9), (FACE, 0.6))})
    assert result["ap50"] == pytest.approx(0.5)
    assert result["ar"] == 1


def test_a_second_box_on_a_face_is_a_false_alarm() -> None:
    dataset = scene(label(1, 20, 20, 40, 40), label(1, 200, 20, 40, 40))
    found = faces((FACE, 0.9), ((22, 20, 62, 60), 0.8), ((200, 20, 240, 60), 0.7))
    # Precision 1 up to recall 1/2, then 2/3.
    assert evaluate(dataset, {1: found})["ap50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_detections_in_an_ignore_region_do_not_count_however_many() -> None:
    dataset = scene(label(1, 20, 20, 40, 40), label(1, 200, 0, 300, 300, crowd=1))
    inside = [((200 + 50 * i, 100, 240 + 50 * i, 140), 0.95) for i in range(4)]
    result = evaluate(dataset, {1: faces(*inside, (FACE, 0.6))})
    assert result["ap50"] == pytest.approx(1)
    assert result["mean_iou"] == pytest.approx(1)
    assert result["faces"] == 1


def test_min16_ignores_small_faces_and_small_unmatched_detections() -> None:
    small, other = (300, 100, 310, 140), (400, 100, 412, 140)  # 10 and 12 px wide
    dataset = scene(label(1, 20, 20, 40, 40), label(1, 300, 100, 10, 40))
    missed = evaluate(dataset, {1: faces((other, 0.9), (FACE, 0.6))})
    assert missed["ap50"] == pytest.approx(51 * 0.5 / 101)
    assert missed["ap50_min16"] == pytest.approx(1)
    assert evaluate(dataset, {1: faces((small, 0.9), (FACE, 0.6))})["ap50_min16"] == pytest.approx(1)
    large = evaluate(dataset, {1: faces(((400, 100, 440, 140), 0.9), (FACE, 0.6))})
    assert large["ap50_min16"] == pytest.approx(0.5)  # a large false alarm still counts


def test_min16_is_measured_at_the_networks_input() -> None:
    # 24 px in a 1280-pixel photo are 12 in a network of side 640; 10 px in a 320-pixel one are 20 when
    # enlarged.
    large = scene(label(1, 20, 20, 24, 24), label(1, 200, 200, 80, 80), side=1280)
    found = {1: faces(((200, 200, 280, 280), 0.9))}
    assert evaluate(large, found)["ap50_min16"] == pytest.approx(1)
    assert evaluate(large, found, side=1280)["ap50_min16"] == pytest.approx(51 / 101)
    alarm = {1: faces(((400, 100, 420, 120), 0.95), ((200, 200, 280, 280), 0.9))}  # 20 px there, 10 here
    assert evaluate(large, alarm)["ap50_min16"] == pytest.approx(1)
    little = scene(label(1, 20, 20, 10, 10), label(1, 200, 100, 40, 40), side=320)
    found = {1: faces(((200, 100, 240, 140), 0.9))}
    assert evaluate(little, found)["ap50_min16"] == pytest.approx(1)
    assert evaluate(little, found, min_side=640)["ap50_min16"] == pytest.approx(51 / 101)


def test_ap50_95_falls_with_loose_boxes_and_mean_iou_says_by_how_much() -> None:
    # 40 x 40 against 40 x 30: IoU 0.75, right at six of the ten thresholds (0.50 … 0.75).
    dataset = scene(label(1, 20, 20, 40, 40))
    result = evaluate(dataset, {1: faces(((20, 20, 60, 50), 0.9))})
    assert result["ap50"] == pytest.approx(1)
    assert result["ap50_95"] == pytest.approx(0.6)
    assert result["mean_iou"] == pytest.approx(0.75)


def test_landmark_error_is_in_units_of_the_distance_between_the_eyes() -> None:
    # The eyes are 20 px apart; every point is 2 px off.
    dataset = scene(label(1, 20, 20, 40, 40, points=True), label(2, 20, 20, 40, 40))
    found = {1: faces((FACE, 0.9), shift=2), 2: faces((FACE, 0.9), shift=9)}  # face 2 has no labelled points
    assert evaluate(dataset, found)["landmark_error"] == pytest.approx(0.1)


def test_mean_iou_and_landmarks_only_count_scores_from_the_threshold_up() -> None:
    dataset = scene(label(1, 20, 20, 40, 40, points=True), label(2, 20, 20, 40, 40, points=True))
    found = {1: faces((FACE, 0.9)), 2: faces(((20, 20, 60, 50), 0.3), shift=5)}
    result = evaluate(dataset, found)
    assert (result["mean_iou"], result["landmark_error"]) == (pytest.approx(1), pytest.approx(0))
    assert evaluate(dataset, found, score_threshold=0.2)["mean_iou"] == pytest.approx(0.875)


def test_by_source_splits_the_images() -> None:
    dataset = scene(label(1, 20, 20, 40, 40), label(2, 20, 20, 40, 40))
    result = evaluate(dataset, {1: faces((FACE, 0.9)), 2: faces()})
    assert result["by_source"]["a"]["ap50"] == pytest.approx(1)
    assert result["by_source"]["b"]["ap50"] == 0
    assert result["by_source"]["b"]["faces"] == 1


def test_no_detections_at_all_score_zero_and_leave_means_unmeasured() -> None:
    result = evaluate(scene(label(1, 20, 20, 40, 40)), {1: faces()})
    assert result["ap50"] == result["ar"] == 0
    assert np.isnan(result["mean_iou"])


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(scene(label(1, 20, 20, 40, 40)), {1: faces((FACE, 0.9))})
    assert capsys.readouterr().out == ""


def test_an_image_without_detections_must_say_so() -> None:
    with pytest.raises(OneShotError, match="image 1"):
        evaluate(scene(label(1, 20, 20, 40, 40)), {})


def test_detect_all_runs_every_image_in_order() -> None:
    images = [np.full((4, 4, 3), i, np.uint8) for i in (7, 9)]
    found = detect_all(lambda image: faces((FACE, image[0, 0, 0] / 10)), [{"id": 5}, {"id": 3}], images)
    assert found[5].scores[0] == pytest.approx(0.7)
    assert found[3].scores[0] == pytest.approx(0.9)

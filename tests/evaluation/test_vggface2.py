"""The paper's protocol: Table 3's counts, who is compared with whom, and the lists of the data set."""

from pathlib import Path

import numpy as np
import pytest

from oneshot.errors import OneShotError
from oneshot.evaluation.pose import PAIRS
from oneshot.evaluation.vggface2 import figures, pose_photos, templates, trials

TABLE_3 = {  # by images in a template: genuine and impostor scores, same pose and cross pose
    1: ((16_560, 36_800), (36_800, 36_800)),
    5: ((368, 36_800), (1_472, 36_800)),
}


@pytest.mark.parametrize("size", [1, 5])
def test_trials_are_as_many_as_table_3_says(size: int) -> None:
    same_pose, cross_pose = TABLE_3[size]
    for first, second in [(p, q) for p in range(3) for q in range(p, 3)]:
        a, b, same = trials(368, 10 // size, first, second)
        assert (same.sum(), (~same).sum()) == (same_pose if first == second else cross_pose)
        assert len(a) == len(b) == len(set(zip(a.tolist(), b.tolist(), strict=True)))  # none twice


def test_trials_compare_whom_the_paper_compares() -> None:
    people, each = 368, 10
    for first, second in ((0, 0), (0, 2)):
        a, b, same = trials(people, each, first, second)
        who_a, pose_a, nth_a = np.unravel_index(a, (people, 3, each))
        who_b, pose_b, nth_b = np.unravel_index(b, (people, 3, each))
        assert set(pose_a) == {first} and set(pose_b) == {second}
        assert np.array_equal(who_a == who_b, same)
        if first == second:
            assert bool((nth_a[same] < nth_b[same]).all())  # not with itself, and not twice
        # A person's first template with the second of the next hundred, in a ring.
        assert set(nth_a[~same]) == {0} and set(nth_b[~same]) == {1}
        assert set((who_b - who_a)[~same] % people) == set(range(1, 101))


def test_templates_are_means_of_the_first_and_the_second_five() -> None:
    descriptors = np.arange(2 * 3 * 10, dtype=np.float32).reshape(2, 3, 10, 1)
    five = templates(descriptors, 5)
    assert five.shape == (2, 3, 2, 1)
    assert five[0, 0, :, 0].tolist() == [2, 7] and five[1, 2, 1, 0] == 57
    assert np.array_equal(templates(descriptors, 1), descriptors)
    descriptors[0, 0, :4] = np.nan
    descriptors[0, 1, :5] = np.nan
    five = templates(descriptors, 5)
    assert five[0, 0, 0, 0] == 4 and np.isnan(five[0, 1, 0, 0])


def test_figures_of_people_who_are_easy_and_hard_to_tell_apart() -> None:
    people = 101
    rng = np.random.default_rng(0)
    own = np.repeat(rng.random((people, 16)), 30, axis=0)
    clear = figures(own + 0.01 * rng.random(own.shape), sizes=(1, 5))
    assert set(clear["1"]) == {"/".join(pair) for pair in PAIRS}
    assert clear["5"]["frontal/profile"]["eer"] == 0
    assert clear["5"]["frontal/profile"]["frr"] == {"1e-2": 0, "1e-3": 0}
    blurred = figures(own + 2.5 * rng.random(own.shape), sizes=(1, 5))
    for pair in blurred["1"]:  # five photos tell more than one
        assert blurred["1"][pair]["eer"] > blurred["5"][pair]["eer"] > 0
    with pytest.raises(OneShotError, match="more than 100"):
        figures(own[: 30 * 100])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """VGGFace2's layout with two people."""
    names = [f"n00000{who}/{i:04d}_01" for who in (1, 9) for i in range(30)]
    (tmp_path / "meta").mkdir()
    (tmp_path / "bb_landmark").mkdir()
    lines = "\n".join(f"{name}.jpg" for name in names)
    (tmp_path / "meta" / "test_posetemp_imglist.txt").write_text(lines + "\n")
    shuffled = [*reversed(names), "n000005/0001_01"]
    boxes = "\n".join(f'"{name}",{int(name[8:12])},2,30,40' for name in shuffled)
    (tmp_path / "bb_landmark" / "loose_bb_test.csv").write_text("NAME_ID,X,Y,W,H\n" + boxes)
    points = "\n".join(f'"{name}",1,2,3,4,5,6,7,8,9,{int(name[6])}' for name in shuffled)
    (tmp_path / "bb_landmark" / "loose_landmark_test.csv").write_text("NAME_ID,P1X,P1Y\n" + points)
    return tmp_path


def test_the_lists_are_read_in_the_order_of_the_templates(folder: Path) -> None:
    photos = pose_photos(folder)
    assert len(photos.paths) == 60
    assert photos.paths[31] == folder / "test" / "n000009" / "0001_01.jpg"
    assert photos.boxes[7].tolist() == [7, 2, 37, 42]
    assert photos.landmarks[59].tolist() == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 9]]


def test_lists_that_do_not_go_together_are_one_sentence(folder: Path) -> None:
    boxes = folder / "bb_landmark" / "loose_bb_test.csv"
    boxes.write_text(boxes.read_text().replace('"n000009/0003_01"', '"n000009/0099_01"'))
    with pytest.raises(OneShotError, match="loose_bb_test"):
        pose_photos(folder)
    listed = folder / "meta" / "test_posetemp_imglist.txt"
    listed.write_text("\n".join(listed.read_text().split()[1:]))
    with pytest.raises(OneShotError, match="30 photos"):
        pose_photos(folder)
    listed.unlink()
    with pytest.raises(OneShotError, match="no such file"):
        pose_photos(folder)

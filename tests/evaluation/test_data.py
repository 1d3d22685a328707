"""Reading the evaluation sets, from tiny stand-ins for the real files."""

import io
import json
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from oneshot.errors import OneShotError
from oneshot.evaluation.data import TarImages, chosen, lfw_pairs, pose_set, scenes


def write_tar(path: Path, images: list[tuple[str, np.ndarray]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, image in images:
            data = cv2.imencode(".png", image)[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def plain(value: int) -> np.ndarray:
    return np.full((8, 6, 3), value, np.uint8)


def pairs_file(path: Path, folds: int = 2) -> Path:
    fold = ["Ann 1 2", "Bob\t2\t1", "Ann 1 Bob 1", "Ann 2 Bob 2"]
    path.write_text("\n".join([f"{folds} 2", *fold * 2]) + "\n")
    return path


def test_images_are_read_by_position_even_where_names_repeat(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("x/one.png", plain(1)), ("two.png", plain(2)), ("two.png", plain(3))])
    images = TarImages(tmp_path / "a.tar")
    assert images.names == ["x/one.png", "two.png", "two.png"]
    assert [int(images[i][0, 0, 0]) for i in range(3)] == [1, 2, 3]
    assert images[0].shape == (8, 6, 3)
    assert [int(image[0, 0, 0]) for image in chosen(images, ["x/one.png"])] == [1]


def test_a_missing_or_broken_tar_is_named(tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match=r"lfw\.tar: no such file"):
        TarImages(tmp_path / "lfw.tar")
    (tmp_path / "lfw.tar").write_bytes(b"not a tar" * 200)
    with pytest.raises(OneShotError, match="not an uncompressed tar"):
        TarImages(tmp_path / "lfw.tar")


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        member = tarfile.TarInfo("bad.png")
        member.size = 4
        tar.addfile(member, io.BytesIO(b"oops"))
    with pytest.raises(OneShotError, match=r"a\.tar: its bad\.png"):
        TarImages(tmp_path / "a.tar")[0]
    with pytest.raises(OneShotError, match=r"no image other\.png"):
        chosen(TarImages(tmp_path / "a.tar"), ["other.png"])


def test_lfw_pairs_know_photos_people_and_folds(tmp_path: Path) -> None:
    pairs = lfw_pairs(pairs_file(tmp_path / "pairs.txt"))
    assert pairs.names == tuple(f"{who}/{who}_000{i}.webp" for who in ("Ann", "Bob") for i in (1, 2))
    assert pairs.people == ["Ann", "Ann", "Bob", "Bob"]
    assert pairs.first.tolist() == [0, 3, 0, 1] * 2
    assert pairs.second.tolist() == [1, 2, 2, 3] * 2
    assert pairs.same.tolist() == [True, True, False, False] * 2
    assert pairs.fold.tolist() == [0] * 4 + [1] * 4


def test_every_keeps_only_the_photos_it_needs(tmp_path: Path) -> None:
    pairs = lfw_pairs(pairs_file(tmp_path / "pairs.txt")).every(3)
    named = [(pairs.names[a], pairs.names[b]) for a, b in zip(pairs.first, pairs.second, strict=True)]
    assert [(a[:3], b[:3]) for a, b in named] == [("Ann", "Ann"), ("Ann", "Bob"), ("Ann", "Bob")]
    assert pairs.same.tolist() == [True, False, False]
    assert pairs.fold.tolist() == [0, 0, 1]
    assert len(lfw_pairs(tmp_path / "pairs.txt").every(4).names) == 2


@pytest.mark.parametrize(
    "text", ["", "2\n", "1 1\nAnn 1 2\n", "1 1\nAnn 1 Bob 1\nAnn 1 2\n", "1 1\nAnn 1 x\nAnn 1 Bob 1"]
)
def test_a_malformed_pairs_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "pairs.txt").write_text(text)
    with pytest.raises(OneShotError, match=r"pairs\.txt"):
        lfw_pairs(tmp_path / "pairs.txt")


def test_scenes_and_pose_set(tmp_path: Path) -> None:
    write_tar(tmp_path / "scenes_eval.tar", [("s.png", plain(5))])
    (tmp_path / "scenes_eval.json").write_text(json.dumps({"images": [{"id": 1}], "annotations": []}))
    dataset, images = scenes(tmp_path)
    assert dataset["images"] == [{"id": 1}]
    assert images.names == ["s.png"]
    write_tar(tmp_path / "pose.tar", [("p.png", plain(5)), ("p.png", plain(6))])
    (tmp_path / "pose.json").write_text(json.dumps([{"file": "p.png"}, {"file": "p.png"}]))
    records, images = pose_set(tmp_path)
    assert len(records) == len(images) == 2
    (tmp_path / "pose.json").write_text(json.dumps([{"file": "p.png"}]))
    with pytest.raises(OneShotError, match="lists other images"):
        pose_set(tmp_path)
    (tmp_path / "pose.json").write_text("{")
    with pytest.raises(OneShotError, match=r"pose\.json: not JSON"):
        pose_set(tmp_path)

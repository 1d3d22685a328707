"""The converter for one's own people gives what stage 1 reads."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT
from fake import FIVE, picture

from oneshot import OneShot, OneShotError

pytest.importorskip("torch")
from oneshot.training.data.crops import load_crops

spec = importlib.util.spec_from_file_location("identity_folder", ROOT / "datasets" / "identity_folder.py")
assert spec is not None and spec.loader is not None
identity_folder = importlib.util.module_from_spec(spec)
spec.loader.exec_module(identity_folder)


def test_a_folder_of_people_becomes_crops(tmp_path: Path, model: OneShot) -> None:
    for person, box in (("Gus", (100, 60, 160, 120)), ("Rhea", (40, 90, 140, 190))):
        (tmp_path / "people" / person).mkdir(parents=True)
        for i in range(2):
            cv2.imwrite(str(tmp_path / "people" / person / f"{i}.png"), picture(**{person: box}))
    cv2.imwrite(str(tmp_path / "people" / "Rhea" / "empty.png"), picture())
    assert identity_folder.convert(tmp_path / "people", tmp_path / "out", model) == 4

    crops = load_crops(tmp_path / "out")
    assert crops.identity.tolist() == [0, 0, 1, 1]
    # A similarity of the photo's: as alike in shape as before, and near the template's place.
    width = float(crops.landmarks[0, 1, 0] - crops.landmarks[0, 0, 0])
    height = float(crops.landmarks[0, 3, 1] - crops.landmarks[0, 0, 1])
    assert height / width == pytest.approx((FIVE[3, 1] - FIVE[0, 1]) / (FIVE[1, 0] - FIVE[0, 0]), abs=0.05)
    assert np.abs(crops.landmarks.mean(1).numpy() - identity_folder.PLACE.mean(0)).max() < 2
    # In the middle is the person's square, and what lies outside the photo is not.
    assert (crops.pixels[0, :, 64, 64].numpy() - np.array([40, 200, 60])).max() < 25


def test_people_without_a_face_are_one_sentence(tmp_path: Path, model: OneShot) -> None:
    with pytest.raises(OneShotError, match="no such folder"):
        identity_folder.convert(tmp_path / "none", tmp_path / "out", model)
    (tmp_path / "people" / "Bo").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "people" / "Bo" / "a.png"), picture())
    with pytest.raises(OneShotError, match="no face found"):
        identity_folder.convert(tmp_path / "people", tmp_path / "out", model)
    assert not (tmp_path / "out").exists()

"""CFP's figures on a hand-made set whose answers are known."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oneshot.errors import OneShotError
from oneshot.evaluation import cfp
from oneshot.evaluation.pipelines import Run
from oneshot.types import Faces

EYE, NOSE, MOUTH = (20.0, 20.0), (30.0, 30.0), (20.0, 40.0)
"""Of a frontal face; from eye to mouth it is 20 px."""

PROTOCOLS = {"FF": "frontal", "FP": "profile"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two people, two folds; each person has two frontal photos, and a profile that faces left."""
    photos: dict[str, Any] = {}
    for who in (1, 2):
        for number in (1, 2):
            photos[f"{who}_frontal_{number}.png"] = {"pose": "frontal", "faces": "right", "eye": EYE}
        photos[f"{who}_profile_1.png"] = {"pose": "profile", "faces": "left", "eye": (40.0, 20.0)}
    for name, photo in photos.items():
        photo |= {"person": int(name[0]), "nose": NOSE, "mouth": (photo["eye"][0], 40.0)}
    pairs = [
        {
            "protocol": protocol,
            "fold": fold,
            "same": same,
            "a": f"{fold}_frontal_1.png",
            "b": f"{fold if same else 3 - fold}_{pose}_{2 if pose == 'frontal' else 1}.png",
        }
        for protocol, pose in PROTOCOLS.items()
        for fold in (1, 2)
        for same in (True, False)
    ]
    (tmp_path / "cfp_eval.json").write_text(json.dumps({"photos": photos, "pairs": pairs}))
    with tarfile.open(tmp_path / "cfp_eval.tar", "w") as tar:
        for name in photos:
            data = cv2.imencode(".png", np.full((60, 60, 3), int(name[0]), np.uint8))[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return tmp_path


def rows(photos: cfp.Photos, **changed: list[float]) -> np.ndarray:
    """Each photo's embedding: its person's, or what is given for it."""
    known = {1: [1.0, 0], 2: [0, 1.0]}
    return np.array([changed.get(name.split(".")[0], known[int(name[0])]) for name in photos.names])


def named(photo: str, embedding: list[float]) -> dict[str, list[float]]:
    return {photo: embedding}


def test_a_perfect_network_has_no_errors(folder: Path) -> None:
    photos, images = cfp.photos(folder)
    assert len(photos.names) == len(images) == 6
    found = cfp.figures(photos, rows(photos), {})
    for protocol in PROTOCOLS:
        assert (found[protocol]["accuracy"], found[protocol]["pairs"]) == (100, 4)
        assert found[protocol]["missed_pairs"] == 0
    assert found["frontal"]["photos"] == 4
    assert found["profile"] == {"photos": 2, "missed": 0, "undecided": 0, "landmark_error": {}}


def test_a_photo_without_a_face_spoils_each_of_its_pairs(folder: Path) -> None:
    photos, _ = cfp.photos(folder)
    found = cfp.figures(photos, rows(photos, **{"1_profile_1": [np.nan] * 2}), {})
    assert found["FF"]["accuracy"] == 100
    # The profile is in one pair of the same person, and in one of two: both are errors.
    assert (found["FP"]["accuracy"], found["FP"]["missed_pairs"]) == (50, 2)
    assert (found["profile"]["missed"], found["frontal"]["missed"]) == (1, 0)


def test_an_undecided_face_is_not_missed_and_matches_nobody(folder: Path) -> None:
    photos, _ = cfp.photos(folder)
    found = cfp.figures(photos, rows(photos, **{"1_profile_1": [0.0, 0]}), {})
    # Of its two pairs only the same person's is an error: that two people differ is right.
    assert (found["FP"]["accuracy"], found["FP"]["missed_pairs"]) == (75, 0)
    assert (found["profile"]["missed"], found["profile"]["undecided"]) == (0, 1)


def test_each_fold_is_judged_by_the_threshold_of_the_others(folder: Path) -> None:
    photos, _ = cfp.photos(folder)
    # In fold 2 (pair 2-2) the same person is less alike than the strangers of fold 1 and of fold 2.
    lean = [0.9, np.sqrt(1 - 0.81)]
    found = cfp.figures(photos, rows(photos, **{"2_frontal_2": lean}), {})
    scores = {"same": (1, lean[1]), "strangers": (lean[0], 0)}
    # Fold 1 by fold 2's threshold, between 0 and .44: its strangers at .9 pass. Fold 2 by fold 1's, .95:
    # its own person at .44 does not.
    assert scores["same"][1] == pytest.approx(0.436, abs=1e-3)
    assert found["FF"]["accuracy"] == 50
    assert found["FP"]["accuracy"] == 100


def test_landmarks_are_measured_at_the_side_that_is_seen(folder: Path) -> None:
    photos, _ = cfp.photos(folder)
    points = np.zeros((6, 5, 2))
    for i, pose in enumerate(photos.pose):
        left = pose == "frontal"
        points[i, 2] = NOSE
        # The eye 3 px off, the mouth 4 px; the hidden side's points are anywhere.
        points[i, 0 if left else 1] = photos.points[i, 0] + (3, 0)
        points[i, 3 if left else 4] = photos.points[i, 2] + (0, 4)
    points[1] = np.nan  # no face: not in the mean
    found = cfp.figures(photos, rows(photos), {"last": points})
    for pose in cfp.POSES:
        error = found[pose]["landmark_error"]["last"]
        assert (error["eye"], error["nose"], error["mouth"]) == pytest.approx((15, 0, 20))
        assert error["all"] == pytest.approx(35 / 3)
    points[:] = np.nan
    assert cfp.figures(photos, rows(photos), {"last": points})["frontal"]["landmark_error"]["last"] == {
        "all": None,
        "eye": None,
        "nose": None,
        "mouth": None,
    }


def test_the_central_face_is_recognised_and_the_best_one_measured() -> None:
    image = np.zeros((60, 60, 3), np.uint8)
    boxes, marks = np.array([[0, 0, 10, 10], [20, 20, 40, 40]]), np.stack((np.zeros((5, 2)), np.ones((5, 2))))
    faces = Faces(boxes, np.array([0.9, 0.6]), marks, np.eye(2))  # type: ignore[arg-type]
    none = Faces.empty(2)
    answers = iter([faces, none])
    embeddings, points = cfp.run(
        lambda image: next(answers), {"a": lambda image: faces, "b": lambda image: none}, [image, image]
    )
    assert embeddings[0].tolist() == [0, 1]
    assert np.isnan(embeddings[1]).all()
    assert points["a"].tolist() == [marks[0].tolist()] * 2
    assert np.isnan(points["b"]).all() and points["b"].shape == (2, 5, 2)


def test_every_nth_pair_takes_just_its_photos(folder: Path) -> None:
    photos, _ = cfp.photos(folder, every=4)  # the first pair of each protocol
    assert photos.names == ("1_frontal_1.png", "1_frontal_2.png", "1_profile_1.png")
    assert [len(pairs) for pairs in photos.pairs.values()] == [1, 1]


def test_a_broken_index_is_named(folder: Path) -> None:
    for text in ("[]", '{"photos": {}, "pairs": [{"protocol": "FF", "a": "x", "b": "y"}]}'):
        (folder / "cfp_eval.json").write_text(text)
        with pytest.raises(OneShotError, match=r"cfp_eval\.json"):
            cfp.photos(folder)


def test_a_pipeline_without_a_network_has_its_last_landmarks_only() -> None:
    faces = Faces.empty(2)
    (name,) = stages = cfp.stages(lambda image: Run(faces))
    assert name == "last"
    assert stages["last"](np.zeros((9, 9, 3), np.uint8)) is faces


def test_a_torch_network_shows_every_correction(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from oneshot.evaluation.pipelines import OnePass
    from oneshot.inference.predictor import OneShot
    from oneshot.models.config import NetworkConfig
    from oneshot.models.network import OneShotNet
    from oneshot.models.weights import save_weights

    torch.manual_seed(0)
    net = OneShotNet(NetworkConfig(refinements=2)).eval()
    torch.nn.init.normal_(net.refinement.out.bias, std=3)  # else a correction changes little
    for layer in net.head.out:  # and of a face as small as untrained weights see, too
        layer.bias.data[5:] = torch.tensor([-1.0, -1, 1, -1, 0, 0, -1, 1, 1, 1])
    save_weights(tmp_path / "two.safetensors", net, {}, half=False)
    whole = OneShot(tmp_path / "two.safetensors", score_threshold=0, max_faces=1)
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    found = {name: find(image).landmarks[0] for name, find in cfp.stages(OnePass(whole)).items()}
    assert list(found) == ["coarse", "corrected_1", "last"]
    for name, times in (("coarse", 0), ("corrected_1", 1), ("last", 2)):
        shorter = OneShotNet(NetworkConfig(refinements=times)).eval()
        shorter.load_state_dict(net.state_dict())
        save_weights(tmp_path / "one.safetensors", shorter, {}, half=False)
        alone = OneShot(tmp_path / "one.safetensors", score_threshold=0, max_faces=1)
        assert found[name] == pytest.approx(alone(image).landmarks[0], abs=1e-3)
    assert np.abs(found["coarse"] - found["corrected_1"]).max() > 0.1
    assert np.abs(found["corrected_1"] - found["last"]).max() > 0.1

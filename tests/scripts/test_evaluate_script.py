"""scripts/evaluate.py from its arguments to its JSON, on tiny sets and with a stand-in network."""

import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import cv2
import numpy as np
import pytest

from oneshot.errors import OneShotError
from oneshot.models.config import LARGE
from oneshot.types import Faces

SCRIPT = Path(__file__).parents[2] / "scripts" / "evaluate.py"
POINTS = np.array([[40.0, 40], [60, 40], [50, 50], [42, 60], [58, 60]])
SIDE = 100


class FakeNetwork:
    """Finds one face in the middle; who it is stands in the picture's brightness, and 0 is nobody."""

    info: ClassVar = {"network": LARGE.as_dict()}

    def __init__(self, weights: Path | None = None, **settings: Any) -> None:
        self.score_threshold = 0.5

    def __call__(self, image: np.ndarray) -> Faces:
        person = round(int(image[50 * image.shape[0] // SIDE, 50 * image.shape[1] // SIDE, 0]) / 40) - 1
        if person < 0:
            return Faces.empty(6)
        box = np.array([[30, 30, 70, 70]])
        embedding = np.eye(6)[[person]]
        return Faces(box, np.array([0.9]), POINTS[None], embedding)  # type: ignore[arg-type]


PEOPLE = {"Ann": 0, "Bob": 1, "Cem": 2, "Dee": 3, "Eva": 4}


def _absent(settings: Any) -> Any:
    raise OneShotError("dlib: not installed")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("evaluate", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OneShot", FakeNetwork)
    return module


def write_tar(path: Path, images: dict[str, int]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, person in images.items():
            pixels = np.full((SIDE, SIDE, 3), 40 * (person + 1), np.uint8)
            data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two folds of two + two pairs of five people; three photos with boxes; twelve frames of three poses."""
    people = {"Ann": 0, "Bob": 1, "Cem": 2, "Dee": 3, "Eva": 4}
    write_tar(tmp_path / "lfw.tar", {f"{n}/{n}_000{i}.webp": p for n, p in people.items() for i in (1, 2)})
    folds = [
        "Ann 1 2",
        "Bob 1 2",
        "Ann 1 Bob 1",
        "Bob 2 Cem 1",
        "Cem 1 2",
        "Dee 1 2",
        "Cem 2 Dee 2",
        "Eva 1 Ann 2",
    ]
    (tmp_path / "lfw_pairs.txt").write_text("\n".join(["2 2", *folds]) + "\n")
    write_tar(tmp_path / "scenes_eval.tar", {"a.webp": 1, "b.webp": 2, "c.webp": -1})
    keypoints = [n for x, y in POINTS for n in (x, y, 2)]
    size = {"width": SIDE, "height": SIDE}
    names = ["a.webp", "b.webp", "c.webp"]
    images = [{"id": i, "file_name": name, "source": "web", **size} for i, name in enumerate(names)]
    annotations = [
        {"id": i, "image_id": i, "bbox": [30, 30, 40, 40], "iscrowd": 0, "keypoints": keypoints}
        for i in range(2)
    ]
    (tmp_path / "scenes_eval.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    poses = [
        (n, v, pose)
        for n in ("Ann", "Bob")
        for v in (0, 1)
        for pose in ("frontal", "three_quarter", "profile")
    ]
    names = [f"{n}_{v}_{pose}.webp" for n, v, pose in poses]
    write_tar(tmp_path / "pose.tar", {name: people[name[:3]] for name in names})
    records = [
        {"file": name, "person": n, "video": v, "pose": pose, "kps": POINTS.tolist()}
        for name, (n, v, pose) in zip(names, poses, strict=True)
    ]
    (tmp_path / "pose.json").write_text(json.dumps(records))
    return tmp_path


def test_lfw_writes_the_figures(script: ModuleType, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "lfw.json"
    assert script.main(["lfw", "--data", str(folder), "--fast", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert (result["accuracy"], result["std"], result["eer"], result["missed"], result["pairs"]) == (
        100,
        0,
        0,
        0,
        8,
    )
    assert set(result["tar"]) == set(result["threshold"]) == {"1e-2", "1e-3", "0"}
    assert result["tar"]["0"] == 100
    assert result["tar"]["1e-3"] is None  # four impostors cannot show it
    assert set(result["threshold_all_pairs"]) == {"1e-2", "1e-3", "1e-4", "1e-5"}
    assert result["accuracy_given_landmarks"] is None
    assert "accuracy" in capsys.readouterr().out
    assert not list(folder.glob("*partial*"))


def test_lfw_counts_a_face_that_is_not_found(script: ModuleType, folder: Path) -> None:
    people = {"Ann": 0, "Bob": -1, "Cem": 2, "Dee": 3, "Eva": 4}
    write_tar(folder / "lfw.tar", {f"{n}/{n}_000{i}.webp": p for n, p in people.items() for i in (1, 2)})
    assert script.main(["lfw", "--data", str(folder), "--fast", "--json", str(folder / "o.json")]) == 0
    result = json.loads((folder / "o.json").read_text())
    assert (result["missed"], result["missed_pairs"]) == (2, 3)
    assert result["accuracy"] == pytest.approx(100 * (1 - 3 / 8))


def test_lfw_says_what_it_cannot_compare(script: ModuleType, folder: Path) -> None:
    options = ["--peers", str(folder), "--models", str(folder), "--weights", str(folder / "none.onnx")]
    out = folder / "lfw.json"
    assert script.main(["lfw", "--data", str(folder), "--json", str(out), "--mirror", *options]) == 0
    result = json.loads(out.read_text())
    assert result["accuracy"] == 100
    assert result["accuracy_teacher"] is None
    assert [note.split(" ")[0] for note in result["notes"]] == ["landmarks", "given_landmarks", "teacher"]
    assert "edgeface_xs.safetensors" in result["notes"][2]  # the one that the network imitates


def test_detection_writes_the_figures(script: ModuleType, folder: Path) -> None:
    pytest.importorskip("pycocotools")
    out = folder / "detection.json"
    assert script.main(["detection", "--data", str(folder), "--side", "320", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    for key in ("ap50", "ap50_95", "ar", "ap50_min16", "mean_iou"):
        assert result[key] == pytest.approx(1), key
    assert result["landmark_error"] == pytest.approx(0, abs=1e-6)
    assert result["by_source"]["web"]["ap50"] == pytest.approx(1)
    assert (result["images"], result["side"], result["min_side"], result["score_threshold"]) == (
        3,
        320,
        320,
        0.5,
    )


def test_pose_writes_the_figures(script: ModuleType, folder: Path) -> None:
    out = folder / "pose.json.out"
    assert script.main(["pose", "--data", str(folder), "--fast", "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    rates = {"1e-2": None, "1e-3": None}  # two impostors cannot show them
    assert result["oneshot"]["1"]["frontal/profile"] == {"eer": 0, "frr": rates, "genuine": 4, "impostor": 2}
    assert result["teacher"] is None


def test_pose_measures_recognisers_and_the_outlook_and_plots(
    script: ModuleType, folder: Path, recogniser_weights: Path
) -> None:
    pytest.importorskip("matplotlib")
    out, drawn = folder / "pose.json.out", folder / "plots" / "new"
    options = [
        "--fast",
        "--outlook",
        "--recogniser",
        str(recogniser_weights),
        "--plots",
        str(drawn),
        "--threads",
        "1",
    ]
    assert script.main(["pose", "--data", str(folder), "--json", str(out), *options]) == 0
    result = json.loads(out.read_text())
    for name in ("oneshot", "ours", "ours chi-square"):
        assert result[name]["1"]["frontal/profile"]["eer"] == pytest.approx(0, abs=1e-6)
        assert result[name]["10"]["mean_images"] == 1 and result[name]["missed"] == 0
        assert result[name]["one_query"]["mixed/frontal"]["genuine"] == 4
    assert {path.name for path in drawn.iterdir()} == {
        f"{name}-{size}-{kind}.png"
        for name in ("oneshot", "ours", "ours-chi-square")
        for size in (1, 5)
        for kind in ("det", "roc")
    }


def test_vggface2_pose_measures_what_it_is_given(
    script: ModuleType, tmp_path: Path, recogniser_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.vggface2, "IMPOSTORS", 2)
    names = [f"n00000{who}/{i:04d}_01" for who in range(3) for i in range(30)]
    for name in names:
        path = tmp_path / "test" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((SIDE, SIDE, 3), 40 * (int(name[6]) + 1), np.uint8))
    (tmp_path / "test_posetemp_imglist.txt").write_text("\n".join(f"{name}.jpg" for name in names))
    numbers = ",".join(f"{n:.0f}" for n in POINTS.ravel())
    for kind, row in (("bb", "30,30,40,40"), ("landmark", numbers)):
        lines = "\n".join(f'"{name}",{row}' for name in names)
        (tmp_path / f"loose_{kind}_test.csv").write_text(lines)
    options = [
        "--models",
        str(tmp_path),
        "--recogniser",
        str(recogniser_weights),
        "--json",
        str(tmp_path / "o.json"),
    ]
    assert script.main(["vggface2-pose", "--data", str(tmp_path), "--threads", "1", *options]) == 0
    result = json.loads((tmp_path / "o.json").read_text())
    assert result["crop"] == "box"
    for name in ("oneshot", "ours", "ours chi-square"):
        assert (result[name]["images"], result[name]["missed"]) == (90, 0)
        assert result[name]["1"]["frontal/frontal"]["genuine"] == 3 * 45
        assert result[name]["5"]["frontal/profile"]["genuine"] == 3 * 4
        assert result[name]["5"]["frontal/profile"]["impostor"] == 3 * 2
        assert result[name]["5"]["frontal/profile"]["eer"] == pytest.approx(0, abs=1e-6)


def test_identification_compares_pipelines(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pycocotools")
    from oneshot.evaluation.pipelines import Run

    network = FakeNetwork()
    built = {"oneshot": lambda settings: lambda image: Run(network(image))}
    monkeypatch.setattr(script.pipelines, "PIPELINES", built | {"dlib": _absent})
    write_tar(folder / "lfw.tar", {f"{n}/{n}_{i}.webp": p for n, p in PEOPLE.items() for i in range(p + 1)})
    scenes = json.loads((folder / "scenes_eval.json").read_text())
    for image in scenes["images"]:
        image["source"] = "mask"
    (folder / "scenes_eval.json").write_text(json.dumps(scenes))
    out = folder / "o.json"
    options = ["--json", str(out), "--pipelines", "oneshot,dlib"]
    assert script.main(["identification", "--data", str(folder), *options]) == 0
    result = json.loads(out.read_text())
    assert list(result["absent"]) == ["dlib"]
    one = result["oneshot"]["enrolled"]["1"]
    assert (one["closed_set"], one["people"], one["queries"], one["strangers"]) == (100, 2, 7, 1)
    assert (result["oneshot"]["recall"], result["oneshot"]["mean_iou"]) == (1, pytest.approx(1))

    photos = []
    for name, person in PEOPLE.items():
        for i in range(4):
            pixels = np.full((SIDE, SIDE, 3), 40 * (person + 1), np.uint8)
            cv2.imwrite(str(folder / f"{name}{i}.png"), pixels)
            photos.append({"file": f"{name}{i}.png", "person": name, "box": [30, 30, 70, 70]})
    (folder / "set.json").write_text(json.dumps({"root": str(folder), "photos": photos}))
    assert script.main(["identification", "--data", str(folder / "set.json"), *options]) == 0
    result = json.loads(out.read_text())["oneshot"]
    one = result["enrolled"]["1"]
    assert (one["closed_set"], one["people"], one["queries"], one["strangers"]) == (100, 4, 12, 4)
    assert result["mean_iou"] == pytest.approx(1)


def test_cfp_and_rotation_compare_pipelines(
    script: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    from oneshot.evaluation.pipelines import Run

    network = FakeNetwork()
    built = {"fake": lambda settings: lambda image: Run(network(image))}
    monkeypatch.setattr(script.pipelines, "PIPELINES", built | {"dlib": _absent})
    photo = {"pose": "frontal", "faces": "right", "eye": [40, 40], "nose": [50, 50], "mouth": [42, 60]}
    names = {f"{name}{i}.webp": person for name, person in PEOPLE.items() for i in (1, 2)}
    write_tar(folder / "cfp_eval.tar", names)
    pairs = [
        {"protocol": "FF", "fold": fold, "same": same, "a": f"{a}1.webp", "b": f"{a if same else b}2.webp"}
        for fold, a, b in ((6, "Ann", "Bob"), (7, "Cem", "Dee"))
        for same in (True, False)
    ]
    (folder / "cfp_eval.json").write_text(json.dumps({"photos": dict.fromkeys(names, photo), "pairs": pairs}))
    out = folder / "o.json"
    options = ["--data", str(folder), "--json", str(out), "--pipelines", "fake,dlib"]
    assert script.main(["cfp", *options]) == 0
    result = json.loads(out.read_text())
    assert list(result["absent"]) == ["dlib"]
    assert (result["fake"]["FF"]["accuracy"], result["fake"]["frontal"]["missed"]) == (100, 0)
    assert result["fake"]["frontal"]["landmark_error"]["last"]["all"] == 0

    drawn = folder / "rotation.png"
    assert script.main(["rotation", *options, "--pairs", "8", "--plot", str(drawn)]) == 0
    result = json.loads(out.read_text())
    # It answers the same at every angle, so that its landmarks do not turn with the photo.
    at = result["fake"]["by_angle"]
    assert list(at) == [str(angle) for angle in range(0, 360, 15)]
    assert (at["90"]["lost"], at["90"]["tar"], at["0"]["misread"], at["90"]["misread"]) == (0, None, 0, 100)
    assert (result["side"], result["fake"]["pairs"], result["fake"]["photos"]) == (320, 4, 9)
    assert cv2.imread(str(drawn)) is not None
    assert "by angle" in capsys.readouterr().out


def test_one_command_s_defaults_are_not_another_s(script: ModuleType) -> None:
    parse = script._parser().parse_args
    assert parse(["vggface2-pose", "--data", "x"]).crop == "box"
    assert parse(["lfw", "--data", "x"]).crop == parse(["pose", "--data", "x"]).crop == "aligned"
    assert (parse(["rotation", "--data", "x"]).side, parse(["lfw", "--data", "x"]).side) == (320, 640)


def test_bad_input_is_one_sentence_and_exit_2(
    script: ModuleType, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "lfw_pairs.txt").unlink()
    (folder / "pose.json").write_text("{")
    for options, word in (
        (["lfw"], "lfw_pairs.txt"),
        (["pose"], "pose.json"),
        (["detection", "--json", str(tmp_path / "no" / "x.json")], "no"),
        (["cfp"], "cfp_eval.json"),
        (["identification", "--weights", str(tmp_path / "none.onnx"), "--pipelines", "oneshot"], "none.onnx"),
    ):
        assert script.main([options[0], "--data", str(folder), *options[1:]]) == 2
        error = capsys.readouterr().err
        assert word in error
        assert error.count("\n") == 1
        assert error.startswith("error: ")
    for options in (["lfw"], ["lfw", "--data", str(folder), "--every", "0"], ["what"]):
        with pytest.raises(SystemExit) as exit_:
            script.main(options)
        assert exit_.value.code == 2

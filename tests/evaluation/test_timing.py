"""Timing with a clock of our own: what is counted, in which order, and what is written."""

import importlib.util
import io
import json
import tarfile
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from oneshot.evaluation import pipelines, timing
from oneshot.evaluation.pipelines import Run, Settings
from oneshot.types import Faces

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_fps.py"


def done(count: int, stages: dict[str, float] | None = None) -> Run:
    """A run that found so many faces."""
    faces = Faces(np.zeros((count, 4)), np.ones(count), np.zeros((count, 5, 2)), np.ones((count, 2)))  # type: ignore[arg-type]
    return Run(faces, stages or {})


def portrait(value: int) -> np.ndarray:
    return np.full((50, 50, 3), value, np.uint8)


def test_canvas_holds_each_picture_once_as_large_as_it_fits() -> None:
    for count, columns in ((1, 1), (2, 2), (5, 3), (10, 4), (20, 5)):
        picture = timing.canvas([portrait(10 + i) for i in range(count)], 320)
        assert picture.shape == (320, 320, 3)
        assert set(np.unique(picture)) - {0} == set(range(10, 10 + count))
        for i in range(count):
            assert (picture[..., 0] == 10 + i).sum() == (320 // columns) ** 2


def test_pipelines_take_turns_and_warm_up_first() -> None:
    now = 0.0
    calls = []

    def pipeline(name: str, seconds: float) -> pipelines.Pipeline:
        def run(image: np.ndarray) -> Run:
            nonlocal now
            now += seconds
            calls.append((name, int(image[0, 0, 0])))
            return done(2, {"detect": seconds})

        return run

    both = {"a": pipeline("a", 0.25), "b": pipeline("b", 0.5)}
    runs = timing.timed(both, [portrait(1), portrait(2)], rounds=2, clock=lambda: now)
    assert calls[:4] == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]
    assert calls[4:8] == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert calls[8:] == [("b", 1), ("a", 1), ("b", 2), ("a", 2)]
    assert [ms for ms, _ in runs["a"]] == [250] * 4
    assert [ms for ms, _ in runs["b"]] == [500] * 4


def test_rows_hold_medians_and_the_ratio_to_the_reference() -> None:
    runs = {
        "oneshot": [(10.0, done(2)), (30.0, done(1)), (20.0, done(3))],
        timing.REFERENCE: [(ms, done(2, {"detect": ms / 2, "embed": 1.0})) for ms in (40.0, 39.0, 41.0)],
    }
    work = timing.Work("composed", 320, 2, ())
    one, reference = timing.rows(runs, work, threads=1)
    columns = ["pipeline", "pictures", "side", "faces", "found", "threads", "ms", "fps", "ratio", "stages"]
    assert list(one) == columns
    assert (one["ms"], one["fps"], one["ratio"], one["found"], one["stages"]) == (20, 50, 0.5, 2, {})
    assert (reference["ratio"], reference["stages"]) == (1, {"detect": 20, "embed": 1})
    assert timing.rows({"oneshot": runs["oneshot"]}, work, 1)[0]["ratio"] is None
    assert timing.rows(runs, work, 1, reference="oneshot")[1]["ratio"] == 2


def test_portraits_without_data_come_from_wheels() -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    faces = timing.portraits(None, 5)
    assert len(faces) == 5
    assert all(face.shape[0] == face.shape[1] and face.dtype == np.uint8 for face in faces)


def tar_of(path: Path, values: list[int]) -> list[str]:
    """A tar of plain pictures of these values, and their names."""
    names = [f"{i:02d}.png" for i in range(len(values))]
    with tarfile.open(path, "w") as tar:
        for name, value in zip(names, values, strict=True):
            content = cv2.imencode(".png", portrait(value))[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return names


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Evaluation data: ten photos, of values 1 to 10; scenes with 0 to 4 faces, of values 20 to 24."""
    tar_of(tmp_path / "lfw.tar", list(range(1, 11)))
    names = tar_of(tmp_path / "scenes_eval.tar", [20, 21, 22, 23, 24])
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    labels = [{"image_id": i, "iscrowd": 0} for i in range(5) for _ in range(i)]
    labels += [{"image_id": 1, "iscrowd": 1}]  # a crowd is not a face
    (tmp_path / "scenes_eval.json").write_text(json.dumps({"images": images, "annotations": labels}))
    return tmp_path


def values(images: list[np.ndarray]) -> list[int]:
    return [int(image[25, 25, 0]) for image in images]


def test_photos_and_frames_are_spread_and_scenes_hold_several_faces(folder: Path) -> None:
    assert values(timing.photos(folder, 4)) == [1, 4, 7, 10]
    assert values(timing.scenes(folder, 10)) == [22, 23, 24]
    film = folder / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for i in range(20):
        writer.write(np.full((64, 64, 3), 10 * i, np.uint8))
    writer.release()
    assert values(timing.video_frames(film, 4)) == pytest.approx([0, 50, 100, 150], abs=3)
    assert len(timing.video_frames(film, 50)) == 20


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with two stand-in pipelines, one of which is absent."""
    spec = importlib.util.spec_from_file_location("compare_fps", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def blocks(settings: Settings) -> pipelines.Pipeline:
        stages = {"detect": 2345.6, "crop": 0.34, "embed": 310.2}
        return lambda image: done(len(set(np.unique(image)) - {0}), stages)

    def missing(settings: Settings) -> pipelines.Pipeline:
        raise pipelines.OneShotError("sface.onnx: no such file; fetch it")

    monkeypatch.setattr(pipelines, "PIPELINES", {timing.REFERENCE: blocks, "yunet+sface": missing})
    monkeypatch.setattr(timing, "portraits", lambda folder, count: [portrait(i + 1) for i in range(count)])
    return module


def test_script_writes_rows_and_names_what_is_absent(script: ModuleType, tmp_path: Path) -> None:
    out = tmp_path / "fps.json"
    options = ["--faces", "1,3", "--sides", "96", "--rounds", "2", "--images", "2", "--json", str(out)]
    assert script.main(options) == 0
    result = json.loads(out.read_text())
    assert set(result) == {"rows", "accuracy", "absent", "reference"}
    assert result["absent"] == ["yunet+sface"]
    assert [(row["side"], row["faces"], row["found"], row["ratio"]) for row in result["rows"]] == [
        (96, 1, 1, 1),
        (96, 3, 3, 1),
    ]


def test_script_times_photos_scenes_and_a_video_and_its_table_fits_80_columns(
    script: ModuleType,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    film, out = folder / "film.avi", folder / "fps.json"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 64))
    for _ in range(3):
        writer.write(np.full((64, 64, 3), 90, np.uint8))
    writer.release()
    options = ["--faces", "2", "--sides", "96", "--rounds", "1", "--images", "1", "--photos", "2", "--exact"]
    sources = ["--data", str(folder), "--video", str(film)]
    assert script.main([*options, *sources, "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["pictures"], row["faces"]) for row in rows] == [
        ("composed", 2),
        ("photos", None),
        ("scenes", None),
        ("video", None),
    ]
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(timing.REFERENCE in line and "2346 + 0.3 + 310" in line for line in lines) == 4
    for work in ("2 faces, side 96", "photos, side 96", "scenes, side 96", "video, side 96"):
        assert any(work in line for line in lines)
    assert script.main([*options, *sources, "--photos", "0", "--json", str(out)]) == 0
    assert len(json.loads(out.read_text())["rows"]) == 1
    assert script.main([*options, "--video", str(folder / "none.avi")]) == 2
    assert "none.avi" in capsys.readouterr().err


def test_script_shows_no_speed_without_accuracy_if_asked(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    figures = {"lfw": 97.5, "missed": 3, "lfw_ms": 20.0}
    counts = {"recall": 0.8, "mean_iou": 0.7}
    people = {"enrolled": {"1": {"closed_set": 90.0}, "3": {"closed_set": 95.0}}}
    asked = []
    monkeypatch.setattr(
        script.accuracy, "verification", lambda net, folder, every, *_: asked.append(every) or figures
    )
    monkeypatch.setattr(script.accuracy, "identification", lambda *_: people)
    monkeypatch.setattr(script.accuracy, "lfw_people", lambda folder, every: ([], iter(())))
    monkeypatch.setattr(script.accuracy, "boxes", lambda *_: counts)
    out = tmp_path / "fps.json"
    options = ["--faces", "1,2", "--sides", "96,64", "--rounds", "1", "--images", "1", "--json", str(out)]
    extra = ["--accuracy", "--data", str(tmp_path), "--every", "8", "--plots", str(tmp_path), "--photos", "0"]
    assert script.main([*options, *extra]) == 0
    result = json.loads(out.read_text())
    assert asked == [8]
    assert result["accuracy"] == {
        timing.REFERENCE: figures | counts | {"closed_set_1": 90, "closed_set_3": 95, "side": 96, "every": 8}
    }
    assert {path.name for path in tmp_path.glob("*.png")} == {"ms-96.png", "ms-64.png", "accuracy.png"}
    assert "97.5" in capsys.readouterr().out
    assert script.main([*options, "--accuracy"]) == 2
    assert "--data" in capsys.readouterr().err
    assert script.main([*options, "--plots", str(tmp_path / "no")]) == 2
    assert script.main([*options, "--pipelines", "yunet+sface"]) == 0  # absent, and nothing else to time
    assert json.loads(out.read_text())["rows"] == []


def test_script_refuses_what_makes_no_sense(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    for options in (["--faces", "0"], ["--sides", "a"], ["--threads", "0"], ["--rounds", "0"]):
        with pytest.raises(SystemExit) as error:
            script.main(options)
        assert error.value.code == 2
    assert script.main(["--pipelines", "yolo"]) == 2
    assert "yolo: no such pipeline" in capsys.readouterr().err
    assert script.main(["--json", "/no/such/folder/x.json"]) == 2

"""Timing with a clock of our own: what is counted, in which order, and what is written."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from oneshot.evaluation import pipelines, timing
from oneshot.evaluation.pipelines import Run, Settings
from oneshot.types import Faces

SCRIPT = Path(__file__).parents[1] / "scripts" / "compare_fps.py"


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
    one, reference = timing.rows(runs, side=320, faces=2, threads=1)
    assert list(one) == ["pipeline", "side", "faces", "found", "threads", "ms", "fps", "ratio", "stages"]
    assert (one["ms"], one["fps"], one["ratio"], one["found"], one["stages"]) == (20, 50, 0.5, 2, {})
    assert (reference["ratio"], reference["stages"]) == (1, {"detect": 20, "embed": 1})
    assert timing.rows({"oneshot": runs["oneshot"]}, 320, 2, 1)[0]["ratio"] is None
    assert timing.rows(runs, 320, 2, 1, reference="oneshot")[1]["ratio"] == 2


def test_portraits_without_data_come_from_wheels() -> None:
    pytest.importorskip("skimage")
    pytest.importorskip("matplotlib")
    faces = timing.portraits(None, 5)
    assert len(faces) == 5
    assert all(face.shape[0] == face.shape[1] and face.dtype == np.uint8 for face in faces)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with two stand-in pipelines, one of which is absent."""
    spec = importlib.util.spec_from_file_location("compare_fps", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def blocks(settings: Settings) -> pipelines.Pipeline:
        return lambda image: done(len(set(np.unique(image)) - {0}), {"detect": 1.0})

    def missing(settings: Settings) -> pipelines.Pipeline:
        raise pipelines.OneShotError("sface.onnx: no such file; fetch it")

    monkeypatch.setattr(pipelines, "PIPELINES", {timing.REFERENCE: blocks, "yunet+sface": missing})
    monkeypatch.setattr(timing, "portraits", lambda data, count: [portrait(i + 1) for i in range(count)])
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
    extra = ["--accuracy", "--data", str(tmp_path), "--every", "8", "--plots", str(tmp_path)]
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

"""Plots are written whole or not at all, and show the curves that they were given."""

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("matplotlib")
from oneshot.errors import OneShotError
from oneshot.evaluation import plots


def curves() -> plots.Curves:
    rng = np.random.default_rng(0)
    same = np.arange(400) < 100
    return {"a/b": (rng.normal(size=400) + 2 * same, same), "a/a": (rng.normal(size=400) + 4 * same, same)}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The axes of every figure, to look at what they hold."""
    from matplotlib.figure import Figure

    seen: list[Any] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: (seen.extend(self.axes), save(self, *a, **k))
    )
    return seen


def lines(axes: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {line.get_label(): line.get_data() for line in axes.lines}


def test_curves_go_through_their_equal_error_rates(tmp_path: Path, drawn: list[Any]) -> None:
    from oneshot.evaluation.verification import equal_error_rate

    plots.plot_det(tmp_path / "det.png", curves(), "two")
    plots.plot_roc(tmp_path / "roc.png", curves())
    for path in tmp_path.iterdir():
        assert cv2.imread(str(path)) is not None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["det.png", "roc.png"]
    for name, (scores, same) in curves().items():
        eer = equal_error_rate(scores, same)
        x, y = lines(drawn[0])[name]
        crossing = int(np.argmin(np.abs(np.array(x) - np.array(y))))
        assert x[crossing] == pytest.approx(plots._deviate(eer), abs=0.15)
        far, tar = lines(drawn[1])[name]
        assert 100 - tar[np.argmin(np.abs(far + tar - 100))] == pytest.approx(100 * eer, abs=2)


def test_rotation_has_a_panel_a_figure_and_a_line_a_pipeline(tmp_path: Path, drawn: list[Any]) -> None:
    turns = {
        name: {str(angle): {"tar": 100 - angle, "lost": k * angle, "strangers": k} for angle in (0, 15)}
        for k, name in enumerate(("x", "y"))
    }
    plots.plot_rotation(tmp_path / "r.png", turns)
    assert cv2.imread(str(tmp_path / "r.png")) is not None
    found = [lines(axes) for axes in drawn]
    assert [[list(line) for line in panel["y"]] for panel in found] == [
        [[0, 15], [100, 85]],
        [[0, 15], [0, 15]],
        [[0, 15], [1, 1]],
    ]


def test_times_and_accuracy(tmp_path: Path, drawn: list[Any]) -> None:
    rows = [{"pipeline": p, "faces": n, "ms": n * k} for p, k in (("x", 2), ("y", 3)) for n in (5, 1)]
    plots.plot_times(tmp_path / "t.png", rows)
    assert [values.tolist() for values in lines(drawn[0])["y"]] == [[1, 5], [3, 15]]
    plots.plot_accuracy(tmp_path / "a.png", {"x": (10, 99), "y": (20, 98)})
    assert {text.get_text() for text in drawn[1].texts} == {"x", "y"}


def test_without_matplotlib_or_a_folder_it_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OneShotError, match="does not exist"):
        plots.plot_roc(tmp_path / "no" / "x.png", curves())
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(OneShotError, match="pip install"):
        plots.plot_roc(tmp_path / "x.png", curves())
    assert not list(tmp_path.iterdir())

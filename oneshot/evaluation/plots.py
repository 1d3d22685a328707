"""Curves and comparisons as PNG files, by matplotlib."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.verification import roc
from oneshot.files import replacing
from oneshot.types import AnyFloats

Curves = Mapping[str, tuple[AnyFloats, NDArray[np.bool_]]]
"""By what it is called: scores (K,), and which of them are the same person's."""

RATES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4)
"""Ticks of a DET plot."""


@contextmanager
def _written(path: Path, height: float = 5) -> Iterator[Any]:
    """An empty figure, written under its name when the block is left without an error."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OneShotError(f"{path}: needs {error.name}; pip install 'oneshot-face[demo]' to plot") from None
    figure = Figure(figsize=(6, height), layout="constrained")
    yield figure
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120)


@contextmanager
def _figure(path: Path, title: str, legend: str = "upper right") -> Iterator[Any]:
    """The axes of a figure that holds nothing else."""
    with _written(path) as figure:
        axes: Any = figure.add_subplot(title=title)
        yield axes
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc=legend)


def plot_det(path: Path, curves: Curves, title: str = "") -> None:
    """False rejects against false accepts, both on the scale of normal deviates (Martin et al. 1997)."""
    ticks = [_deviate(rate) for rate in RATES]
    with _figure(path, title) as axes:
        for name, (scores, same) in curves.items():
            _, far, tar = roc(scores, same)
            axes.plot([_deviate(rate) for rate in far], [_deviate(1 - rate) for rate in tar], label=name)
        for axis, what in ((axes.xaxis, "false accept rate (%)"), (axes.yaxis, "false reject rate (%)")):
            axis.set_ticks(ticks, [f"{100 * rate:g}" for rate in RATES])
            axis.set_label_text(what)
        axes.set(xlim=(ticks[0], ticks[-1]), ylim=(ticks[0], ticks[-1]))


def _deviate(rate: float) -> float:
    return NormalDist().inv_cdf(float(np.clip(rate, 1e-6, 1 - 1e-6)))


def plot_roc(path: Path, curves: Curves, title: str = "") -> None:
    """True accepts against false accepts, these on a logarithmic scale."""
    with _figure(path, title, "lower right") as axes:
        for name, (scores, same) in curves.items():
            _, far, tar = roc(scores, same)
            axes.plot(100 * np.maximum(far, 1e-6), 100 * tar, label=name)
        axes.set(
            xscale="log", xlim=(0.01, 100), xlabel="false accept rate (%)", ylabel="true accept rate (%)"
        )


def plot_times(path: Path, rows: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Milliseconds against the number of faces, a line a pipeline: rows of scripts/compare_fps.py."""
    with _figure(path, title, "upper left") as axes:
        for name in dict.fromkeys(row["pipeline"] for row in rows):
            mine = sorted((row["faces"], row["ms"]) for row in rows if row["pipeline"] == name)
            axes.plot(*zip(*mine, strict=True), marker="o", label=name)
        axes.set(yscale="log", xlabel="faces in view", ylabel="ms a picture", ylim=(1, None))


def plot_accuracy(path: Path, points: Mapping[str, tuple[float, float]], title: str = "") -> None:
    """Accuracy against time: (ms a picture, percent) of each pipeline."""
    with _figure(path, title) as axes:
        for name, point in points.items():
            axes.plot(*point, "o")
            axes.annotate(name, point, xytext=(5, 5), textcoords="offset points")
        axes.set(xscale="log", xlabel="ms a picture", ylabel="LFW accuracy, end to end (%)")


TURNED = {"tar": "same person accepted", "lost": "no face found", "strangers": "strangers accepted"}
"""What is drawn of `rotation.figures`."""


def plot_rotation(path: Path, turns: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    """How faces fare that are turned, a line a pipeline: by its name, figures by angle."""
    with _written(path, height=7) as figure:
        for axes, (key, title) in zip(figure.subplots(3, sharex=True), TURNED.items(), strict=True):
            for name, by_angle in turns.items():
                angles = [float(angle) for angle in by_angle]
                axes.plot(angles, [row[key] for row in by_angle.values()], label=name)
            axes.grid(alpha=0.3)
            axes.set(title=title, ylabel="%", ylim=(-3, 103), xticks=range(0, 361, 45))
        axes.set_xlabel("photo turned by (degrees)")
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2)


def plot_front(
    path: Path,
    points: Mapping[str, tuple[float, float]],
    front: Collection[str],
    labels: tuple[str, str],
    title: str = "",
) -> None:
    """Points (cost, worth) by name, and a line through the `front`: those that no other one beats in both."""
    with _figure(path, title, "lower right") as axes:
        axes.plot(*zip(*sorted(points[name] for name in front), strict=True), color="tab:orange", alpha=0.6)
        for name, point in points.items():
            axes.plot(*point, "o", color="tab:orange" if name in front else "tab:grey")
            axes.annotate(name, point, xytext=(5, 5), textcoords="offset points", fontsize=8)
        axes.margins(x=0.18)  # for the names
        axes.set(xlabel=labels[0], ylabel=labels[1])

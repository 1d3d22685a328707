"""The benchmark of the service runs it, and what it counts is possible."""

import json
import subprocess
import sys
from pathlib import Path

from conftest import ROOT, load_script
from serving import EILEEN

from oneshot import OneShot, read_image
from oneshot.evaluation.pipelines import OnePass


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "benchmark_serve.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_every_arrangement_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "serve.json"
    done = run(
        *("--pipelines", "oneshot-nano", "--clients", "1,2", "--faces", "1"),
        *("--side", "160", "--seconds", "0.3", "--rounds", "1", "--json", str(path)),
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(path.read_text())["rows"]
    assert [(row["arrangement"], row["clients"]) for row in rows] == [
        (name, clients) for clients in (1, 2) for name in ("oneshot-nano, batch 8", "oneshot-nano")
    ]
    for row in rows:
        assert 0 < row["requests"] < 10_000 and 0 < row["outside"] < 1
        assert 0 < row["p50"] <= row["p95"] <= row["p99"]


def test_a_pair_sees_one_picture_after_the_other(photos: dict[str, bytes], network: OneShot) -> None:
    images = [read_image(photos[name]) for name in (EILEEN, "nobody")]
    pair = load_script("benchmark_serve").Pair(OnePass(network), 640)
    assert [len(faces) for faces in pair(images)] == [1, 0]
    assert pair.side_for(images[0]) == 640


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    done = run("--peers", str(tmp_path))
    assert done.returncode == 2 and done.stderr.startswith("error: scrfd500m+mobilefacenet: ")

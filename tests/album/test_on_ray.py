"""The same index from a local Ray as from this process."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cv2
import pytest
from fake import photo, picture, write_model

from oneshot import OneShot, OneShotError
from oneshot.album import index as albums
from oneshot.album.on_ray import Describer, on_ray
from oneshot.cli import main

pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ray", reason="pip install 'oneshot-face[ray]'")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A Ray of one core, which the tests share: it takes seconds to start."""
    import ray

    ray.init(num_cpus=1, object_store_memory=100_000_000, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven photos with none to two faces, and two damaged files."""
    folder = tmp_path / "photos"
    (folder / "é").mkdir(parents=True)
    for i, name in enumerate(("Rhea", "Gus", "Bo")):
        cv2.imwrite(str(folder / f"{i}.png"), photo(name))
        cv2.imwrite(str(folder / "é" / f"{i}.png"), photo(name, seed=i + 1))
    cv2.imwrite(str(folder / "3.png"), picture(Rhea=(0, 0, 50, 50), Gus=(100, 100, 160, 160)))
    cv2.imwrite(str(folder / "4.png"), picture())
    (folder / "cut.jpg").write_bytes(b"\xff\xd8 cut")
    (folder / "é" / "empty.png").write_bytes(b"")
    return folder


@pytest.fixture
def loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in which each actor notes that it loads the model; actors get three photos at a time."""
    notes = tmp_path / "loads"

    class Noting(Describer):
        def __init__(self, *arguments: object):
            Describer.__init__(self, *arguments)  # type: ignore[arg-type]
            with notes.open("a") as file:
                file.write("loaded\n")

    monkeypatch.setattr("oneshot.album.on_ray.Describer", Noting)
    monkeypatch.setattr("oneshot.album.on_ray.BATCH", 3)
    return notes


def test_the_index_is_the_one_that_this_process_makes(
    folder: Path, tmp_path: Path, fake_weights: Path, loads: Path
) -> None:
    model = OneShot(fake_weights, threads=1, side=320)
    steps: list[int] = []
    there = partial(on_ray, "auto", model, fake_weights, None)
    ours = albums.index(folder, tmp_path / "here.parquet", model)
    rays = albums.index(folder, tmp_path / "ray.parquet", model, lambda: steps.append(1), there)
    assert rays == ours and rays.new == 8 and rays.faces == 8 and len(steps) == 10
    assert set(rays.damaged) == {"cut.jpg", "é/empty.png"}
    one, other = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("here", "ray"))
    assert other.equals(one, check_metadata=True)
    assert loads.read_text() == "loaded\n"  # four batches, one actor


def test_it_goes_on_where_it_was_stopped(
    folder: Path, tmp_path: Path, fake_weights: Path, loads: Path
) -> None:
    model = OneShot(fake_weights, threads=1)
    there = partial(on_ray, "auto", model, fake_weights, None)
    steps: list[int] = []

    def step() -> None:
        steps.append(1)
        if len(steps) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        albums.index(folder, tmp_path / "f.parquet", model, step, there)
    done = albums.index(folder, tmp_path / "f.parquet", model, describe=there)
    assert (done.new, done.known, done.faces) == (4, 4, 8)
    notes = loads.read_text()
    for damaged in ("cut.jpg", "é/empty.png"):
        (folder / damaged).unlink()
    assert albums.index(folder, tmp_path / "f.parquet", model, describe=there).known == 8
    assert loads.read_text() == notes  # there was nothing left for Ray to do


def test_a_machine_with_other_weights_is_refused(
    folder: Path, tmp_path: Path, fake_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = OneShot(fake_weights, threads=1)
    other = write_model(tmp_path / "other.onnx", weights_sha256="0" * 64)
    with pytest.raises(
        OneShotError, match="has other weights than the machine that started the job"
    ) as caught:
        albums.index(folder, tmp_path / "f.parquet", model, describe=partial(on_ray, "auto", model, other, 1))
    assert "\n" not in str(caught.value)


def test_the_command(
    folder: Path, tmp_path: Path, fake_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces.parquet"
    command = ["index", str(folder), "--out", str(out), "--weights", str(fake_weights), "--ray", "local"]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert "8 faces in 8 photos (8 new, 2 damaged)" in captured.out.replace("\n", " ")
    assert captured.err.count("damaged: ") == 2


def test_a_cluster_that_is_not_there(
    folder: Path, tmp_path: Path, fake_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    model = OneShot(fake_weights, threads=1)
    for address in ("127.0.0.1:9", "no-such-host.invalid:6379", "head:port"):
        with pytest.raises(OneShotError, match=f"^{address}: no Ray cluster there .*; give HOST:PORT"):
            there = partial(on_ray, address, model, fake_weights, None)
            albums.index(folder, tmp_path / "f.parquet", model, describe=there)
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == ["photos"]

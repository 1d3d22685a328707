"""Sources of every kind, and the sink."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from oneshot import OneShotError, OneShotWarning
from oneshot.media.encode import CODECS
from oneshot.media.sink import VideoSink
from oneshot.media.video import frames


def shade(level: int, width: int = 64, height: int = 48) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def write_video(path: Path, count: int = 10, fps: float = 20.0) -> Path:
    with VideoSink(path, fps) as sink:
        for i in range(count):
            sink.write(shade(20 * i % 256))
    return path


@pytest.mark.parametrize("suffix", CODECS)
def test_video_there_and_back(tmp_path: Path, suffix: str) -> None:
    source = frames(write_video(tmp_path / f"v{suffix}"))
    assert (source.total, source.fps, source.live, source.photos) == (10, 20, False, False)
    got = list(source)
    assert [f.number for f in got] == list(range(10))
    np.testing.assert_allclose([f.seconds for f in got], np.arange(10) / 20, atol=2e-3)
    np.testing.assert_allclose([f.image.mean() for f in got], np.arange(10) * 20, atol=4)
    assert got[0].image.shape == (48, 64, 3) and got[0].image.dtype == np.uint8
    assert [p.name for p in tmp_path.iterdir()] == [f"v{suffix}"]


def test_every_third_frame_keeps_its_number_and_time(tmp_path: Path) -> None:
    source = frames(str(write_video(tmp_path / "v.mp4")), every=3)
    assert source.total == 4 and source.fps == pytest.approx(20 / 3)
    got = list(source)
    assert [f.number for f in got] == [0, 3, 6, 9]
    np.testing.assert_allclose([f.seconds for f in got], [0, 0.15, 0.3, 0.45], atol=2e-3)
    np.testing.assert_allclose([f.image.mean() for f in got], [0, 60, 120, 180], atol=4)


def test_a_picture_is_a_source_of_one(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), shade(50))
    (tmp_path / "a.png").rename(tmp_path / "photo")  # told by its content
    for name in ("photo",):
        source = frames(tmp_path / name)
        assert source.photos and source.total == 1
        ((number, seconds, image),) = source
        assert (number, seconds, int(image.mean())) == (0, 0.0, 50)


def test_a_folder_is_a_source_in_natural_order(tmp_path: Path) -> None:
    for i in (1, 2, 10):
        cv2.imwrite(str(tmp_path / f"p{i}.png"), shade(i))
    assert [(f.number, f.seconds, int(f.image.mean())) for f in frames(tmp_path)] == [
        (0, 0, 1),
        (1, 1, 2),
        (2, 2, 10),
    ]
    every = frames(tmp_path, every=2)
    assert every.total == 2 and [(f.number, int(f.image.mean())) for f in every] == [(0, 1), (2, 10)]


def test_a_damaged_picture_in_a_folder_is_named_when_its_turn_comes(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), shade(1))
    (tmp_path / "2.png").write_text("no picture")
    source = iter(frames(tmp_path))
    assert next(source).number == 0
    with pytest.raises(OneShotError, match=r"2\.png: not a picture"):
        next(source)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.mp4", None, "no such picture, video or folder"),
        ("empty.mp4", b"", "the file is empty"),
        ("noise.mp4", bytes(range(256)) * 30, "not a video that OpenCV can read"),
        ("notes.txt", b"just words", "not a video that OpenCV can read"),
        ("album", "folder", "no pictures in this folder"),
    ],
)
def test_bad_sources_are_named_at_once(tmp_path: Path, name: str, data: object, message: str) -> None:
    path = tmp_path / name
    if data == "folder":
        path.mkdir()
    elif isinstance(data, bytes):
        path.write_bytes(data)
    with pytest.raises(OneShotError, match=message) as caught:
        frames(path)
    assert str(path) in str(caught.value)


def test_a_camera_that_is_not_there() -> None:
    for source in (97, "97"):
        with pytest.raises(OneShotError, match="camera 97: cannot be opened"):
            frames(source)
    with pytest.raises(OneShotError, match="every=0"):
        frames(0, every=0)


def test_a_video_without_frames(tmp_path: Path) -> None:
    """The container's head is whole, but all the pictures are cut off."""
    path = write_video(tmp_path / "v.avi")
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"movi") + 4])
    with pytest.raises(OneShotError, match=r"v\.avi"):
        list(frames(path))


def test_a_video_that_ends_early_is_told(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8)
    with VideoSink(path, 20) as sink:
        for image in noise:
            sink.write(image)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.warns(OneShotWarning, match=r"v\.avi: ended after 0\.\d of the 2\.0 s"):
        assert 1 <= len(list(frames(path))) < 30


def test_what_was_written_before_an_error_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with pytest.raises(RuntimeError), VideoSink(path, 20) as sink:
        for i in range(5):
            sink.write(shade(20 * i % 256))
        assert not path.exists()  # it appears when it is whole
        raise RuntimeError
    assert len(list(frames(path))) == 5
    assert [p.name for p in tmp_path.iterdir()] == ["v.mp4"]


def test_a_sink_without_frames_leaves_the_older_file(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"older")
    with VideoSink(path, 20):
        pass
    assert path.read_bytes() == b"older" and len(list(tmp_path.iterdir())) == 1


def test_frames_of_other_sizes_are_fitted_into_the_first(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "v.avi", 5) as sink:
        sink.write(shade(200, 63, 47))  # odd sides are filled up
        sink.write(shade(200, 640, 100))
        sink.write(shade(200, 10, 20))
    first, wide, high = (f.image for f in frames(tmp_path / "v.avi"))
    assert first.shape == wide.shape == high.shape == (48, 64, 3)
    assert first[24, 5].min() > 180
    assert wide[24].min() > 180 and wide[:16].max() < 20  # as wide as it goes, black above
    assert high[:, 32].min() > 180 and high[:, :16].max() < 20


def test_a_picture_as_sink(tmp_path: Path) -> None:
    with VideoSink(tmp_path / "a.png") as sink:
        sink.write(shade(77, 33, 21))
    assert (cv2.imread(str(tmp_path / "a.png")) == shade(77, 33, 21)).all()
    with pytest.raises(OneShotError, match="holds one frame"), VideoSink(tmp_path / "b.png") as sink:
        sink.write(shade(1))
        sink.write(shade(1))


@pytest.mark.parametrize(
    ("name", "message"),
    [("v.xyz", "cannot write this kind"), ("none/v.mp4", "does not exist"), ("folder.mp4", "is a folder")],
)
def test_sinks_that_cannot_be_written(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OneShotError, match=message):
        VideoSink(tmp_path / name)


@pytest.mark.parametrize("suffix", CODECS)
def test_from_start_to_end_of_a_video(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"v{suffix}", count=40, fps=10)
    got = list(frames(path, start=1.5, end=3.0))
    assert [f.number for f in got] == list(range(15, 30))
    np.testing.assert_allclose([f.seconds for f in got], np.arange(15, 30) / 10, atol=2e-3)
    np.testing.assert_allclose([f.image.mean() for f in got], [20 * i % 256 for i in range(15, 30)], atol=6)
    assert frames(path, start=1.5, end=3.0).total == 15
    assert [f.number for f in frames(path, every=4, start=1.5, end=3.0)] == [16, 20, 24, 28]
    assert [f.number for f in frames(path, start=3.8)] == [38, 39]


def test_a_span_without_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", count=10, fps=10)
    with pytest.raises(OneShotError, match=r"v\.mp4: ends before 5 s; give an earlier start"):
        list(frames(path, start=5))
    with pytest.raises(OneShotError, match="from 2 to 1 s there is nothing"):
        frames(path, start=2, end=1)


def test_from_start_to_end_of_a_folder(tmp_path: Path) -> None:
    for i in range(6):
        cv2.imwrite(str(tmp_path / f"{i}.png"), shade(i))
    assert [f.number for f in frames(tmp_path, start=1, end=4)] == [1, 2, 3]
    assert [f.number for f in frames(tmp_path, every=2, start=1)] == [2, 4]
    with pytest.raises(OneShotError, match="ends before 9 s"):
        frames(tmp_path, start=9)

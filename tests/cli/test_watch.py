"""The command `oneshot watch`, sound included, with the fake network."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake import photo, picture, write_sound

from oneshot.cli import main
from oneshot.media.sink import VideoSink
from oneshot.media.video import frames
from oneshot.types import Match
from oneshot.watch.sheet import clock, contact_sheet, round_times
from oneshot.watch.tracking import Track

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video of 40 frames (10 a second): Rhea in all but 15..34, Gus in 0..4, Bo, a stranger, in 20..24."""
    with VideoSink(tmp_path / "party.mp4", 10) as sink:
        for i in range(40):
            rhea = {} if 15 <= i < 35 else {"Rhea": (20 + i, 20, 80 + i, 80)}
            gus = {"Gus": (200, 40, 280, 120)} if i < 5 else {}
            bo = {"Bo": (120, 120, 200, 200)} if 20 <= i < 25 else {}
            sink.write(picture(**rhea, **gus, **bo))
    for name in ("Rhea", "Gus"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), photo(name))
    monkeypatch.delenv("ONESHOT_GALLERY", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(desk: Path, fake_weights: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    def call(*args: Any) -> tuple[int, str, str]:
        code = main([*map(str, args), "--weights", str(fake_weights), "--threads", "1"])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def enrolled(run: Run) -> None:
    for name in ("Rhea", "Gus"):
        assert run("enroll", name, f"{name}.png")[0] == 0


def cells(table: str) -> list[list[str]]:
    lines = (line for line in table.splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


@pytest.mark.usefixtures("enrolled")
def test_one_track_a_stay_one_name_a_track(run: Run, desk: Path) -> None:
    files = ("--out", "o.mp4", "--json", "o.jsonl", "--csv", "o.csv", "--sheet", "o.png")
    code, out, err = run("watch", "party.mp4", *files)
    assert code == 0 and err.startswith("40 frames in")
    stays = [
        ["1", "Rhea", "0:00.00", "0:01.40", "15", "1.00"],
        ["2", "Gus", "0:00.00", "0:00.40", "5", "1.00"],
        ["3", "unknown", "0:02.00", "0:02.40", "5"],
        ["4", "Rhea", "0:03.50", "0:03.90", "5", "1.00"],
    ]
    assert [row[: len(stay)] for row, stay in zip(cells(out), stays, strict=True)] == stays
    lines = [json.loads(line) for line in (desk / "o.jsonl").read_text().splitlines()]
    assert len(lines) == 30
    assert {(line["track"], line["name"]) for line in lines} == {
        (1, "Rhea"),
        (2, "Gus"),
        (3, None),
        (4, "Rhea"),
    }
    with (desk / "o.csv").open() as file:
        rows = sorted(csv.DictReader(file), key=lambda r: r["track"])  # they come as they end
    assert [(r["track"], r["name"], r["frames"]) for r in rows] == [
        ("1", "Rhea", "15"),
        ("2", "Gus", "5"),
        ("3", "", "5"),
        ("4", "Rhea", "5"),
    ]
    assert float(rows[3]["start"]) == pytest.approx(3.5, abs=2e-3)
    drawn = list(frames(desk / "o.mp4"))
    assert len(drawn) == 40
    sheet = cv2.imread(str(desk / "o.png"))
    assert sheet.shape[1] == 1200 and sheet.std() > 10
    assert not list(desk.glob(".*partial*"))


@pytest.mark.usefixtures("enrolled")
def test_who_is_known_need_not_be_described_in_every_frame(run: Run, desk: Path) -> None:
    code, out, err = run("watch", "party.mp4", "--json", "all.jsonl")
    assert code == 0 and "in full" not in err
    code, spared, err = run("watch", "party.mp4", "--json", "o.jsonl", "--skip-known")
    assert code == 0 and spared == out
    assert (desk / "o.jsonl").read_text() == (desk / "all.jsonl").read_text()
    full = int(err.split(" a second, ")[1].split(" of them in full")[0])
    assert full < 35


@pytest.mark.usefixtures("enrolled")
def test_a_part_of_a_video(run: Run, desk: Path) -> None:
    code, out, err = run("watch", "party.mp4", "--start", 1, "--end", 2.2, "--every", 2, "--all-tracks")
    assert code == 0 and err.startswith("6 frames in")
    assert [row[1:5] for row in cells(out)] == [
        ["Rhea", "0:01.00", "0:01.40", "3"],
        ["unknown", "0:02.00", "0:02.00", "1"],
    ]


@pytest.mark.usefixtures("enrolled")
def test_unknown_tracks_that_may_be_noise_are_counted_and_not_listed(run: Run, desk: Path) -> None:
    code, out, err = run(
        "watch", "party.mp4", "--start", 1, "--end", 2.2, "--csv", "o.csv", "--json", "o.jsonl"
    )
    assert code == 0 and [row[1] for row in cells(out)] == ["Rhea"]  # Bo is in two frames of it
    assert "1 unknown track too short or unclear; --all-tracks for all" in err
    assert len((desk / "o.csv").read_text().splitlines()) == 2
    lines = [json.loads(line) for line in (desk / "o.jsonl").read_text().splitlines()]
    assert sum(line["name"] is None for line in lines) == 2  # every face of every frame


@pytest.mark.usefixtures("enrolled")
def test_json_on_standard_output_is_nothing_but_json(run: Run, desk: Path) -> None:
    code, out, err = run("watch", "party.mp4", "--json", "-")
    assert code == 0 and "Seen in party.mp4" in err
    assert {json.loads(line)["name"] for line in out.splitlines()} == {"Rhea", "Gus", None}
    assert not (desk / "-").exists()


def test_without_a_gallery_everybody_is_unknown_and_that_is_said(run: Run) -> None:
    code, out, err = run("watch", "party.mp4", "--end", 1, "--all-tracks")
    assert code == 0 and "note: gallery.db: no such gallery; everybody is unknown" in err
    assert [row[1] for row in cells(out)] == ["unknown", "unknown"]
    code, _, err = run("watch", "party.mp4", "--gallery", "mine.db")
    assert code == 2 and "mine.db: no such gallery" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("none.mp4",), "none.mp4: no such picture, video or folder"),
        (("97", "--reconnect", "0"), "camera 97: cannot be opened"),
        (
            ("http://127.0.0.1:9/none", "--reconnect", "0"),
            "http://127.0.0.1:9/none: cannot be opened; is the address right",
        ),
        (("party.mp4", "--start", "9"), "party.mp4: ends before 9 s"),
        (("party.mp4", "--start", "2", "--end", "1"), "give an end after the start"),
        (("party.mp4", "--out", "party.mp4"), "is the input itself"),
        (("party.mp4", "--out", "o.png"), "a picture cannot hold party.mp4"),
        (("party.mp4", "--out", "o.mp4", "--csv", "o.mp4"), "two outputs have the same name"),
        (("party.mp4", "--sheet", "none/o.png"), "the folder none does not exist"),
        (("party.mp4", "--every", "0"), "--every"),
    ],
)
@pytest.mark.usefixtures("enrolled")
def test_what_is_wrong_is_said_in_one_line(run: Run, args: tuple[str, ...], message: str) -> None:
    code, out, err = run("watch", *args)
    assert (code, out) == (2, "") and message in err
    assert err.startswith("error: ") and len(err.splitlines()) == 1


def tone(path: Path, seconds: float, rate: int = 16000) -> Path:
    """A file with nothing but sound: silence, then from one second on a tone."""
    pytest.importorskip("av")
    times = np.arange(int(seconds * rate)) / rate
    return write_sound(path, 0.5 * np.sin(2 * np.pi * 440 * times) * (times >= 1), rate)


def loud_from(path: Path) -> tuple[float, float]:
    """When the tone begins, and when the sound ends, in seconds."""
    av = pytest.importorskip("av")
    begins, ends = np.inf, 0.0
    with av.open(str(path)) as source:
        for frame in source.decode(audio=0):
            ends = frame.time + frame.samples / frame.sample_rate
            if np.abs(frame.to_ndarray()).max() > 0.2:
                begins = min(begins, frame.time)
    return begins, ends


@pytest.mark.usefixtures("enrolled")
def test_sound_is_kept_and_cut_with_the_pictures(run: Run, desk: Path) -> None:
    sound = tone(desk / "tone.m4a", 4.0)
    before = list(frames(desk / "party.mp4"))
    with VideoSink(desk / "party.mp4", 10, sound=sound) as sink:
        for frame in before:
            sink.write(frame.image)
    assert len(list(frames(desk / "party.mp4"))) == 40
    code, _, err = run("watch", "party.mp4", "--out", "o.mp4")
    assert code == 0 and "note" not in err
    begins, ends = loud_from(desk / "o.mp4")
    assert begins == pytest.approx(1, abs=0.15) and ends == pytest.approx(4, abs=0.15)
    assert len(list(frames(desk / "o.mp4"))) == 40
    code, _, err = run("watch", "party.mp4", "--out", "p.mp4", "--start", 0.5, "--end", 2)
    begins, ends = loud_from(desk / "p.mp4")
    assert begins == pytest.approx(0.5, abs=0.15) and ends == pytest.approx(1.5, abs=0.15)


def track(number: int, name: str | None, start: float, end: float) -> Track:
    image = np.full((60, 80, 3), 40 * number % 256, np.uint8)
    return Track(number, start, end, int(10 * (end - start)), Match(name, 0.7), 0.5, image)


def test_the_sheet_has_a_row_a_person_with_bars_where_they_were() -> None:
    sheet = contact_sheet(
        [track(1, "Ada", 0, 5), track(2, None, 2, 3), track(3, "Ada", 9, 10)], 0, 10, "v.mp4"
    )
    alone = contact_sheet([track(1, "Ada", 0, 5)], 0, 10, "v.mp4")
    assert sheet.shape[0] - alone.shape[0] == 108  # two rows and not three
    bar = alone[60 + 48 - 10, 400:1188].astype(int)  # above the line in the middle of the first row
    filled = np.abs(bar - bar[-1]).max(1) > 40
    assert filled[5:390].all() and not filled[400:].any()
    assert contact_sheet([], 0, 0, "a long name " * 50).shape[1] == 1200
    many = [track(i, None, 0, 1) for i in range(1, 60)]
    assert contact_sheet(many, 0, 1, "v").shape[0] < 4500
    assert clock(62.5) == "1:02.50"


def test_the_sheet_marks_round_times() -> None:
    assert round_times(0, 10) == [0, 2, 4, 6, 8, 10]
    assert round_times(7.5, 620) == [120, 240, 360, 480, 600]
    assert round_times(3.2, 3.8) == [] and round_times(0, 0) == [0]
    days = round_times(0, 3 * 86400)
    assert len(days) <= 8 and days[1] % 3600 == 0
    sheet = contact_sheet([track(1, "Ada", 0, 5)], 0, 10, "v.mp4")
    beside = sheet[70].astype(int)  # in the first row, above its line
    dark = np.flatnonzero(np.abs(beside[400:] - beside[-1]).max(1) > 10) + 400
    assert 400 + round(788 * 0.6) in dark and 400 + round(788 * 0.7) not in dark

"""Where commands write: standard output stays clean, odd names are shown, what was skipped is said."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
from fake import photo

from oneshot import Gallery, OneShot
from oneshot.cli import main

Run = Callable[..., tuple[int, str, str]]
ODD = os.fsdecode(b"m\xfcller")


@pytest.fixture
def run(
    tmp_path: Path, fake_weights: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    monkeypatch.chdir(tmp_path)
    for variable in ("ONESHOT_GALLERY", "ONESHOT_KEY", "ONESHOT_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        code = main([*args, "--weights", str(fake_weights), "--threads", "1"])
        return (code, *capfd.readouterr())

    return call


def put(name: str, who: str = "Rhea") -> None:
    Path(name).write_bytes(cv2.imencode(".png", photo(who))[1].tobytes())


def test_json_on_standard_output_is_nothing_but_json(run: Run, model: OneShot) -> None:
    put("a.png")
    with Gallery(model, "gallery.db") as gallery:
        gallery.enroll("Rhea", [photo("Rhea")])
    code, out, err = run("identify", "a.png", "--json", "-")
    assert code == 0 and "similarity" in err
    assert [json.loads(line)["name"] for line in out.splitlines()] == ["Rhea"]
    assert not Path("-").exists()


def test_names_of_other_bytes_are_shown_escaped(run: Run) -> None:
    put(f"{ODD}.png")
    code, out, err = run("enroll", ODD, f"{ODD}.png")
    assert (code, out, err) == (0, "m\\xfcller: 1 photo enrolled\n", "")
    code, out, err = run("identify", f"{ODD}.png", "--json", "o.jsonl")
    assert code == 0 and r"m\xfcller" in out and err.startswith("threshold")
    line = json.loads(Path("o.jsonl").read_text(encoding="utf-8"))
    assert line["photo"] == f"{ODD}.png" and line["name"] == r"m\xfcller"
    assert run("verify", ODD, f"{ODD}.png")[0] == 0
    assert run("remove", ODD, "--yes")[0] == 0


def test_an_index_says_what_it_skipped(run: Run) -> None:
    pytest.importorskip("pyarrow")
    Path("photos").mkdir()
    put("photos/a.jfif")
    put(f"photos/{ODD}.png", "Gus")
    Path("photos/b.txt").write_text("words")
    Path("photos/c.jpg").write_text("words")
    code, out, err = run("index", "photos")
    assert (code, out) == (0, "faces.parquet: 2 faces in 2 photos (2 new, 1 damaged)\n")
    assert err.splitlines()[-1] == "2 files skipped: 1 .txt, 1 damaged"
    code, out, _ = run("find", f"photos/{ODD}.png")
    assert code == 0 and "ller.png" in out
    assert run("cluster")[0] == 0 and "ller.png" in Path("people-page/index.html").read_text(encoding="utf-8")
    code, _, err = run("index", "photos", "--out", "/dev/null")
    assert code == 2 and "/dev/null: is a pipe or a device, and keeps nothing" in err

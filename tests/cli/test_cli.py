"""The command `oneshot` from end to end with the fake network."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT
from fake import EMBEDDINGS, photo, picture, write_blank, write_model

from oneshot import Gallery, OneShot
from oneshot.cli import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos of Rhea (three) and Gus (two), and of both; one is there."""
    for name, count in (("Rhea", 3), ("Gus", 2)):
        (tmp_path / "people" / name).mkdir(parents=True)
        for i in range(count):
            cv2.imwrite(str(tmp_path / "people" / name / f"{i}.png"), photo(name, seed=i))
    both = np.full((240, 320, 3), 15, np.uint8)
    both[20:100, 20:100] = photo("Rhea", seed=9)[60:140, 60:140]
    both[50:130, 150:230] = photo("Bo", seed=9)[60:140, 60:140]
    cv2.imwrite(str(tmp_path / "both.png"), both)
    cv2.imwrite(str(tmp_path / "wall.png"), picture())
    cv2.imwrite(str(tmp_path / "flat.png"), picture(Rhea=(20, 20, 120, 120)))
    for variable in ("ONESHOT_GALLERY", "ONESHOT_KEY", "ONESHOT_KEY_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(desk: Path, fake_weights: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Calls a command in `desk`; gives its exit code, stdout and stderr."""

    def call(*args: Any, weights: Path | None = fake_weights) -> tuple[int, str, str]:
        chosen = ["--weights", str(weights), "--threads", "1"] if weights else []
        code = main([*map(str, args), *chosen])
        return (code, *capfd.readouterr())

    return call


@pytest.fixture
def enrolled(run: Run, desk: Path) -> Path:
    assert run("enroll", "--people", "people")[0] == 0
    return desk / "gallery.db"


def cells(table: str) -> list[list[str]]:
    lines = (line for line in table.splitlines() if line.startswith("│"))
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_enroll_names_what_it_leaves_out(run: Run, desk: Path, model: OneShot) -> None:
    code, out, err = run("enroll", "Rhea", "people/Rhea", "flat.png", "both.png", "none.png")
    assert (code, out) == (0, "Rhea: 4 photos enrolled, 2 left out\n")
    assert err.splitlines() == [
        "left out: flat.png: the face is blurred; take a sharper one",
        "left out: none.png: no such picture; check the name",
    ]
    code, out, err = run("enroll", "Rhea", "people/Rhea/1.png")
    assert (code, out) == (0, "Rhea: 0 photos enrolled, 1 left out\n") and "already enrolled" in err
    code, out, err = run("enroll", "Rhea", "flat.png", "--all", "--template", "flat")
    assert (code, out, err) == (0, "Rhea: 1 photo enrolled\n", "")
    (rhea,) = Gallery.load(desk / "gallery.db", model).people
    assert {label: len(q) for label, q in rhea.templates.items()} == {"": 4, "flat": 1}


def test_many_people_at_once_and_those_that_failed_are_named(run: Run, desk: Path, model: OneShot) -> None:
    (desk / "people" / "Ada").mkdir()
    (desk / "people" / "Ada" / "1.png").write_bytes((desk / "wall.png").read_bytes())
    code, out, err = run("enroll", "--people", "people")
    assert code == 2 and out.splitlines() == ["Gus: 2 photos enrolled", "Rhea: 3 photos enrolled"]
    assert err.splitlines()[0].startswith("left out: Ada: none of the photos can be enrolled")
    assert err.splitlines()[-1] == (
        "error: people: 1 person of 3 could not be enrolled (Ada); add better photos of them"
    )
    assert Gallery.load(desk / "gallery.db", model).names == ["Gus", "Rhea"]  # the others are safe


@pytest.mark.usefixtures("enrolled")
def test_people_are_renamed_merged_and_their_photos_listed(run: Run, desk: Path) -> None:
    assert run("rename", "Rhea", "Rhe\x1b[31ma")[:2] == (0, "renamed\n")
    assert run("update", "Gus", "--external-id", "7", "--metadata", '{"team": "red"}')[0] == 0
    gus, rhea = json.loads(run("list", "--json")[1])
    assert (gus["external_id"], gus["metadata"], rhea["name"]) == ("7", {"team": "red"}, "Rhe [31ma")
    found = json.loads(run("photos", rhea["id"], "--json")[1])
    assert [photo["file"] for photo in found] == ["0.png", "1.png", "2.png"]
    assert found[0]["similarity"] == 1 and found[0]["path"] is None and not found[0]["kept"]
    code, out, _ = run("photos", rhea["id"], "--remove", "1.png")
    assert code == 0 and [row[1] for row in cells(out)] == ["0.png", "2.png"] and "\x1b" not in out
    assert run("merge", "7", rhea["id"])[:2] == (0, "2 photos added\n")
    (only,) = json.loads(run("list", "--json")[1])
    assert (only["id"], only["external_id"]) == (rhea["id"], "7")
    code, _, err = run("rename", "Bo\x1b[31m", "Ada")
    assert code == 2 and err == "error: Bo [31m: is not enrolled; enrolled are Rhe [31ma\n"
    code, _, err = run("update", "7", "--metadata", "red")
    assert code == 2 and "--metadata: not JSON" in err
    code, _, err = run("rename", "Rhea", "Ada", "-g", "people")
    assert code == 2 and "people: changes stay in a gallery's file" in err


def test_after_a_change_of_weights_people_are_described_anew(run: Run, desk: Path) -> None:
    other = write_model(desk / "other.onnx", weights_sha256="0" * 64)
    assert run("enroll", "Rhea", "people/Rhea", "--keep")[0] == 0
    assert run("identify", "both.png", weights=other)[0] == 2
    assert run("reenroll", weights=other)[:2] == (0, "3 photos described anew\n")
    assert "Rhea" in run("identify", "both.png", weights=other)[1]


@pytest.mark.usefixtures("enrolled")
def test_identify_names_who_is_known(run: Run, desk: Path) -> None:
    code, out, err = run("identify", "both.png", "wall.png", "--json", "faces.jsonl")
    # Compared with two people, a stranger may be mistaken for each half as often: 0.43 instead of 0.4.
    assert (code, err) == (0, "threshold 0.430, FAR 1e-3 of a search among 2 people\n")
    rhea, stranger = cells(out)
    margin = f"{1 - EMBEDDINGS[0] @ EMBEDDINGS[1]:.2f}"
    assert rhea == ["Rhea", "1.00", margin, "20", "20", "80", "80"] and stranger[0] == "unknown"
    assert "wall.png: no face found" in out
    lines = [json.loads(line) for line in (desk / "faces.jsonl").read_text().splitlines()]
    assert [(line["photo"], line["name"]) for line in lines] == [("both.png", "Rhea"), ("both.png", None)]
    known = {"photo", "box", "score", "landmarks", "name", "similarity", "margin", "reason", "threshold"}
    assert set(lines[0]) == known and lines[0]["reason"] is None
    code, out, _ = run("identify", "both.png", "--threshold", "-1", "--top", "5", "--json", "faces.jsonl")
    assert "unknown" not in out
    first, _ = [json.loads(line) for line in (desk / "faces.jsonl").read_text().splitlines()]
    assert [c["name"] for c in first["candidates"]] == ["Rhea", "Gus"]
    assert first["candidates"][0]["similarity"] == 1


@pytest.mark.usefixtures("enrolled")
def test_of_a_blurred_face_nobody_can_tell(run: Run, desk: Path) -> None:
    code, out, _ = run("verify", "Rhea", "flat.png", "--json", "answer.json")
    assert code == 3 and out.startswith(
        "flat.png: cannot tell: the face is blurred (similarity 1.000, margin"
    )
    answer = json.loads((desk / "answer.json").read_text())
    assert (answer["same"], answer["reason"], answer["far"]) == (None, "the face is blurred", 0.001)
    code, out, _ = run("compare", "people/Rhea/0.png", "flat.png", "--json", "answer.json")
    assert code == 3 and "cannot tell: flat.png: the face is blurred" in out
    code, out, err = run("identify", "flat.png", "--json", "faces.jsonl")
    assert code == 0 and cells(out)[0][0] == "cannot tell" and "flat.png: the face is blurred" in err
    line = json.loads((desk / "faces.jsonl").read_text())
    assert (line["name"], line["reason"]) == (None, "the face is blurred")
    assert run("verify", "Rhea", "people/Rhea/0.png", "--json", "answer.json")[0] == 0
    assert json.loads((desk / "answer.json").read_text())["same"] is True


@pytest.mark.usefixtures("enrolled")
def test_a_face_that_another_is_enrolled_with_is_refused_unless_forced(run: Run, desk: Path) -> None:
    cv2.imwrite(str(desk / "rhea.png"), photo("Rhea", seed=7))
    code, _, err = run("enroll", "Ada", "rhea.png")
    assert code == 2 and "rhea.png: already enrolled as Rhea, similarity 1.00" in err
    assert run("enroll", "Ada", "people/Rhea/0.png", "--all")[0] == 2  # the same photo, too
    assert run("enroll", "Rhea", "rhea.png")[0] == 0
    assert run("enroll", "Ada", "rhea.png", "--force")[0] == 0


@pytest.mark.usefixtures("enrolled")
def test_verify_says_yes_no_and_no_face_by_its_exit_code(run: Run) -> None:
    code, out, _ = run("verify", "Rhea", "people/Rhea/0.png")
    margin = f"{1 - EMBEDDINGS[0] @ EMBEDDINGS[1]:.3f}"
    assert (
        code == 0
        and out
        == f"people/Rhea/0.png: is Rhea (similarity 1.000, margin {margin}, threshold 0.400, FAR 1e-3)\n"
    )
    code, out, _ = run("verify", "Gus", "people/Rhea/0.png", "--far", "1e-2")
    assert code == 1 and "is not Gus" in out and "threshold 0.250" in out
    code, out, _ = run("verify", "Rhea", "wall.png", "--threshold", "-1")
    assert (code, out) == (1, "wall.png: no face found, and so no match\n")
    code, _, err = run("verify", "Rhea", "both.png")
    assert code == 2 and "both.png: 2 faces found where one is wanted" in err
    code, _, err = run("verify", "Bo", "people/Rhea/0.png")
    assert code == 2 and err == "error: Bo: is not enrolled; enrolled are Gus, Rhea\n"


def test_compare_needs_no_gallery(run: Run, desk: Path) -> None:
    code, out, _ = run("compare", "people/Rhea/0.png", "people/Rhea/1.png")
    assert code == 0 and "the same person (similarity 1.000" in out
    code, out, _ = run("compare", "people/Rhea/0.png", "people/Gus/0.png")
    assert code == 1 and f"different people (similarity {EMBEDDINGS[0] @ EMBEDDINGS[1]:.3f}" in out
    assert run("compare", "flat.png", "wall.png", "--threshold", "-1")[:2] == (
        1,
        "wall.png: no face found, and so no match\n",
    )
    assert not (desk / "gallery.db").exists()


def test_a_face_that_cannot_be_described_is_an_answer_and_never_a_match(
    run: Run, enrolled: Path, tmp_path: Path
) -> None:
    blank = write_blank(tmp_path / "blank.onnx")
    face = "people/Gus/0.png"
    said = "cannot tell: a face is found, but not which way up it is"
    code, out, _ = run("verify", "Gus", face, "--threshold", "-1", weights=blank)
    assert code == 3 and f"{face}: {said}" in out
    code, out, _ = run("compare", face, "people/Gus/1.png", "--threshold", "-1", weights=blank)
    assert code == 3 and f"cannot tell: {face}: a face is found, but not" in out
    code, out, _ = run("identify", face, "--threshold", "-1", weights=blank)
    assert code == 0 and cells(out)[0][:2] == ["cannot tell", "-1.00"]
    code, _, err = run("calibrate", "people", weights=blank)
    assert code == 2 and "note: people/Gus/0.png: a face is found, but not which way up it is" in err
    code, _, err = run("enroll", "Bo", face, "--all", weights=blank)
    assert (code, len(err.splitlines())) == (2, 1)
    assert f"{face}: a face is found, but not which way up it is; enroll a photo that shows it upright" in err
    assert run("index", "people", weights=blank)[0] == 0
    assert run("find", face, "--threshold", "-1", weights=blank)[0] == 1
    assert run("find", face, "--threshold", "-1")[0] == 1  # nor is it found
    code, out, _ = run("cluster", "--threshold", "-1", weights=blank)
    assert code == 0 and "0 people, 5 faces seen once" in out


@pytest.mark.usefixtures("enrolled")
def test_list_remove_export_import(run: Run, desk: Path) -> None:
    code, out, _ = run("list")
    assert code == 0 and [row[:3] for row in cells(out)] == [["Gus", "", "2"], ["Rhea", "", "3"]]
    assert run("export", "all.npz")[:2] == (0, "all.npz: 2 people written\n")
    code, _, err = run("remove", "Rhea", "Bo", "--yes")
    assert code == 2 and "Bo: is not enrolled" in err and "Rhea" in run("list")[1]  # nobody is gone
    assert run("remove", "Rhea", "--yes")[:2] == (0, "Rhea: 3 photos forgotten\n")
    data = json.loads(run("list", "--json")[1])
    assert [person["name"] for person in data] == ["Gus"] and len(data[0]["templates"][""]) == 2
    assert run("import", "all.npz")[:2] == (0, "3 new photos from all.npz\n")
    assert run("list", "--gallery", "all.npz")[0] == 0
    assert run("remove", "Rhea", "--yes", "--gallery", "all.npz")[0] == 2
    assert run("import", "gallery.db", "-g", "copy.db")[:2] == (0, "5 new photos from gallery.db\n")
    assert (desk / "copy.db").is_file()


def test_remove_asks_first(run: Run, enrolled: Path, monkeypatch: pytest.MonkeyPatch, model: OneShot) -> None:
    monkeypatch.setattr("click.confirm", lambda *_, **__: (_ for _ in ()).throw(__import__("click").Abort()))
    assert run("remove", "Rhea")[0] == 130
    assert Gallery.load(enrolled, model).names == ["Gus", "Rhea"]


def test_an_encrypted_gallery_needs_its_key(run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cryptography")
    (desk / "key").write_text("a secret of some length\n")
    assert run("enroll", "Gus", "people/Gus", "--key-file", "key")[0] == 0
    code, _, err = run("list")
    assert code == 2 and "gallery.db: is encrypted; give its key by --key-file or ONESHOT_KEY" in err
    monkeypatch.setenv("ONESHOT_KEY", "a secret of some length")
    assert "Gus" in run("list")[1]
    monkeypatch.setenv("ONESHOT_KEY", "quite another secret")
    assert "another key" in run("list")[2]


def test_a_gallery_in_milvus_is_used_like_a_file(
    run: Run, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")
    monkeypatch.setenv("ONESHOT_GALLERY", "milvus:faces.db")
    assert run("list")[::2] == (
        2,
        "error: milvus:faces.db: no such gallery; make one with oneshot enroll, or check the name\n",
    )
    assert run("enroll", "--people", "people")[0] == 0
    code, out, _ = run("identify", "both.png", "--threshold", "0.4", "--top", "2")
    assert code == 0 and "Rhea" in out
    assert run("verify", "Gus", "people/Rhea/0.png", "--threshold", "0.4")[0] == 1
    assert run("export", "all.npz")[0] == 0
    assert run("import", "all.npz")[:2] == (0, "0 new photos from all.npz\n")
    assert run("import", "milvus:faces.db", "--gallery", "copy.db")[:2] == (
        0,
        "5 new photos from milvus:faces.db\n",
    )
    code, out, err = run("remove", "Rhea", "--yes")
    assert (code, out) == (0, "Rhea: 3 photos forgotten\n") and "Milvus does not overwrite" in err
    assert [person["name"] for person in json.loads(run("list", "--json")[1])] == ["Gus"]
    monkeypatch.setenv("ONESHOT_KEY", "correct horse battery staple")
    code, _, err = run("identify", "flat.png")
    assert code == 2 and "Milvus cannot search what is encrypted" in err and err.count("\n") == 1
    monkeypatch.setenv("ONESHOT_GALLERY", "milvus:http://ada:secret@127.0.0.1:1")
    monkeypatch.delenv("ONESHOT_KEY")
    code, _, err = run("identify", "flat.png")
    assert code == 2 and err == (
        "error: milvus:http://127.0.0.1:1: the server does not answer; check the address, and that it runs\n"
    )


def test_the_gallery_may_be_named_by_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONESHOT_GALLERY", "mine.db")
    assert run("enroll", "Gus", "people/Gus")[0] == 0 and Path("mine.db").is_file()


def test_calibrate_and_use_what_it_wrote(run: Run, desk: Path) -> None:
    # The fake knows three faces, so that more people would be the same ones.
    (desk / "people" / "Bo").mkdir()
    for i in range(2):
        cv2.imwrite(str(desk / "people" / "Bo" / f"{i}.png"), photo("Bo", seed=i))
    (desk / "people" / "Bo" / "2.png").write_bytes((desk / "wall.png").read_bytes())
    code, out, err = run("calibrate", "people", "--far", "0.3,1e-3", "--json", "c.json")
    assert code == 0 and "3 people, 8 photos, 1 without a face" in out
    assert "note: people/Bo/2.png: no face found" in err
    assert "FAR 0.001: too few impostor trials: 16, it takes 1,000" in out
    facts = json.loads((desk / "c.json").read_text())
    assert list(facts["thresholds"]) == ["0.3"] and facts["missed"] == 1
    measured = facts["verification"][0]
    similar = sorted((EMBEDDINGS @ EMBEDDINGS.T)[np.triu_indices(3, 1)])
    assert similar[0] < facts["thresholds"]["0.3"] <= similar[-1] + 1e-6
    assert measured["trials"] == 3 * 2 + 3 * 2 + 2 * 2
    assert measured["true_rate"] == pytest.approx(5 / 7)  # Bo's faceless photo is in two of the seven pairs
    assert run("enroll", "Gus", "people/Gus")[0] == 0
    code, out, _ = run("verify", "Gus", "people/Gus/0.png", "--far", "0.3", "--calibration", "c.json")
    assert code == 0 and f"threshold {facts['thresholds']['0.3']:.3f}" in out
    code, _, err = run("verify", "Gus", "people/Gus/0.png", "--calibration", "c.json")
    assert code == 2 and "far=1e-3: no threshold was measured for it; choose from 0.3" in err
    other = write_model(desk / "o.onnx", weights_sha256="0" * 64)
    code, _, err = run("compare", "flat.png", "flat.png", "--calibration", "c.json", weights=other)
    assert code == 2 and "c.json: measured with other weights" in err


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("enrol", "Ada"), "No such command 'enrol'"),
        (("enroll",), "want NAME and PHOTOS, or --people FOLDER; see oneshot enroll --help"),
        (("enroll", "Ada"), "want at least one photo"),
        (("enroll", "Ada", "a.png", "--people", "people"), "or --people FOLDER"),
        (("enroll", " ", "flat.png"), "a person needs a name"),
        (("enroll", "Ada", "empty"), "empty: no pictures in this folder"),
        (("enroll", "Ada", "flat.png", "-g", "none/g.db"), "the folder none does not exist"),
        (("enroll", "Ada", "flat.png", "-g", "g.npz"), "g.npz: a gallery's name ends in .db"),
        (("identify", "flat.png"), "gallery.db: no such gallery; make one with oneshot enroll"),
        (("identify", "flat.png", "-g", "people", "--far", "often"), "far=often: no threshold was measured"),
        (("identify", "flat.png", "-g", "people", "--threshold", "2"), "2.0 is not in the range -1<=x<=1"),
        (("identify", "none.png", "-g", "people"), "none.png: no such picture"),
        (("identify", "flat.png", "-g", "people", "--side", "1"), "1 is not in the range 32<=x<=16384"),
        (("identify", "flat.png", "-g", "people", "--json", "none/a"), "the folder none does not exist"),
        (("identify", "flat.png", "-g", "people", "--calibration", "none"), "none: no such calibration"),
        (
            ("identify", "flat.png", "-g", "people", "--calibration", "wall.png"),
            "wall.png: not a calibration",
        ),
        (("identify", "flat.png", "--thresold", "1"), "--thresold"),
        (("compare", "flat.png"), "Missing argument 'SECOND'; see oneshot compare --help"),
        (("import", "none.npz"), "none.npz: no such gallery"),
        (("import", "wall.png"), "wall.png: not a gallery, or a damaged one"),
        (("calibrate", "none"), "none: no such folder"),
        (("calibrate", "people", "--far", "2"), "--far 2: want rates between 0 and 1"),
        (("calibrate", "one"), "one: 1 person in it; at least two are needed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(run: Run, desk: Path, args: tuple[str, ...], message: str) -> None:
    (desk / "empty").mkdir()
    (desk / "one" / "Rhea").mkdir(parents=True)
    cv2.imwrite(str(desk / "one" / "Rhea" / "0.png"), photo("Rhea"))
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert message in err and err.startswith("error: ") and len(err.splitlines()) == 1


def test_help_has_examples_and_as_a_command_errors_exit_with_2(desk: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def command(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "oneshot", *args],
            env=environment,
            capture_output=True,
            text=True,
            cwd=desk,
        )

    for name in (
        "enroll",
        "identify",
        "verify",
        "compare",
        "list",
        "remove",
        "export",
        "import",
        "calibrate",
    ):
        assert main([name, "--help"]) == 0
    done = command("enroll", "--help")
    assert done.returncode == 0 and "oneshot enroll Ada ada1.jpg ada2.jpg" in done.stdout
    done = command("list")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == "error: gallery.db: no such gallery; make one with oneshot enroll, or check the name\n"
    )

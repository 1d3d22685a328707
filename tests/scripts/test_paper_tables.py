"""The paper's tables beside ours, from stand-in results; what is timed is not judged."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from conftest import load_script

from oneshot.evaluation import paper


@pytest.fixture
def script() -> ModuleType:
    return load_script("paper_tables")


def result(path: Path, eer: float) -> Path:
    figures = {size: {pair: {"eer": eer + int(size)} for pair in paper.COLUMNS} for size in ("1", "5")}
    figures["5"]["profile/profile"]["eer"] = None  # too few trials
    path.write_text(json.dumps({"oneshot": figures, "teacher": None, "side": 640, "notes": []}))
    return path


def test_the_papers_rows_are_whole() -> None:
    for table in (paper.TABLE_4, paper.TABLE_5):
        assert all(len(row) == 2 * len(paper.COLUMNS) for row in table.values())
    assert paper.TABLE_4["SqueezeFacePoseNet"] == paper.TABLE_5["both"]
    assert list(paper.TABLE_4) == list(paper.TABLE_1)


def test_tables_4_and_5_hold_the_papers_rows_and_ours(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    first, second = result(tmp_path / "a.json", 10.25), result(tmp_path / "b.json", 20.25)
    assert script.main(["4", str(first), "--json", str(tmp_path / "o.json")]) == 0
    out = capsys.readouterr().out
    one, five = (line for line in out.splitlines() if "oneshot" in line)
    assert one.count("11.25") == 6
    assert five.count("15.25") == 5 and five.count("–") == 1
    lines = [line.split() for line in out.splitlines() if "SqueezeFacePoseNet (paper)" in line]
    assert [float(value) for line in lines for value in line[2:]] == list(paper.TABLE_4["SqueezeFacePoseNet"])
    assert len(json.loads((tmp_path / "o.json").read_text())["oneshot"]) == 12
    assert script.main(["5", str(first), str(second)]) == 0
    out = capsys.readouterr().out
    assert "MS1M (paper)" in out and "a: oneshot" in out and "b: oneshot" in out


def test_table_1_has_the_papers_parameters(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("timm")
    monkeypatch.setenv("COLUMNS", "80")
    names = ("+DWC", "SENet50ft")
    monkeypatch.setattr(paper, "TABLE_1", {name: paper.TABLE_1[name] for name in names})
    assert script.main(["1", "--rounds", "1", "--json", str(tmp_path / "o.json")]) == 0
    ours = json.loads((tmp_path / "o.json").read_text())
    assert ours["+DWC"]["parameters"] == 694_056
    assert ours["SENet50ft"]["parameters"] / 1e6 == pytest.approx(28.1, abs=0.05)
    assert all(row["ms"] > 0 for row in ours.values())
    line = next(line.split() for line in capsys.readouterr().out.splitlines() if "+DWC" in line)
    paper_row = paper.TABLE_1["+DWC"]
    assert line[3:7] == ["0.69", f"({paper_row.parameters:g})", "2.78", f"({paper_row.size:g})"]


def test_other_files_are_one_sentence(
    script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list.json").write_text("[]")
    for path in (tmp_path / "none.json", tmp_path / "list.json"):
        assert script.main(["4", str(path)]) == 2
        error = capsys.readouterr().err
        assert path.name in error and error.count("\n") == 1

"""The table of the network's parts."""

import pytest
from conftest import load_script


def test_a_shipped_network_is_known_by_its_short_name(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    describe = load_script("describe")
    assert describe.main(["--weights", "oneshot-nano", "--side", "64"]) == 0
    assert "refinement" in capsys.readouterr().out
    assert describe.main(["--weights", "none"]) == 2
    assert "none: no such weights file" in capsys.readouterr().err

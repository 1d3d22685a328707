"""The page of the service in a headless Chromium.

ONESHOT_SCREENSHOT=/tmp/page pytest tests/serve/test_page.py also keeps a picture: /tmp/page-service.png
"""

import os
from pathlib import Path
from typing import Any

import pytest
from browsing import Drive
from serving import EILEEN, GRACE, Running

from oneshot.serve.routes.page import FILES


@pytest.fixture(scope="module")
def result(
    drive: Drive, running: Running, photos: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What came of it; see drive_service.mjs."""
    folder = tmp_path_factory.mktemp("photos")

    def path(name: str) -> str:
        file: Path = folder / f"{name}.jpg"
        file.write_bytes(photos[name])
        return str(file)

    job = {
        "key": running.write,
        "people": [path(name) for name in (EILEEN, GRACE)],
        "both": path("both"),
        "nobody": path("nobody"),
        "screenshot": os.environ.get("ONESHOT_SCREENSHOT"),
    }
    return drive("drive_service.mjs", running.address, job)


def test_a_key_is_asked_for_and_not_kept(result: dict[str, Any]) -> None:
    assert result["refused"] == "This key is not known here."
    assert all("401" in error for error in result["refusals"]) and len(result["refusals"]) == 2
    assert result["kept"] == '[{},{},""]'


def test_people_are_enrolled_named_and_forgotten(result: dict[str, Any]) -> None:
    assert result["nobody"] == []
    assert [row[1] for row in result["people"]] == [EILEEN, GRACE]
    assert {row[0] for row in result["both"]} >= {EILEEN, GRACE}
    left = {row[0] for row in result["left"]}
    assert GRACE in left and EILEEN not in left and "unknown" in left
    assert [choice.rpartition(" ")[0] for choice in result["offered"]] == [GRACE]
    assert {row[0] for row in result["named"]} >= {GRACE, "Ada <b>"}


def test_nothing_is_asked_of_another_machine_and_nothing_goes_wrong(result: dict[str, Any]) -> None:
    assert result["elsewhere"] == [] and result["errors"] == []


def test_the_page_comes_without_a_key_and_nothing_else_does(running: Running) -> None:
    with running.client(None) as client:
        assert "<title>oneshot</title>" in client.get("/").text
        for name in FILES:
            answer = client.get(f"/{name}")
            assert (
                answer.status_code == 200 and "script-src 'self'" in answer.headers["content-security-policy"]
            )
            assert "://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        for path in ("/app.py", "/page/page.js", "/%2e%2e/app.py", "/page.js%00", "/keys.json"):
            assert client.get(path).status_code == 404

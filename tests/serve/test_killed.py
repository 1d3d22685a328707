"""A service that is killed while it enrolls: what it answered is kept, and nothing is half written."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from conftest import ROOT
from serving import EILEEN, images

PEOPLE = 8
"""Answered before the kill; others are under way."""


@contextmanager
def process(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`oneshot serve` in a process of its own, and its address."""
    command = [sys.executable, "-m", "oneshot", "serve", "--port", "0", "--threads", "1"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True) as one:
        assert one.stderr is not None
        try:
            yield one, one.stderr.readline().split()[0]
        finally:
            one.kill()
            one.stderr.read()


def test_a_kill_leaves_whole_people(tmp_path: Path, photos: dict[str, bytes]) -> None:
    made: list[str] = []
    enough = threading.Event()

    def enroll(client: httpx.Client, first: int) -> None:
        try:
            for number in range(first, 10_000, 3):
                answer = client.post(
                    "/v1/people?force=true", data={"name": f"n{number}"}, files=images(photos[EILEEN])
                )
                made.append(answer.json()["person"]["id"])
                if len(made) >= PEOPLE:
                    enough.set()
        except httpx.HTTPError:
            pass  # the service is gone

    with (
        process(tmp_path) as (killed, address),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        threads = [threading.Thread(target=enroll, args=(client, first)) for first in range(3)]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        killed.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(60)

    noted = {json.loads(line)["whom"] for line in (tmp_path / "audit.jsonl").read_text().splitlines()}
    with (
        process(tmp_path) as (_, address),
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        people = client.get("/v1/people", params={"limit": 1000}).json()["people"]
        assert {person["photos"] for person in people} == {1}
        ids = {person["id"] for person in people}
        assert set(made) <= noted <= ids and len(ids - noted) <= 1
        found = client.post("/v1/identify", files=images(photos["again"])).json()
        assert found["pictures"][0]["faces"][0]["person"] in ids

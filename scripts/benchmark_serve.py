#!/usr/bin/env python3
"""How many requests a second the service answers, and how long each waits, under 1 to 128 clients.

python scripts/benchmark_serve.py --data ../shared/data --cores 0:1 --json serve.json

Each client asks /v1/identify for who is in a JPEG, again and again. Every arrangement is the same service
in a process of its own: one pass, with runs that share pictures (batch 8) and with one picture a run, and
pairs of detector and recogniser in its place. They are measured in turns, round by round, so that what else
the machine does meets all of them. "outside" is the share of the time in which no network ran: what HTTP,
decoding and looking up cost. Give the service and the clients cores of their own (--cores).
"""

import argparse
import asyncio
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from rich import box
from rich.console import Console
from rich.progress import track
from rich.table import Table

from oneshot import Faces, Gallery, OneShotError
from oneshot.errors import explained
from oneshot.evaluation import pipelines, timing
from oneshot.files import check_writable, write_json
from oneshot.serve.app import create_app
from oneshot.serve.server import listening, server
from oneshot.serve.settings import Settings
from oneshot.types import Image

PERCENTILES = (50, 95, 99)
BATCHES = (8, 1)
"""Pictures in a run, for pipelines that take several."""

NO_LIMIT = 1 << 30
RUN_SECONDS = re.compile(rb"oneshot_run_seconds_sum (\S+)")


@dataclass(frozen=True)
class Arrangement:
    """One service: which pipeline, and how many pictures its network takes at a time."""

    pipeline: str
    batch: int
    settings: pipelines.Settings

    def __str__(self) -> str:
        return f"{self.pipeline}, batch {self.batch}" if self.batch > 1 else self.pipeline


@dataclass
class Seen:
    """What came of an arrangement under a number of clients: seconds of each answer, all rounds together."""

    answers: list[float] = field(default_factory=list)
    seconds: float = 0.0
    network: float = 0.0

    def row(self) -> dict[str, float]:
        """Requests a second, milliseconds by percentile, and the share of the time outside the network."""
        waits = {f"p{p}": 1000 * float(np.percentile(self.answers, p)) for p in PERCENTILES}
        return {
            "requests": len(self.answers) / self.seconds,
            **waits,
            "outside": 1 - self.network / self.seconds,
        }


class Pair:
    """A detector and a recogniser as the service takes a network: they see one picture after the other."""

    info: dict[str, Any] = {"weights_sha256": "0" * 64}  # noqa: RUF012 - as the protocol Model has it
    thresholds: dict[str, float] = {"1e-3": 0.4}  # noqa: RUF012 - nobody is enrolled

    def __init__(self, pipeline: pipelines.Pipeline, side: int):
        self._pipeline, self.side = pipeline, side

    def side_for(self, image: Image) -> int:
        """The side that this picture is scaled down to."""
        return self.side

    def __call__(self, images: Sequence[Image], *, embed: bool = True) -> list[Faces]:
        """The faces of each picture."""
        return [self._pipeline(image).faces for image in images]


@explained
def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    if args.json:
        check_writable(args.json)
    if args.cores:
        os.sched_setaffinity(0, args.cores[1])
    rows = list(measured(args))
    _print(rows)
    if args.json:
        write_json(args.json, {"rows": rows})
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--pipelines",
        type=lambda text: text.split(","),
        default=["oneshot", "scrfd500m+mobilefacenet"],
        help="of compare_fps.py (oneshot,scrfd500m+mobilefacenet)",
    )
    parser.add_argument("--clients", type=_numbers, default=[1, 8, 32, 128], help="(1,8,32,128)")
    parser.add_argument("--faces", type=_numbers, default=[1, 5], help="in a picture (1,5)")
    parser.add_argument("--side", type=int, default=640, help="of the pictures (640)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each network (1)")
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="a round, for each number of clients (10)"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(3)")
    parser.add_argument("--data", type=Path, help="folder with lfw.tar (default: two photos out of wheels)")
    parser.add_argument("--peers", type=Path, default=pipelines.PEERS, help="folder of peers' files (peers)")
    parser.add_argument("--models", type=Path, default=pipelines.MODELS, help="folder of EdgeFace's weights")
    parser.add_argument(
        "--cores", type=_cores, metavar="A:B", help="cores of the service and of the clients, as in 0-2:3"
    )
    parser.add_argument("--json", type=Path, help="write the rows here")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _cores(text: str) -> list[set[int]]:
    def cores(part: str) -> set[int]:
        first, _, last = part.partition("-")
        return set(range(int(first), int(last or first) + 1))

    service, clients = text.split(":")
    return [cores(service), cores(clients)]


def measured(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """A row for each arrangement, number of faces and number of clients.

    Raises:
        OneShotError: a pipeline's files are not there, or a request fails.
    """
    settings = pipelines.Settings(args.side, args.threads, peers=args.peers, models=args.models)
    arrangements = []
    for name in args.pipelines:
        built, absent = pipelines.build([name], settings)
        if absent:
            raise OneShotError(f"{name}: {absent[name]}")
        batches = BATCHES if isinstance(built[name], pipelines.OnePass) else (1,)
        arrangements += [Arrangement(name, batch, settings) for batch in batches]
    seen: dict[tuple[Arrangement, int, int], Seen] = {}
    with tempfile.TemporaryDirectory() as folder:
        turns = [(faces, one) for _ in range(args.rounds) for faces in args.faces for one in arrangements]
        for faces, one in track(turns, "asking", console=Console(stderr=True)):
            photo = _photo(timing.portraits(args.data, faces), args.side)
            with running(one, Path(folder), args.cores[0] if args.cores else None) as address:
                for clients in args.clients:
                    total = seen.setdefault((one, faces, clients), Seen())
                    asyncio.run(ask(address, photo, clients, args.seconds, total))
    for (one, faces, clients), total in sorted(seen.items(), key=lambda item: item[0][1:]):
        yield {"arrangement": str(one), "faces": faces, "clients": clients, **total.row()}


def _photo(faces: Sequence[Image], side: int) -> bytes:
    return cv2.imencode(".jpg", timing.canvas(faces, side))[1].tobytes()


@contextmanager
def running(one: Arrangement, folder: Path, cores: set[int] | None) -> Iterator[str]:
    """The address of a service in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(one, folder, cores, theirs))
    process.start()
    theirs.close()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    except EOFError:
        raise OneShotError(f"{one}: its service does not start; it says why above") from None
    finally:
        process.terminate()
        process.join()


def _serve(one: Arrangement, folder: Path, cores: set[int] | None, told: Connection) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
    pipeline = pipelines.PIPELINES[one.pipeline](one.settings)
    model: Any = (
        pipeline.network if isinstance(pipeline, pipelines.OnePass) else Pair(pipeline, one.settings.side)
    )
    settings = Settings(
        port=0, audit=folder / "audit.jsonl", batch=one.batch, max_waiting=1024, rate=NO_LIMIT
    )
    app = create_app(model, lambda seen: Gallery(seen), settings)
    sock = listening(settings)
    told.send(sock.getsockname()[1])
    server(app, settings).run(sockets=[sock])


async def ask(address: str, photo: bytes, clients: int, seconds: float, total: Seen) -> None:
    """Have so many clients ask for so long, each again as soon as it has its answer.

    Raises:
        OneShotError: an answer is an error.
    """
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=120) as client:

        async def one(answers: list[float], end: float) -> None:
            while True:
                start = time.perf_counter()
                answer = await client.post(
                    "/v1/identify", content=photo, headers={"Content-Type": "image/jpeg"}
                )
                if answer.status_code != httpx.codes.OK:
                    raise OneShotError(f"{address}: answers {answer.status_code} ({answer.text})")
                answers.append(time.perf_counter() - start)
                if time.perf_counter() >= end:
                    return

        async def network() -> float:
            found = RUN_SECONDS.search((await client.get("/metrics")).content)
            return float(found[1]) if found else 0.0

        await asyncio.gather(*(one([], 0.0) for _ in range(clients)))  # connections are made, memory is taken
        before, start = await network(), time.perf_counter()
        await asyncio.gather(*(one(total.answers, start + seconds) for _ in range(clients)))
        total.seconds += time.perf_counter() - start
        total.network += await network() - before


def _print(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("service", no_wrap=True)
    for heading in ("faces", "clients", "requests/s", *(f"p{p} ms" for p in PERCENTILES), "outside"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        numbers = (f"{row['requests']:.1f}", *(f"{row[f'p{p}']:.0f}" for p in PERCENTILES))
        table.add_row(
            row["arrangement"], str(row["faces"]), str(row["clients"]), *numbers, f"{row['outside']:.0%}"
        )
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())

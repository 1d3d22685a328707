#!/usr/bin/env python3
"""Time the gallery's exact search beside faiss-cpu's flat index, on one core.

python scripts/compare_search.py --templates 100000 --json search.json

The templates are random unit vectors written to a gallery's file, read back from it and searched through the
same call that users make. Wall time counts other programs on the machine; CPU time only this one's work.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from oneshot import Gallery, OneShot, OneShotError
from oneshot.errors import explained
from oneshot.evaluation.report import print_table
from oneshot.files import check_writable, write_json
from oneshot.gallery.entries import Entry
from oneshot.gallery.sqlite import Store
from oneshot.types import Floats

DIM = 1000
SHA = "f" * 64
ROWS = 1000
"""Templates made at a time."""


@explained
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--templates", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--faces", default="1,10", help="how many faces to search for at once (1,10)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")
    args = parser.parse_args(argv)
    if args.json:
        check_writable(args.json)
    result = compare(args.templates, args.repeats, [int(n) for n in args.faces.split(",")])
    if args.json:
        write_json(args.json, result)
    print_table("Exact search on one core, milliseconds (median)", result)
    return 0


def compare(count: int, repeats: int, faces: Sequence[int]) -> dict[str, Any]:
    """Median milliseconds of either search by number of faces, and seconds to open the gallery."""
    try:
        import faiss
    except ModuleNotFoundError:
        raise OneShotError("the comparison needs faiss; pip install 'oneshot-face[dev]'") from None
    faiss.omp_set_num_threads(1)
    result: dict[str, Any] = {"templates": count, "numbers a template": DIM}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.db"
        fill(path, count)
        result["gallery file, MB"] = path.stat().st_size / 1e6
        start = time.perf_counter()
        # The search asks a model for nothing but its fingerprint and thresholds.
        model = SimpleNamespace(info={"weights_sha256": SHA}, thresholds={"1e-3": 0.3})
        gallery = Gallery(cast(OneShot, model), path)
        result["opening, s"] = time.perf_counter() - start
    index = faiss.IndexFlatIP(DIM)
    index.add(gallery.templates)
    rng = np.random.default_rng(1)
    for n in faces:
        # Half are near a template, half are strangers.
        probes = rng.normal(size=(n, DIM)).astype(np.float32)
        probes[::2] = 0.1 * probes[::2] + gallery.templates[rng.integers(0, count, len(probes[::2]))]
        probes /= np.linalg.norm(probes, axis=1, keepdims=True)
        similar, rows = index.search(probes, 1)
        matches = gallery.identify(probes)
        for match, s, row in zip(matches, similar[:, 0], rows[:, 0], strict=True):
            if abs(match.similarity - s) > 1e-5 or match.name not in (None, f"person {row}"):
                raise OneShotError("the two searches disagree; one of them is broken")
        here, there = timed(
            repeats, lambda p=probes: gallery.identify(p), lambda p=probes: index.search(p, 1)
        )
        result[f"{n} face{'s' * (n != 1)}"] = {"gallery": here, "faiss IndexFlatIP": there}
    return result


def fill(path: Path, count: int) -> None:
    """A gallery's file of `count` people with a random template each."""
    rng = np.random.default_rng(0)
    store = Store(path)
    for start in range(0, count, ROWS):
        rows: Floats = rng.standard_normal((min(ROWS, count - start), DIM), np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        names = [f"person {start + i}" for i in range(len(rows))]
        store.add([Entry(name, "", "0" * 64, 1.0, SHA) for name in names], rows)
    store.close()


def timed(repeats: int, *calls: Callable[[], Any]) -> list[dict[str, float]]:
    """Median wall and CPU milliseconds of each, taken in turns so that a busy machine troubles all alike."""
    spent: list[list[tuple[float, float]]] = [[] for _ in calls]
    for _ in range(repeats):
        for times, call in zip(spent, calls, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            times.append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = [1e3 * np.median(np.array(times), axis=0) for times in spent]
    return [{"wall": float(wall), "cpu": float(cpu)} for wall, cpu in medians]


if __name__ == "__main__":
    if os.environ.get("OMP_NUM_THREADS") != "1":  # the libraries read it once, when they are loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"OMP_NUM_THREADS": "1"})
    sys.exit(main())

"""Thresholds measured on one's own people."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from oneshot import OneShot, OneShotError, read_image
from oneshot.cli.common import ERR, FILE, OUT, counted, listed, open_model, progress, with_exclude, with_model
from oneshot.files import check_writable, is_stdout, write_json
from oneshot.gallery.calibration import Interval, Rate, identification_rates, verification_rates
from oneshot.gallery.enrolment import CANNOT_TELL
from oneshot.gallery.folders import people_in
from oneshot.geometry import described
from oneshot.types import Floats


@click.command()
@click.argument("folder", type=FILE)
@click.option("--far", "fars", default="1e-2,1e-3,1e-4", help="False accept rates (1e-2,1e-3,1e-4).")
@click.option(
    "--json", "json_path", type=FILE, metavar="FILE", help="Write the figures here, for --calibration."
)
@with_exclude
@with_model
def calibrate(
    folder: Path, fars: str, json_path: Path | None, exclude: tuple[str, ...], **options: Any
) -> int:
    """Measure which similarity means which false accept rate on your own people.

    FOLDER holds a folder of photos per person, at least two photos of most. Intervals are 95 %, by drawing
    the people anew. Rates for which the photos make too few pairs are said to be so.

    \b
    oneshot calibrate staff/ --json staff.json
    oneshot identify party.jpg --far 1e-3 --calibration staff.json
    """
    rates = _rates(fars)
    if json_path:
        check_writable(json_path)
    model = open_model(options)
    found = people_in(folder, exclude)
    people = found.photos
    for why in found.left_out.values():
        ERR.print(f"left out: {why}", soft_wrap=True)
    if len(people) < 2:
        raise OneShotError(
            f"{folder}: {counted(len(people), 'person', 'people')} in it; at least two are needed"
        )
    names = [name for name, photos in people.items() for _ in photos]
    embeddings, missed = _embeddings(model, [photo for photos in people.values() for photo in photos])
    if missed == len(names):
        raise OneShotError(f"{folder}: no face found in any of its photos; give photos that show faces")
    pairs = verification_rates(embeddings, names, rates)
    searches = identification_rates(embeddings, names, rates)
    say = ERR if is_stdout(json_path) else OUT
    say.print(
        f"{counted(len(people), 'person', 'people')}, {counted(len(names), 'photo')}, "
        f"{missed} without a face (counted as misses)"
    )
    _print(say, "Two photos compared", "TAR", pairs)
    _print(say, "A photo searched for among all people, first place", "DIR", searches)
    if json_path:
        write_json(
            json_path,
            {
                "weights_sha256": model.info.get("weights_sha256"),
                "people": len(people),
                "photos": len(names),
                "missed": missed,
                "thresholds": {f"{r.far:g}": r.threshold for r in pairs if r.accepts},
                "verification": [_plain(r) for r in pairs],
                "identification": [_plain(r) for r in searches],
            },
        )
    return 0


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = [math.nan]
    if not all(0 < rate < 1 for rate in rates):
        raise OneShotError(f"--far {text}: want rates between 0 and 1, such as 1e-2,1e-3")
    return rates


def _embeddings(model: OneShot, photos: Sequence[Path]) -> tuple[Floats, int]:
    """(N, D), the largest face's of each photo; of NaN where none can be described, and how many are."""
    rows: list[Floats | None] = []
    with progress(len(photos), "photos") as step:
        for photo in listed(photos, step):
            faces = model(read_image(photo))
            row = faces.embeddings[int(faces.areas.argmax())] if len(faces) else None
            if row is None or not described(row):
                why = "no face found" if row is None else CANNOT_TELL
                ERR.print(f"note: {photo}: {why}", soft_wrap=True)
                row = None
            rows.append(row)
    size = next((len(row) for row in rows if row is not None), 1)
    none = np.full(size, np.nan, np.float32)
    return np.array([none if row is None else row for row in rows]), sum(row is None for row in rows)


def _print(say: Console, title: str, true_rate: str, rates: Sequence[Rate]) -> None:
    table = Table(title=title, title_justify="left")
    for column in ("FAR", "threshold", "95 %", true_rate, "95 % "):
        table.add_column(column, justify="right", no_wrap=True)
    for rate in rates:
        table.add_row(
            f"{rate.far:g}",
            _number(rate.threshold, 3),
            _range(rate.threshold_interval, 3),
            _number(100 * rate.true_rate, 1),
            _range((100 * rate.true_interval[0], 100 * rate.true_interval[1]), 1),
        )
    say.print(table)
    for rate in rates:
        if rate.note:
            say.print(f"FAR {rate.far:g}: {rate.note}", soft_wrap=True)


def _number(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _range(interval: Interval, digits: int) -> str:
    return "–" if math.isnan(interval[0]) else " to ".join(_number(v, digits) for v in interval)


def _plain(rate: Rate) -> dict[str, Any]:
    return {
        "far": rate.far,
        "threshold": rate.threshold,
        "threshold_interval": rate.threshold_interval,
        "true_rate": rate.true_rate,
        "true_interval": rate.true_interval,
        "accepts": rate.accepts,
        "trials": rate.trials,
        "note": rate.note,
    }

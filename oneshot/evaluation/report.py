"""Results as a table to read and a JSON file to keep."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from oneshot.errors import OneShotError
from oneshot.files import plain


def thresholds(path: Path) -> dict[str, float]:
    """Thresholds by FAR from an LFW result: over all pairs of different people, the rarer the rate the surer.

    Raises:
        OneShotError: the file is missing or no such result.
    """
    try:
        result = json.loads(path.read_text())
        return {far: round(float(value), 4) for far, value in result["threshold_all_pairs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise OneShotError(
            f"{path}: not a result of scripts/evaluate.py lfw --json; make one first"
        ) from None


def print_table(title: str, result: Mapping[str, Any]) -> None:
    """One row a figure; a mapping becomes one row for each of its entries.

    But `by_angle` of an entry, figures by angle, is a table of its own: a row an angle, a column a figure.
    """
    table = Table(title=title, title_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, part in result.items():
        if isinstance(part, Mapping) and "by_angle" in part:
            _print_grid(f"{title}: {name}, by angle", part["by_angle"])
            part = {key: value for key, value in part.items() if key != "by_angle"}
        for key, value in _flat(plain({name: part})):
            table.add_row(key, _text(value))
    Console().print(table)


def _print_grid(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for name in ("", *next(iter(rows.values()), {})):
        table.add_column(name, justify="right")
    for name, row in rows.items():
        table.add_row(name, *(_text(value) for value in plain(row).values()))
    Console().print(table)


def _text(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _flat(result: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in result.items():
        name = f"{prefix}{key}"
        rows += _flat(value, f"{name} ") if isinstance(value, Mapping) else [(name, value)]
    return rows

#!/usr/bin/env python3
"""Draw the README's chart and write the tables of the README and the docs, from docs/figures.toml.

Each figure stands in that file once, with the command that measures it. A page says where a table goes:
between `<!-- table: NAME -->` and `<!-- /table -->`.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from oneshot.errors import OneShotError, explained
from oneshot.files import replacing

ROOT = Path(__file__).resolve().parents[1]
FIGURES = ROOT / "docs" / "figures.toml"
CHART = ROOT / "docs" / "accuracy-time.svg"
PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- /table -->)", re.DOTALL)
OURS = "oneshot"


@explained
def main(argv: Sequence[str] | None = None) -> int:
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    figures = tomllib.loads(FIGURES.read_text(encoding="utf-8"))
    for page in pages():
        text = page.read_text(encoding="utf-8")
        filled = fill(text, figures)
        if filled != text:
            with replacing(page) as partial:
                partial.write_text(filled, encoding="utf-8")
    draw(figures)
    return 0


def pages() -> list[Path]:
    """Where tables may stand."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def fill(text: str, figures: dict[str, Any]) -> str:
    """A page's text with every table that it has a place for as the figures say."""

    def table(found: re.Match[str]) -> str:
        name = found.group(2)
        made = overview(figures) if name == "readme" else whole(name, figures)
        return f"{found.group(1)}\n{made}\n{found.group(3)}"

    return PLACE.sub(table, text)


def whole(name: str, figures: dict[str, Any]) -> str:
    """A table as it is, below the command that measures it."""
    if name not in figures["tables"]:
        raise OneShotError(f"{FIGURES}: has no table {name}; add it, or mend the page that names it")
    table = figures["tables"][name]
    command = f"```\n{table['command'].strip()}\n```\n\n" if "command" in table else ""
    rows = [[emphasised(row, row), *cells] for row, cells in table["rows"].items()]
    return command + markdown([table["first"], *table["columns"]], rows)


def overview(figures: dict[str, Any]) -> str:
    """The README's table: a few columns of several tables, with a dash where nothing was measured."""
    columns = figures["readme"]["columns"]
    rows = []
    for row, name in figures["names"].items():
        cells = [cell(figures, table, row, column) or "–" for _, table, column in columns]
        rows.append([emphasised(row, name), *cells])
    return markdown(["", *(heading for heading, _, _ in columns)], rows)


def cell(figures: dict[str, Any], table: str, row: str, column: str) -> str | None:
    """A figure as it is written, or None where it was not measured."""
    place = figures["tables"][table]["columns"].index(column)
    cells = figures["tables"][table]["rows"].get(row)
    return None if cells is None else str(cells[place])


def emphasised(row: str, name: str) -> str:
    return f"**{name}**" if row == OURS else name


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def draw(figures: dict[str, Any]) -> None:
    """Accuracy against time: a pipeline is a line from its time with one face to that with ten."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OneShotError(f"{CHART}: needs {error.name}; pip install 'oneshot-face[demo]' to draw") from None
    across, up = figures["chart"]["across"], figures["chart"]["up"]
    settings = {"svg.hashsalt": "oneshot", "font.size": 10, "svg.fonttype": "path"}
    with mpl.rc_context(settings):
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes: Any = figure.add_subplot()
        for row, name in figures["names"].items():
            times = [
                float(cell(figures, across["table"], row, column) or "nan") for column in across["columns"]
            ]
            wrong = 100 - float(cell(figures, up["table"], row, up["column"]) or "nan")
            colour = "tab:orange" if row.startswith(OURS) else "tab:blue"
            axes.plot(times, [wrong] * len(times), color=colour, marker="o", markevery=[-1], linewidth=2)
            lift = -12 if row in figures["chart"]["low_labels"] else -3
            place = {"xytext": (6, lift), "textcoords": "offset points"}
            axes.annotate(name.strip("`"), (times[-1], wrong), color=colour, **place)
        axes.set(xscale="log", xlabel=across["label"], xlim=(4, 3000))
        axes.set(yscale="log", ylabel=up["label"], ylim=(6, 0.2))  # upwards is better
        axes.set_xticks(across["ticks"], [f"{tick:g}" for tick in across["ticks"]])
        axes.set_yticks(up["ticks"], [f"{tick:g}" for tick in up["ticks"]])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        with replacing(CHART) as partial:
            figure.savefig(partial, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())

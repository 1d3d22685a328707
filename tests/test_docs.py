"""What is written for readers holds: everything public says what it does, and every command shown exists."""

import ast
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from conftest import load_script

from oneshot.cli import cli

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

drawing = load_script("draw_figures")

ROOT = Path(__file__).parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [*sorted(ROOT.glob("*.md")), *DOCS, *sorted(ROOT.glob("*/README.md"))]
LONGEST = 100
Definition = ast.FunctionDef | ast.ClassDef
ARGUMENTS = re.compile(r"^ *(?:Args|Attributes):\n((?: +.*\n|\n)*)", re.MULTILINE)


def public(node: ast.Module | ast.ClassDef, where: str) -> Iterator[tuple[str, Definition]]:
    for child in node.body:
        if isinstance(child, Definition) and not child.name.startswith("_"):
            yield f"{where}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{where}.{child.name}")


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "oneshot").rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def test_everything_public_has_a_docstring() -> None:
    silent = []
    for where, module in modules():
        nodes = [(where, module), *public(module, where)]
        silent += [name for name, node in nodes if not (ast.get_docstring(node) or "").strip()]
    assert len(list(modules())) > 60
    assert silent == []


def described(node: Definition) -> list[str]:
    """The arguments and attributes that a docstring names."""
    doc = (ast.get_docstring(node) or "") + "\n"
    sections = "".join(ARGUMENTS.findall(doc))
    names = re.findall(r"^    (\w+(?:, \w+)*):", sections, re.MULTILINE)
    return [name for line in names for name in line.split(", ")]


def had(node: Definition) -> set[str]:
    """The arguments that a function or a class takes, and its attributes."""
    names = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            names.add(inner.arg)
        elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
            names.add(inner.target.id)
        elif isinstance(inner, ast.FunctionDef):
            names.add(inner.name)
        elif isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
            names.add(inner.attr)
    return names


def test_docstrings_name_arguments_that_there_are() -> None:
    found = 0
    wrong = []
    for where, module in modules():
        for name, node in public(module, where):
            found += len(described(node))
            wrong += [f"{name}: {one}" for one in described(node) if one not in had(node)]
    assert found > 100
    assert wrong == []


def commands(page: Path) -> Iterator[list[str]]:
    """The command lines of `oneshot` and of scripts that a page shows, as words."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    inline = re.findall(r"`((?:oneshot |python scripts/|python datasets/)[^`]*)`", prose)
    lines += [re.sub(r"\s+", " ", words) for words in inline]
    for line in lines:
        line = line.strip().removeprefix("$ ")
        if re.match(r"oneshot [a-z]|python (scripts|datasets)/", line):
            yield shlex.split(line, comments=True)


def fault(words: list[str]) -> str | None:
    """Why a command line cannot be understood; what its files hold is not looked at."""
    end = next((i for i, word in enumerate(words) if word in ("&&", "|", ";", ">")), len(words))
    words = words[:end]
    if words[0] == "python":
        script = ROOT / words[1]
        if not script.is_file():
            return "no such script"
        if "@click.command" in script.read_text(encoding="utf-8"):
            return misread(getattr(load_script(script.stem), script.stem), words[2:])
        known = set(re.findall(r'"(-{1,2}[a-z][a-z-]*)"', script.read_text(encoding="utf-8")))
        options = {word.split("=")[0] for word in words if re.match(r"-{1,2}[a-z]", word)}
        unknown = options - known - {"--help", "-h"}
        return f"No such option {', '.join(sorted(unknown))}" if unknown else None
    command = cli.commands.get(words[1])
    return "no such command" if command is None else misread(command, words[2:])


def misread(command: click.Command, words: list[str]) -> str | None:
    """What a command does not understand of its arguments."""
    try:
        _, left, _ = command.make_parser(click.Context(command)).parse_args(words)
    except click.UsageError as error:
        return error.format_message()
    return f"too many arguments: {left}" if left else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_shown_exists(page: Path) -> None:
    assert {shlex.join(words): fault(words) for words in commands(page) if fault(words)} == {}


def test_commands_are_found_and_faults_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```\noneshot list --json   # or --all\n```\nor `oneshot lost`, `python scripts/no.py`")
    assert [fault(words) for words in commands(page)] == [None, "no such command", "no such script"]
    assert "--all" in str(fault(["oneshot", "list", "--all"]))
    assert "too many" in str(fault(["oneshot", "cluster", "folder"]))
    assert fault(["oneshot", "cluster", "&&", "echo", "done"]) is None
    assert "--no" in str(fault(["python", "scripts/train.py", "--no"]))
    assert sum(len(list(commands(page))) for page in PAGES) > 30


def links(page: Path) -> Iterator[tuple[str, Path]]:
    """The files that a page's prose points to, as it names them and as they lie."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
        if "://" not in target:
            yield target, (page.parent / target).resolve()


def test_links_lead_somewhere_and_every_page_is_found_from_the_first() -> None:
    for page in PAGES:
        for target, file in links(page):
            assert file.exists(), f"{page.name}: {target}"
    first = ROOT / "docs" / "index.md"
    log = ROOT / "docs" / "log" / "README.md"
    linked = {file for page in (first, log) for _, file in links(page)}
    assert {page for page in DOCS if page != first} <= linked
    assert first in {file for _, file in links(ROOT / "README.md")}


def long_lines(text: str) -> list[int]:
    """The numbers of the lines that are too long; tables and code may be."""
    found, code = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith("|") and len(line) > LONGEST:
            found.append(number)
    return found


def test_lines_of_prose_are_short() -> None:
    assert {str(page.relative_to(ROOT)): long_lines(page.read_text(encoding="utf-8")) for page in PAGES} == {
        str(page.relative_to(ROOT)): [] for page in PAGES
    }


def test_a_long_line_is_seen_but_in_tables_and_code() -> None:
    long = "word " * 30
    assert long_lines(f"{long}\n| {long} |\n```\n{long}\n```\nshort\n{long}") == [1, 7]


def test_the_figures_in_the_pages_are_those_of_the_data_file() -> None:
    figures = tomllib.loads(drawing.FIGURES.read_text(encoding="utf-8"))
    filled = 0
    for page in drawing.pages():
        text = page.read_text(encoding="utf-8")
        filled += text.count("<!-- table: ")
        assert drawing.fill(text, figures) == text, f"{page.name}: run scripts/draw_figures.py"
    assert filled == len(figures["tables"]) + 1


def test_a_figure_that_changes_changes_every_page_that_shows_it() -> None:
    figures = tomllib.loads(drawing.FIGURES.read_text(encoding="utf-8"))
    figures["tables"]["time-320"]["rows"]["oneshot"][0] = "1.23"
    pages = [drawing.fill(page.read_text(encoding="utf-8"), figures) for page in drawing.pages()]
    assert sum("| 1.23 |" in page for page in pages) == 2


def test_words_that_readers_trip_over_are_not_used() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"\bsooner\b|\blets? in\b", text), page.name

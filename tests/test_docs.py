"""What is written for readers holds: everything public says what it does, and every command shown exists."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from conftest import load_script

from oneshot.cli import cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "weights" / "README.md"]
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
    lines += re.findall(r"`((?:oneshot |python scripts/|python datasets/)[^`\n]*)`", text)
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


def test_links_lead_somewhere_and_the_readme_lists_every_page() -> None:
    linked = set()
    for page in PAGES:
        prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
                if page.name == "README.md" and page.parent == ROOT:
                    linked.add((ROOT / target).resolve())
    assert set((ROOT / "docs").glob("*.md")) <= linked

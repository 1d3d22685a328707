"""The site that `make docs` builds with Sphinx: the Markdown pages as they lie, and the API's docstrings.

The source folder is the repository's root, so that links between README, docs/ and weights/ are the same
here and on a code host.
"""

import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]
API = ROOT / "build" / "api"
sys.path.insert(0, str(ROOT))

project = "oneshot"
author = "oneshot authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "datasets/*.md", "weights/*.md", "build/api/*.rst"]
exclude_patterns = [".venv", "**/node_modules", "runs", "demo", "build/docs"]
nitpicky = False
default_role = "code"  # docstrings mark code by single backquotes

myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports = ["ray"]

html_theme = "furo"
html_title = "oneshot"

MENU = {
    "Tutorials": ["quickstart", "video", "album"],
    "Guides": [
        "enrolling",
        "thresholds",
        "installing",
        "browser",
        "serving",
        "mobile",
        "raspberry-pi",
        "training",
        "/CONTRIBUTING",
    ],
    "Explanation": ["design", "limits", "alone", "consent"],
    "Reference": [
        "glossary",
        "benchmarks",
        "/weights/README",
        "/datasets/README",
        "/CHANGELOG",
        "/SECURITY",
        "log/README",
        "/README",
    ],
}


def write_api(app: Sphinx, config: object) -> None:
    """A page for each folder of the package; the command line has its own --help."""
    API.mkdir(parents=True, exist_ok=True)
    for old in API.glob("*.rst"):
        old.unlink()
    for init in sorted((ROOT / "oneshot").rglob("__init__.py")):
        room = ".".join(init.parent.relative_to(ROOT).parts)
        if room.startswith("oneshot.cli"):
            continue
        files = sorted(path.stem for path in init.parent.glob("*.py") if not path.stem.endswith("__"))
        names = [room, *(f"{room}.{name}" for name in files)]
        parts = [f"{room}\n{'=' * len(room)}\n"]
        for name in names:
            head = "" if name == room else f"{name}\n{'-' * len(name)}\n\n"
            again = (
                "   :no-index:\n" if name == "oneshot" else ""
            )  # the public names, each also where it is made
            parts.append(f"{head}.. automodule:: {name}\n   :members:\n   :show-inheritance:\n{again}")
        (API / f"{room}.rst").write_text("\n".join(parts), encoding="utf-8")


def add_menu(app: Sphinx, page: str, text: list[str]) -> None:
    """The site's menu: on the first page, where a code host's reader needs none."""
    if page == "docs/log/README":
        logs = {path.stem for path in (ROOT / "docs" / "log").glob("*.md")} - {"README"}
        text[0] += "\n```{toctree}\n:hidden:\n\n" + "\n".join(sorted(logs)) + "\n```\n"
    if page != root_doc:
        return
    rooms = ["/build/api/" + path.stem for path in sorted(API.glob("*.rst"))]
    for caption, pages in {**MENU, "Python API": rooms}.items():
        text[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"


def lead_in(app: Sphinx, error: Exception | None) -> None:
    """The output folder's own index leads to the first page."""
    if error is None:
        page = '<!doctype html><meta http-equiv="refresh" content="0; url=docs/index.html">\n'
        (Path(app.outdir) / "index.html").write_text(page, encoding="utf-8")


def setup(app: Sphinx) -> None:
    app.connect("config-inited", write_api)
    app.connect("source-read", add_menu)
    app.connect("build-finished", lead_in)

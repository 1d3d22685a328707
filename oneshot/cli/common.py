"""Options that several commands share, and what they open."""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oneshot import Gallery, OneShot, OneShotError
from oneshot.gallery.cipher import secret_from
from oneshot.gallery.places import is_kept
from oneshot.gallery.thresholds import FAR, threshold_at
from oneshot.inference.predictor import MIN_FACE
from oneshot.inference.tiles import LEAST_FACE, SIDE
from oneshot.types import Model

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

OUT = Console(highlight=False, markup=False)
ERR = Console(stderr=True, highlight=False, markup=False)
"""Progress and notes go there: what is printed is the answer."""

FILE = click.Path(path_type=Path)

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


class Number(click.FloatRange):
    """A number in a range, and not "nan", which click lets pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As click does, and fail where it is not a number."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail("nan is no number", param, ctx)
        return number


def options(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


class _Side(click.ParamType):
    """A number of pixels, or "auto"."""

    name = "side"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """As click asks of a type."""
        return "auto" if value == "auto" else click.IntRange(32, 1 << 14).convert(value, param, ctx)


def _with_model(side: int | str) -> Callable[[F], F]:
    return options(
        click.option(
            "--weights",
            type=FILE,
            metavar="FILE",
            help=".onnx or .safetensors, or a shipped network (oneshot).",
        ),
        click.option(
            "--side",
            type=_Side(),
            metavar="PIXELS",
            default=side,
            help=f"Scale larger pictures down to this side ({side}). auto: to where faces of --min-face are "
            "found, in time that grows with the area.",
        ),
        click.option(
            "--min-face",
            type=click.IntRange(LEAST_FACE, 1 << 14),
            metavar="PIXELS",
            default=MIN_FACE,
            help=f"For --side auto: the smallest face that is wanted, in the picture's pixels ({MIN_FACE}).",
        ),
        click.option(
            "--any-roll",
            is_flag=True,
            help="Look at each picture from all four sides, for faces that lie or are upside down; it takes "
            "four times as long.",
        ),
        click.option("--threads", type=click.IntRange(1, 1024), metavar="N", help="CPU threads (all)."),
        click.option(
            "--providers",
            metavar="NAMES",
            help="What it runs on (cpu): ONNX Runtime's providers, as in cuda,cpu or cuda:device_id=1.",
        ),
    )


with_model = _with_model(SIDE)
with_model_for_photos = _with_model("auto")
"""For what is done once a photo, where a missed face costs more than time."""

with_exclude = click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Leave out files and folders so named (* and ? match); waste and thumbnails always are. Repeatable.",
)

with_key = click.option(
    "--key-file",
    type=FILE,
    envvar="ONESHOT_KEY_FILE",
    metavar="FILE",
    help="The secret of an encrypted gallery; or the variable ONESHOT_KEY holds it.",
)

with_gallery = options(
    click.option(
        "-g",
        "--gallery",
        type=click.Path(),  # a text: as a Path, an address would lose a slash
        envvar="ONESHOT_GALLERY",
        default="gallery.db",
        help="A gallery's file (.db, .npz), a folder of photos by person, or milvus:http://HOST:19530 "
        "(gallery.db, or what ONESHOT_GALLERY names).",
    ),
    with_key,
)

with_threshold = options(
    click.option("--far", help=f"False accept rate that sets the threshold ({FAR})."),
    click.option(
        "--threshold",
        type=Number(-1, 1),
        metavar="COSINE",
        help="Least similarity; overrides --far.",
    ),
    click.option(
        "--calibration",
        type=FILE,
        metavar="FILE",
        help="Take --far's threshold from what oneshot calibrate --json wrote.",
    ),
)


def open_model(options: Mapping[str, Any], min_side: int | None = None) -> OneShot:
    """The network that the options of `with_model` name; other options are left alone."""
    names = ("side", "min_face", "any_roll", "threads", "providers")
    return OneShot(options["weights"], min_side=min_side, **{name: options[name] for name in names})


def check_kept(options: Mapping[str, Any]) -> None:
    """Raise OneShotError where --gallery names one that changes do not stay in."""
    if not is_kept(options["gallery"]):
        raise OneShotError(
            f"{options['gallery']}: changes stay in a gallery's file (.db) or in Milvus only; give one"
        )


def open_gallery(options: Mapping[str, Any], model: Model, create: bool = False) -> Gallery:
    """The gallery that --gallery and --key-file name; `create` makes it if there is none.

    Raises:
        OneShotError: there is none, or as Gallery does.
    """
    path: str = options["gallery"]
    key = secret_from(options["key_file"]) if is_kept(path) else None
    return Gallery(model, path, key=key) if create else Gallery.load(path, model, key=key)


def none_at_the_usual_place(options: Mapping[str, Any]) -> bool:
    """Whether no gallery is named, and there is none where one usually is."""
    source = click.get_current_context().get_parameter_source("gallery")
    return source is click.core.ParameterSource.DEFAULT and not Path(options["gallery"]).exists()


def threshold_from(options: Mapping[str, Any], model: Model, gallery: Gallery | None = None) -> float:
    """The cosine that --threshold, --far and --calibration ask for.

    Args:
        gallery: all of it is searched, so that the rate is that of the search; None: one face is compared.

    Raises:
        OneShotError: no threshold was measured for that rate, or the calibration is of another model.
    """
    if options["threshold"] is not None:
        return float(options["threshold"])
    known = model.thresholds
    path: Path | None = options["calibration"]
    if path is not None:
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            sha, known = facts["weights_sha256"], {str(k): float(v) for k, v in facts["thresholds"].items()}
        except FileNotFoundError:
            raise OneShotError(f"{path}: no such calibration; make one with oneshot calibrate") from None
        except (ValueError, LookupError, TypeError, AttributeError):
            raise OneShotError(f"{path}: not a calibration; make one with oneshot calibrate --json") from None
        if sha != model.info.get("weights_sha256"):
            raise OneShotError(f"{path}: measured with other weights; calibrate these")
    far = options["far"] or FAR
    return threshold_at(far, known) if gallery is None else gallery.threshold(far, known)


def explained(threshold: float, options: Mapping[str, Any], gallery: Gallery | None = None) -> str:
    """A threshold and where it comes from, for people to read."""
    text = f"threshold {threshold:.3f}"
    if options["threshold"] is not None:
        return text
    among = "" if gallery is None else f" of a search among {counted(len(gallery), 'person', 'people')}"
    return f"{text}, FAR {options['far'] or FAR}{among}"


@contextmanager
def progress(total: int | None, unit: str) -> Iterator[Callable[[], None]]:
    """A bar on the terminal, if there is one; call what it gives after each step."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn())
    with Progress(*columns, console=ERR, disable=not ERR.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.update(task, advance=1)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """ "1 photo", "2 photos"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Iterable[T], with_progress: Callable[[], None]) -> Iterator[T]:
    """The items one by one, each counted when it is done."""
    for item in items:
        yield item
        with_progress()

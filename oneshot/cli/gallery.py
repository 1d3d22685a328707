"""Who is known: enroll, list, remove, export, import."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from oneshot import OneShotError
from oneshot.cli.common import (
    ERR,
    FILE,
    OUT,
    counted,
    listed,
    open_gallery,
    open_model,
    progress,
    with_exclude,
    with_gallery,
    with_model,
)
from oneshot.cli.people import open_kept
from oneshot.gallery.enrolment import Enrolment
from oneshot.gallery.names import cleaned
from oneshot.gallery.quality import Limits
from oneshot.media.images import pictures_in


@click.command()
@click.argument("name", required=False)
@click.argument("photos", nargs=-1, type=FILE)
@click.option(
    "--people", type=FILE, metavar="FOLDER", help="Enroll many: a photo, or a folder of photos, per person."
)
@click.option(
    "--template", default="", metavar="LABEL", help="Keep these photos as a template of their own, so called."
)
@click.option(
    "--all", "everything", is_flag=True, help="Take poor photos too; of several, in doubt, the largest face."
)
@click.option(
    "--keep", is_flag=True, help="Keep the faces' pictures and the photos' paths, for oneshot reenroll."
)
@click.option("--force", is_flag=True, help="Take faces, too, that are enrolled under another name.")
@with_exclude
@with_gallery
@with_model
def enroll(
    name: str | None,
    photos: tuple[Path, ...],
    people: Path | None,
    template: str,
    everything: bool,
    keep: bool,
    force: bool,
    exclude: tuple[str, ...],
    **options: Any,
) -> int:
    """Remember a person by one or more PHOTOS (or folders of photos).

    Photos that would spoil the template are named and left out: no face, too small, blurred, turned away,
    unlike the person's others, enrolled under another name; or several faces, and no other photo tells which
    is meant. The same photo counts once, so that a command may be repeated.

    \b
    oneshot enroll Ada ada1.jpg ada2.jpg
    oneshot enroll Ada ada/with-glasses --template glasses
    oneshot enroll --people staff/      staff/Ada/*.jpg, staff/Bo.jpg
    """
    if (people is None) == (name is None):
        raise click.UsageError("want NAME and PHOTOS, or --people FOLDER")
    limits = None if everything else Limits()
    how: dict[str, Any] = {"keep": keep, "force": force}
    failures, tried = [], 0
    with open_gallery(options, open_model(options), create=True) as gallery:
        if people is None:
            _print_enrolment(
                str(name),
                gallery.enroll(str(name), _pictures(photos), template=template, limits=limits, **how),
            )
            return 0
        with progress(None, "people") as step:
            for person, outcome in listed(
                gallery.enroll_folder(people, template=template, limits=limits, exclude=exclude, **how),
                step,
            ):
                tried += 1
                if isinstance(outcome, OneShotError):
                    failures.append(person)
                    ERR.print(f"left out: {outcome}", soft_wrap=True)
                else:
                    _print_enrolment(person, outcome)
    if failures:
        raise OneShotError(
            f"{people}: {counted(len(failures), 'person', 'people')} of {tried} could not be enrolled "
            f"({', '.join(failures)}); add better photos of them"
        )
    return 0


def _print_enrolment(name: str, outcome: Enrolment) -> None:
    for label, why in outcome.left_out.items():
        ERR.print(f"left out: {label}: {why}", soft_wrap=True)
    left_out = f", {len(outcome.left_out)} left out" if outcome.left_out else ""
    OUT.print(f"{cleaned(name)}: {counted(len(outcome.used), 'photo')} enrolled{left_out}", soft_wrap=True)


def _pictures(paths: Sequence[Path]) -> list[Path]:
    """The photos given; those in a folder that is given."""
    found = []
    for path in paths:
        inside = pictures_in(path) if path.is_dir() else [path]
        if not inside:
            raise OneShotError(f"{path}: no pictures in this folder; give one that has some")
        found += inside
    if not found:
        raise click.UsageError("want at least one photo")
    return found


@click.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_gallery
@with_model
def list_people(as_json: bool, **options: Any) -> int:
    """Who is enrolled, with how many photos of what quality (0 to 1).

    \b
    oneshot list
    oneshot list --gallery staff.db --json
    """
    with open_gallery(options, open_model(options)) as gallery:
        people = gallery.people
    if as_json:
        rows = [
            {
                "id": p.id,
                "name": p.name,
                "external_id": p.external_id or None,
                "metadata": p.metadata,
                "templates": p.templates,
            }
            for p in people
        ]
        click.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    table = Table()
    for column in ("name", "template", "photos", "best quality"):
        table.add_column(column, justify="left" if column in ("name", "template") else "right")
    for person in people:
        for label, qualities in person.templates.items():
            table.add_row(person.name, label, str(len(qualities)), f"{max(qualities):.2f}")
    OUT.print(table if people else f"{options['gallery']}: nobody is enrolled")
    return 0


@click.command()
@click.argument("names", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@with_gallery
@with_model
def remove(names: tuple[str, ...], yes: bool, **options: Any) -> int:
    """Forget people: their embeddings are overwritten in the file, not only marked as deleted.

    Backups and exported files keep them; Milvus does until it compacts its files.

    \b
    oneshot remove Ada --yes
    """
    with open_kept(options, open_model(options)) as gallery:
        names = tuple(dict.fromkeys(gallery.known(name) for name in names))  # before anybody is gone
        if not yes:
            click.confirm(f"Forget {', '.join(names)} for good?", abort=True, err=True)
        for name in names:
            OUT.print(f"{name}: {counted(gallery.remove(name), 'photo')} forgotten", soft_wrap=True)
    return 0


@click.command()
@click.argument("file", type=FILE)
@with_gallery
@with_model
def export(file: Path, **options: Any) -> int:
    """Write the gallery to one FILE.npz, to carry it elsewhere; it is not encrypted.

    \b
    oneshot export backup.npz
    """
    with open_gallery(options, open_model(options)) as gallery:
        gallery.save(file)
        OUT.print(f"{file}: {counted(len(gallery), 'person', 'people')} written", soft_wrap=True)
    return 0


@click.command(name="import")
@click.argument("file", type=click.Path())
@with_gallery
@with_model
def import_people(file: str, **options: Any) -> int:
    """Add what is in an exported FILE.npz (or an unencrypted gallery) to the gallery; nothing twice.

    \b
    oneshot import backup.npz --gallery new.db
    oneshot import gallery.db --gallery milvus:http://localhost:19530
    """
    with open_gallery(options, open_model(options), create=True) as gallery:
        OUT.print(f"{counted(gallery.import_from(file), 'new photo')} from {file}", soft_wrap=True)
    return 0

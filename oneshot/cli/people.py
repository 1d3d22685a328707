"""What is done to people who are enrolled: rename, merge, update, photos, reenroll."""

import json
from typing import Any

import click
from rich.table import Table

from oneshot import Gallery, OneShot, OneShotError
from oneshot.cli.common import (
    ERR,
    OUT,
    check_kept,
    counted,
    open_gallery,
    open_model,
    with_gallery,
    with_model,
)
from oneshot.gallery.cipher import secret_from
from oneshot.gallery.photos import Photo
from oneshot.gallery.places import is_kept


def open_kept(options: dict[str, Any], model: OneShot) -> Gallery:
    """The gallery, if it is one that changes stay in.

    Raises:
        OneShotError: it is not.
    """
    check_kept(options)
    return open_gallery(options, model)


@click.command()
@click.argument("name")
@click.argument("new")
@with_gallery
@with_model
def rename(name: str, new: str, **options: Any) -> int:
    """Give the person NAME the name NEW; the id stays.

    \b
    oneshot rename Ada "Ada Lovelace"
    """
    with open_kept(options, open_model(options)) as gallery:
        gallery.rename(name, new)
    OUT.print("renamed")
    return 0


@click.command()
@click.argument("name")
@click.argument("into")
@with_gallery
@with_model
def merge(name: str, into: str, **options: Any) -> int:
    """Make one person of two: the photos of NAME become those of INTO.

    \b
    oneshot merge "A. Lovelace" Ada
    """
    with open_kept(options, open_model(options)) as gallery:
        OUT.print(f"{counted(gallery.merge(name, into), 'photo')} added")
    return 0


@click.command()
@click.argument("name")
@click.option("--external-id", metavar="TEXT", help="What another system calls the person.")
@click.option(
    "--metadata", metavar="JSON", help='An object in place of what was known, as in {"team": "red"}.'
)
@with_gallery
@with_model
def update(name: str, external_id: str | None, metadata: str | None, **options: Any) -> int:
    """Say what else is known of a person.

    \b
    oneshot update Ada --external-id 4711 --metadata '{"team": "red"}'
    """
    try:
        more = None if metadata is None else json.loads(metadata)
    except ValueError:
        raise OneShotError('--metadata: not JSON; write an object, as in {"team": "red"}') from None
    if metadata is not None and not isinstance(more, dict):
        raise OneShotError('--metadata: not a JSON object; write one, as in {"team": "red"}')
    with open_kept(options, open_model(options)) as gallery:
        gallery.update(name, external_id=external_id, metadata=more)
    OUT.print("updated")
    return 0


@click.command()
@click.argument("name")
@click.option(
    "--remove", metavar="PHOTO", help="Take this one away: its id, the first letters of it, or its file."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@with_gallery
@with_model
def photos(name: str, remove: str | None, as_json: bool, **options: Any) -> int:
    """The photos that a person is enrolled with: when, file, quality, likeness to the person's others.

    A photo much less like the others than they are may show somebody else.

    \b
    oneshot photos Ada
    oneshot photos Ada --remove party.jpg
    """
    model = open_model(options)
    with open_kept(options, model) if remove else open_gallery(options, model) as gallery:
        if remove:
            gallery.remove_photo(name, remove)
        found = gallery.photos(name)
    if as_json:
        click.echo(json.dumps([photo_record(photo) for photo in found], ensure_ascii=False, indent=2))
        return 0
    table = Table()
    for column in ("photo", "file", "template", "enrolled", "quality", "likeness"):
        table.add_column(column, justify="right" if column in ("quality", "likeness") else "left")
    for photo in found:
        when = f"{photo.added:%Y-%m-%d}" if photo.added else ""
        likeness = "-" if photo.similarity is None else f"{photo.similarity:.2f}"
        table.add_row(photo.id[:8], photo.file, photo.template, when, f"{photo.quality:.2f}", likeness)
    OUT.print(table)
    return 0


def photo_record(photo: Photo) -> dict[str, Any]:
    """A photo, ready for JSON; null is what is not known."""
    return {
        "id": photo.id,
        "template": photo.template,
        "file": photo.file or None,
        "added": photo.added.isoformat(timespec="seconds") if photo.added else None,
        "quality": round(photo.quality, 4),
        "similarity": None if photo.similarity is None else round(photo.similarity, 4),
        "path": photo.path or None,
        "kept": bool(photo.crop),
    }


@click.command()
@click.option(
    "--drop", is_flag=True, help="Leave out photos that cannot be described anew, instead of stopping."
)
@with_gallery
@with_model
def reenroll(drop: bool, **options: Any) -> int:
    """Describe everybody anew after a change of weights, from what enroll --keep kept.

    Nothing is changed unless every photo can be described, or --drop is given.

    \b
    oneshot reenroll --weights oneshot-large
    """
    path = options["gallery"]
    model = open_model(options)
    key = secret_from(options["key_file"]) if is_kept(path) else None
    count, failed = Gallery.reenroll(path, model, key=key, drop=drop)
    for label, why in failed.items():
        ERR.print(f"left out: {label.partition(': ')[0]}: {why}", soft_wrap=True)
    OUT.print(f"{counted(count, 'photo')} described anew")
    return 0

"""The command `oneshot`: everything a user does without writing Python.

Exit codes: 0 done (verify, compare: the same person), 1 not the same person, 2 an error, 3 cannot tell,
130 Ctrl-C.
"""

from collections.abc import Sequence

import click

from oneshot import __version__
from oneshot.cli import album, calibrate, gallery, people, recognise, serve, watch
from oneshot.cli.command import run_command


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Tab completion: eval "$(_ONESHOT_COMPLETE=bash_source oneshot)" in ~/.bashrc, or zsh_source, '
    "fish_source. Recognising people needs their consent in many places: see docs/consent.md.",
)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Finds every face in a picture and says who it is.

    \b
    oneshot enroll Ada ada/*.jpg        remember somebody by their photos
    oneshot identify party.jpg          who is in a photo
    oneshot verify Ada door.jpg         whether it is Ada: exit code 0 or 1
    oneshot watch party.mp4             who is in a video, and when
    oneshot index ~/Pictures            every face of a collection
    oneshot serve                       the same over HTTP, with a page to try it
    """


for command in (
    gallery.enroll,
    gallery.list_people,
    gallery.remove,
    people.rename,
    people.merge,
    people.update,
    people.photos,
    people.reenroll,
    gallery.export,
    gallery.import_people,
    recognise.identify,
    recognise.verify,
    recognise.compare,
    calibrate.calibrate,
    album.index,
    album.find,
    album.cluster,
    watch.watch,
    serve.serve,
    serve.key,
):
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code; what goes wrong is one sentence on stderr."""
    return run_command(cli, "oneshot", argv)

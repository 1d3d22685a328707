"""The command `oneshot`: everything a user does without writing Python.

Exit codes: 0 done (verify, compare: the same person), 1 not the same person, 2 an error, 130 Ctrl-C.
"""

import io
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

import click

from oneshot import OneShotError, OneShotWarning, __version__
from oneshot.cli import album, calibrate, gallery, recognise, watch
from oneshot.cli.common import INTERRUPTED
from oneshot.files import shown
from oneshot.media.video import silence_libraries


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
    """


for command in (
    gallery.enroll,
    gallery.list_people,
    gallery.remove,
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
):
    cli.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code; what goes wrong is one sentence on stderr."""
    silence_libraries()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is shown escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    if argv is None:
        signal.signal(signal.SIGTERM, _terminate)  # a service that is stopped keeps its files too
    with warnings.catch_warnings():
        warnings.simplefilter("always", OneShotWarning)
        warnings.showwarning = lambda message, *_: click.echo(f"note: {message}", err=True)
        try:
            code = cli.main(argv, prog_name="oneshot", standalone_mode=False)
            return code if isinstance(code, int) else 0
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "oneshot"
            return _error(f"{error.format_message().rstrip('.')}; see {command} --help")
        except click.ClickException as error:
            return _error(error.format_message())
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except BrokenPipeError:  # `oneshot list | head`: the reader has enough
            sys.stderr.close()
            return 0
        except UnicodeEncodeError as error:  # pyarrow, ONNX Runtime and FFmpeg take names of text only
            return _error(f"{shown(error.object)}: the name is not UTF-8, which a library needs; rename it")
        except (OneShotError, OSError) as error:  # the latter: a full disk, a folder that may not be read
            return _error(str(error))


def _error(message: str) -> int:
    click.echo("error: " + " ".join(message.split()), err=True)
    return 2


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt

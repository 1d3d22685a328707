"""How a command ends: its exit code, and what goes wrong as one sentence."""

import io
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from oneshot import OneShotError, OneShotWarning
from oneshot.cli.common import INTERRUPTED
from oneshot.files import shown
from oneshot.media.live import left_behind
from oneshot.media.video import silence_libraries


def run_command(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run a command line and give its exit code; what goes wrong is one sentence on stderr.

    Args:
        name: what the command is called in messages.
        argv: None is the process's own, which then ends in good order on SIGTERM, too.
    """
    silence_libraries()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show is shown escaped
        sys.stdout.reconfigure(errors="backslashreplace")
    if argv is not None:
        return _run(command, name, argv)
    signal.signal(signal.SIGTERM, _terminate)  # a service that is stopped keeps its files too
    code = _run(command, name, None)
    if left_behind():
        with suppress(ValueError, OSError):  # closed, or nobody reads it any longer
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    return code


def _run(command: click.Command, name: str, argv: Sequence[str] | None) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("always", OneShotWarning)
        warnings.showwarning = lambda message, *_: click.echo(f"note: {shown(str(message))}", err=True)
        try:
            code = command.main(argv, prog_name=name, standalone_mode=False)
            return code if isinstance(code, int) else 0
        except click.UsageError as error:
            asked = error.ctx.command_path if error.ctx else name
            return _error(f"{error.format_message().rstrip('.')}; see {asked} --help")
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
    click.echo("error: " + shown(" ".join(message.split())), err=True)
    return 2


def _terminate(*_: object) -> NoReturn:
    raise KeyboardInterrupt

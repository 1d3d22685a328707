"""The exceptions and the one warning that users meet, and how a command says the first."""

import functools
import sys
from collections.abc import Callable
from typing import ParamSpec

P = ParamSpec("P")


class OneShotError(Exception):
    """One clear sentence that names the file (or setting) at fault and the remedy; scripts exit with 2."""


class StorageError(OneShotError):
    """A gallery's place fails, whatever was asked of it: a full disk, a server that does not answer."""


class OneShotWarning(UserWarning):
    """One sentence on something that was done, but perhaps not as the user meant it."""


def explained(main: Callable[P, int | None]) -> Callable[P, int]:
    """A command's `main`, giving its exit code: 2, and one sentence on stderr, after a OneShotError."""

    @functools.wraps(main)
    def run(*args: P.args, **kwargs: P.kwargs) -> int:
        try:
            return main(*args, **kwargs) or 0
        except OneShotError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2

    return run

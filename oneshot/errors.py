"""The one exception and the one warning that users meet."""


class OneShotError(Exception):
    """One clear sentence that names the file (or setting) at fault and the remedy; scripts exit with 2."""


class OneShotWarning(UserWarning):
    """One sentence on something that was done, but perhaps not as the user meant it."""

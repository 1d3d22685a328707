"""Packages that only some functions need, loaded when they are; a sentence where that is not possible."""

import importlib
from typing import Any

from oneshot.errors import OneShotError


def load(module: str, purpose: str, extra: str) -> Any:
    """The module, imported. Ask for it before work begins, not when the first result is there.

    Args:
        purpose: who needs it, the subject of the sentence.
        extra: the extra of oneshot-face that brings it.

    Raises:
        OneShotError: it is not installed, or is, and does not load.
    """
    package = module.split(".")[0]
    remedy = f"pip install 'oneshot-face[{extra}]'"
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] == package:
            raise OneShotError(f"{purpose} needs {package}; {remedy}") from None
        reason = str(error)
    except (ImportError, AttributeError, RuntimeError) as error:  # made for another NumPy, or half installed
        reason = str(error)
    reason = " ".join(reason.split())[:200]
    raise OneShotError(f"{purpose} needs {package}, which does not load ({reason}); {remedy} --upgrade")

"""ONNX Runtime's execution providers by the names that people write: what the network runs on."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from oneshot.errors import OneShotError

Provider: TypeAlias = str | tuple[str, Mapping[str, Any]]
Providers: TypeAlias = str | Sequence[Provider]

CPU = "CPUExecutionProvider"
SUFFIX = "ExecutionProvider"
ALIASES = {"directml": "dml"}


def read_providers(given: Providers | None) -> list[tuple[str, dict[str, str]]]:
    """Full names with their options, first choice first.

    Args:
        given: a text ("cuda,cpu", "cuda:device_id=1:use_tf32=0"), or a list of such names, short or full,
            and of pairs as ONNX Runtime takes them: ("CUDAExecutionProvider", {"device_id": 1}). None is the
            CPU.

    Raises:
        OneShotError: it cannot be read, or this ONNX Runtime has no such provider.
    """
    if given is None:
        return [(CPU, {})]
    parts = given.split(",") if isinstance(given, str) else given
    if not isinstance(parts, Sequence):
        raise _unreadable(given)
    read = [_read(part) for part in parts]
    import onnxruntime  # not at the top: `import oneshot` needs no more than the types

    check_available([name for name, _ in read], onnxruntime.get_available_providers())
    return read


def check_available(asked: Sequence[str], available: Sequence[str]) -> None:
    """Raise OneShotError where none is asked for, or one that is not among these."""
    missing = [name for name in asked if name not in available]
    if not asked or missing:
        raise OneShotError(
            f"ONNX Runtime's {', '.join(missing) or 'empty list of providers'} cannot be used here; "
            f"install the onnxruntime package that has it, or choose from {', '.join(available)}"
        )


def _read(part: Any) -> tuple[str, dict[str, str]]:
    if isinstance(part, str):
        name, *pairs = part.strip().split(":")
        options = dict(pair.partition("=")[::2] for pair in pairs)
        if not all("=" in pair for pair in pairs):
            raise _unreadable(part)
        return _full(name), options
    if isinstance(part, (tuple, list)) and len(part) == 2:
        name, options = part
        if isinstance(name, str) and isinstance(options, Mapping):
            return _full(name), {str(key): str(value) for key, value in options.items()}
    raise _unreadable(part)


def _full(name: str) -> str:
    import onnxruntime

    short = name.lower().removesuffix(SUFFIX.lower())
    short = ALIASES.get(short, short)
    known = {full.removesuffix(SUFFIX).lower(): full for full in onnxruntime.get_all_providers()}
    return known.get(short, name)


def _unreadable(given: Any) -> OneShotError:
    return OneShotError(
        f"providers: {given!r} cannot be read; give names (cuda,cpu), with options as in cuda:device_id=1"
    )

"""The network's shape, as it travels with the weights, and the three sizes that are shipped."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

from oneshot.errors import OneShotError
from oneshot.models.edgeface import EDGEFACE

Kind = Literal["picture", "pyramid", "maps", "cell"]

EXPAND_LOW = (64, 64)
SQUEEZE_TOP = (32, 48, 64)
EXPAND_TOP = (128, 192, 256)
"""The paper's widths of fire2 and fire3, and of fire4 to fire9 in pairs, as `Backbone` takes them."""


@dataclass(frozen=True)
class PictureIdentity:
    """`FromPicture`: the samples become what EdgeFace's own stem makes, and all of EdgeFace follows.

    Attributes:
        linear: the backbone's linear filters, which are sampled beside the picture.
        parts: how many samples a side are taken in each of the template's 28x28 cells.
        recogniser: which EdgeFace is imitated, and by whose deep half.
        deep_blocks: see `DeepHalf`.
    """

    kind: ClassVar[Kind] = "picture"
    linear: int = 4
    parts: int = 2
    recogniser: str = "xxs"
    deep_blocks: int = 6

    def __post_init__(self) -> None:
        _check_at_least(self, 1, "linear", "parts")
        _check_deep(self.recogniser, self.deep_blocks)

    @property
    def fine_blocks(self) -> int:
        """All that EdgeFace has; see `DeepHalf`."""
        return EDGEFACE[self.recogniser].fine_blocks


@dataclass(frozen=True)
class PyramidIdentity:
    """`FromPyramid`: samples of strides 1 and 2 become what EdgeFace's stem makes; less of EdgeFace follows.

    Attributes:
        recogniser: which EdgeFace is imitated, and by whose deep half.
        deep_blocks, fine_blocks, hidden: see `DeepHalf`.
    """

    kind: ClassVar[Kind] = "pyramid"
    recogniser: str = "xxs"
    deep_blocks: int = 6
    fine_blocks: int = 3
    hidden: int = 48

    def __post_init__(self) -> None:
        _check_at_least(self, 1, "hidden")
        _check_deep(self.recogniser, self.deep_blocks)
        kind = EDGEFACE[self.recogniser]
        if not kind.at28(self.fine_blocks) or self.fine_blocks > kind.fine_blocks:
            few, most = kind.blocks[1] + 1, kind.fine_blocks
            raise OneShotError(f"network.identity.fine_blocks={self.fine_blocks}: give {few} to {most}")


@dataclass(frozen=True)
class MapsIdentity:
    """`FromMaps`: samples of strides 2 and 4 become what EdgeFace has at 14x14, and what follows there.

    Attributes:
        thin: channels of the map at stride 2 that are sampled.
        parts: how many samples a side are taken of it in each of the template's 28x28 cells.
        width, fine_width, rank: see `Bridge`.
        recogniser: which EdgeFace is imitated, and by whose deep half.
        deep_blocks, fine_blocks: see `DeepHalf`.
    """

    kind: ClassVar[Kind] = "maps"
    thin: int = 16
    parts: int = 1
    width: int = 96
    fine_width: int = 32
    rank: int = 32
    recogniser: str = "xxs"
    deep_blocks: int = 5
    fine_blocks: int = 0

    def __post_init__(self) -> None:
        _check_at_least(self, 1, "thin", "parts", "width", "fine_width")
        _check_at_least(self, 0, "rank")
        _check_deep(self.recogniser, self.deep_blocks)
        most = EDGEFACE[self.recogniser].blocks[1]
        if self.fine_blocks not in range(most + 1):
            raise OneShotError(f"network.identity.fine_blocks={self.fine_blocks}: give 0 to {most}")


@dataclass(frozen=True)
class CellIdentity:
    """`FromCell`: one linear layer at the face's centre, the plain YOLO form, to compare with.

    Attributes:
        recogniser: which EdgeFace is imitated.
    """

    kind: ClassVar[Kind] = "cell"
    recogniser: str = "xxs"

    def __post_init__(self) -> None:
        _check_recogniser(self.recogniser)


Identity = PictureIdentity | PyramidIdentity | MapsIdentity | CellIdentity
KINDS: dict[str, type[Identity]] = {
    kind.kind: kind for kind in (PictureIdentity, PyramidIdentity, MapsIdentity, CellIdentity)
}


@dataclass(frozen=True)
class NetworkConfig:
    """What fixes the network's shape; travels with the weights.

    Attributes:
        stem, share3x3, share3x3_top, expand_low, squeeze_top, expand_top: see `Backbone`; shares in eighths,
            from 1/8 to 7/8.
        thin: channels of the map at stride 4 that is sampled.
        head: width of the detection head.
        direction: decide which way up a face is before its landmarks are corrected.
        refinements: how often the landmarks are corrected, each time from samples at the places so far.
        identity: the kind of identity head, and its shape.
    """

    stem: int = 32
    share3x3: float = 0.25
    share3x3_top: float = 0.125
    expand_low: tuple[int, ...] = EXPAND_LOW
    squeeze_top: tuple[int, int, int] = SQUEEZE_TOP
    expand_top: tuple[int, int, int] = EXPAND_TOP
    thin: int = 32
    head: int = 64
    direction: bool = False
    refinements: int = 2
    identity: Identity = field(default_factory=PictureIdentity)

    def __post_init__(self) -> None:
        for name in ("share3x3", "share3x3_top"):
            share = getattr(self, name)
            if not 1 <= 8 * share <= 7 or 8 * share % 1:
                raise OneShotError(f"network.{name}={share}: give an eighth, from 0.125 to 0.875")
        for name in ("squeeze_top", "expand_top"):
            widths = getattr(self, name)
            if len(widths) != 3 or min(widths) < 8 or any(width % 8 for width in widths):
                raise OneShotError(
                    f"network.{name}={list(widths)}: give three multiples of 8, for fire4 to 9"
                )
        if len(self.expand_low) not in (1, 2) or any(width < 8 or width % 8 for width in self.expand_low):
            raise OneShotError(
                f"network.expand_low={list(self.expand_low)}: give one or two multiples of 8, for fire2 and 3"
            )
        for name, least in (("thin", 1), ("refinements", 0)):
            if getattr(self, name) < least:
                raise OneShotError(f"network.{name}={getattr(self, name)}: give {least} or more")

    def as_dict(self) -> dict[str, Any]:
        """As it is written into the weights' file; `read_config` reads it."""
        return {**asdict(self), "identity": {"kind": self.identity.kind, **asdict(self.identity)}}


def _check_at_least(identity: Identity, least: int, *names: str) -> None:
    for name in names:
        value = getattr(identity, name)
        if value < least:
            raise OneShotError(f"network.identity.{name}={value}: give {least} or more")


def _check_recogniser(recogniser: str) -> None:
    if recogniser not in EDGEFACE:
        raise OneShotError(f"network.identity.recogniser={recogniser}: give one of {', '.join(EDGEFACE)}")


def _check_deep(recogniser: str, deep_blocks: int) -> None:
    _check_recogniser(recogniser)
    kind = EDGEFACE[recogniser]
    most = kind.blocks[2]
    least = most - len(kind.spared)
    if deep_blocks not in range(least, most + 1):
        raise OneShotError(f"network.identity.deep_blocks={deep_blocks}: give {least} to {most}")


BASE = NetworkConfig()
LARGE = replace(BASE, identity=PictureIdentity(recogniser="xs", deep_blocks=9))
NANO = NetworkConfig(
    share3x3=0.125, squeeze_top=(24, 32, 48), expand_top=(64, 128, 192), identity=MapsIdentity()
)
FAST = NetworkConfig(
    stem=16,
    share3x3_top=0.25,
    expand_low=(32,),
    squeeze_top=(16, 32, 32),
    expand_top=(64, 96, 128),
    head=48,
    direction=True,
    identity=PyramidIdentity(),
)
"""No file is shipped of it yet: half of `BASE`'s time, and one network more than two."""
SIZES = {"base": BASE, "large": LARGE, "nano": NANO, "fast": FAST}


def read_config(written: Mapping[str, Any]) -> NetworkConfig:
    """The shape that a file tells.

    Raises:
        KeyError, TypeError, ValueError, OneShotError: it is of another version.
    """
    table = {k: tuple(v) if isinstance(v, list) else v for k, v in written.items()}
    if "form" in table:
        table = _from_flat(table)
    identity = dict(table.pop("identity"))
    return NetworkConfig(**table, identity=KINDS[identity.pop("kind")](**identity))


def _from_flat(table: dict[str, Any]) -> dict[str, Any]:
    """What `as_dict` writes, from a file in which all kinds' fields stand side by side."""
    if any(table.pop(name, False) for name in ("dwc", "bypass", "deep_relu")):
        raise ValueError("a switch that is gone")
    form, recogniser, fine_blocks = (table.pop(name) for name in ("form", "recogniser", "fine_blocks"))
    deep = {"recogniser": recogniser, "deep_blocks": table.pop("deep_blocks")}
    names = {"bridge": "width", "bridge_fine": "fine_width", "bridge_rank": "rank"}
    bridge = {new: table.pop(old) for old, new in names.items()}
    thin2, table["thin"], *thin8 = table.pop("thin")
    parts = table.pop("fine_parts")
    if form not in ("aligned", "cell") or any(thin8):
        raise ValueError("a form that is gone")
    if form == "cell":
        table["identity"] = {"kind": "cell", "recogniser": recogniser}
    elif fine_blocks == EDGEFACE[recogniser].fine_blocks:
        table["identity"] = {"kind": "picture", "linear": thin2, "parts": parts, **deep}
    else:
        kind = {"kind": "maps", "thin": thin2, "parts": parts, "fine_blocks": fine_blocks}
        table["identity"] = {**kind, **bridge, **deep}
    return table

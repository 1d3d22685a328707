"""The network's shape, as it travels with the weights."""

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from oneshot.errors import OneShotError
from oneshot.models.backbone import EXPAND_TOP, SQUEEZE_TOP
from oneshot.models.edgeface import EDGEFACE

Form = Literal["aligned", "cell"]


@dataclass(frozen=True)
class NetworkConfig:
    """What fixes the network's shape; travels with the weights.

    Attributes:
        form: the identity head: a recogniser's deep half on the aligned grid, or one 1x1 convolution at the
            face's centre (the plain YOLO form).
        stem, share3x3, share3x3_top, squeeze_top, expand_top: see `Backbone`; shares in eighths,
            from 1/8 to 7/8.
        thin: channels of the maps at strides 2 and 4 that are sampled; 0 samples the stem's output as it is.
            With a `StemBridge`, those at stride 2 are the backbone's `linear` filters, and the picture itself
            is sampled beside them.
        fine_parts: how many samples a side are taken of stride 2 in each of the template's 28x28 cells.
        bridge, bridge_fine, bridge_rank: see `Bridge`'s width, fine_width and rank; `StemBridge`, which takes
            its place where the deep half begins at 28x28, has none of them.
        head: width of the detection head.
        direction: decide which way up a face is before its landmarks are corrected.
        refinements: how often the landmarks are corrected, each time from samples at the places so far.
        recogniser: which EdgeFace is imitated, and by whose deep half.
        deep_blocks, fine_blocks: see `DeepHalf`.
    """

    form: Form = "aligned"
    stem: int = 32
    thin: tuple[int, int] = (4, 32)
    fine_parts: int = 2
    bridge: int = 32
    bridge_fine: int = 96
    bridge_rank: int = 48
    head: int = 64
    direction: bool = False
    refinements: int = 2
    share3x3: float = 0.25
    share3x3_top: float = 0.125
    squeeze_top: tuple[int, int, int] = SQUEEZE_TOP
    expand_top: tuple[int, int, int] = EXPAND_TOP
    recogniser: str = "xxs"
    deep_blocks: int = 6
    fine_blocks: int = 4

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise OneShotError(f"network.form={self.form}: give one of {', '.join(get_args(Form))}")
        for name in ("share3x3", "share3x3_top"):
            share = getattr(self, name)
            if not 1 <= 8 * share <= 7 or 8 * share % 1:
                raise OneShotError(f"network.{name}={share}: give an eighth, from 0.125 to 0.875")
        if len(self.thin) != 2:
            raise OneShotError(f"network.thin={list(self.thin)}: give two numbers, for strides 2 and 4")
        for name in ("squeeze_top", "expand_top"):
            widths = getattr(self, name)
            if len(widths) != 3 or min(widths) < 8 or any(width % 8 for width in widths):
                raise OneShotError(
                    f"network.{name}={list(widths)}: give three multiples of 8, for fire4 to 9"
                )
        if self.fine_parts < 1:
            raise OneShotError(f"network.fine_parts={self.fine_parts}: give 1 or more")
        if self.refinements < 0:
            raise OneShotError(f"network.refinements={self.refinements}: give 0 or more")
        if self.recogniser not in EDGEFACE:
            raise OneShotError(f"network.recogniser={self.recogniser}: give one of {', '.join(EDGEFACE)}")
        kind = EDGEFACE[self.recogniser]
        most, fine = kind.blocks[2], kind.fine_blocks
        least = most - len(kind.spared)
        if self.deep_blocks not in range(least, most + 1):
            raise OneShotError(f"network.deep_blocks={self.deep_blocks}: give {least} to {most}")
        if self.fine_blocks not in range(fine + 1):
            raise OneShotError(f"network.fine_blocks={self.fine_blocks}: give 0 to {fine}")
        if kind.at28(self.fine_blocks) not in (0, kind.blocks[0]):
            raise OneShotError(
                f"network.fine_blocks={self.fine_blocks}: give 0 to {kind.blocks[1]}, or all {fine}"
            )

    @property
    def stem_bridge(self) -> bool:
        """Whether identity reads the picture and linear filters alone, by a `StemBridge`."""
        return self.form == "aligned" and EDGEFACE[self.recogniser].at28(self.fine_blocks) > 0

    def as_dict(self) -> dict[str, object]:
        """As it is written into the weights' file."""
        return asdict(self)

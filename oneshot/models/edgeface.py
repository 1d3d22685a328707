"""The recognisers that identity imitates: what their shapes have in common, and what not."""

from dataclasses import dataclass


@dataclass(frozen=True)
class EdgeFace:
    """One of EdgeFace's networks (George et al. 2024, arXiv:2307.01838), an EdgeNeXt (arXiv:2206.10589).

    Attributes:
        timm: its architecture's name there. file: its weights, by timm's names.
        blocks: of each of its four stages. widths: channels of each.
        spared: the order in which blocks at 7x7 (stage 3) are left out: on its own features the first is
            missed least, the second beside it.
    """

    timm: str
    file: str
    blocks: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    spared: tuple[int, ...]

    @property
    def fine_blocks(self) -> int:
        """Blocks at 28x28 and 14x14, stages 1 and 2."""
        return sum(self.blocks[:2])

    def at28(self, fine_blocks: int) -> int:
        """Of so many of these, the last ones, how many are at 28x28."""
        return max(0, fine_blocks - self.blocks[1])

    def hint_width(self, fine_blocks: int) -> int:
        """Channels of its features in front of so many of these."""
        return self.widths[0 if self.at28(fine_blocks) else 1]


EDGEFACE: dict[str, EdgeFace] = {
    "xxs": EdgeFace(
        "edgenext_xx_small", "edgeface_xxs.safetensors", (2, 2, 6, 2), (24, 48, 88, 168), (1, 3, 2, 4, 0)
    ),
    # Of stage 4's three the last is left out: its weights are all but zero, and embeddings do not change.
    "xs": EdgeFace(
        "edgenext_x_small", "edgeface_xs.safetensors", (3, 3, 9, 2), (32, 64, 100, 192), (5, 6, 4, 1)
    ),
}

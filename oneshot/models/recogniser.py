"""From features on the aligned grid to a 1000-d embedding: the deep half of the imitated recogniser."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oneshot.models.edgeface import EDGEFACE

EMBEDDING = 1000


class SmallMapDepthwise(nn.Conv2d):
    """A depth-wise convolution, which learns as one matrix product a channel.

    On maps about as small as the kernel (7x7 on 7x7) PyTorch's own backward pass of it takes a sixth of the
    deep half's training step on a CPU; as matrices from all inputs to all outputs it takes a tenth of that.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if not self.training:
            return super().forward(x)
        height, width = x.shape[2:]
        matrices = F.pad(self.weight.flatten(1), (0, 1))[:, self._taps(height, width)]
        out = torch.bmm(x.flatten(2).transpose(0, 1), matrices)
        assert self.bias is not None
        out = (out + self.bias.view(-1, 1, 1).to(out.dtype)).transpose(0, 1)
        return out.unflatten(2, (height, width)).contiguous(memory_format=torch.channels_last)

    def _taps(self, height: int, width: int) -> Tensor:
        """Which weight joins an input to an output, (HW, HW); one past the last where none does."""
        side, reach = self.kernel_size[0], self.kernel_size[0] // 2
        cell = torch.arange(height * width, device=self.weight.device)
        y, x = cell // width, cell % width
        dy, dx = y[:, None] - y + reach, x[:, None] - x + reach
        inside = (dy >= 0) & (dy < side) & (dx >= 0) & (dx < side)
        return torch.where(inside, dy * side + dx, side * side)


class DeepHalf(nn.Module):
    """Stages 3 and 4 of an EdgeNeXt, what is asked for of the two before them, and one linear layer: features
    on 14x14 cells, or 28x28, to 1000 numbers.

    EdgeFace (`EDGEFACE`) is this network in timm's form; `start_from` copies its weights. Its last layer, to
    512 numbers, is folded with a fixed isometry into one to 1000, which keeps every cosine.

    Args:
        blocks: of those at 7x7, how many to keep: the last one, whose attention looks across the face, and
            of the rest those that are missed most. They keep the names, and so the weights, that they have
            there.
        fine_blocks: of those at 14x14, which end stage 2, with how many to begin; more than it has: all of
            them, and the others at 28x28, which end stage 1.
        hidden: channels within those at 28x28, if not EdgeFace's own; then all blocks have ReLU where it has
            GELU, which takes a tenth of its time.
    """

    def __init__(
        self, blocks: int = 6, fine_blocks: int = 0, recogniser: str = "xxs", hidden: int | None = None
    ) -> None:
        super().__init__()
        import timm

        kind = EDGEFACE[recogniser]
        at28, end = kind.at28(fine_blocks), kind.widths[3]
        whole: Any = timm.create_model(kind.timm, num_classes=0)
        self.stage1 = _last(whole.stages[0].blocks, at28)
        self.down2: nn.Module = whole.stages[1].downsample if at28 else nn.Identity()
        self.stage2 = _last(whole.stages[1].blocks, fine_blocks - at28)
        self.stage3: nn.Module = whole.stages[2]
        all_blocks: Any = self.stage3.blocks
        kept = set(range(len(all_blocks))) - set(kind.spared[: len(all_blocks) - blocks])
        self.stage3.blocks = nn.Sequential(OrderedDict((str(i), all_blocks[i]) for i in sorted(kept)))
        self.stage4: Any = whole.stages[3]
        self.stage4.blocks = self.stage4.blocks[: kind.blocks[3]]
        # Not stage 1: a matrix from all of 28x28 inputs to as many outputs would cost more than it spares.
        for block in (*self.stage2.modules(), *self.stage3.modules(), *self.stage4.modules()):
            if isinstance(getattr(block, "conv_dw", None), nn.Conv2d):
                _learn_as_matrices(block)
        if hidden is not None:
            _make_cheaper(self, hidden)
        self.norm = nn.LayerNorm(end, eps=1e-6)
        self.out = nn.Linear(end, EMBEDDING)

    def forward(self, features: Tensor, joining: Tensor | None = None) -> Tensor:
        """Features (N, C, 14, 14) or (N, C, 28, 28) to (N, 1000), not normalised; C is `hint_width`.

        joining: what is added to them at 14x14.
        """
        x = self.down2(self.stage1(features))
        x = self.stage4(self.stage3(self.stage2(x if joining is None else x + joining)))
        return self.out(self.norm(x.mean((2, 3))))

    def start_from(self, state: dict[str, Tensor], isometry: Tensor) -> None:
        """Copy EdgeFace's deep half; `isometry` (1000, 512) has orthonormal columns."""
        parts: dict[str, nn.Module] = {
            "stages.0.blocks.": self.stage1,
            "stages.1.downsample.": self.down2,
            "stages.1.blocks.": self.stage2,
            "stages.2.": self.stage3,
            "stages.3.": self.stage4,
            "head.norm.": self.norm,
        }
        for prefix, module in parts.items():
            own = module.state_dict()
            module.load_state_dict(at_hidden_width({k: state[prefix + k].float() for k in own}, own))
        with torch.no_grad():
            self.out.weight.copy_(isometry @ state["head.fc.weight"].float())
            self.out.bias.copy_(isometry @ state["head.fc.bias"].float())


def at_hidden_width(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state with no more hidden channels in its blocks than `own` has: those of the largest weights."""
    state = dict(state)
    for name in [name for name in own if name.endswith("mlp.fc1.weight") and name in state]:
        first, last = name.removesuffix(".weight"), name.replace("fc1", "fc2")
        room, rows, columns = len(own[name]), state[name], state[last]
        if room < len(rows):
            kept = (rows.norm(dim=1) * columns.norm(dim=0)).topk(room).indices.sort().values
            state |= {name: rows[kept], last: columns[:, kept], f"{first}.bias": state[f"{first}.bias"][kept]}
    return state


def _make_cheaper(deep: DeepHalf, hidden: int) -> None:
    """So many hidden channels at 28x28, and ReLU for GELU."""
    at28: Any = list(deep.stage1)
    for block in at28:
        width = block.mlp.fc1.in_features
        block.mlp.fc1, block.mlp.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
    for module in list(deep.modules()):
        if isinstance(getattr(module, "act", None), nn.GELU):
            module.act = nn.ReLU()


def _last(blocks: Any, count: int) -> nn.Sequential:
    """The last so many of them, by the names they have among all."""
    named = list(blocks.named_children())
    return nn.Sequential(OrderedDict(named[len(named) - count :]))


def _learn_as_matrices(block: Any) -> None:
    own: nn.Conv2d = block.conv_dw
    if own.stride == (1, 1) and own.groups == own.in_channels:
        side = own.kernel_size[0]
        block.conv_dw = SmallMapDepthwise(
            own.in_channels, own.in_channels, side, padding=side // 2, groups=own.groups
        )
        block.conv_dw.load_state_dict(own.state_dict())

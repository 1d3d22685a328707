"""A trained network's weights in a smaller one, as far as they fit: where a shorter training begins."""

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.models.backbone import Fire
from oneshot.models.network import OneShotNet


def start_from(net: OneShotNet, state: dict[str, Tensor]) -> None:
    """Copy what fits, bring what can be brought into shape, and leave the rest as it is.

    Blocks of the deep half that `net` lacks are left out. Fire modules with another share of 3x3 filters take
    theirs as `Fire.start_from` says; those furthest from a 1x1 filter stay 3x3. A bridge of lower rank takes
    the nearest filters of that rank.

    Args:
        net: changed in place.
        state: of an `OneShotNet` of another shape.
    """
    own, state = net.state_dict(), _nearest_to_1x1_first(state, net)
    fitting = {k: state[k] if k in state and state[k].shape == v.shape else v for k, v in own.items()}
    fitting |= _at_rank(state, own)
    net.load_state_dict(fitting)
    for name, fire in net.backbone.named_children():
        if isinstance(fire, Fire):
            given = {key: state[f"backbone.{name}.{key}"] for key in fire.state_dict()}
            plain = fire.expand3x3.groups == 1 and given["expand3x3.weight"].shape[1] != 1
            if plain and given["squeeze.weight"].shape == fire.squeeze.weight.shape:
                fire.start_from(given)


READERS = {
    "fire2": ("backbone.fire3.squeeze",),
    "fire3": ("backbone.fire4.squeeze", "thin4"),
    "fire4": ("backbone.fire5.squeeze",),
    "fire5": ("backbone.fire6.squeeze", "head.lateral.0.0", "thin8"),
    "fire6": ("backbone.fire7.squeeze",),
    "fire7": ("backbone.fire8.squeeze", "head.lateral.1.0"),
    "fire8": ("backbone.fire9.squeeze",),
    "fire9": ("head.lateral.2.0",),
}
"""The layers that read a fire module's channels."""


def _nearest_to_1x1_first(state: dict[str, Tensor], net: OneShotNet) -> dict[str, Tensor]:
    """The same network with other places for the 3x3 filters of those fire modules that have fewer in `net`.

    First come those that are nearest to a 1x1 filter: `Fire.start_from` makes the first ones 1x1.
    """
    state = dict(state)
    if net.config.bypass or net.config.form == "cell":  # more layers than READERS would have to follow
        return state
    for name, readers in READERS.items():
        layer = f"backbone.{name}.expand3x3"
        filters = state[f"{layer}.weight"]
        depthwise = filters.shape[1] == 1  # each of these filters belongs to its own input
        if depthwise or len(filters) <= len(getattr(net.backbone, name).expand3x3.weight):
            continue
        centred = F.pad(filters.sum((2, 3), keepdim=True), (1, 1, 1, 1))
        order = (filters - centred).square().sum((1, 2, 3)).argsort()
        state |= {f"{layer}.{kind}": state[f"{layer}.{kind}"][order] for kind in ("weight", "bias")}
        before = len(state[f"backbone.{name}.expand1x1.weight"])
        columns = torch.cat((torch.arange(before, device=order.device), before + order))
        for key in (f"{reader}.weight" for reader in readers):
            if key in state:
                state[key] = state[key][:, columns]
    return state


def _at_rank(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The bridge's squeeze and mix for the lower rank of `own`, where the given ones join the same channels.

    At the same rank they stay as they are: in another basis, networks could not be averaged with their start.
    """
    names = ("bridge.squeeze.weight", "bridge.mix.weight")
    if not all(name in weights for name in names for weights in (state, own)):
        return {}
    squeeze, mix = (state[name] for name in names)
    rank = own[names[0]].shape[0]
    if squeeze.shape[1:] != own[names[0]].shape[1:] or len(mix) != len(own[names[1]]) or rank >= len(squeeze):
        return {}
    # Every output at every place of its 3x3 cells, as a row of the joined channels.
    whole = mix.permute(0, 2, 3, 1).flatten(0, 2) @ squeeze.flatten(1)
    left, sizes, right = torch.linalg.svd(whole, full_matrices=False)
    tall = (left * sizes)[:, :rank].unflatten(0, (len(mix), *mix.shape[2:]))
    return {names[0]: right[:rank].reshape(own[names[0]].shape), names[1]: tall.permute(0, 3, 1, 2)}

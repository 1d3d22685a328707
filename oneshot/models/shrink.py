"""A trained network's weights in a smaller one, as far as they fit: where a shorter training begins."""

import torch
from torch import Tensor

from oneshot.models.backbone import Fire
from oneshot.models.network import OneShotNet


def start_from(net: OneShotNet, state: dict[str, Tensor]) -> None:
    """Copy what fits, bring what can be brought into shape, and leave the rest as it is.

    Blocks of the deep half that `net` lacks are left out. Fire modules with another share of 3x3 filters take
    theirs as `Fire.start_from` says; a bridge of lower rank the nearest filters of that rank.

    Args:
        net: changed in place.
        state: of an `OneShotNet` of another shape.
    """
    own = net.state_dict()
    fitting = {k: state[k] if k in state and state[k].shape == v.shape else v for k, v in own.items()}
    fitting |= _at_rank(state, own)
    net.load_state_dict(fitting)
    for name, fire in net.backbone.named_children():
        if isinstance(fire, Fire):
            given = {key: state[f"backbone.{name}.{key}"] for key in fire.state_dict()}
            plain = fire.expand3x3.groups == 1 and given["expand3x3.weight"].shape[1] != 1
            if plain and given["squeeze.weight"].shape == fire.squeeze.weight.shape:
                fire.start_from(given)


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

"""A trained network's weights in one of another shape, as far as they fit: a shorter training's start."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from oneshot.models.backbone import Fire
from oneshot.models.config import MapsIdentity
from oneshot.models.network import OneShotNet
from oneshot.models.recogniser import at_hidden_width


def start_from(net: OneShotNet, state: dict[str, Tensor]) -> None:
    """Copy what fits, bring what can be brought into shape, and leave the rest as it is.

    Blocks of the deep half that `net` lacks are left out, and so is fire3, without which those that read it
    have to learn anew. A narrower stem, head or hidden layer and narrower fire modules keep the channels of
    the largest weights; with another share of 3x3 filters fire modules take theirs as `Fire.start_from` says,
    and those furthest from a 1x1 filter stay 3x3. A bridge of lower rank takes the nearest filters of that
    rank; a narrower one keeps those that matter most, and a wider one computes the same: nothing reads its
    new ones. Where several samples are taken in each cell, it reads their mean as it did the one. A head that
    says faces' directions, as the given one did not, keeps its boxes and confidences.

    Args:
        net: changed in place.
        state: of an `OneShotNet` of another shape.
    """
    for brought in (
        _channels_that_stay,
        _without_fire3,
        _head_at_width,
        _samples_in_parts,
        _bridge_at_width,
    ):
        state = brought(state, net)
    own = net.state_dict()
    state = at_hidden_width(state, own)
    fitting = {k: state[k] if k in state and state[k].shape == v.shape else v for k, v in own.items()}
    fitting |= _at_rank(state, own) | _without_landmarks(state, own)
    net.load_state_dict(fitting)
    for name, fire in net.backbone.named_children():
        if isinstance(fire, Fire):
            given = {key: state.get(f"backbone.{name}.{key}", own) for key, own in fire.state_dict().items()}
            filters = len(given["expand1x1.weight"]) + len(given["expand3x3.weight"])
            alike = len(given["squeeze.weight"]) == len(fire.squeeze.weight)
            if alike and filters == fire.out_channels:
                fire.start_from(given)


BRIDGE = "identity.bridge"

READERS = {
    "fire2": ("backbone.fire3.squeeze",),
    "fire3": ("backbone.fire4.squeeze", "thin4"),
    "fire4": ("backbone.fire5.squeeze",),
    "fire5": ("backbone.fire6.squeeze", "head.lateral.0.0"),
    "fire6": ("backbone.fire7.squeeze",),
    "fire7": ("backbone.fire8.squeeze", "head.lateral.1.0"),
    "fire8": ("backbone.fire9.squeeze",),
    "fire9": ("head.lateral.2.0",),
}
"""The layers that read a fire module's channels."""


def _without_fire3(state: dict[str, Tensor], net: OneShotNet) -> dict[str, Tensor]:
    """The same network less fire3, and less what reads it, where `net` has none."""
    if net.backbone.fire3 is not None or "backbone.fire3.squeeze.weight" not in state:
        return state
    gone = ("backbone.fire3.", *(f"{reader}.weight" for reader in READERS["fire3"]))
    return {name: tensor for name, tensor in state.items() if not name.startswith(gone)}


def _channels_that_stay(state: dict[str, Tensor], net: OneShotNet) -> dict[str, Tensor]:
    """The same network without those channels of its fire modules for which `net` has no room.

    Of the 3x3 filters that stay, those nearest to a 1x1 filter come first: `Fire.start_from` makes the first
    ones 1x1.
    """
    state = dict(state)
    if net.identity.reads_top:  # more layers than READERS would have to follow
        return state
    read_stem = ("backbone.fire2.squeeze", "identity.thin2")
    room, matter = net.backbone.stem.out_channels, _matter(state, ("backbone.stem",), read_stem)
    if room < len(matter):
        kept = matter.topk(room).indices.sort().values
        _take(state, "backbone.stem", kept)
        for reader in read_stem:
            _take(state, reader, kept, columns=True)
    for name, readers in READERS.items():
        fire: Fire | None = getattr(net.backbone, name)
        if fire is None:
            continue
        if name == "fire2" and "backbone.fire3.squeeze.weight" not in state:
            readers = READERS["fire3"]
        squeeze, one, three = (f"backbone.{name}.{part}" for part in ("squeeze", "expand1x1", "expand3x3"))
        wide = state[f"{three}.weight"]
        room, matter = fire.squeeze.out_channels, _matter(state, (squeeze,), (one, three))
        if room < len(matter):
            kept = matter.topk(room).indices.sort().values
            _take(state, squeeze, kept)
            _take(state, one, kept, columns=True)
            _take(state, three, kept, columns=True)

        room, matter = fire.out_channels, _matter(state, (one, three), readers)
        if room < len(matter) or (room == len(matter) and len(wide) > fire.expand3x3.out_channels):
            wide = state[f"{three}.weight"]
            centred = F.pad(wide.sum((2, 3), keepdim=True), (1, 1, 1, 1))
            distance = (wide - centred).square().sum((1, 2, 3))
            before = len(matter) - len(wide)
            kept = matter.topk(room).indices.sort().values
            kept = kept[F.pad(distance, (before, 0))[kept].argsort(stable=True)]
            _take(state, one, kept[kept < before])
            _take(state, three, kept[kept >= before] - before)
            for reader in readers:
                _take(state, reader, kept, columns=True)
    return state


def _matter(state: dict[str, Tensor], layers: Sequence[str], readers: Sequence[str]) -> Tensor:
    """How much each channel matters: the norm of its filter times that of the columns that read it.

    Scaling the one up and the other down, which ReLU lets pass, does not change it.
    """
    filters = torch.cat([state[f"{layer}.weight"].flatten(1).norm(dim=1) for layer in layers])
    columns = [state[f"{r}.weight"].transpose(0, 1).flatten(1) for r in readers if f"{r}.weight" in state]
    return filters * torch.cat(columns, 1).norm(dim=1)


def _take(state: dict[str, Tensor], layer: str, kept: Tensor, columns: bool = False) -> None:
    """Leave a layer only some of its filters, or of the columns by which it reads its inputs."""
    if columns and f"{layer}.weight" in state:
        state[f"{layer}.weight"] = state[f"{layer}.weight"][:, kept]
    elif not columns:
        state |= {f"{layer}.{kind}": state[f"{layer}.{kind}"][kept] for kind in ("weight", "bias")}


def _head_at_width(state: dict[str, Tensor], net: OneShotNet) -> dict[str, Tensor]:
    """The same network with as many channels in the detection head as `net` has: of those that the levels are
    summed in, which all levels must share, and of each tower's own."""
    state, room = dict(state), net.config.head
    levels = range(len(net.head.out))
    if room >= state["head.out.0.weight"].shape[1]:
        return state

    def matter(norm: str, *readers: Tensor) -> Tensor:
        columns = torch.cat([reader.transpose(0, 1).flatten(1) for reader in readers], 1).norm(dim=1)
        found = state[f"{norm}.weight"].abs() * columns
        return found / found.mean()

    summed = [matter(f"head.lateral.{i}.1", state[f"head.merge.{i}.2.weight"]) for i in levels]
    kept = torch.stack(summed).sum(0).topk(room).indices.sort().values
    for i in levels:
        towered = matter(f"head.tower.{i}.3", state[f"head.out.{i}.weight"]).topk(room).indices.sort().values
        lateral, merge, tower = f"head.lateral.{i}", f"head.merge.{i}", f"head.tower.{i}"
        for layer, norm, rows, columns in (
            (f"{lateral}.0", f"{lateral}.1", kept, None),
            (f"{merge}.0", f"{merge}.1", kept, None),
            (f"{merge}.2", f"{merge}.3", kept, kept),
            (f"{tower}.0", f"{tower}.1", kept, None),
            (f"{tower}.2", f"{tower}.3", towered, kept),
        ):
            weight = state[f"{layer}.weight"][rows]
            state[f"{layer}.weight"] = weight if columns is None else weight[:, columns]
            state |= {f"{norm}.{kind}": state[f"{norm}.{kind}"][rows] for kind in PER_CHANNEL}
        state[f"head.out.{i}.weight"] = state[f"head.out.{i}.weight"][:, towered]
    return state


PER_CHANNEL = ("weight", "bias", "running_mean", "running_var")
"""What a batch-norm has for each of its channels."""


def _samples_in_parts(state: dict[str, Tensor], net: OneShotNet) -> dict[str, Tensor]:
    """The same network, given one sample in each of the fine cells, with as many as `net` takes."""
    state, filters, shape = dict(state), f"{BRIDGE}.down_fine.weight", net.config.identity
    if not isinstance(shape, MapsIdentity) or filters not in state:
        return state
    if state[filters].shape[1] == len(state["identity.thin2.weight"]):
        parts = shape.parts**2
        state[filters] = state[filters].repeat_interleave(parts, 1) / parts
        of_each = (f"{BRIDGE}.norm_fine.{kind}" for kind in PER_CHANNEL)
        state |= {name: state[name].repeat_interleave(parts) for name in of_each}
    return state


def _bridge_at_width(state: dict[str, Tensor], net: OneShotNet) -> dict[str, Tensor]:
    """The same network with as many filters in the bridge's 3x3 layers as `net` has.

    A narrower layer keeps those that matter most; in a wider one the new ones, as they were drawn, come last.
    """
    own, state, shape = net.state_dict(), dict(state), net.config.identity
    if not isinstance(shape, MapsIdentity):
        return state
    joined = "squeeze" if shape.rank else "mix"  # reads the fine channels first
    for layer, norm, reader in (("down_fine", "norm_down", joined), ("mix", "norm_mix", "out")):
        filters, columns = f"{BRIDGE}.{layer}.weight", f"{BRIDGE}.{reader}.weight"
        if not all(name in weights for name in (filters, columns) for weights in (state, own)):
            continue
        had, room = len(state[filters]), len(own[filters])
        of_each = [filters, *(f"{BRIDGE}.{norm}.{kind}" for kind in PER_CHANNEL)]
        read, others = state[columns][:, :had], state[columns][:, had:]
        if room < had:  # the norm takes the filters' own size away
            matter = state[f"{BRIDGE}.{norm}.weight"].abs() * read.transpose(0, 1).flatten(1).norm(dim=1)
            kept = matter.topk(room).indices.sort().values
            state |= {name: state[name][kept] for name in of_each}
            read = read[:, kept]
        elif own[filters].shape[1:] == state[filters].shape[1:]:
            state |= {name: torch.cat((state[name], own[name][had:])) for name in of_each}
            read = F.pad(read, (0, 0, 0, 0, 0, room - had))
        state[columns] = torch.cat((read, others), 1)
    return state


def _without_landmarks(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The head's outputs for boxes and confidences, where the given head codes landmarks otherwise."""
    outs = [name for name in own if name.startswith("head.out.") and len(state[name]) != len(own[name])]
    return {name: torch.cat((state[name][:5], own[name][5:])) for name in outs}


def _at_rank(state: dict[str, Tensor], own: dict[str, Tensor]) -> dict[str, Tensor]:
    """The bridge's squeeze and mix for the lower rank of `own`, where the given ones join the same channels.

    At the same rank they stay as they are: in another basis, networks could not be averaged with their start.
    """
    names = (f"{BRIDGE}.squeeze.weight", f"{BRIDGE}.mix.weight")
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

"""What a training starts from: ImageNet and the teacher, or earlier weights of ours."""

from dataclasses import replace
from pathlib import Path

from oneshot.errors import OneShotError
from oneshot.models.config import EXPAND_LOW, EXPAND_TOP, SQUEEZE_TOP, NetworkConfig
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.identity.from_maps import FromMaps
from oneshot.models.identity.from_picture import FromPicture
from oneshot.models.identity.from_pyramid import FromPyramid
from oneshot.models.network import OneShotNet
from oneshot.models.squeezefaceposenet import Form, SqueezeFacePoseNet
from oneshot.models.weights import load_network, load_squeezefaceposenet
from oneshot.training.refit import start_from
from oneshot.training.teacher import isometry, load_state


def start_squeezefaceposenet(
    form: Form, models: Path, start: Path | None, dropout: float
) -> SqueezeFacePoseNet:
    """SqueezeFacePoseNet to train: from earlier weights of the same or a simpler form, or ImageNet.

    Raises:
        OneShotError: no such weights, or their form has what the one asked for lacks.
    """
    net = SqueezeFacePoseNet(form, dropout)
    if start is None:
        net.load_imagenet(load_state(models / "squeezenet1_1_imagenet.safetensors"))
        return net
    other = load_squeezefaceposenet(start)[0]
    if (form.dwc and not other.config.dwc) or (other.config.gdc and not form.gdc):
        raise OneShotError(
            f"{start}: its form has full filters or cell weights, which the one asked for lacks; "
            "start from that form, from dwc or from ImageNet"
        )
    net.load_simpler_form(other.state_dict())
    return net


def start_network(config: NetworkConfig, models: Path, start: Path | None) -> OneShotNet:
    """A network to train: from earlier weights of ours, or from ImageNet and the teacher's deep half.

    Parts of `start` that do not fit are brought into shape, or left at their fresh values: see `refit`. What
    it lacks of the deep half's blocks is the teacher's; all are, where another recogniser is imitated.
    """
    net = OneShotNet(config)
    if start is None:
        whole = OneShotNet(
            replace(
                config,
                share3x3=0.5,
                share3x3_top=0.5,
                expand_low=EXPAND_LOW,
                squeeze_top=SQUEEZE_TOP,
                expand_top=EXPAND_TOP,
            )
        )
        whole.backbone.load_imagenet(load_state(models / "squeezenet1_1_imagenet.safetensors"))
        given = {k: v for k, v in whole.state_dict().items() if not k.startswith("identity.deep.")}
    else:
        other = load_network(start)[0]
        theirs, ours = other.config.identity, config.identity
        fresh: tuple[str, ...] = ()
        if theirs.kind != ours.kind:
            fresh = ("identity.bridge.",)
        if theirs.recogniser != ours.recogniser:
            fresh = (*fresh, "identity.deep.")
        given = {k: v for k, v in other.state_dict().items() if not k.startswith(fresh)}
    if isinstance(net.identity, FromMaps | FromPicture | FromPyramid):
        deep = net.identity.deep
        if any(f"identity.deep.{name}" not in given for name in deep.state_dict()):
            deep.start_from(load_state(models / EDGEFACE[config.identity.recogniser].file), isometry())
    start_from(net, given)
    return net

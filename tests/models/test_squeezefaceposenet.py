"""The paper's networks: Table 1's counts, Table 2's sizes, descriptors and the files they are kept in."""

from pathlib import Path

import numpy as np
import pytest
import torch

from oneshot.errors import OneShotError
from oneshot.evaluation.verification import chi_square
from oneshot.models.network import OneShotNet
from oneshot.models.squeezefaceposenet import FORMS, SqueezeFacePoseNet
from oneshot.models.weights import load_network, load_squeezefaceposenet, save_weights
from oneshot.training.start import start_squeezefaceposenet

TABLE_1 = {"plain": 1.24, "gdc": 1.40, "dwc": 0.69, "dwc+gdc": 0.86}
EXACT = {"plain": 1_235_496, "gdc": 1_405_496, "dwc": 694_056, "dwc+gdc": 864_056}
"""694,056 is the authors' file's own; 1,235,496 SqueezeNet 1.1's; GDC adds 13 x 13 + 1 for each of 1000."""


@pytest.fixture(scope="module")
def faces() -> torch.Tensor:
    return 255 * torch.rand(2, 3, 113, 113, generator=torch.Generator().manual_seed(1))


def test_the_four_forms_have_table_1s_parameters() -> None:
    for name, form in FORMS.items():
        count = sum(p.numel() for p in SqueezeFacePoseNet(form).parameters())
        assert count == EXACT[name]
        assert count / 1e6 == pytest.approx(TABLE_1[name], abs=0.01)


def test_layers_have_table_2s_output_sizes(faces: torch.Tensor) -> None:
    net = SqueezeFacePoseNet().eval()
    sizes: dict[str, tuple[int, ...]] = {}
    pools = iter(("maxpool1", "maxpool4", "maxpool8"))
    for name, module in net.named_children():
        module.register_forward_hook(
            lambda m, i, out, name=name: sizes.__setitem__(
                next(pools) if name == "pool" else name, out.shape[1:]
            )
        )
    with torch.no_grad():
        net(faces[:1])
    assert {name: (size[1], size[0]) for name, size in sizes.items()} == {
        "conv1": (113, 64),
        "maxpool1": (56, 64),
        "fire2": (56, 128),
        "fire3": (56, 128),
        "fire4": (56, 256),
        "maxpool4": (27, 256),
        "fire5": (27, 256),
        "fire6": (27, 384),
        "fire7": (27, 384),
        "fire8": (27, 512),
        "maxpool8": (13, 512),
        "fire9": (13, 512),
        "dropout9": (13, 512),
        "conv10": (13, 1000),
    }


def test_descriptors_are_pooled_after_the_relu(faces: torch.Tensor) -> None:
    torch.manual_seed(0)
    plain, gdc = SqueezeFacePoseNet().eval(), SqueezeFacePoseNet(FORMS["gdc"]).eval()
    gdc.load_state_dict({**gdc.state_dict(), **plain.state_dict()})
    with torch.no_grad():
        out = plain(faces)
        assert out.shape == (2, 1000) and bool((out >= 0).all()) and bool((out > 0).any())
        torch.testing.assert_close(out, plain.maps(faces).mean((2, 3)))
        assert bool((plain.maps(faces) == 0).any())
        torch.testing.assert_close(gdc(faces), out, rtol=1e-3, atol=1e-5)  # it begins as an average


def test_imagenets_weights_fit_and_see_the_same_colours() -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(3)
    imagenet = models.squeezenet1_1(weights=None).eval()
    net = SqueezeFacePoseNet().eval()
    net.load_imagenet(imagenet.state_dict())
    torch.testing.assert_close(net.fire9.expand3x3.weight, imagenet.features[12].expand3x3.weight)
    torch.testing.assert_close(net.conv10.bias, imagenet.classifier[1].bias)
    pixel = torch.tensor([10.0, 20, 30]).view(1, 3, 1, 1)
    deviation = 255 * torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    kernel = imagenet.features[0].weight
    expected = torch.nn.functional.conv2d((pixel / deviation).expand(1, 3, 3, 3), kernel)
    got = torch.nn.functional.conv2d(pixel.expand(1, 3, 3, 3), net.conv1.weight)
    torch.testing.assert_close(got, expected)
    dwc = SqueezeFacePoseNet(FORMS["dwc"])
    dwc.load_imagenet(imagenet.state_dict())  # its 3x3 filters cannot come from there, the rest does
    torch.testing.assert_close(dwc.fire5.squeeze.weight, imagenet.features[7].squeeze.weight)


@pytest.mark.parametrize("form", FORMS)
def test_another_form_starts_with_what_the_depth_wise_one_describes(
    form: str, faces: torch.Tensor, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    simple = SqueezeFacePoseNet(FORMS["dwc"]).eval()
    save_weights(tmp_path / "dwc.safetensors", simple, {}, half=False)
    net = start_squeezefaceposenet(FORMS[form], tmp_path, tmp_path / "dwc.safetensors", 0.0).eval()
    with torch.no_grad():
        torch.testing.assert_close(net(faces), simple(faces), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("given", "wanted"), [("plain", "dwc"), ("dwc+gdc", "dwc")])
def test_a_start_from_which_something_would_be_lost_is_refused(
    given: str, wanted: str, tmp_path: Path
) -> None:
    path = tmp_path / "given.safetensors"
    save_weights(path, SqueezeFacePoseNet(FORMS[given]), {})
    with pytest.raises(OneShotError, match="which the one asked for lacks; start from that form"):
        start_squeezefaceposenet(FORMS[wanted], tmp_path, path, 0.0)


def test_files_remember_the_form_and_are_not_taken_for_the_one_pass(
    tmp_path: Path, faces: torch.Tensor
) -> None:
    path = tmp_path / "dwc.safetensors"
    net = SqueezeFacePoseNet(FORMS["dwc"]).eval()
    sha = save_weights(path, net, {"name": "test"}, half=False)
    again, info = load_squeezefaceposenet(path)
    assert again.config == FORMS["dwc"] and not again.training
    assert (info["name"], info["weights_sha256"]) == ("test", sha)
    with torch.no_grad():
        assert torch.equal(again(faces), net(faces))
    with pytest.raises(OneShotError, match="two-stage"):
        load_network(path)
    save_weights(tmp_path / "one.safetensors", OneShotNet(), {})
    with pytest.raises(OneShotError, match="import_squeezefaceposenet"):
        load_squeezefaceposenet(tmp_path / "one.safetensors")


def test_chi_square_by_hand() -> None:
    first = np.array([[1.0, 0, 2], [0, 0, 0], [3, 1, 0]])
    second = np.array([[1.0, 0, 0], [0, 0, 0], [1, 1, 4]])
    assert chi_square(first, second) == pytest.approx([-2, 0, -(4 / 4 + 0 + 4)])
    assert np.isnan(chi_square(first * np.nan, second)).all()
    assert chi_square(first, second) == pytest.approx(chi_square(second, first))

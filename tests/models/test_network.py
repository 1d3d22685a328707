"""The network's parts: shapes, exact sampling, alignment that undoes a similarity, the paper's counts."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from oneshot.errors import OneShotError
from oneshot.geometry import ARCFACE_TEMPLATE, similarity, warp_face
from oneshot.inference.backend import default_weights
from oneshot.models.backbone import Backbone, Fire
from oneshot.models.config import (
    BASE,
    LARGE,
    SIZES,
    CellIdentity,
    Identity,
    MapsIdentity,
    NetworkConfig,
    PictureIdentity,
    PyramidIdentity,
    read_config,
)
from oneshot.models.edgeface import EDGEFACE
from oneshot.models.identity.from_picture import FromPicture
from oneshot.models.identity.from_pyramid import FromPyramid
from oneshot.models.network import OneShotNet
from oneshot.models.recogniser import DeepHalf, SmallMapDepthwise
from oneshot.models.sampling import (
    SampledMap,
    apply_similarity,
    by_face,
    by_slot,
    grid_points,
    parts_of_cells,
    places_of,
    pose_of,
    sample,
    template_to_image,
)
from oneshot.models.squeezefaceposenet import SqueezeFacePoseNet
from oneshot.models.weights import load_network, name_in_file, read_info, save_weights, shape_in
from oneshot.training.teacher import Teacher, isometry

TEMPLATE = torch.from_numpy(ARCFACE_TEMPLATE)


def test_fire_modules_have_the_papers_parameters() -> None:
    # Alonso-Fernandez et al. 2020, Table 2: 1x1 to 16, 1x1 and 3x3 to 64 each, with biases.
    plain = sum(p.numel() for p in Fire(64, 16, 64).parameters())
    assert plain == (64 * 16 + 16) + (16 * 64 + 64) + (16 * 64 * 9 + 64)
    depthwise = sum(p.numel() for p in Fire(64, 16, 64, dwc=True).parameters())
    assert depthwise == (64 * 16 + 16) + (16 * 64 + 64) + (64 * 9 + 64)


def test_maps_have_their_strides() -> None:
    maps = Backbone()(torch.zeros(2, 3, 96, 160))
    assert [tuple(m.shape[2:]) for m in maps] == [(96, 160), (48, 80), (24, 40), (12, 20), (6, 10), (3, 5)]


def test_sampling_is_exact_where_the_map_is_linear() -> None:
    # A stride-4 map whose value is the x (or y) of its cell's centre must give each point's own x and y.
    columns, rows = torch.meshgrid(torch.arange(24.0), torch.arange(16.0), indexing="xy")
    centres = torch.stack((4 * (columns + 0.5) - 0.5, 4 * (rows + 0.5) - 0.5))[None]
    points = (
        torch.rand(3, 196, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([80.0, 50.0]) + 4
    )
    out = by_face(sample(SampledMap(centres, 4), points, 14), None).flatten(2).transpose(1, 2)
    torch.testing.assert_close(out, points, atol=1e-3, rtol=0)


def test_the_stems_cells_are_where_sampling_believes_them() -> None:
    # A single bright pixel excites the stem's cell whose centre, by `sample`'s rule, is that pixel's.
    backbone = Backbone()
    with torch.no_grad():
        backbone.stem.weight.zero_()
        backbone.stem.weight[:, :, 1, 1] = 1.0
        backbone.stem.bias.zero_()  # type: ignore[union-attr]
        image = torch.zeros(1, 3, 32, 32)
        image[..., 12, 20] = 255.0
        stem = backbone.stem(image)
    row, column = divmod(int(stem[0, 0].argmax()), 16)
    assert (2 * (column + 0.5) - 0.5, 2 * (row + 0.5) - 0.5) == (20.5, 12.5)
    # Of the picture itself it is the pixel; two thirds of the way to its neighbour's centre, a third of it.
    points = torch.tensor([[[20.5, 12.5], [20.5 + 2 / 3, 12.5]]])
    pixels = by_face(sample(SampledMap(image, 1), points, 1), None)
    torch.testing.assert_close(pixels[0, :2].flatten(), torch.tensor([255.0, 85.0]), atol=1e-2, rtol=0)


def test_alignment_inverts_a_similarity() -> None:
    angle, scale, shift = 0.4, 1.7, torch.tensor([30.0, -12.0])
    turn = torch.tensor(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32
    )
    landmarks = (scale * TEMPLATE @ turn.T + shift)[None]
    transform = template_to_image(landmarks, TEMPLATE)
    torch.testing.assert_close(apply_similarity(transform, TEMPLATE), landmarks, atol=1e-3, rtol=0)
    expected = scale * grid_points(14) @ turn.T + shift
    torch.testing.assert_close(apply_similarity(transform, grid_points(14))[0], expected, atol=1e-3, rtol=0)


def test_a_pose_says_how_large_and_how_far_turned() -> None:
    angle = torch.tensor([0.0, 0.4, -1.0])
    transform = torch.stack((2.0 * angle.cos(), -2.0 * angle.sin(), angle, angle), 1)
    size = torch.full((3,), np.log(2.0))
    expected = torch.stack((torch.ones(3), size, size**2, angle.cos() - 1, -angle.sin()), 1)
    torch.testing.assert_close(pose_of(transform), expected)
    # No size of a face, nor none at all, is beyond what it can say.
    assert pose_of(torch.zeros(1, 4)).isfinite().all()
    assert pose_of(1e6 * transform)[:, 1].max() < 1.5


def test_numpy_and_torch_align_alike() -> None:
    rng = np.random.default_rng(0)
    landmarks = ARCFACE_TEMPLATE * 2 + rng.normal(0, 6, (5, 2)).astype(np.float32)
    forward = similarity(landmarks, ARCFACE_TEMPLATE)
    transform = template_to_image(torch.from_numpy(landmarks)[None], TEMPLATE)
    back = apply_similarity(transform, torch.tensor([[10.0, 20.0], [90.0, 70.0]]))[0].numpy()
    again = back @ forward[:, :2].T + forward[:, 2]
    np.testing.assert_allclose(again, [[10, 20], [90, 70]], atol=1e-2)


def test_warp_face_cuts_where_the_landmarks_are() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    landmarks = ARCFACE_TEMPLATE + 100
    image[152:156, 130:148] = 255  # around the left eye, (138.3, 151.7) after the shift
    crop = warp_face(image, landmarks)
    np.testing.assert_array_equal(crop, image[100:212, 100:212])


@pytest.mark.parametrize("identity", [PictureIdentity(), PyramidIdentity(), MapsIdentity(), CellIdentity()])
@torch.no_grad()
def test_every_kind_of_identity_embeds_in_1000_dimensions(identity: Identity) -> None:
    net = OneShotNet(NetworkConfig(identity=identity)).eval()
    torch.nn.init.constant_(net.head.out[0].bias[4:5], 3.0)  # type: ignore[union-attr,arg-type]
    found = net(torch.rand(2, 3, 64, 96) * 255, 0.5, 0.45, 7)
    assert found.images.tolist() == [0] * 7 + [1] * 7
    assert found.boxes.shape == (14, 4) and found.landmarks.shape == (14, 5, 2) and (found.scores > 0.5).all()
    torch.testing.assert_close(found.embeddings.norm(dim=1), torch.ones(14))
    without = net(torch.rand(2, 3, 64, 96) * 255, 0.5, 0.45, 7, embed=False)
    assert without.embeddings.shape == (14, 0)


@torch.no_grad()
def test_no_face_gives_empty_arrays() -> None:
    out = OneShotNet().eval()(torch.zeros(2, 3, 64, 64), 0.9, 0.45, 10)
    assert [tuple(t.shape) for t in out] == [(0, 4), (0,), (0, 5, 2), (0, 1000), (0,)]


def test_pictures_may_hold_different_numbers_of_faces() -> None:
    # Each picture's map holds its number: a sample says which picture it was taken from.
    maps = (
        torch.arange(1.0, 5)[:, None, None, None].expand(4, 2, 8, 8)
        * torch.tensor([1.0, 10.0])[:, None, None]
    )
    pictures = torch.tensor([0, 2, 2, 2, 3])
    places = places_of(pictures, 4)
    assert places.slots.shape == (4, 3) and places.columns.tolist() == [0, 0, 1, 2, 0]
    points = torch.full((5, 196, 2), 15.0) + torch.arange(5.0)[:, None, None]
    out = by_face(sample(SampledMap(maps, 4), by_slot(points, places), 14), places)
    expected = (pictures + 1.0)[:, None] * torch.tensor([1.0, 10.0])
    torch.testing.assert_close(out, expected[:, :, None, None].expand(5, 2, 14, 14))
    # Where it was taken from: its own point.
    ramp = torch.arange(8.0).expand(4, 1, 8, 8)
    at = by_face(sample(SampledMap(ramp, 4), by_slot(points, places), 14), places)[:, 0, 0, 0]
    torch.testing.assert_close(at, (points[:, 0, 0] + 0.5) / 4 - 0.5)


def test_samples_in_parts_of_cells_are_the_finer_grids_unshuffled() -> None:
    grid = grid_points(28)
    ramps = torch.stack(torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")[::-1])[None]
    finer = by_face(sample(SampledMap(ramps, 2), grid.expand(2, -1, -1), 28), None)
    sampled = sample(SampledMap(ramps, 2), parts_of_cells(grid, 2).expand(2, -1, -1), 14)
    parts = by_face(sampled, None)
    assert parts.shape == (2, 8, 14, 14)
    torch.testing.assert_close(parts, torch.nn.functional.pixel_unshuffle(finer, 2))
    torch.testing.assert_close(by_face(sampled, places_of(torch.tensor([0, 0]), 1)), parts)


def test_a_face_is_embedded_the_same_wherever_it_stands() -> None:
    # Shifts by multiples of 8 move every sampled map by whole cells.
    net = OneShotNet().eval()
    rng = torch.Generator().manual_seed(0)
    patch = torch.randint(0, 256, (1, 3, 128, 128), generator=rng).float()
    landmarks = TEMPLATE[None] + 8

    def embed(dx: int, dy: int) -> torch.Tensor:
        image = torch.full((1, 3, 256, 256), 120.0)
        image[..., 32 + dy : 160 + dy, 32 + dx : 160 + dx] = patch
        return net.identity(net.sampled_of(image), landmarks + torch.tensor([32.0 + dx, 32.0 + dy]))

    with torch.no_grad():
        torch.testing.assert_close(embed(0, 0), embed(40, 16), atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("identity", [PictureIdentity(), PyramidIdentity(), MapsIdentity()])
@torch.no_grad()
def test_identity_reads_strides_up_to_4_alone(identity: Identity) -> None:
    torch.manual_seed(0)
    net = OneShotNet(NetworkConfig(identity=identity)).eval()
    if isinstance(net.identity, FromPicture | FromPyramid):
        torch.nn.init.normal_(net.identity.bridge.linear.weight)
    image = torch.rand(1, 3, 128, 128) * 255
    before = net.identity(net.sampled_of(image), TEMPLATE[None])
    for number in range(4, 10):
        net.get_submodule(f"backbone.fire{number}.squeeze").weight.zero_()  # type: ignore[union-attr,operator]
    after = net.identity(net.sampled(net.backbone(image)), TEMPLATE[None])
    torch.testing.assert_close(after, before)
    assert float((net.identity(net.sampled_of(image * 0.5), TEMPLATE[None]) - before).abs().max()) > 1e-4


def test_weights_round_trip(tmp_path) -> None:  # type: ignore[no-untyped-def]
    net = OneShotNet(NetworkConfig(thin=24, stem=48)).eval()
    net.head.lateral[2][1].running_var.fill_(1.3e6)  # as seen in training; beyond fp16
    sha = save_weights(tmp_path / "a.safetensors", net, {"thresholds": {"1e-3": 0.3}})
    again, info = load_network(tmp_path / "a.safetensors")
    assert info["thresholds"] == {"1e-3": 0.3} and info["weights_sha256"] == sha
    for name, value in net.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    (tmp_path / "any").write_bytes(b"")  # who may read files by this user may read the weights
    assert (tmp_path / "a.safetensors").stat().st_mode == (tmp_path / "any").stat().st_mode


def test_weights_beyond_fp16_are_not_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    net = OneShotNet()
    with torch.no_grad():
        net.head.out[0].weight[0] = 1e6
    with pytest.raises(OneShotError, match=r"head.out.0.weight is not finite as torch.float16"):
        save_weights(tmp_path / "a.safetensors", net, {})
    assert not (tmp_path / "a.safetensors").exists()


def with_shape(path: Path, net: OneShotNet, shape: dict[str, Any]) -> Path:
    facts = {"architecture": "OneShotNet", "network": shape}
    save_file(net.state_dict(), path, {"oneshot": json.dumps(facts)})
    return path


FLAT = {
    "form": "aligned",
    "stem": 32,
    "dwc": False,
    "bypass": False,
    "thin": [4, 32, 0],
    "fine_parts": 2,
    "bridge": 64,
    "bridge_fine": 96,
    "bridge_rank": 48,
    "head": 64,
    "refinements": 2,
    "share3x3": 0.25,
    "share3x3_top": 0.125,
    "squeeze_top": [32, 48, 64],
    "expand_top": [128, 192, 256],
    "recogniser": "xxs",
    "deep_blocks": 6,
    "fine_blocks": 4,
    "deep_relu": False,
}
"""As files were written in which the fields of all kinds of identity stand side by side."""


@pytest.mark.parametrize(
    ("changes", "shape"),
    [
        ({}, BASE),
        ({"direction": True}, replace(BASE, direction=True)),
        ({"recogniser": "xs", "deep_blocks": 9, "fine_blocks": 6}, LARGE),
        ({"fine_blocks": 2}, replace(BASE, identity=MapsIdentity(4, 2, 64, 96, 48, "xxs", 6, 2))),
        ({"form": "cell"}, replace(BASE, identity=CellIdentity())),
    ],
)
def test_shapes_that_were_written_flat_are_read(changes: dict[str, Any], shape: NetworkConfig) -> None:
    assert read_config(FLAT | changes) == shape == read_config(json.loads(json.dumps(shape.as_dict())))


@pytest.mark.parametrize("name", ["base", "large", "nano"])
def test_the_sizes_are_those_of_the_shipped_files(name: str) -> None:
    path = default_weights("oneshot.safetensors" if name == "base" else f"oneshot-{name}.safetensors")
    assert shape_in(path, read_info(path)) == replace(SIZES[name], direction=name != "nano")


@pytest.mark.parametrize("name", ["oneshot", "oneshot-large", "oneshot-nano"])
def test_a_shipped_file_written_again_has_the_same_fingerprint(name: str, tmp_path: Path) -> None:
    """Galleries know a file by it: over names and values, whatever the modules are called by now."""
    net, info = load_network(default_weights(f"{name}.safetensors"))
    assert save_weights(tmp_path / "again.safetensors", net, info) == info["weights_sha256"]
    again, facts = load_network(tmp_path / "again.safetensors")
    assert again.config == net.config and {**facts, "network": 0} == {**info, "network": 0}


@pytest.mark.parametrize(
    "used",
    [
        {"dwc": True},
        {"bypass": True},
        {"deep_relu": True},
        {"thin": [4, 32, 48]},
        {"form": "fire"},
        {"recogniser": "s"},
        {"fine4": True},
    ],
)
def test_a_shape_that_is_gone_is_refused(tmp_path: Path, used: dict[str, object]) -> None:
    path = with_shape(tmp_path / "a.safetensors", OneShotNet(), FLAT | used)
    with pytest.raises(OneShotError, match="a network of another version of oneshot; use the weights"):
        load_network(path)


def test_tensors_of_another_version_are_refused(tmp_path: Path) -> None:
    """Until there were linear filters, those sampled at stride 2 were 16 of the stem's, thinned."""
    net = OneShotNet()
    tensors = {k: v for k, v in net.state_dict().items() if k != "backbone.linear.weight"}
    facts = {"oneshot": json.dumps({"architecture": "OneShotNet", "network": net.config.as_dict()})}
    save_file({**tensors, "thin2.weight": torch.zeros(16, 32, 1, 1)}, tmp_path / "a.safetensors", facts)
    with pytest.raises(OneShotError, match="broken, or of another version of oneshot; use the weights"):
        load_network(tmp_path / "a.safetensors")


def test_a_shape_of_another_version_is_refused(tmp_path: Path) -> None:
    net = OneShotNet()
    shape = net.config.as_dict()
    identity = shape["identity"]
    for wrong in ({"fine4": True}, {"identity": {**identity, "kind": "fire"}}, {"identity": {"linear": 4}}):
        path = with_shape(tmp_path / "a.safetensors", net, shape | wrong)
        with pytest.raises(OneShotError, match="another version of oneshot"):
            load_network(path)


def test_another_kind_of_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_weights(path, SqueezeFacePoseNet(), {})
    with pytest.raises(OneShotError, match="not the one pass's weights"):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", b"\x08\0\0\0\0\0\0\0{}      "])
def test_foreign_weights_are_refused(tmp_path, content: bytes) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(OneShotError, match="not a weights file of oneshot"):
        load_network(path)
    with pytest.raises(OneShotError, match="no such weights file"):
        load_network(tmp_path / "none.safetensors")


def test_depthwise_as_matrices_is_the_same_convolution() -> None:
    """What learns as matrix products must give, and learn, what the convolution does."""
    torch.manual_seed(0)
    layer = SmallMapDepthwise(6, 6, 7, padding=3, groups=6)
    images = torch.randn(3, 6, 5, 7, requires_grad=True)
    results = []
    for training in (True, False):
        layer.train(training).zero_grad()
        images.grad = None
        out = layer(images)
        (out**2).sum().backward()
        grads = (images.grad, layer.weight.grad, layer.bias.grad)
        results.append((out.detach(), *(g.clone() for g in grads if g is not None)))
    assert len(results[0]) == 4
    for as_matrices, as_convolution in zip(*results, strict=True):
        assert torch.allclose(as_matrices, as_convolution, rtol=1e-3, atol=1e-3)


def test_the_shipped_weights_fit_the_default_network() -> None:
    """Names and shapes of the default network are a format: what is trained must load for ever."""
    shipped = load_file(default_weights("oneshot.safetensors"))
    net = OneShotNet(NetworkConfig(direction=True))
    own = {name_in_file(name): value for name, value in net.state_dict().items()}
    assert {k: v.shape for k, v in own.items()} == {k: v.shape for k, v in shipped.items()}


def test_the_deep_half_keeps_its_last_block_and_those_missed_most() -> None:
    for blocks, names in ((1, "5"), (2, "05"), (3, "045"), (4, "0245"), (5, "02345"), (6, "012345")):
        kept = DeepHalf(blocks).stage3.blocks
        assert "".join(dict(kept.named_children())) == names  # type: ignore[operator,arg-type]


def test_a_shorter_deep_half_starts_from_the_teachers_blocks() -> None:
    torch.manual_seed(0)
    teacher = timm.create_model("edgenext_xx_small", num_classes=512).state_dict()
    deep = DeepHalf(3)
    deep.start_from(teacher, isometry())
    own = deep.state_dict()
    torch.testing.assert_close(
        own["stage3.blocks.4.mlp.fc1.weight"], teacher["stages.2.blocks.4.mlp.fc1.weight"]
    )
    assert deep(torch.zeros(2, 48, 14, 14)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("recogniser", "blocks", "fine_blocks"),
    [*(("xxs", 6, fine) for fine in range(5)), *(("xs", 9, fine) for fine in (0, 3, 4, 6))],
)
def test_hints_and_the_deep_half_make_the_teacher(recogniser: str, blocks: int, fine_blocks: int) -> None:
    """Wherever the two meet, what the one gives is what the other begins with."""
    torch.manual_seed(0)
    state = timm.create_model(EDGEFACE[recogniser].timm, num_classes=512).state_dict()
    teacher, crops = Teacher(state, fine_blocks, recogniser), torch.rand(2, 3, 112, 112) * 255
    hints, target = teacher.hints(crops), teacher(crops)
    assert hints.shape[1] == EDGEFACE[recogniser].hint_width(fine_blocks)
    deep = DeepHalf(blocks, fine_blocks, recogniser=recogniser)
    deep.start_from(state, isometry())
    torch.testing.assert_close(F.normalize(deep.eval()(hints), dim=1), target, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_imagenets_filters_stay_in_their_order_whatever_their_share(share: float) -> None:
    torch.manual_seed(0)
    plain, fire = Fire(8, 4, 16), Fire(8, 4, 16, share3x3=share)
    state = plain.state_dict()
    fire.squeeze.load_state_dict(plain.squeeze.state_dict())
    fire.start_from(state)
    # On an even picture, away from the border, a 3x3 filter and the sum of its nine are the same.
    even = torch.randn(1, 8, 1, 1).expand(1, 8, 5, 5)
    torch.testing.assert_close(fire(even)[..., 2, 2], plain(even)[..., 2, 2])
    if share >= 0.5:  # and everywhere, where none had to become 1x1
        noise = torch.randn(1, 8, 5, 5)
        torch.testing.assert_close(fire(noise), plain(noise))


@pytest.mark.parametrize(
    "wrong",
    [
        {"share3x3": 0.3},
        {"share3x3": 1.0},
        {"share3x3_top": 0.0},
        {"squeeze_top": (24, 32)},
        {"expand_top": (64, 100, 192)},
        {"thin": 0},
        {"refinements": -1},
    ],
)
def test_impossible_shapes_are_one_sentence(wrong: dict[str, float]) -> None:
    with pytest.raises(OneShotError, match=f"network.{list(wrong)[-1]}="):
        NetworkConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (PictureIdentity, {"parts": 0}),
        (PictureIdentity, {"linear": 0}),
        (PictureIdentity, {"recogniser": "s"}),
        (PictureIdentity, {"deep_blocks": 7}),
        (PictureIdentity, {"recogniser": "xs", "deep_blocks": 4}),
        (MapsIdentity, {"thin": 0}),
        (MapsIdentity, {"rank": -1}),
        (MapsIdentity, {"deep_blocks": 0}),
        (MapsIdentity, {"fine_blocks": 3}),
        (CellIdentity, {"recogniser": "s"}),
    ],
)
def test_impossible_shapes_of_identity_are_one_sentence(kind: type[Identity], wrong: dict[str, Any]) -> None:
    with pytest.raises(OneShotError, match=f"network.identity.{list(wrong)[-1]}="):
        kind(**wrong)

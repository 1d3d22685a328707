"""A network begun from one of another shape: what fits is the same, the rest as near as it can be."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from oneshot.models.config import BASE, FAST, LARGE, MapsIdentity, NetworkConfig
from oneshot.models.network import OneShotNet
from oneshot.models.recogniser import DeepHalf, at_hidden_width
from oneshot.models.weights import save_weights
from oneshot.training.refit import READERS, start_from
from oneshot.training.start import start_network


def shaped(config: NetworkConfig, **identity: int) -> NetworkConfig:
    """The same with changes of its identity head."""
    return replace(config, identity=replace(config.identity, **identity))


LATER = NetworkConfig(
    identity=MapsIdentity(parts=2, width=96, fine_width=96, rank=48, deep_blocks=6, fine_blocks=2)
)
WHOLE = shaped(replace(LATER, share3x3=0.5, share3x3_top=0.5), thin=32, parts=1)


@pytest.fixture(scope="module")
def whole() -> OneShotNet:
    torch.manual_seed(0)
    net = OneShotNet(WHOLE).eval()
    with torch.no_grad():  # statistics of their own, or a bridge would begin with those of any other
        for name, value in net.identity.bridge.named_buffers():
            if "running" in name:
                value.uniform_(0.5, 2)
    return net


def smaller(whole: OneShotNet, config: NetworkConfig) -> OneShotNet:
    torch.manual_seed(1)
    net = OneShotNet(config).eval()
    start_from(net, whole.state_dict())
    return net


def test_a_network_of_the_same_shape_is_the_same(tmp_path: Path) -> None:
    # To the last bit: training averages networks with what they started from.
    given = OneShotNet(WHOLE)
    save_weights(tmp_path / "given.safetensors", given, {}, half=False)
    again = start_network(WHOLE, tmp_path, tmp_path / "given.safetensors").state_dict()
    for name, value in given.state_dict().items():
        torch.testing.assert_close(again[name], value, atol=0, rtol=0)


def test_a_bridge_keeps_its_filters_as_far_as_its_rank_goes(whole: OneShotNet) -> None:
    fine, coarse = torch.randn(2, 32, 28, 28), torch.randn(2, 32, 14, 14)
    with torch.no_grad():
        expected = whole.identity.bridge(fine, coarse)
        errors = [
            float((smaller(whole, shaped(WHOLE, rank=rank)).identity.bridge(fine, coarse) - expected).norm())
            for rank in (40, 24, 8)
        ]
        assert errors[0] < errors[1] < errors[2] < float(expected.norm())
        # Filters that are of rank 24 fit into a bridge of rank 24.
        low = smaller(whole, shaped(WHOLE, rank=24))
        lifted = whole.state_dict() | {
            f"identity.bridge.{name}.weight": torch.cat((weight, torch.zeros_like(weight)), axis)
            for name, weight, axis in (
                ("squeeze", low.identity.bridge.squeeze.weight, 0),
                ("mix", low.identity.bridge.mix.weight, 1),
            )
        }
        again = OneShotNet(shaped(WHOLE, rank=24)).eval()
        start_from(again, lifted)
        torch.testing.assert_close(
            again.identity.bridge(fine, coarse), low.identity.bridge(fine, coarse), atol=1e-4, rtol=0
        )


@pytest.mark.parametrize("rank", [0, 48])
def test_a_wider_bridge_begins_as_the_one_that_was(rank: int) -> None:
    given = OneShotNet(shaped(LATER, width=32, fine_width=16, rank=rank))
    with torch.no_grad():
        for _ in range(3):  # statistics that are not those of a fresh bridge
            given.identity.bridge(2 * torch.randn(8, 64, 28, 28) + 1, torch.randn(8, 32, 14, 14))
    wider = OneShotNet(shaped(LATER, width=48, fine_width=40, rank=rank))
    start_from(wider, given.state_dict())
    fine, coarse = torch.randn(2, 64, 28, 28), torch.randn(2, 32, 14, 14)
    with torch.no_grad():
        expected, own = given.eval().identity.bridge(fine, coarse), wider.eval().identity.bridge(fine, coarse)
    assert expected.std() > 0.1
    torch.testing.assert_close(own, expected, atol=1e-5, rtol=0)
    # What is new is there to learn: some of its filters are not zero, as the columns that will read them are.
    assert float(wider.identity.bridge.down_fine.weight.detach()[16:].std()) > 0
    assert not wider.identity.bridge.out.weight[:, 32:].any()


def test_a_narrower_bridge_keeps_the_filters_that_are_read(whole: OneShotNet) -> None:
    given = copy.deepcopy(whole)
    unread_down, unread_mix = torch.randperm(96)[:80], torch.randperm(96)[:40]
    with torch.no_grad():
        given.identity.bridge.squeeze.weight[:, unread_down] = 0  # type: ignore[index]
        given.identity.bridge.out.weight[:, unread_mix] = 0
    net = OneShotNet(shaped(WHOLE, width=56, fine_width=16)).eval()
    start_from(net, given.state_dict())
    fine, coarse = torch.randn(2, 32, 28, 28), torch.randn(2, 32, 14, 14)
    with torch.no_grad():
        torch.testing.assert_close(
            net.identity.bridge(fine, coarse), given.identity.bridge(fine, coarse), atol=1e-5, rtol=1e-4
        )


def test_blocks_that_the_start_lacks_are_the_teachers(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    teacher = timm.create_model("edgenext_xx_small", num_classes=512)
    save_file(teacher.state_dict(), tmp_path / "edgeface_xxs.safetensors")
    given = OneShotNet(shaped(WHOLE, fine_blocks=1))
    save_weights(tmp_path / "given.safetensors", given, {}, half=False)
    net = start_network(shaped(WHOLE, fine_blocks=2), tmp_path, tmp_path / "given.safetensors")
    states = net.identity.deep.state_dict(), given.identity.deep.state_dict()
    for name, value in states[0].items():
        expected = states[1].get(name)
        if name.startswith("stage2.0."):
            assert expected is None
            expected = teacher.state_dict()[f"stages.1.blocks.{name.removeprefix('stage2.')}"]
        torch.testing.assert_close(value, expected, atol=0, rtol=0)


def test_another_recogniser_brings_its_own_deep_half(tmp_path: Path) -> None:
    """The front stays; the bridge's matrices are to be fitted to other features."""
    import timm
    from safetensors.torch import save_file

    teacher = timm.create_model("edgenext_x_small", num_classes=512)
    save_file(teacher.state_dict(), tmp_path / "edgeface_xs.safetensors")
    given = OneShotNet(BASE)
    torch.nn.init.normal_(given.identity.bridge.linear.weight)  # type: ignore[union-attr,arg-type]
    save_weights(tmp_path / "given.safetensors", given, {}, half=False)
    shape = LARGE
    net = start_network(shape, tmp_path, tmp_path / "given.safetensors")
    own, before = net.state_dict(), given.state_dict()
    fresh = [
        name
        for name in own
        if name.startswith(("identity.deep.", "identity.bridge.linear", "identity.bridge.norm_out"))
    ]
    for name in own.keys() - set(fresh):
        torch.testing.assert_close(own[name], before[name], atol=0, rtol=0)
    assert not own["identity.bridge.linear.weight"].any()
    torch.testing.assert_close(
        own["identity.deep.stage1.0.mlp.fc1.weight"], teacher.state_dict()["stages.0.blocks.0.mlp.fc1.weight"]
    )
    assert len(net.identity.deep.stage4.blocks) == 2  # type: ignore[arg-type]


def test_the_blocks_that_stay_are_the_whole_networks(whole: OneShotNet) -> None:
    net = smaller(whole, shaped(WHOLE, deep_blocks=4, fine_blocks=0))
    assert set(dict(net.identity.deep.stage3.blocks.named_children())) == {"0", "2", "4", "5"}  # type: ignore[operator]
    given = whole.state_dict()
    for name, value in net.identity.deep.state_dict().items():
        torch.testing.assert_close(value, given[f"identity.deep.{name}"], atol=0, rtol=0)


def test_fewer_3x3_filters_see_an_even_picture_alike(whole: OneShotNet) -> None:
    net = smaller(whole, replace(WHOLE, share3x3=0.125))
    assert net.backbone.fire2.expand3x3.out_channels == 16
    images = torch.full((1, 3, 64, 64), 200.0)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    with torch.no_grad():
        # Filters change places, so what reads them is compared.
        mine, theirs = (each.thin4(each.backbone(images, top=False).s4) for each in (net, whole))
    torch.testing.assert_close(mine[inner], theirs[inner], atol=1e-3, rtol=1e-4)


def test_the_3x3_filters_that_go_are_those_that_hardly_were_any(whole: OneShotNet) -> None:
    """Where half of them see one cell only, half can go: maps and the head's outputs stay as they were."""
    given = copy.deepcopy(whole)
    with torch.no_grad():
        for name in READERS:
            filters = getattr(given.backbone, name).expand3x3.weight
            some = torch.randperm(len(filters))[: len(filters) // 2]
            filters[some] *= torch.tensor([[0, 0, 0], [0, 1.0, 0], [0, 0, 0]])
        net = OneShotNet(replace(WHOLE, share3x3=0.25, share3x3_top=0.25)).eval()
        start_from(net, given.state_dict())
        images = torch.rand(1, 3, 96, 64) * 255
        mine, theirs = net.backbone(images), given.backbone(images)
        for own, expected in zip(net.head(mine), given.head(theirs), strict=True):
            torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)
        sampled = net.sampled(mine), given.sampled(theirs)
        for own, expected in zip(*((each.coarse, *each.own) for each in sampled), strict=True):
            torch.testing.assert_close(own.map, expected.map, atol=1e-3, rtol=1e-4)


def test_the_channels_that_go_are_those_that_hardly_counted(whole: OneShotNet) -> None:
    """Where nobody reads more than a narrower network has, its outputs stay as they were."""
    given = copy.deepcopy(whole)
    narrow = {"squeeze_top": (24, 32, 48), "expand_top": (64, 128, 192)}
    net = OneShotNet(replace(WHOLE, **narrow)).eval()  # type: ignore[arg-type]
    state = given.state_dict()
    with torch.no_grad():
        for name, readers in READERS.items():
            fire, few = (getattr(each.backbone, name) for each in (given, net))
            unused = torch.randperm(fire.squeeze.out_channels)[few.squeeze.out_channels :]
            for layer in (fire.expand1x1, fire.expand3x3):
                layer.weight[:, unused] = 0
            # Half of either kind, so that none of those that stay changes its kind.
            half = torch.randperm(fire.expand3x3.out_channels)[few.expand3x3.out_channels :]
            half = torch.cat((half, fire.expand1x1.out_channels + half))
            for reader in readers:
                if f"{reader}.weight" in state:
                    state[f"{reader}.weight"][:, half] *= 1e-6
        start_from(net, given.state_dict())
        images = torch.rand(1, 3, 96, 64) * 255
        outputs = [each.head(each.backbone(images)) for each in (net, given)]
    for own, expected in zip(*outputs, strict=True):
        assert expected.std() > 1e-4
        torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-3)


def test_more_samples_in_a_cell_begin_as_the_mean_of_them() -> None:
    given = OneShotNet(shaped(LATER, parts=1))
    with torch.no_grad():
        for _ in range(3):
            given.identity.bridge(2 * torch.randn(8, 16, 28, 28) + 1, torch.randn(8, 32, 14, 14))
    finer = OneShotNet(shaped(LATER, parts=2)).eval()
    start_from(finer, given.eval().state_dict())
    fine = 2 * torch.randn(2, 16, 1, 28, 28) + torch.randn(2, 16, 4, 28, 28)
    coarse = torch.randn(2, 32, 14, 14)
    with torch.no_grad():
        expected = given.identity.bridge(fine.mean(2), coarse)
        assert expected.std() > 0.1
        torch.testing.assert_close(
            finer.identity.bridge(fine.flatten(1, 2), coarse), expected, atol=1e-5, rtol=0
        )


def test_a_narrower_stem_and_head_keep_the_channels_that_count() -> None:
    """Where nobody reads more than the smaller network has, its outputs stay as they were."""
    torch.manual_seed(0)
    given, net = (OneShotNet(shape).eval() for shape in (replace(FAST, stem=32, head=64), FAST))
    stem, head = torch.randperm(32)[16:], torch.randperm(64)[48:]
    with torch.no_grad():
        given.backbone.fire2.squeeze.weight[:, stem] *= 1e-6
        for i, out in enumerate(given.head.out):
            given.head.merge[i][2].weight[:, head] *= 1e-6  # type: ignore[index,operator]
            given.head.lateral[i][1].weight[head] *= 1e-6  # type: ignore[index,operator]
            given.head.merge[i][3].weight[head] *= 1e-6  # type: ignore[index,operator]
            given.head.tower[i][2].weight[:, head] *= 1e-6  # type: ignore[index,operator]
            out.weight.normal_()  # type: ignore[union-attr,operator]
            out.weight[:, head.flip(0) - i] *= 1e-6  # type: ignore[index,operator]
        start_from(net, given.state_dict())
        images = torch.rand(1, 3, 96, 64) * 255
        outputs = [each.head(each.backbone(images)) for each in (net, given)]
    for own, expected in zip(*outputs, strict=True):
        assert expected[:, 5:].std() > 1e-3
        torch.testing.assert_close(own, expected, atol=1e-3, rtol=1e-2)


def test_without_fire3_its_readers_begin_anew() -> None:
    given, net = OneShotNet(replace(FAST, expand_low=(32, 32))), OneShotNet(FAST)
    fresh = net.backbone.fire4.squeeze.weight.clone()
    start_from(net, given.state_dict())
    assert torch.equal(net.backbone.fire4.squeeze.weight, fresh)
    assert torch.equal(net.backbone.fire4.expand3x3.weight, given.backbone.fire4.expand3x3.weight)


def test_fewer_hidden_channels_are_those_of_the_largest_weights() -> None:
    wide, narrow = (DeepHalf(fine_blocks=3, hidden=hidden) for hidden in (96, 48))
    mlp = wide.stage1[0].mlp  # type: ignore[union-attr]
    with torch.no_grad():
        mlp.fc2.weight[:, 10:58] = 0  # type: ignore[union-attr,operator,index]
    own = narrow.state_dict()
    narrow.load_state_dict(at_hidden_width(wide.state_dict(), own))
    x = torch.randn(2, 24, 28, 28)
    with torch.no_grad():
        torch.testing.assert_close(narrow.eval()(x), wide.eval()(x), atol=1e-4, rtol=1e-3)


def test_a_head_that_learns_directions_keeps_its_boxes_and_confidences(whole: OneShotNet) -> None:
    net = OneShotNet(replace(WHOLE, direction=True)).eval()
    start_from(net, whole.state_dict())
    images = torch.rand(1, 3, 64, 96) * 255
    with torch.no_grad():
        before, after = whole.dense(images)[0], net.dense(images)[0]
    torch.testing.assert_close(after.boxes, before.boxes)
    torch.testing.assert_close(after.scores, before.scores)
    assert after.raw.shape[2] == before.raw.shape[2] + 8

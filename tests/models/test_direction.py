"""Which way up a face is: classes and vectors, where landmarks lie by them, and faces in doubt."""

import math

import pytest
import torch

from oneshot.models.boxcode import decode_upright_landmarks
from oneshot.models.cells import decided
from oneshot.models.config import NetworkConfig
from oneshot.models.direction import DIRECTIONS, classes_of, direction_of, vector_of
from oneshot.models.head import BOX_SIDE, OUTPUTS, template_code
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import Grid

TEMPLATE = Grid(1).landmarks
BOX = torch.tensor([[30.0, 40, 110, 160]])
EVERY = torch.ones(1, 5)


def _unit(degrees: float) -> torch.Tensor:
    angle = math.radians(degrees)
    return torch.tensor([[math.cos(angle), math.sin(angle)]])


def test_classes_share_a_direction_between_the_two_nearest() -> None:
    assert classes_of(_unit(90))[0].tolist() == pytest.approx([0, 0, 1, 0, 0, 0, 0, 0], abs=1e-5)
    assert classes_of(_unit(-11.25))[0].tolist() == pytest.approx([0.75, 0, 0, 0, 0, 0, 0, 0.25], abs=1e-5)
    for degrees in range(0, 360, 7):
        wanted = classes_of(_unit(degrees))
        assert float(wanted.sum()) == pytest.approx(1, abs=1e-5)
        vector = vector_of((wanted + 1e-9).log())
        assert float((vector / vector.norm()) @ _unit(degrees).T) > math.cos(math.radians(5))
        assert float(vector.norm()) > 0.9


def test_opposite_readings_leave_no_direction() -> None:
    torn = torch.full((1, DIRECTIONS), -20.0)
    torn[0, [0, DIRECTIONS // 2]] = 0
    assert float(vector_of(torn).norm()) < 1e-3


@pytest.mark.parametrize("degrees", [0, 30, 135, 180, 270])
def test_the_template_is_laid_into_the_box_turned(degrees: int) -> None:
    points = decode_upright_landmarks(template_code()[None], BOX, _unit(degrees))
    assert torch.allclose(points.mean(1), torch.tensor([[70.0, 100]]), atol=1e-3)
    spread = (points - points.mean(1, keepdim=True)).square().sum(2).mean().sqrt()
    assert float(spread) == pytest.approx(math.sqrt(80 * 120) / BOX_SIDE, rel=1e-4)
    assert torch.allclose(direction_of(points, EVERY, TEMPLATE), _unit(degrees), atol=1e-4)


def test_a_direction_is_read_from_the_points_that_count() -> None:
    points = decode_upright_landmarks(template_code()[None], BOX, _unit(75))
    points[:, 1:3] = 0.0  # unknown
    assert torch.allclose(
        direction_of(points, torch.tensor([[1.0, 0, 0, 0.5, 1]]), TEMPLATE), _unit(75), atol=1e-4
    )
    assert not torch.allclose(direction_of(points, EVERY, TEMPLATE), _unit(75), atol=0.1)


@torch.no_grad()
def test_a_head_from_nothing_lays_the_template_into_its_boxes_as_it_is_turned() -> None:
    net = OneShotNet(NetworkConfig(direction=True)).eval()
    for layer in net.head.out:
        layer.weight.zero_()  # type: ignore[union-attr,operator]
        layer.bias[OUTPUTS + 4] = 20.0  # type: ignore[union-attr,index]  # half a turn
    cells, _ = net.dense(torch.rand(1, 3, 64, 96) * 255)
    one = torch.zeros(1, dtype=torch.int64)
    expected = decode_upright_landmarks(template_code()[None], cells.boxes[:, 0], _unit(180))
    torch.testing.assert_close(cells.landmarks(one, one), expected)
    assert (expected[:, 0, 1] > expected[:, 3, 1]).all()  # eyes below the mouth


@torch.no_grad()
def test_a_face_of_no_sure_direction_is_like_nobody() -> None:
    net = OneShotNet(NetworkConfig(direction=True)).eval()
    images = torch.rand(1, 3, 64, 96) * 255
    for sure in (0.0, 9.0):
        for layer in net.head.out:
            layer.weight[OUTPUTS:] = 0.0  # type: ignore[union-attr,index,operator]
            layer.bias[4], layer.bias[OUTPUTS] = 3.0, sure  # type: ignore[union-attr,index,operator]
        lengths = net(images, 0.5, 0.45, 7).embeddings.norm(dim=1)
        torch.testing.assert_close(lengths, torch.full((7,), float(sure > 0)))


def test_a_head_that_says_no_direction_has_no_doubt() -> None:
    assert decided(torch.zeros(3, OUTPUTS)).tolist() == [[1.0]] * 3
    assert decided(torch.zeros(3, OUTPUTS + DIRECTIONS)).tolist() == [[0.0]] * 3

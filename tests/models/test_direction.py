"""Which way up a face is: classes and vectors, and what becomes of a face that is turned or in doubt."""

import math

import pytest
import torch

from oneshot.models.config import NetworkConfig
from oneshot.models.direction import (
    BOX_SIDE,
    DIRECTIONS,
    classes_of,
    direction_of,
    turned,
    upright,
    vector_of,
)
from oneshot.models.network import OneShotNet
from oneshot.models.sampling import Grid, apply_similarity, template_to_image

TEMPLATE = Grid(1).landmarks


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
    box = torch.tensor([[30.0, 40, 110, 160]])
    points = apply_similarity(turned(box, TEMPLATE, _unit(degrees)), TEMPLATE)
    assert torch.allclose(points.mean(1), torch.tensor([[70.0, 100]]), atol=1e-3)
    spread = (points - points.mean(1, keepdim=True)).square().sum(2).mean().sqrt()
    assert float(spread) == pytest.approx(math.sqrt(80 * 120) / BOX_SIDE, rel=1e-4)
    assert torch.allclose(direction_of(template_to_image(points, TEMPLATE)), _unit(degrees), atol=1e-4)
    if degrees == 0:
        assert torch.allclose(points, apply_similarity(upright(box, TEMPLATE), TEMPLATE))


def test_landmarks_read_another_way_up_make_way_for_the_template() -> None:
    net = OneShotNet(NetworkConfig(direction=True))
    boxes = torch.tensor([[30.0, 40, 110, 160]] * 3)
    read_upright = apply_similarity(upright(boxes[:1], TEMPLATE), TEMPLATE) + 1.0
    vectors = torch.cat((_unit(20), _unit(180), 0.5 * _unit(180)))
    assert net.direction is not None
    start, sure = net.direction.turn(boxes, read_upright.repeat(3, 1, 1), vectors)
    assert torch.equal(start[:1], read_upright)
    assert (start[1:, 0, 1] > start[1:, 3, 1]).all()  # eyes below the mouth
    assert sure.tolist() == [True, True, False]


def test_a_face_in_doubt_has_an_embedding_like_nobodys() -> None:
    torch.manual_seed(0)
    net = OneShotNet(NetworkConfig(direction=True)).eval()
    assert net.direction is not None
    images, boxes = torch.rand(1, 3, 96, 96) * 255, torch.tensor([[20.0, 16, 70, 78]])
    coarse = apply_similarity(upright(boxes, TEMPLATE), TEMPLATE)
    with torch.no_grad():
        for favoured, length in ((0.0, 0.0), (9.0, 1.0)):
            net.direction.out.weight.zero_()
            net.direction.out.bias.zero_()[0] = favoured
            sampled = net.sampled_of(images)
            landmarks, decided = net.place(sampled.coarse, boxes, coarse)
            embeddings = net.identity(sampled, landmarks) * decided
            assert float(embeddings.norm()) == pytest.approx(length, abs=1e-4)

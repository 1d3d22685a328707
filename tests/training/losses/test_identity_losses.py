"""Losses of the identity half on cases worked out by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from oneshot.geometry import ARCFACE_TEMPLATE
from oneshot.training.losses.identity import (
    alignment_error,
    cosine_loss,
    hint_loss,
    landmark_loss,
    margin_loss,
    neighbours_loss,
    pairs_loss,
)

TEMPLATE = torch.from_numpy(ARCFACE_TEMPLATE)


def test_perfect_imitation_costs_nothing() -> None:
    rng = torch.Generator().manual_seed(0)
    hints = torch.randn(4, 48, 14, 14, generator=rng)
    embeddings = F.normalize(torch.randn(4, 1000, generator=rng), dim=1)
    assert float(hint_loss(hints, hints)) == 0
    assert abs(float(cosine_loss(embeddings, embeddings))) < 1e-6
    assert float(pairs_loss(embeddings, embeddings)) == 0


def test_neighbours_may_all_be_more_alike_but_not_others() -> None:
    rng = torch.Generator().manual_seed(0)
    targets = F.normalize(torch.randn(6, 5, generator=rng), dim=1)
    # One more number that all have in common: every cosine c becomes (1 + c) / 2.
    raised = torch.cat([torch.ones(6, 1), targets], 1) / math.sqrt(2)
    assert float(neighbours_loss(raised, targets, temperature=0.1, scale=20.0)) == pytest.approx(0, abs=1e-5)
    assert float(neighbours_loss(raised.flip(0), targets, temperature=0.1, scale=20.0)) > 0.1


def test_neighbours_by_hand() -> None:
    targets = torch.tensor([[1.0, 0], [1.0, 0], [0, 1.0]])
    descriptors = torch.tensor([[1.0, 0], [0, 1.0], [0, 1.0]])
    # The teacher finds (1, 0), (1, 0), (0, 0) to the two others, the student (0, 0), (0, 1), (0, 1).
    likely, even = math.e / (1 + math.e), 0.5
    first = likely * math.log(likely / even) + (1 - likely) * math.log((1 - likely) / even)
    second = likely * math.log(likely / (1 - likely)) + (1 - likely) * math.log((1 - likely) / likely)
    third = even * math.log(even / (1 - likely)) + even * math.log(even / likely)
    loss = neighbours_loss(descriptors, targets, temperature=1.0, scale=1.0)
    assert float(loss) == pytest.approx((first + second + third) / 3, rel=1e-5)


def test_hints_weigh_every_channel_alike() -> None:
    rng = torch.Generator().manual_seed(0)
    hints = torch.randn(8, 2, 14, 14, generator=rng)
    scaled = hints * torch.tensor([1.0, 100.0]).view(1, 2, 1, 1)
    miss = torch.ones(1, 2, 1, 1)
    near, far = (
        hint_loss(hints + miss, hints),
        hint_loss(scaled + miss * torch.tensor([1.0, 100.0]).view(1, 2, 1, 1), scaled),
    )
    torch.testing.assert_close(near, far)


def test_orthogonal_embeddings_cost_one() -> None:
    assert float(cosine_loss(torch.eye(2), torch.eye(2).flip(0))) == 1.0


def test_pairs_see_a_collapse_that_lengths_hide() -> None:
    collapsed = torch.ones(2, 4) / 2
    # Two pairs of four differ by one each: 10 * 2 / 4.
    torch.testing.assert_close(pairs_loss(collapsed, torch.eye(4)[:2]), torch.tensor(5.0))


def test_landmark_loss_is_in_template_pixels() -> None:
    truth = TEMPLATE[None] * 3
    moved = truth + 3 * 2.0  # two template pixels off in x and y
    torch.testing.assert_close(landmark_loss(moved, truth, TEMPLATE), torch.tensor(1.5))


def test_alignment_error_is_a_share_of_the_eye_distance() -> None:
    truth = TEMPLATE[None] * 2
    eyes = float((truth[0, 0] - truth[0, 1]).norm())
    off = truth + torch.tensor([0.1 * eyes, 0.0])
    torch.testing.assert_close(alignment_error(off, truth), torch.tensor([0.1]), atol=1e-4, rtol=0)


def test_margin_makes_the_right_person_harder() -> None:
    centres, labels = torch.eye(3), torch.tensor([0, -1])
    embeddings = torch.eye(3)[:2]
    expected = math.log(1 + 2 * math.exp(-10 * 0.65))
    torch.testing.assert_close(margin_loss(embeddings, centres, labels, 0.35, 10.0), torch.tensor(expected))
    assert float(margin_loss(embeddings, centres, torch.tensor([-1, -1]))) == 0

"""The pose protocol on a few people whose trials can be counted by hand."""

from typing import Any

import numpy as np
import pytest

from oneshot.evaluation.pose import compared, means, outlook_figures, pose_figures, templates, trials
from oneshot.evaluation.verification import chi_square, cosine, error_rates


def records() -> list[dict[str, Any]]:
    """Ann and Bob: two videos each, in each three frontal frames and one profile; Cem: one video, frontal."""
    people = [(who, video) for who in ("Ann", "Bob") for video in (0, 4)] + [("Cem", 1)]
    rows = []
    for who, video in people:
        rows += [{"person": who, "video": video, "pose": "frontal"}] * 3
        rows += [{"person": who, "video": video, "pose": "profile"}] * (who != "Cem")
    return rows


def test_templates_hold_one_person_one_pose_and_one_half_of_the_videos() -> None:
    rows = records()
    for size in (1, 2, 5):
        chosen = templates(rows, size)
        assert sorted(i for t in chosen for i in t.images) == list(range(len(rows)))
        for template in chosen:
            assert len(template.images) <= size
            assert {(rows[i]["person"], rows[i]["pose"]) for i in template.images} == {
                (template.person, template.pose)
            }
            assert len({rows[i]["video"] for i in template.images}) == 1
    assert len(templates(rows, 1)) == len(rows)
    assert len(templates(rows, 5)) == 9  # Ann and Bob: 2 halves x 2 poses; Cem: one


def test_trials_are_between_videos_only() -> None:
    chosen = templates(records(), 1)
    a, b, same = trials(chosen, chosen, "frontal", "frontal")
    assert same.sum() == 2 * 3 * 3  # of Ann and Bob: 3 frames of one video with 3 of the other; of Cem none
    # First of half 0 of Ann, Bob, Cem against first of half 1 of Ann, Bob, not with oneself.
    assert (~same).sum() == 3 * 2 - 2
    a_, b_, same_ = trials(chosen, chosen, "frontal", "profile")
    assert same_.sum() == 2 * (3 * 1 + 3 * 1)
    for i, j, s in [*zip(a, b, same, strict=True), *zip(a_, b_, same_, strict=True)]:
        assert (chosen[i].person == chosen[j].person) == s
        assert chosen[i].half != chosen[j].half


def test_means_leave_out_missed_images() -> None:
    embeddings = np.array([[1.0, 0], [np.nan, np.nan], [0, 1], [np.nan, np.nan]], np.float32)
    frames = [{"person": "Ann", "video": 0, "pose": "frontal"}] * 3 + [
        {"person": "Bob", "video": 0, "pose": "frontal"}
    ]
    rows = means(templates(frames, 5), embeddings)
    assert rows[0] == pytest.approx(np.array([0.5, 0.5]))  # of the two that were found
    assert np.isnan(rows[1]).all()


def test_figures_of_a_perfect_and_of_a_blind_network() -> None:
    rows = records()
    perfect = np.eye(3, dtype=np.float32)[["ABC".index(row["person"][0]) for row in rows]]
    result = pose_figures(rows, perfect)
    assert (result["1"]["frontal/profile"]["eer"], result["5"]["frontal/profile"]["eer"]) == (0, 0)
    assert [result["1"]["frontal/profile"][kind] for kind in ("genuine", "impostor")] == [12, 4]
    assert np.isnan(result["1"]["frontal/profile"]["frr"]["1e-2"])  # four impostors cannot show it
    assert result["5"]["frontal/frontal"]["genuine"] == 2
    assert result["5"]["mean_images"] == pytest.approx(19 / 9)
    blind = pose_figures(rows, np.full((len(rows), 3), np.nan, np.float32))
    assert blind["missed"] == len(rows)
    assert np.isnan(blind["1"]["frontal/frontal"]["eer"])
    half = perfect.copy()
    half[:4] = np.nan  # Ann's first video: all her trials are rejects
    assert pose_figures(rows, half)["1"]["frontal/frontal"]["eer"] == pytest.approx(50)
    assert pose_figures(rows, perfect)["1"]["three_quarter/profile"]["genuine"] == 0


def test_mixed_templates_take_turns_between_poses() -> None:
    rows = records()
    chosen = templates(rows, 2, mixed=True)
    assert sorted(i for t in chosen for i in t.images) == list(range(len(rows)))
    assert {t.pose for t in chosen} == {"mixed"}
    first = next(t for t in chosen if t.person == "Ann" and t.half == 0)
    assert {rows[i]["pose"] for i in first.images} == {"frontal", "profile"}
    assert len([t for t in chosen if t.person == "Ann"]) == 4  # 4 + 4 frames in twos


def test_queries_of_another_kind_are_compared_both_ways() -> None:
    rows = records()
    enrolled, single = templates(rows, 5), templates(rows, 1)
    a, b, same = trials(enrolled, single, "frontal", "frontal")
    assert same.sum() == 2 * (3 + 3)  # of Ann and Bob: either half's template with the other half's frames
    for i, j in zip(a, b, strict=True):
        assert enrolled[i].half != single[j].half
    assert (~same).sum() == 3 * 2 - 2


def test_the_outlook_measures_mixed_templates_and_single_queries() -> None:
    rows = records()
    perfect = np.eye(3, dtype=np.float32)[["ABC".index(row["person"][0]) for row in rows]]
    result = outlook_figures(rows, perfect, size=5, measure=chi_square)
    assert set(result) == {"mixed", "one_query"}
    assert set(result["mixed"]) == {"mixed/mixed", "mixed/frontal", "mixed/three_quarter", "mixed/profile"}
    assert len(result["one_query"]) == 9 + 3
    assert result["mixed"]["mixed/mixed"] | {"frr": 0} == {"eer": 0, "frr": 0, "genuine": 2, "impostor": 4}
    assert result["one_query"]["mixed/profile"]["genuine"] == 4


def test_comparing_in_parts_gives_every_score() -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.random((50, 4)), rng.random((40, 4))
    a, b = rng.integers(0, 50, 9000), rng.integers(0, 40, 9000)
    np.testing.assert_allclose(compared(rows, others, a, b, cosine), cosine(rows[a], others[b]))
    assert compared(rows, others, a[:0], b[:0], cosine).shape == (0,)


def test_error_rates_by_hand() -> None:
    impostors, genuine = np.arange(1000) / 1000, np.array([0.5, 0.98, 0.995, 0.9999])
    result = error_rates(np.concatenate((genuine, impostors)), np.arange(1004) < 4)
    assert result["frr"] == {"1e-2": 50, "1e-3": pytest.approx(75)}  # above 0.989 are 2 of 4, above 0.998 one
    assert (result["genuine"], result["impostor"]) == (4, 1000)

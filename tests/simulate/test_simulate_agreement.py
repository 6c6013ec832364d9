from __future__ import annotations

import numpy as np
import pytest

from stargazer.bio.simulate.agreement import adjusted_rand_index, area_under_curve

metrics = pytest.importorskip("sklearn.metrics")


@pytest.mark.parametrize("parts", [1, 2, 7, 200])
def test_rand_index_is_scikit_learns(parts: int) -> None:
    rng = np.random.default_rng(parts)
    some = rng.integers(parts, size=200)
    others = np.where(rng.random(200) < 0.7, some * 3 % parts, rng.integers(5, size=200))
    assert adjusted_rand_index(some, others) == pytest.approx(metrics.adjusted_rand_score(some, others), abs=1e-12)
    assert adjusted_rand_index(some, -2 * some) == 1.0


def test_area_under_the_curve_is_scikit_learns_with_ties_too() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(500) < 0.1
    scores = np.round(rng.random(500) + positive, 1)
    assert area_under_curve(scores, positive) == pytest.approx(metrics.roc_auc_score(positive, scores), abs=1e-12)
    assert np.isnan(area_under_curve(scores, np.zeros(500, bool)))

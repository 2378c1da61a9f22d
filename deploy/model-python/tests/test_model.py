"""What the model says: the same whatever it is asked with, and nothing of units."""

from pathlib import Path

import joblib
import numpy as np
import pytest

from cornjacket_model.model import BadScores, Floats, Scores, score
from cornjacket_model.models import KINDS, reference
from cornjacket_model.models.features import NAMES, SHORTEST, features
from cornjacket_model.models.isolation_forest import IsolationForestModel


def windows(count: int = 300, width: int = 32) -> Floats:
    random = np.random.default_rng(7)
    series = random.normal(size=(count, width)).cumsum(axis=1)
    series[::10, -1] += 30
    return series


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("width", [1, 2, SHORTEST - 1, SHORTEST, 32, 100])
def test_a_window_is_scored_the_same_alone_and_among_others(kind: str, width: int) -> None:
    model, asked = KINDS[kind](None), windows(width=width)
    together = score(model, asked)
    for index in (0, 1, 10, 299):
        alone = score(model, asked[index : index + 1])
        for name in ("score", "expected", "lower", "upper", "weights"):
            assert np.array_equal(getattr(alone, name)[0], getattr(together, name)[index]), name


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_start_makes_the_same_model(kind: str) -> None:
    one, other = KINDS[kind](None), KINDS[kind](None)
    assert (one.parameters, one.version) == (other.parameters, other.version)
    assert np.array_equal(one.score(windows()).score, other.score(windows()).score)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.filterwarnings("error")
def test_no_window_is_too_odd(kind: str) -> None:
    model = KINDS[kind](None)
    most = float(np.finfo(np.float64).max)
    least = float(np.finfo(np.float64).tiny)
    for values in ([most, -most], [0.0], [5.0], [most], [least, 0.0], [0.0, 0.0, most], [1.0, 1e-300]):
        for width in (1, 12, 32, 33):
            scores = score(model, np.resize(values, (1, width)))
            assert scores.lower[0] <= scores.expected[0] <= scores.upper[0]


def test_features_know_no_unit() -> None:
    assert np.allclose(features(windows()), features(windows() * -1234.5))
    assert np.array_equal(features(windows()), features(windows() * 2.0**-300))
    assert features(windows()).shape == (300, len(NAMES))


def test_the_feature_that_is_strange_stands_out() -> None:
    ordinary = reference.windows(32, 5)
    usual = np.median(features(ordinary), axis=0)
    spike, wild = ordinary[:1].copy(), ordinary[:1].copy()
    spike[0, -1] += 40
    wild[0, 24:31] += 40 * np.resize([1, -1], 7)
    assert (features(spike)[0] > usual + 1).tolist() == [True, True, False, False]
    assert features(wild)[0, NAMES.index("spread")] > usual[3] + 1


def test_strange_values_score_high_and_ordinary_ones_low(model: IsolationForestModel) -> None:
    ordinary = np.random.default_rng(3).normal(20, 0.5, (500, 32))
    strange = ordinary.copy()
    strange[:, -1] += 5
    assert np.quantile(score(model, ordinary).score, 0.95) < 0.6
    assert np.quantile(score(model, strange).score, 0.1) > 0.6
    inside = score(model, ordinary)
    covered = (inside.lower <= ordinary[:, -1]) & (ordinary[:, -1] <= inside.upper)
    assert covered.mean() > 0.95
    assert (score(model, strange).upper < strange[:, -1]).mean() > 0.95


def test_a_saved_model_says_the_same_under_another_version(model: IsolationForestModel, tmp_path: Path) -> None:
    file = tmp_path / "model"
    IsolationForestModel.fit(reference.windows(32, 1)).save(file)
    loaded, again = IsolationForestModel.make(file), IsolationForestModel.make(file)
    assert loaded.version == again.version != model.version
    assert np.array_equal(loaded.score(windows()).score, again.score(windows()).score)
    joblib.dump({"something": "else"}, file)
    with pytest.raises(ValueError, match="no model"):
        IsolationForestModel.make(file)


class Wrong:
    """A model that gives whatever it is made with."""

    name, version, detector, parameters, window = "wrong", "1", "wrong", "{}", 4
    features: tuple[str, ...] = ("one",)

    def __init__(self, given: Floats) -> None:
        self._given = given

    def score(self, windows: Floats) -> Scores:
        ordinary = np.zeros(len(windows))
        return Scores(self._given, ordinary, ordinary, ordinary, ordinary[:, None])


@pytest.mark.parametrize("given", [[0.5], [0.5, np.nan], [0.5, 1.5], [0.5, -0.1], [[0.5, 0.5]]])
def test_what_no_model_may_say_is_found_out(given: list[float]) -> None:
    with pytest.raises(BadScores, match="score"):
        score(Wrong(np.array(given)), np.zeros((2, 4)))

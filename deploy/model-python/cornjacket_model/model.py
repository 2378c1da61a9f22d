"""What a model is. A new one is a file in `models/` with a class of this shape, and a line in `models/__init__.py`."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scores:
    """What a model says of n windows. All but `weights` have the shape [n]."""

    # 0: as ordinary as can be, 1: as strange as can be.
    score: Floats
    # The newest value as it should have been, and the interval that would have been no surprise.
    expected: Floats
    lower: Floats
    upper: Floats
    # Each feature's share of the score, 0 to 1: shape [n, number of features].
    weights: Floats


class Model(Protocol):
    """Scores the newest value of each window. The same window must get the same scores, whatever it is asked with."""

    # What it is known by: 1 to 128 characters. Another way of scoring is another version.
    name: str
    version: str
    # The kind of model, as anomalies name it.
    detector: str
    # What it was made with, as JSON: anomalies carry its digest.
    parameters: str
    # How many values of a series it looks at, the newest included. Shorter windows must be scored too.
    window: int
    # What `Scores.weights` is about.
    features: tuple[str, ...]

    def score(self, windows: Floats) -> Scores:
        """Scores windows of finite numbers: shape [n, w], n and w at least 1, the newest value last."""
        ...


class BadScores(Exception):
    """A model said what no model may say."""


def score(model: Model, windows: Floats) -> Scores:
    """What the model says, held against its contract.

    Raises BadScores, naming the output, when a shape is wrong, a number is not finite or a score is not within 0 to 1.
    """
    count = len(windows)
    scores = model.score(windows)
    shapes = dict.fromkeys(("score", "expected", "lower", "upper"), (count,))
    for name, shape in {**shapes, "weights": (count, len(model.features))}.items():
        values = getattr(scores, name)
        if values.shape != shape:
            raise BadScores(f"{name}: the model gave the shape {values.shape} instead of {shape}")
        if not np.isfinite(values).all():
            raise BadScores(f"{name}: the model gave a number that is not finite")
    if ((scores.score < 0) | (scores.score > 1)).any():
        raise BadScores("score: the model gave one outside 0 to 1")
    return scores

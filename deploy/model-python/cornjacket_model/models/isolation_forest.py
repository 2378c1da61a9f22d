"""An isolation forest (Liu, Ting, Zhou: Isolation Forest, ICDM 2008) over features of a window."""

import hashlib
import json
from pathlib import Path
from typing import Self

import joblib
import numpy as np
from sklearn.ensemble import IsolationForest

from cornjacket_model.model import Floats, Scores
from cornjacket_model.models import features, reference

TREES = 100
# Rows that each tree sees, as published.
ROWS = 256
SEED = 20261126
# From this share of the reference on, what is scored is no longer ordinary.
ORDINARY = 0.9


class IsolationForestModel:
    """How easily the features of a window are told apart from those of windows that are known to be ordinary."""

    name = "isolation_forest"
    detector = "isolation_forest"
    window = 32
    features: tuple[str, ...] = features.NAMES

    def __init__(self, forest: IsolationForest, rows: Floats, version: str, parameters: str) -> None:
        """A fitted forest, and the features of what it was fitted on, which say where strangeness begins."""
        self.version = version
        self.parameters = parameters
        self._forest = forest
        self._rows = rows
        self._usual = np.median(rows, axis=0)
        self._ordinary = float(np.quantile(self._isolation(rows), ORDINARY))
        self._strangest = max(float(np.median(self._isolation(_jumps(rows)))), self._ordinary + 1e-9)

    @classmethod
    def make(cls, file: Path | None) -> Self:
        """The model in a file, or one that is fitted on a generated reference: the same at every start."""
        return cls.load(file) if file else cls.fit(reference.windows(cls.window, SEED))

    @classmethod
    def fit(cls, windows: Floats, version: str = "1") -> Self:
        """Fits a model on windows that are ordinary: shape [n, w]."""
        rows = features.features(windows)
        forest = IsolationForest(n_estimators=TREES, max_samples=min(ROWS, len(rows)), random_state=SEED)
        digest = hashlib.sha256(np.ascontiguousarray(windows).tobytes()).hexdigest()
        parameters = {"trees": TREES, "rows": ROWS, "seed": SEED, "reference": digest}
        return cls(forest.fit(rows), rows, version, json.dumps(parameters, sort_keys=True))

    def save(self, file: Path) -> None:
        """Writes a file that `--model` takes."""
        joblib.dump((self._forest, self._rows), file)

    @classmethod
    def load(cls, file: Path) -> Self:
        """Reads a file of `save`; its digest is the version. Such a file can run any code: it must be one to trust.

        Raises ValueError when it is something else.
        """
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        loaded = joblib.load(file)
        if not (isinstance(loaded, tuple) and len(loaded) == 2 and isinstance(loaded[0], IsolationForest)):
            raise ValueError(f"{file} is no model that IsolationForestModel.save wrote")
        return cls(*loaded, version=digest[:12], parameters=json.dumps({"file": digest}))

    def score(self, windows: Floats) -> Scores:
        """See Model. Windows shorter than features.SHORTEST are ordinary: nothing is known yet."""
        expected, lower, upper = features.interval(windows)
        if windows.shape[1] < features.SHORTEST:
            none = np.zeros(len(windows))
            weights = np.zeros((len(windows), len(self.features)))
            return Scores(none, expected, lower, upper, weights)
        rows = features.features(windows)
        strangeness = (self._isolation(rows) - self._ordinary) / (self._strangest - self._ordinary)
        return Scores(np.clip(strangeness, 0, 1), expected, lower, upper, self._weights(rows))

    def _isolation(self, rows: Floats) -> Floats:
        """The score of the publication: near 1 for what few cuts tell apart."""
        return np.asarray(-self._forest.score_samples(rows), dtype=np.float64)

    def _weights(self, rows: Floats) -> Floats:
        """How far each feature is beyond what is usual, as shares."""
        beyond = np.maximum(rows - self._usual, 0)
        total = beyond.sum(axis=1, keepdims=True)
        return np.asarray(beyond / np.where(total > 0, total, 1), dtype=np.float64)


def _jumps(rows: Floats) -> Floats:
    """The features of ordinary windows, had their newest value been far from everything: as strange as can be."""
    jumps = rows.copy()
    for name in ("deviation", "step"):
        jumps[:, features.NAMES.index(name)] = np.log1p(features.FARTHEST)
    return jumps

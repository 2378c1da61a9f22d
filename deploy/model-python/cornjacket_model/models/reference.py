"""Series that are ordinary, made from a seed: what is known before anything has been measured."""

import numpy as np

from cornjacket_model.model import Floats

_SERIES = 60
_LENGTH = 160
_STRIDE = 4


def windows(width: int, seed: int) -> Floats:
    """Windows of noise, seasons, slow drift, values that come in steps and ones that stay: shape [n, width]."""
    random = np.random.default_rng(seed)
    kinds = (_noise, _season, _autoregressive, _drift, _steps, _still)
    series = [kinds[number % len(kinds)](random) for number in range(_SERIES)]
    cut = [each[start : start + width] for each in series for start in range(0, _LENGTH - width + 1, _STRIDE)]
    return np.stack(cut)


def _noise(random: np.random.Generator) -> Floats:
    return random.normal(size=_LENGTH)


def _season(random: np.random.Generator) -> Floats:
    period = random.uniform(8, 200)
    phase = random.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * np.arange(_LENGTH) / period + phase)
    return np.asarray(random.uniform(1, 5) * wave + random.normal(scale=random.uniform(0, 0.5), size=_LENGTH))


def _autoregressive(random: np.random.Generator) -> Floats:
    share = random.uniform(0.3, 0.95)
    values = random.normal(size=_LENGTH)
    for index in range(1, _LENGTH):
        values[index] += share * values[index - 1]
    return values


def _drift(random: np.random.Generator) -> Floats:
    slope = random.uniform(-0.05, 0.05)
    return np.asarray(slope * np.arange(_LENGTH) + random.normal(size=_LENGTH))


def _steps(random: np.random.Generator) -> Floats:
    """As sensors of few digits measure."""
    return np.asarray(np.round(10 + random.normal(scale=1.5, size=_LENGTH)))


def _still(random: np.random.Generator) -> Floats:
    return np.full(_LENGTH, random.normal())

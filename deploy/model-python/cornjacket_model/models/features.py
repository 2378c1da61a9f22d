"""What is looked at in a window: numbers that do not depend on the unit that the series is measured in."""

import numpy as np
from numpy.typing import NDArray

from cornjacket_model.model import Floats

NAMES: tuple[str, ...] = ("deviation", "step", "trend", "spread")
# Windows of fewer values say nothing: there is no telling yet what is ordinary.
SHORTEST = 12
# Less than about this share of the window's largest value is rounding, not change.
RESOLUTION = 1e-6
# Beyond so many scales everything is equally far.
FARTHEST = 1e4
# The standard deviation of a normal distribution by its median absolute deviation.
_MAD = 1.4826


def features(windows: Floats) -> Floats:
    """The features of windows of at least SHORTEST values, in the order of NAMES: shape [n, 4], each of them ≥ 0."""
    windows, _ = _scaled(windows)
    history, newest = windows[:, :-1], windows[:, -1]
    recent = _recent(history)
    usual, now = np.median(history, axis=1), np.median(recent, axis=1)
    scale = np.maximum(_spread(history), RESOLUTION)
    steps = np.diff(windows, axis=1)
    # A series that is smooth must not be told from its steps alone.
    step_scale = np.maximum(_spread(steps[:, :-1]), scale / 20)
    surprise = np.abs(steps[:, -1] - np.median(steps[:, :-1], axis=1))
    columns = (
        np.abs(newest - now) / scale,
        surprise / step_scale,
        np.abs(now - usual) / scale,
        recent.std(axis=1) / scale,
    )
    return np.asarray(np.log1p(np.minimum(np.stack(columns, axis=1), FARTHEST)), dtype=np.float64)


def interval(windows: Floats) -> tuple[Floats, Floats, Floats]:
    """The expected newest value of windows of any length, and the ends of the interval that would be no surprise."""
    history = windows[:, :-1] if windows.shape[1] > 1 else windows
    scaled, exponents = _scaled(history)
    expected, reach = np.median(_recent(scaled), axis=1), 3 * _spread(scaled)
    # Just below 1: what the largest exponent makes a number of.
    most = np.nextafter(1, 0)
    ends = (np.clip(each, -most, most) for each in (expected, expected - reach, expected + reach))
    expected, lower, upper = (np.ldexp(each, exponents) for each in ends)
    return expected, lower, upper


def _scaled(windows: Floats) -> tuple[Floats, NDArray[np.int32]]:
    """The windows within -1 and 1, by powers of two, which change no digit; and their exponents."""
    _, exponents = np.frexp(np.abs(windows).max(axis=1))
    return np.ldexp(windows, -exponents[:, None]), exponents


def _recent(history: Floats) -> Floats:
    """The last quarter."""
    return history[:, -max(history.shape[1] // 4, 1) :]


def _spread(values: Floats) -> Floats:
    """A robust scale; where more than half of the values are the same, the standard deviation."""
    center = np.median(values, axis=1)
    robust = _MAD * np.median(np.abs(values - center[:, None]), axis=1)
    return np.where(robust > 0, robust, values.std(axis=1))

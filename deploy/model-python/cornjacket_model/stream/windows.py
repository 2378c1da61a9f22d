"""The latest values of each series."""

from bisect import bisect_right
from collections import OrderedDict

import numpy as np

from cornjacket_model.model import Floats

# Subject and metric.
Series = tuple[str, str]


class Windows:
    """The last `length` values by time of the `most` series that were last heard of; others begin anew."""

    def __init__(self, length: int, most: int) -> None:
        self._length = length
        self._most = most
        self._series: OrderedDict[Series, list[tuple[int, float]]] = OrderedDict()

    def add(self, series: Series, time: int, value: float) -> Floats:
        """Takes a value in. The window that ends with it: what came late is not seen beside what it is before."""
        samples = self._series.setdefault(series, [])
        self._series.move_to_end(series)
        if len(self._series) > self._most:
            self._series.popitem(last=False)
        # Of one time, the order is that of the log.
        index = bisect_right(samples, time, key=lambda sample: sample[0])
        samples.insert(index, (time, value))
        window = np.array([value for _, value in samples[: index + 1]][-self._length :])
        if len(samples) > self._length:
            del samples[0]
        return window

    def clear(self) -> None:
        """Forgets everything."""
        self._series.clear()

    def __len__(self) -> int:
        """How many series there are."""
        return len(self._series)

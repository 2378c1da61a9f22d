"""How the service is doing: what it waits for, and what it has counted. Told to by threads, asked by operators."""

import logging
from collections import Counter
from threading import Lock

log = logging.getLogger(__name__)


class Status:
    """What is waited for, by whom it is said, and counts since the start."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waits: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def wait(self, who: str, reason: str) -> None:
        """Says that `who` is waited for; until `go_on`."""
        with self._lock:
            is_new = self._waits.get(who) != reason
            self._waits[who] = reason
        if is_new:
            log.warning("waiting for %s: %s", who, reason)

    def go_on(self, who: str) -> None:
        """Says that `who` is not waited for, or not any more."""
        with self._lock:
            waited = self._waits.pop(who, None)
        if waited is not None:
            log.info("no longer waiting for %s", who)

    def waits(self) -> dict[str, str]:
        """What is waited for; nothing when all is well."""
        with self._lock:
            return dict(self._waits)

    def count(self, what: str, by: int = 1) -> None:
        """Adds to a count."""
        with self._lock:
            self._counts[what] += by

    def counted(self, what: str) -> int:
        """How many there were."""
        with self._lock:
            return self._counts[what]

    def metrics(self) -> str:
        """All of it in Prometheus' text format."""
        with self._lock:
            lines = [f"cornjacket_model_{name}_total {count}" for name, count in sorted(self._counts.items())]
            lines += [f'cornjacket_model_waiting{{for="{who}"}} 1' for who in sorted(self._waits)]
        return "\n".join([*lines, ""])

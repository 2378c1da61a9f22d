"""How far a partition has been read, and how far it is done."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Self

from cornjacket_model.stream.records import Mark

_BEFORE_ALL: Mark = (0, 0)


class Use(Enum):
    """What a record is good for."""

    # It has been had, or is of a log that is no longer in force.
    NOTHING = auto()
    # Its results are stored: it only belongs to windows.
    WINDOW = auto()
    SCORE = auto()


@dataclass
class Partition:
    """The state of one partition. Places in the log decide, since offsets begin anew with a topic that is made anew."""

    number: int
    # What was committed when it became ours: the next offset, and the last place in the log before it.
    committed: int = 0
    done: Mark = _BEFORE_ALL
    read: Mark = _BEFORE_ALL

    @classmethod
    def resumed(cls, number: int, committed: int, metadata: str | None) -> Self:
        """As a commit left it; below 0 there is none. Metadata that is not ours says nothing."""
        epoch, _, position = (metadata or "").partition(":")
        done = (int(epoch), int(position)) if epoch.isdecimal() and position.isdecimal() else _BEFORE_ALL
        return cls(number, max(committed, 0), done)

    @property
    def last(self) -> Mark:
        """The last place in the log that was come to, now or before."""
        return max(self.read, self.done)

    @property
    def metadata(self) -> str:
        """What a commit carries."""
        epoch, position = self.last
        return f"{epoch}:{position}"

    def misses(self, mark: Mark, previous: int) -> bool:
        """Whether there was something between the last record and this one that never came."""
        epoch, position = self.last
        return epoch == mark[0] and position < previous and position < mark[1]

    def take(self, mark: Mark, offset: int) -> Use:
        """Notes that a record was read."""
        if mark <= self.read:
            return Use.NOTHING
        self.read = mark
        # A commit that does not say its place is told by its offset.
        is_done = mark <= self.done if self.done != _BEFORE_ALL else offset < self.committed
        return Use.WINDOW if is_done else Use.SCORE

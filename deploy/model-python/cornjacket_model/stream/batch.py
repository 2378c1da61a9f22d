"""From records to what is to be scored: which of them are new, and what came before them."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from cornjacket_model.model import Floats
from cornjacket_model.status import Status
from cornjacket_model.stream import records
from cornjacket_model.stream.dead_letters import Letter
from cornjacket_model.stream.partition import Partition, Use
from cornjacket_model.stream.records import Mark, Measurement, Undecodable
from cornjacket_model.stream.windows import Windows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """A record as it came off the bus."""

    partition: int
    offset: int
    key: bytes
    headers: Mapping[str, bytes]
    value: bytes | None


@dataclass
class Batch:
    """What was read in one go."""

    # Each with the window that it ends.
    measured: list[tuple[Measurement, Floats]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    # What may be committed once all of it is done: the next offset of a partition, and the metadata.
    commits: dict[int, tuple[int, str]] = field(default_factory=dict)


class Reader:
    """Makes batches of the records of the partitions that are ours."""

    def __init__(self, windows: Windows, status: Status) -> None:
        self._windows = windows
        self._status = status
        self._partitions: dict[int, Partition] = {}

    def begin(self, partitions: list[Partition]) -> None:
        """Begins with these, and forgets all others with everything that was read of them."""
        self._windows.clear()
        self._partitions = {one.number: one for one in partitions}

    def take(self, record: Record, batch: Batch) -> None:
        """Adds what a record brings to a batch; nothing when its partition is not ours."""
        partition = self._partitions.get(record.partition)
        if partition is None:
            return
        self._status.count("records")
        if not records.is_replay(record.headers):
            self._read(record, partition, batch)
        if record.offset >= partition.committed:
            batch.commits[partition.number] = (record.offset + 1, partition.metadata)

    def _read(self, record: Record, partition: Partition, batch: Batch) -> None:
        try:
            mark = records.mark(record.headers)
            self._note_gap(partition, mark, records.previous(record.headers))
            use = partition.take(mark, record.offset)
            measured = records.measurements(record.headers, record.value) if use is not Use.NOTHING else []
        except Undecodable as error:
            # One before the committed offset was written down before that was committed.
            if record.offset >= partition.committed:
                batch.letters.append(_letter(record, str(error)))
            return
        for one in measured:
            window = self._windows.add((one.cause.subject, one.metric), one.time, one.value)
            if use is Use.SCORE:
                batch.measured.append((one, window))

    def _note_gap(self, partition: Partition, mark: Mark, previous: int) -> None:
        if partition.misses(mark, previous):
            self._status.count("gaps")
            log.error(
                "partition %s: Kafka has forgotten events between the positions %s and %s; they are not scored",
                partition.number,
                partition.last[1],
                mark[1],
            )


def _letter(record: Record, why: str) -> Letter:
    what = f"partition {record.partition}, offset {record.offset}"
    return Letter(record.key.decode(errors="replace"), why, what, record.value or b"")

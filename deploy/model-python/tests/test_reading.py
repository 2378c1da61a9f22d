"""From records to what is to be scored."""

from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from cornjacket.events.v1.event_pb2 import Event, Raw
from google.protobuf.any_pb2 import Any

from cornjacket_model.status import Status
from cornjacket_model.stream import records
from cornjacket_model.stream.batch import Batch, Reader, Record
from cornjacket_model.stream.partition import Partition
from cornjacket_model.stream.records import Undecodable
from cornjacket_model.stream.windows import Windows
from tests.events import INGESTED, reading, record


def read(partition: Partition, *taken: Record, status: Status | None = None) -> Batch:
    reader, batch = Reader(Windows(4, 10), status or Status()), Batch()
    reader.begin([partition])
    for one in taken:
        reader.take(one, batch)
    return batch


def ids(batch: Batch) -> list[str]:
    return [measurement.cause.id for measurement, _ in batch.measured]


def test_both_formats_say_the_same() -> None:
    event = reading("1", 21.5, seconds=1_600_000_000)
    for as_json in (False, True):
        taken = record(event, 7, as_json=as_json)
        (measurement,) = records.measurements(taken.headers, taken.value)
        assert (measurement.cause, measurement.metric, measurement.value) == (event, "temperature", 21.5)
        assert measurement.time == 1_600_000_000_000_000


def test_a_clock_that_is_ahead_counts_for_five_minutes() -> None:
    ahead, none = record(reading("1", seconds=1_800_000_000), 7), record(reading("1"), 7)
    assert records.measurements(ahead.headers, ahead.value)[0].time == INGESTED + 300_000_000
    assert records.measurements(none.headers, none.value)[0].time == INGESTED


def test_what_measures_nothing_is_passed_over() -> None:
    picture = Event(id="1", source="plant", type="sensor.picture", subject="pump-7", raw=Raw(data=b"x"))
    unknown = Event(id="1", source="plant", type="sensor.other", subject="pump-7", any=Any(type_url="t/of.Others"))
    odd = replace(record(picture, 2, as_json=True), value=b'{"any": {"@type": "t/of.Others"}}')
    batch = read(Partition(0), record(picture, 1), odd, record(unknown, 3))
    assert (batch.measured, batch.letters) == ([], [])
    assert batch.commits == {0: (4, "1:3")}


@pytest.mark.parametrize("header", ["cornjacket-epoch", "cornjacket-position", "cornjacket-ingest-time"])
@pytest.mark.parametrize("value", [b"", b"soon"])
def test_a_header_that_is_missing_is_named(header: str, value: bytes) -> None:
    taken = record(reading("1"), 7)
    headers = MappingProxyType({**taken.headers, header: value})
    with pytest.raises(Undecodable, match=header):
        (records.mark(headers), records.measurements(headers, taken.value))


def test_what_is_no_event_is_a_letter_and_holds_up_nobody() -> None:
    good = record(reading("1"), 1)
    bad = [
        replace(record(reading("2"), 2), value=b"\xff\xff"),
        replace(record(reading("3"), 3, as_json=True), value=b"{"),
        replace(record(reading("4"), 4, as_json=True), value=b'{"sensorReading": 7}'),
        replace(record(reading("5"), 5), headers={}),
    ]
    batch = read(Partition(0), good, *bad, record(reading("6"), 6))
    assert ids(batch) == ["1", "6"]
    assert [letter.key for letter in batch.letters] == ["pump-7"] * 4
    assert batch.letters[0].content == b"\xff\xff"
    assert batch.commits == {0: (7, "1:6")}


def test_repeats_and_replays_are_passed_over() -> None:
    again = record(reading("2"), 2, offset=4)
    replay = replace(record(reading("1"), 1, offset=5), headers={**again.headers, "cornjacket-replay": b"r"})
    batch = read(Partition(0), record(reading("1"), 1), record(reading("2"), 2), again, replay)
    assert ids(batch) == ["1", "2"]
    assert batch.commits == {0: (6, "1:2")}


def test_windows_are_made_again_without_a_word() -> None:
    taken = [record(reading(str(number), float(number)), number) for number in range(1, 7)]
    undisturbed = read(Partition(0), *taken)
    for commit in (Partition.resumed(0, 5, "1:4"), Partition.resumed(0, 5, None), Partition.resumed(0, 5, "theirs")):
        resumed = read(commit, *taken)
        assert ids(resumed) == (["5", "6"])
        for (_, window), (_, before) in zip(resumed.measured, undisturbed.measured[4:], strict=True):
            assert np.array_equal(window, before)
        assert resumed.commits == {0: (7, "1:6")}


def test_records_before_the_commit_move_no_offset_back() -> None:
    undecodable = replace(record(reading("2"), 2), value=b"\xff")
    batch = read(Partition.resumed(0, 5, "1:4"), record(reading("1"), 1), undecodable)
    assert (batch.commits, batch.letters, batch.measured) == ({}, [], [])


def test_a_topic_that_was_made_anew_is_told_by_places_in_the_log() -> None:
    partition = Partition.resumed(0, 90, "1:40")
    partition.committed = 0
    batch = read(partition, record(reading("40"), 40, offset=0), record(reading("41"), 41, offset=1))
    assert ids(batch) == ["41"]
    assert batch.commits == {0: (2, "1:41")}


def test_another_epoch_begins_anew_and_the_one_before_is_over() -> None:
    old, new = record(reading("9"), 9), record(reading("n"), 1, offset=10)
    new = replace(new, headers={**new.headers, "cornjacket-epoch": b"2"})
    batch = read(Partition(0), old, new, record(reading("10"), 10, offset=11))
    assert ids(batch) == ["9", "n"]


def test_what_the_bus_has_forgotten_is_said() -> None:
    status = Status()
    first, second = record(reading("5"), 5, previous=4), record(reading("9"), 9, previous=5)
    read(Partition(0), first, second, status=status)
    assert status.counted("gaps") == 0, "nobody knows what was before the first"
    read(Partition.resumed(0, 5, "1:5"), record(reading("9"), 9, previous=5), status=status)
    assert status.counted("gaps") == 0
    read(Partition.resumed(0, 5, "1:5"), record(reading("9"), 9, previous=8), status=status)
    assert status.counted("gaps") == 1


def test_partitions_of_others_are_not_read() -> None:
    batch = read(Partition(1), record(reading("1"), 1))
    assert (batch.measured, batch.commits) == ([], {})


def test_a_window_ends_with_its_value_in_the_order_of_time() -> None:
    windows, series = Windows(3, 10), ("pump-7", "temperature")
    assert windows.add(series, 10, 1.0).tolist() == [1.0]
    assert windows.add(series, 30, 3.0).tolist() == [1.0, 3.0]
    assert windows.add(series, 20, 2.0).tolist() == [1.0, 2.0], "a late one"
    assert windows.add(series, 30, 4.0).tolist() == [2.0, 3.0, 4.0]
    assert windows.add(series, 5, 0.0).tolist() == [0.0], "later than all that is kept"
    assert windows.add(series, 40, 5.0).tolist() == [3.0, 4.0, 5.0]


def test_the_series_that_was_last_heard_of_stays() -> None:
    windows = Windows(3, 2)
    for subject in ("a", "b", "a", "c"):
        windows.add((subject, "m"), 1, 1.0)
    assert len(windows) == 2
    assert windows.add(("a", "m"), 2, 2.0).tolist() == [1.0, 1.0, 2.0]
    assert windows.add(("b", "m"), 2, 2.0).tolist() == [2.0]

"""What a record on the bus says. crates/bus/src/codec.rs writes them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from cornjacket.events.v1.event_pb2 import Event
from google.protobuf import json_format
from google.protobuf.message import DecodeError

# A place in the log: epoch and position, of which the later one is greater.
Mark = tuple[int, int]

# How far ahead of the platform's clock a device's may be before it no longer counts, in microseconds.
_CLOCK_TOLERANCE = 5 * 60 * 1_000_000


class Undecodable(Exception):
    """A record that is no event of the platform's."""


@dataclass(frozen=True)
class Measurement:
    """A value of a series, and the event that it came with."""

    cause: Event
    metric: str
    value: float
    # The event's effective time: microseconds since 1970.
    time: int


def is_replay(headers: Mapping[str, bytes]) -> bool:
    """Whether an operator had the record put on the bus once more: it is nothing new."""
    return "cornjacket-replay" in headers


def mark(headers: Mapping[str, bytes]) -> Mark:
    """The place in the log. Raises Undecodable."""
    return _number(headers, "cornjacket-epoch"), _number(headers, "cornjacket-position")


def previous(headers: Mapping[str, bytes]) -> int:
    """The position before which nothing of the partition is missing; 0 where the record does not say."""
    return _number(headers, "cornjacket-previous") if "cornjacket-previous" in headers else 0


def measurements(headers: Mapping[str, bytes], value: bytes | None) -> list[Measurement]:
    """What the record's event measured; nothing when it is about something else. Raises Undecodable."""
    event = _event(headers.get("content-type", b""), value or b"")
    ingested = _number(headers, "cornjacket-ingest-time")
    if event is None or not event.HasField("sensor_reading"):
        return []
    time = ingested
    if event.HasField("event_time"):
        time = min(event.event_time.ToMicroseconds(), ingested + _CLOCK_TOLERANCE)
    return [Measurement(event, one.metric, one.value, time) for one in event.sensor_reading.measurements]


def _event(content_type: bytes, value: bytes) -> Event | None:
    """The event in a value of either format; none where it is JSON that is no reading."""
    try:
        if not content_type.startswith(b"application/json"):
            return Event.FromString(value)
        message = json.loads(value)
        # Other payloads may be of types that are not known here.
        if not isinstance(message, dict) or "sensorReading" not in message:
            return None
        return json_format.ParseDict(message, Event(), ignore_unknown_fields=True)
    except (DecodeError, json_format.ParseError, ValueError, RecursionError) as error:
        raise Undecodable(f"the value is not the event that its content type says: {error}") from error


def _number(headers: Mapping[str, bytes], name: str) -> int:
    try:
        return int(headers[name])
    except (KeyError, ValueError) as error:
        raise Undecodable(f"the header {name} is missing or not a number") from error

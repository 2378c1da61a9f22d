"""Events and records as the platform makes them."""

from cornjacket.events.v1.event_pb2 import Event, TraceContext
from cornjacket.events.v1.sensor_reading_pb2 import Measurement, SensorReading
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from cornjacket_model.stream.batch import Record

# When everything is stored: microseconds since 1970.
INGESTED = 1_700_000_000_000_000


def reading(id: str, value: float = 1.0, subject: str = "pump-7", seconds: int | None = None) -> Event:
    time = None if seconds is None else Timestamp(seconds=seconds)
    return Event(
        id=id,
        source="plant",
        type="sensor.reading",
        subject=subject,
        event_time=time,
        sensor_reading=SensorReading(measurements=[Measurement(metric="temperature", value=value)]),
        trace_context=TraceContext(traceparent="00-1-2-01"),
    )


def record(
    event: Event, position: int, offset: int | None = None, previous: int | None = None, as_json: bool = False
) -> Record:
    headers = {
        "content-type": b"application/json" if as_json else b"application/protobuf",
        "cornjacket-epoch": b"1",
        "cornjacket-position": b"%d" % position,
        "cornjacket-ingest-time": b"%d" % INGESTED,
    }
    if previous is not None:
        headers["cornjacket-previous"] = b"%d" % previous
    value = json_format.MessageToJson(event).encode() if as_json else event.SerializeToString()
    return Record(0, position if offset is None else offset, event.subject.encode(), headers, value)

"""Scores as events. crates/inference/src/anomaly.rs fills them in the same way."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

import numpy as np
from cornjacket.events.v1.anomaly_detected_pb2 import AnomalyDetected
from cornjacket.events.v1.event_pb2 import Event
from google.protobuf.timestamp_pb2 import Timestamp

from cornjacket_model.model import Floats, Model, Scores, score
from cornjacket_model.stream.records import Measurement

# Of the ids of results. It must never change: a result would exist twice.
_NAMESPACE = UUID("7b1f7c0e-4a7d-5c1e-9f6b-3f0a5d2c8e41")
# From these scores on, a person is told so.
_WARNING, _CRITICAL = 0.6, 0.85


@dataclass(frozen=True)
class Failed:
    """A measurement that the model cannot score, and why."""

    measurement: Measurement
    why: str


def result_id(cause: Event, metric: str, model: Model) -> str:
    """The id of what the model says of a metric of an event: whenever it is said, it is the same event."""
    parts = [cause.source, cause.id, metric, model.name, model.version]
    return str(uuid5(_NAMESPACE, json.dumps(parts)))


def results(
    model: Model, source: str, threshold: float, measured: Sequence[tuple[Measurement, Floats]]
) -> tuple[list[Event], list[Failed]]:
    """Events for those whose window scores `threshold` or more, in the order given; and those without a score."""
    by_width: dict[int, list[int]] = defaultdict(list)
    for index, (_, window) in enumerate(measured):
        by_width[len(window)].append(index)
    said: dict[int, Event | Failed | None] = {}
    for indices in by_width.values():
        said.update(_of_one_width(model, source, threshold, measured, indices))
    ordered = [said[index] for index in range(len(measured))]
    return [one for one in ordered if isinstance(one, Event)], [one for one in ordered if isinstance(one, Failed)]


def _of_one_width(
    model: Model,
    source: str,
    threshold: float,
    measured: Sequence[tuple[Measurement, Floats]],
    indices: list[int],
) -> dict[int, Event | Failed | None]:
    try:
        scores = score(model, np.stack([measured[index][1] for index in indices]))
    # Whatever a model raises: it is about one of these windows, and must not stop the others.
    except Exception as error:
        if len(indices) == 1:
            return {indices[0]: Failed(measured[indices[0]][0], f"the model: {error!r}")}
        alone = (_of_one_width(model, source, threshold, measured, [index]) for index in indices)
        return {index: one for each in alone for index, one in each.items()}
    return {
        index: _event(model, source, measured[index][0], scores, row) if scores.score[row] >= threshold else None
        for row, index in enumerate(indices)
    }


def _event(model: Model, source: str, measurement: Measurement, scores: Scores, row: int) -> Event:
    cause, time = measurement.cause, Timestamp()
    time.FromMicroseconds(measurement.time)
    weights = sorted(zip(model.features, scores.weights[row], strict=True), key=lambda pair: -pair[1])
    anomaly = AnomalyDetected(
        series_subject=cause.subject,
        metric=measurement.metric,
        sample_time=time,
        cause_source=cause.source,
        cause_id=cause.id,
        value=measurement.value,
        score=scores.score[row],
        severity=_severity(scores.score[row]),
        expected=scores.expected[row],
        expected_lower=scores.lower[row],
        expected_upper=scores.upper[row],
        contributions=[
            AnomalyDetected.Contribution(feature=feature, weight=weight) for feature, weight in weights if weight > 0
        ],
        model=model.name,
        model_version=model.version,
        parameters_digest=hashlib.sha256(model.parameters.encode()).hexdigest(),
        detector=model.detector,
    )
    return Event(
        id=result_id(cause, measurement.metric, model),
        source=source,
        type="ai.anomaly_detected",
        subject=cause.subject,
        event_time=time,
        trace_context=cause.trace_context if cause.HasField("trace_context") else None,
        anomaly_detected=anomaly,
    )


def _severity(score: float) -> AnomalyDetected.Severity:
    if score >= _CRITICAL:
        return AnomalyDetected.SEVERITY_CRITICAL
    return AnomalyDetected.SEVERITY_WARNING if score >= _WARNING else AnomalyDetected.SEVERITY_INFO

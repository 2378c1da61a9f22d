"""From windows to what is stored, against a server that answers as it is told to."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import grpc
import numpy as np
import pytest
from cornjacket.events.v1.anomaly_detected_pb2 import AnomalyDetected
from cornjacket.events.v1.event_pb2 import Event
from cornjacket.ingest.v1.ingest_service_pb2 import AppendBatchRequest, AppendBatchResponse, Outcome, Receipt
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status as RpcStatus

from cornjacket_model.model import Floats, Scores
from cornjacket_model.models.isolation_forest import IsolationForestModel
from cornjacket_model.status import Status
from cornjacket_model.stream.batch import Batch
from cornjacket_model.stream.dead_letters import DeadLetters, Full, Letter
from cornjacket_model.stream.delivery import Delivery
from cornjacket_model.stream.records import Measurement
from cornjacket_model.stream.results import result_id, results
from cornjacket_model.stream.sender import AT_ONCE, Sender, Stopped, Target
from tests.events import INGESTED, reading

WINDOW = np.array([20.0, 20.5] * 15 + [20.0, 99.0])


def measured(*ids: str, window: Floats = WINDOW) -> list[tuple[Measurement, Floats]]:
    return [(Measurement(reading(id, window[-1]), "temperature", window[-1], INGESTED), window) for id in ids]


def stored(duplicate: bool = False) -> Outcome:
    return Outcome(receipt=Receipt(position=1, duplicate=duplicate))


def refused(code: grpc.StatusCode, message: str = "no") -> Outcome:
    return Outcome(error=RpcStatus(code=code.value[0], message=message))


def too_large() -> RpcStatus:
    """As the platform says it."""
    status, detail = RpcStatus(code=grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], message="too large"), Any()
    detail.Pack(BadRequest(field_violations=[BadRequest.FieldViolation(field="events")]))
    status.details.append(detail)
    return status


@dataclass
class Ingest:
    """An ingest service; `outcome` says what becomes of an event, by how often it came."""

    outcome: Callable[[Event, int], Outcome | grpc.StatusCode] = lambda _event, _times: stored()
    # With more events than that, a call is refused with this.
    most: int = AT_ONCE
    over: grpc.StatusCode = grpc.StatusCode.RESOURCE_EXHAUSTED
    came: dict[str, int] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    port: int = 0

    def append(self, request: AppendBatchRequest, context: grpc.ServicerContext) -> AppendBatchResponse:
        self.tokens += [str(value) for name, value in context.invocation_metadata() if name == "authorization"]
        self.sizes.append(len(request.events))
        if len(request.events) > self.most:
            if self.over is grpc.StatusCode.RESOURCE_EXHAUSTED:
                context.set_trailing_metadata((("grpc-status-details-bin", too_large().SerializeToString()),))
            context.abort(self.over, "too many")
        outcomes = []
        for event in request.events:
            self.came[event.id] = self.came.get(event.id, 0) + 1
            outcome = self.outcome(event, self.came[event.id])
            if isinstance(outcome, grpc.StatusCode):
                context.abort(outcome, "not now")
            else:
                outcomes.append(outcome)
        return AppendBatchResponse(outcomes=outcomes)


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    ingest = Ingest()
    server = grpc.server(ThreadPoolExecutor(2))
    method = grpc.unary_unary_rpc_method_handler(
        ingest.append,
        request_deserializer=AppendBatchRequest.FromString,
        response_serializer=AppendBatchResponse.SerializeToString,
    )
    service = grpc.method_handlers_generic_handler("cornjacket.ingest.v1.IngestService", {"AppendBatch": method})
    server.add_generic_rpc_handlers((service,))
    ingest.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield ingest
    server.stop(None).wait()


@dataclass
class Bench:
    """A delivery, and what can be seen of it."""

    delivery: Delivery
    status: Status
    path: Path

    def letters(self) -> list[dict[str, str]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@pytest.fixture
def bench(model: IsolationForestModel, ingest: Ingest, tmp_path: Path) -> Iterator[Bench]:
    status, path = Status(), tmp_path / "letters"
    target = Target(f"127.0.0.1:{ingest.port}", tls=False, ca=None, token_file=None, token="good")  # noqa: S106
    sender = Sender(target, status)
    yield Bench(Delivery(model, "models/python", 0.0, sender, DeadLetters(path, 10_000), status), status, path)
    sender.close()


def test_a_result_says_what_an_anomaly_says(model: IsolationForestModel) -> None:
    events, failed = results(model, "models/python", 0.6, measured("1"))
    assert not failed
    (event,), anomaly = events, events[0].anomaly_detected
    assert (event.source, event.type, event.subject) == ("models/python", "ai.anomaly_detected", "pump-7")
    assert event.event_time == anomaly.sample_time
    assert event.event_time.ToMicroseconds() == INGESTED
    assert event.trace_context.traceparent == "00-1-2-01"
    assert (anomaly.series_subject, anomaly.metric, anomaly.value) == ("pump-7", "temperature", 99.0)
    assert (anomaly.cause_source, anomaly.cause_id) == ("plant", "1")
    assert (anomaly.model, anomaly.model_version, anomaly.detector) == (model.name, "1", "isolation_forest")
    assert anomaly.score > 0.85
    assert anomaly.severity == AnomalyDetected.SEVERITY_CRITICAL
    assert anomaly.expected_lower < anomaly.expected < anomaly.expected_upper < 99
    weights = [one.weight for one in anomaly.contributions]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1)
    assert len(anomaly.parameters_digest) == 64


def test_ids_never_change_and_are_those_of_cause_metric_and_model(model: IsolationForestModel) -> None:
    assert result_id(reading("1"), "temperature", model) == "f4a3b74e-37e7-5654-990c-365c8e4fb46f"
    others = [result_id(reading("2"), "temperature", model), result_id(reading("1"), "pressure", model)]
    assert len({*others, result_id(reading("1"), "temperature", model)}) == 3


def test_results_do_not_depend_on_what_they_are_found_with(model: IsolationForestModel) -> None:
    mixed = [*measured("1"), *measured("2", window=WINDOW[:20]), *measured("3", window=np.ones(1)), *measured("4")]
    together, _ = results(model, "s", 0.0, mixed)
    alone = [event for one in mixed for event in results(model, "s", 0.0, [one])[0]]
    assert together == alone
    assert len(together) == 4


def test_only_what_is_strange_enough_is_sent(model: IsolationForestModel) -> None:
    ordinary = np.append(WINDOW[:-1], 20.5)
    events, _ = results(model, "s", 0.6, [*measured("1"), *measured("2", window=ordinary)])
    assert [event.anomaly_detected.cause_id for event in events] == ["1"]


def test_everything_has_an_outcome(bench: Bench, ingest: Ingest) -> None:
    ids = [str(number) for number in range(2 * AT_ONCE + 1)]
    bench.delivery.deliver(Batch(measured(*ids)), Flag())
    assert ingest.sizes == [AT_ONCE, AT_ONCE, 1]
    assert set(ingest.tokens) == {"Bearer good"}
    assert bench.status.counted("results") == len(ids)
    assert bench.letters() == []


def test_what_the_log_has_is_done(bench: Bench, ingest: Ingest) -> None:
    def outcome(event: Event, _: int) -> Outcome:
        is_same = event.anomaly_detected.cause_id == "1"
        return stored(duplicate=True) if is_same else refused(grpc.StatusCode.ALREADY_EXISTS)

    ingest.outcome = outcome
    bench.delivery.deliver(Batch(measured("1", "2")), Flag())
    assert set(ingest.came.values()) == {1}
    assert (bench.status.counted("duplicates"), bench.status.counted("known_otherwise")) == (1, 1)
    assert bench.letters() == []


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "INTERNAL", "PERMISSION_DENIED"])
@pytest.mark.parametrize("whole", [True, False])
def test_an_outage_is_waited_for_and_is_no_letter(bench: Bench, ingest: Ingest, code: str, whole: bool) -> None:
    waits: list[dict[str, str]] = []

    def outcome(event: Event, times: int) -> Outcome | grpc.StatusCode:
        waits.append(bench.status.waits())
        if event.anomaly_detected.cause_id == "2" and times < 3:
            failure = grpc.StatusCode[code]
            return failure if whole else refused(failure)
        return stored()

    ingest.outcome = outcome
    bench.delivery.deliver(Batch(measured("1", "2")), Flag())
    assert sorted(ingest.came.values()) == ([3, 3] if whole else [1, 3])
    assert code in waits[-1]["ingest"]
    assert bench.status.waits() == {}
    assert bench.status.counted("retries") == 2
    assert bench.letters() == []


def test_what_is_refused_for_good_is_a_letter_before_it_is_done(bench: Bench, ingest: Ingest) -> None:
    def outcome(event: Event, _: int) -> Outcome:
        is_bad = event.anomaly_detected.cause_id == "2"
        return refused(grpc.StatusCode.INVALID_ARGUMENT, "events[1].subject: too long") if is_bad else stored()

    ingest.outcome = outcome
    bench.delivery.deliver(Batch(measured("1", "2", "3")), Flag())
    (letter,) = bench.letters()
    assert (letter["key"], letter["why"]) == ("pump-7", "INVALID_ARGUMENT: events[1].subject: too long")
    assert (bench.status.counted("results"), bench.status.counted("dead_letters")) == (2, 1)


@pytest.mark.parametrize("code", ["RESOURCE_EXHAUSTED", "INVALID_ARGUMENT", "OUT_OF_RANGE"])
def test_a_call_that_the_platform_finds_too_large_is_halved_until_it_fits(
    bench: Bench, ingest: Ingest, code: str
) -> None:
    ingest.most, ingest.over = 70, grpc.StatusCode[code]
    ids = [str(number) for number in range(300)]
    bench.delivery.deliver(Batch(measured(*ids)), Flag())
    assert ingest.sizes == [300, 150, 75, 37, 37, 37, 37, 37, 37, 37, 37, 4]
    assert set(ingest.came.values()) == {1}
    assert (bench.status.counted("results"), bench.status.counted("retries")) == (300, 0)
    assert bench.letters() == []


def test_what_alone_is_a_call_too_large_is_a_letter_and_stops_no_other(bench: Bench, ingest: Ingest) -> None:
    def outcome(event: Event, _: int) -> Outcome | grpc.StatusCode:
        match event.anomaly_detected.cause_id:
            case "2":
                return grpc.StatusCode.OUT_OF_RANGE
            case "4":
                return Outcome(error=too_large())
            case _:
                return stored()

    ingest.outcome = outcome
    bench.delivery.deliver(Batch(measured("1", "2", "3", "4")), Flag())
    assert [letter["why"] for letter in bench.letters()] == ["OUT_OF_RANGE: not now", "RESOURCE_EXHAUSTED: too large"]
    assert (bench.status.counted("results"), bench.status.counted("duplicates")) == (2, 0)


def test_a_token_that_cannot_be_read_is_waited_for(bench: Bench, ingest: Ingest, tmp_path: Path) -> None:
    token, status, stop = tmp_path / "token", Status(), Flag()
    target = Target(f"127.0.0.1:{ingest.port}", tls=False, ca=None, token_file=token, token="")
    sender = Sender(target, status)
    events, _ = results(bench.delivery.model, "s", 0.0, measured("1"))
    for content in [None, b"\xff\xfe", "schl\u00fcssel".encode(), b"two\nlines"]:
        token.unlink(missing_ok=True)
        if content is not None:
            token.write_bytes(content)
        thread = Thread(target=sender.send, args=(events, stop))
        thread.start()
        while "the token cannot be read" not in status.waits().get("ingest", ""):
            assert thread.is_alive()
        token.write_text("renewed\n")
        thread.join(30)
        assert status.waits() == {}
    sender.close()
    assert ingest.tokens == ["Bearer renewed"] * 4


def test_a_stop_ends_the_waiting_and_says_that_it_is_not_done(bench: Bench, ingest: Ingest) -> None:
    stop = Flag()

    def outcome(_event: Event, _times: int) -> grpc.StatusCode:
        stop.set()
        return grpc.StatusCode.UNAVAILABLE

    ingest.outcome = outcome
    with pytest.raises(Stopped):
        bench.delivery.deliver(Batch(measured("1")), stop)


class Picky:
    """A model that fails on a window; the contract does not allow for it."""

    name, version, detector, parameters, window = "picky", "1", "picky", "{}", 4
    features: tuple[str, ...] = ("one",)

    def score(self, windows: Floats) -> Scores:
        if (windows == 13).any():
            raise RuntimeError("thirteen")
        ordinary = np.zeros(len(windows))
        return Scores(ordinary, ordinary, ordinary, ordinary, ordinary[:, None])


def test_a_window_that_the_model_fails_on_stops_no_other() -> None:
    windows = {"1": 1.0, "2": 13.0, "3": 3.0}
    asked = [one for id, value in windows.items() for one in measured(id, window=np.full(4, value))]
    events, failed = results(Picky(), "s", 0.0, asked)
    assert [event.anomaly_detected.cause_id for event in events] == ["1", "3"]
    assert [(one.measurement.cause.id, "thirteen" in one.why) for one in failed] == [("2", True)]


def test_what_was_cut_off_in_the_middle_of_a_line_spoils_no_other(bench: Bench) -> None:
    letters, letter = DeadLetters(bench.path, 10_000), Letter("pump-7", "why", "what", b"x")
    letters.add([letter] * 2)
    whole = bench.path.read_bytes()
    bench.path.write_bytes(whole[:-10])
    letters.add([letter])
    letters.add([letter])
    first, cut, *after = bench.path.read_text().splitlines(keepends=True)
    assert [first] * 2 == after
    assert (first + cut).encode() == whole[:-10] + b"\n"


def test_letters_are_bounded_and_wait_for_room(bench: Bench, ingest: Ingest) -> None:
    letters = DeadLetters(bench.path, 300)
    letter = Letter("pump-7", "why", "what", b"x" * 100)
    letters.add([letter] * 3)
    size = bench.path.stat().st_size
    with pytest.raises(Full, match="move it away"):
        letters.add([letter])
    assert bench.path.stat().st_size == size

    ingest.outcome = lambda _event, _times: refused(grpc.StatusCode.INVALID_ARGUMENT)
    bench.path.write_bytes(b"x" * 10_000)
    stop, ended = Flag(), []

    def deliver() -> None:
        bench.delivery.deliver(Batch(measured("1")), stop)
        ended.append(True)

    thread = Thread(target=deliver)
    thread.start()
    while "dead_letters" not in bench.status.waits():
        assert thread.is_alive()
    bench.path.unlink()
    thread.join(30)
    assert ended
    assert len(bench.letters()) == 1
    assert bench.status.waits() == {}

"""Has events stored, and knows of each what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

import grpc
from cornjacket.events.v1.event_pb2 import Event
from cornjacket.ingest.v1.ingest_service_pb2 import AppendBatchRequest, AppendBatchResponse, Outcome

from cornjacket_model.status import Status

WHO = "ingest"
_METHOD = "/cornjacket.ingest.v1.IngestService/AppendBatch"
# Well below the platform's limit of bytes, whatever the names in them.
AT_ONCE = 500
_DEADLINE_S = 20.0
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.1, 10.0

# What is wrong with the event, and stays so. Everything else is about the platform, or about the token: another try
# helps when it has been mended, and until then Status says so.
_REJECTED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
}
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Stopped(Exception):
    """The sender was asked to stop before everything had an outcome."""


@dataclass(frozen=True)
class Refused:
    """An event that will never be stored, and why."""

    event: Event
    why: str


@dataclass(frozen=True)
class Target:
    """Where events are stored: `host:port`, the CA when it speaks TLS, and where the token is."""

    address: str
    tls: bool
    ca: Path | None
    # Read at every call, so that a renewed one needs no restart.
    token_file: Path | None
    token: str

    def channel(self) -> grpc.Channel:
        """A connection, which is made when it is needed."""
        if not self.tls:
            return grpc.insecure_channel(self.address)
        return grpc.secure_channel(
            self.address, grpc.ssl_channel_credentials(self.ca.read_bytes() if self.ca else None)
        )

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call carries. Raises OSError when the token cannot be read."""
        token = self.token_file.read_text().strip() if self.token_file else self.token
        return (("authorization", f"Bearer {token}"),) if token else ()


class Sender:
    """Sends until every event has an outcome that is final."""

    def __init__(self, target: Target, status: Status) -> None:
        self._target = target
        self._status = status
        self._channel = target.channel()
        self._append = self._channel.unary_unary(
            _METHOD,
            request_serializer=AppendBatchRequest.SerializeToString,
            response_deserializer=AppendBatchResponse.FromString,
        )

    def send(self, events: Sequence[Event], stop: Flag) -> list[Refused]:
        """Has all events stored but those that it returns. Raises Stopped."""
        refused: list[Refused] = []
        for start in range(0, len(events), AT_ONCE):
            refused += self._send_some(list(events[start : start + AT_ONCE]), stop)
        return refused

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    def _send_some(self, waiting: list[Event], stop: Flag) -> list[Refused]:
        refused: list[Refused] = []
        wait = _SHORTEST_WAIT_S
        while waiting:
            if stop.is_set():
                raise Stopped
            outcomes = self._call(waiting)
            waiting, why = (
                self._sort(waiting, outcomes, refused) if not isinstance(outcomes, str) else (waiting, outcomes)
            )
            if not waiting:
                break
            self._status.count("retries")
            self._status.wait(WHO, why)
            stop.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)
        self._status.go_on(WHO)
        return refused

    def _call(self, events: list[Event]) -> list[Outcome] | str:
        """An outcome for each event, or why there is none."""
        try:
            response = self._append(
                AppendBatchRequest(events=events), timeout=_DEADLINE_S, metadata=self._target.metadata()
            )
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
        except OSError as error:
            return f"the token cannot be read: {error}"
        if len(response.outcomes) != len(events):
            return f"{len(response.outcomes)} outcomes of {len(events)} events"
        return list(response.outcomes)

    def _sort(self, events: list[Event], outcomes: list[Outcome], refused: list[Refused]) -> tuple[list[Event], str]:
        """Those events that must be sent again, and why; those that are refused for good are added to `refused`."""
        again, why = [], ""
        for event, outcome in zip(events, outcomes, strict=True):
            code = _CODES.get(outcome.error.code, grpc.StatusCode.UNKNOWN)
            if outcome.HasField("receipt"):
                self._status.count("duplicates" if outcome.receipt.duplicate else "results")
            elif code is grpc.StatusCode.ALREADY_EXISTS:
                # Its window was another when it was first scored. The log has it, with what was said then.
                self._status.count("known_otherwise")
            elif code in _REJECTED:
                refused.append(Refused(event, f"{code.name}: {outcome.error.message}"))
            else:
                again.append(event)
                why = f"{code.name}: {outcome.error.message}"
        return again, why

"""Has events stored, and knows of each what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event as Flag

import grpc
from cornjacket.events.v1.event_pb2 import Event
from cornjacket.ingest.v1.ingest_service_pb2 import AppendBatchRequest, AppendBatchResponse, Outcome
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status as RpcStatus

from cornjacket_model.status import Status

WHO = "ingest"
_METHOD = "/cornjacket.ingest.v1.IngestService/AppendBatch"
# Well below the platform's usual limits, whatever the names in them. Where its limits are lower, a call is halved.
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
# A call that is refused as a whole for what is in it: as one with more than the platform takes, or of more bytes.
_REJECTED_WHOLE = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE}
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_DETAILS = "grpc-status-details-bin"
_NAMES_A_FIELD = f"/{BadRequest.DESCRIPTOR.full_name}"


class Stopped(Exception):
    """The sender was asked to stop before everything had an outcome."""


@dataclass(frozen=True)
class Refused:
    """An event that will never be stored, and why."""

    event: Event
    why: str


@dataclass(frozen=True)
class _Unfit:
    """Why the platform will never take a call as it is."""

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
        """What a call carries. Raises OSError when the token cannot be read, ValueError when it is none."""
        token = self.token_file.read_text(encoding="utf-8").strip() if self.token_file else self.token
        if not (token.isascii() and token.isprintable()):
            raise ValueError("it has characters that no token has")
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
        most, wait = len(waiting), _SHORTEST_WAIT_S
        while waiting:
            if stop.is_set():
                raise Stopped
            events, behind = waiting[:most], waiting[most:]
            outcomes = self._call(events)
            if isinstance(outcomes, _Unfit):
                # Halved until it fits, or until the one at fault is alone.
                if len(events) > 1:
                    most = len(events) // 2
                else:
                    refused.append(Refused(events[0], outcomes.why))
                    waiting, most = behind, max(len(behind), 1)
                continue
            again, why = (events, outcomes) if isinstance(outcomes, str) else self._sort(events, outcomes, refused)
            waiting = again + behind
            if not again:
                wait = _SHORTEST_WAIT_S
                continue
            self._status.count("retries")
            self._status.wait(WHO, why)
            stop.wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)
        self._status.go_on(WHO)
        return refused

    def _call(self, events: list[Event]) -> list[Outcome] | _Unfit | str:
        """An outcome for each event, or why there is none."""
        try:
            metadata = self._target.metadata()
        except (OSError, ValueError) as error:
            return f"the token cannot be read: {error}"
        try:
            response = self._append(AppendBatchRequest(events=events), timeout=_DEADLINE_S, metadata=metadata)
        except grpc.RpcError as error:
            why = f"{error.code().name}: {error.details()}"
            return _Unfit(why) if _is_unfit(error) else why
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
            elif code in _REJECTED or _is_too_large(outcome.error):
                refused.append(Refused(event, f"{code.name}: {outcome.error.message}"))
            else:
                again.append(event)
                why = f"{code.name}: {outcome.error.message}"
        return again, why


def _is_unfit(error: grpc.RpcError) -> bool:
    """Whether a call was refused for what is in it."""
    if error.code() in _REJECTED_WHOLE:
        return True
    details = [one.value for one in error.trailing_metadata() or () if one.key == _DETAILS]
    try:
        return any(_is_too_large(RpcStatus.FromString(bytes(one))) for one in details)
    except (DecodeError, TypeError):
        # Somebody between us and the platform: nobody else says anything in that place.
        return False


def _is_too_large(error: RpcStatus) -> bool:
    """Whether what was sent is more than the platform takes: then it names the field, else when to come back."""
    is_exhausted = error.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    return is_exhausted and any(detail.type_url.endswith(_NAMES_A_FIELD) for detail in error.details)

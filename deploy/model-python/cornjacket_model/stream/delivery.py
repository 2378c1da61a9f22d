"""What becomes of a batch: it is scored, its results are stored, and what cannot be is written down."""

import logging
from dataclasses import dataclass
from threading import Event as Flag

from cornjacket_model.model import Model
from cornjacket_model.status import Status
from cornjacket_model.stream.batch import Batch
from cornjacket_model.stream.dead_letters import DeadLetters, Full, Letter
from cornjacket_model.stream.results import Failed, results
from cornjacket_model.stream.sender import Refused, Sender, Stopped

log = logging.getLogger(__name__)

WHO = "dead_letters"
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Delivery:
    """Delivers batches."""

    model: Model
    # What results say they are from.
    source: str
    # Results of this score or more are sent.
    threshold: float
    sender: Sender
    letters: DeadLetters
    status: Status

    def deliver(self, batch: Batch, stop: Flag) -> None:
        """Returns when the offsets of the batch may move. Raises Stopped when that is not known by then."""
        events, failed = results(self.model, self.source, self.threshold, batch.measured)
        self.status.count("measurements", len(batch.measured))
        refused = self.sender.send(events, stop)
        self._keep([*batch.letters, *map(_letter_of_failed, failed), *map(_letter_of_refused, refused)], stop)

    def _keep(self, letters: list[Letter], stop: Flag) -> None:
        """Writes letters down, as soon as there is room for them."""
        for letter in letters:
            log.error("not handled, of key %r: %s: %s", letter.key, letter.what, letter.why)
        while True:
            try:
                self.letters.add(letters)
            except (Full, OSError) as error:
                self.status.wait(WHO, str(error))
            else:
                break
            if stop.wait(_LOOK_EVERY_S):
                raise Stopped
        self.status.count("dead_letters", len(letters))
        self.status.go_on(WHO)


def _letter_of_failed(failed: Failed) -> Letter:
    cause = failed.measurement.cause
    what = f"metric {failed.measurement.metric!r} of the event {cause.id!r} of {cause.source!r}"
    return Letter(cause.subject, failed.why, what, cause.SerializeToString())


def _letter_of_refused(refused: Refused) -> Letter:
    event = refused.event
    return Letter(event.subject, refused.why, f"the result {event.id!r}", event.SerializeToString())

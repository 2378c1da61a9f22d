"""Starts the service: `run --help` says what it can be told."""

import logging
import signal
import sys
from threading import Thread

import uvicorn

from cornjacket_model import settings
from cornjacket_model.model import Model
from cornjacket_model.models import KINDS
from cornjacket_model.server import app
from cornjacket_model.settings import StreamSettings
from cornjacket_model.status import Status
from cornjacket_model.stream.batch import Reader
from cornjacket_model.stream.dead_letters import DeadLetters
from cornjacket_model.stream.delivery import Delivery
from cornjacket_model.stream.sender import Sender
from cornjacket_model.stream.windows import Windows
from cornjacket_model.stream.worker import Worker

_DRAIN_S = 10


def main() -> int:
    """Serves until a signal says otherwise: 0, or 1 when the stream could not go on."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    told = settings.parse(sys.argv[1:])
    model = KINDS[told.kind](told.file)
    status = Status()
    config = uvicorn.Config(
        app(model, status), told.host, told.port, log_config=None, access_log=False, timeout_graceful_shutdown=_DRAIN_S
    )
    server = uvicorn.Server(config)
    # The server takes these while it runs, and raises them again once it has ended: then they are done with.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    if told.stream is None:
        server.run()
        return 0
    return _serve_with(server, _worker(model, told.stream, status))


def _serve_with(server: uvicorn.Server, worker: Worker) -> int:
    """Serves as long as the stream goes on, and the other way round."""

    def ended() -> None:
        server.should_exit = True

    stream: Thread = worker.start(ended)
    try:
        server.run()
    finally:
        worker.stop()
        stream.join()
    return 1 if worker.failed else 0


def _worker(model: Model, told: StreamSettings, status: Status) -> Worker:
    return Worker(
        told.read(model),
        Reader(Windows(model.window, told.series), status),
        Delivery(
            model=model,
            source=told.source,
            threshold=told.threshold,
            sender=Sender(told.target, status),
            letters=DeadLetters(told.dead_letters, told.dead_letters_bytes),
            status=status,
        ),
        status,
    )


if __name__ == "__main__":
    sys.exit(main())

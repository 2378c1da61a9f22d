"""The command line."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cornjacket_model.model import Model
from cornjacket_model.models import KINDS
from cornjacket_model.stream.sender import Target
from cornjacket_model.stream.worker import Source

TOPIC = "sensor-events"


@dataclass(frozen=True)
class StreamSettings:
    """What `--mode stream` needs."""

    # Settings of librdkafka.
    kafka: dict[str, str | int | bool]
    prefix: str
    group: str
    rebuild: int
    target: Target
    source: str
    threshold: float
    series: int
    dead_letters: Path
    dead_letters_bytes: int

    def read(self, model: Model) -> Source:
        """What is read for that model. Another version begins anew: its results are others."""
        group = self.group or f"{self.prefix}model-{model.name}-{model.version}"
        return Source({**self.kafka, "group.id": group}, f"{self.prefix}{TOPIC}", self.rebuild)


@dataclass(frozen=True)
class Settings:
    """What the service is told."""

    kind: str
    file: Path | None
    host: str
    port: int
    # None: over HTTP alone.
    stream: StreamSettings | None


def parse(arguments: Sequence[str]) -> Settings:
    """Reads the command line; ends the process with a message when it is wrong."""
    parser = _parser()
    given = parser.parse_args(arguments)
    stream = _stream(parser, given) if given.mode == "stream" else None
    return Settings(given.kind, given.model, given.host, given.port, stream)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("run", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    add = parser.add_argument
    add(
        "--mode",
        choices=("http", "stream"),
        default="http",
        help="answer requests, or score what comes by on Kafka too",
    )
    add("--kind", choices=sorted(KINDS), default="isolation_forest", help="which model")
    add("--model", type=Path, metavar="FILE", help="a fitted model, as the kind saves it; one to trust")
    add("--host", default="127.0.0.1", help="where to listen")
    add("--port", type=int, default=8500, help="where to listen")
    add = parser.add_argument_group("--mode stream").add_argument
    add("--kafka", default="localhost:9092", metavar="HOST:PORT,…", help="bus.url of the platform, without kafka://")
    add("--topic-prefix", default="", metavar="TEXT", help="bus.topic_prefix of the platform")
    add("--kafka-setting", action="append", default=[], metavar="KEY=VALUE", help="of librdkafka; may be given again")
    add(
        "--session-timeout-ms",
        type=_above_zero,
        default=10_000,
        help="when a process that is gone loses its partitions",
    )
    add("--group", default="", help="the consumer group; empty: the prefix and model-NAME-VERSION")
    add(
        "--rebuild",
        type=_above_zero,
        default=20_000,
        metavar="RECORDS",
        help="read again at a start to know the windows",
    )
    add("--series", type=_above_zero, default=100_000, metavar="COUNT", help="series that are remembered")
    add("--ingest", default="http://localhost:8080", metavar="URL", help="where results go; https:// speaks TLS")
    add("--ca", type=Path, metavar="FILE", help="whom to trust there; the system's CAs without it")
    add("--token-file", type=Path, metavar="FILE", help="the token, read at every call; else CORNJACKET_TOKEN")
    add("--source", default="models/python", help="what results say they are from")
    add("--threshold", type=_share, default=0.6, help="results of this score or more are sent")
    add("--dead-letters", type=Path, default=Path("dead-letters.jsonl"), metavar="FILE", help="what cannot be handled")
    add("--dead-letters-bytes", type=_above_zero, default=64 << 20, help="at which the stream stops and says so")
    return parser


def _stream(parser: argparse.ArgumentParser, given: argparse.Namespace) -> StreamSettings:
    url = urlsplit(given.ingest)
    if url.scheme not in ("http", "https") or not url.hostname or url.path not in ("", "/"):
        parser.error("argument --ingest: must be http://HOST:PORT or https://HOST:PORT")
    further = dict(setting.partition("=")[::2] for setting in given.kafka_setting)
    settings: dict[str, str | int | bool] = {
        "bootstrap.servers": given.kafka,
        "session.timeout.ms": given.session_timeout_ms,
        "heartbeat.interval.ms": max(given.session_timeout_ms // 4, 1),
        **further,
    }
    address = url.netloc if url.port else f"{url.netloc}:{443 if url.scheme == 'https' else 80}"
    return StreamSettings(
        kafka=settings,
        prefix=given.topic_prefix,
        group=given.group,
        rebuild=given.rebuild,
        target=Target(
            address, url.scheme == "https", given.ca, given.token_file, os.environ.get("CORNJACKET_TOKEN", "")
        ),
        source=given.source,
        threshold=given.threshold,
        series=given.series,
        dead_letters=given.dead_letters,
        dead_letters_bytes=given.dead_letters_bytes,
    )


def _above_zero(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be above zero")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError("must be within 0 and 1")
    return number

"""The one thread that polls Kafka: reads, has batches delivered, and then moves the offsets.

A batch is delivered by a thread of its own, during which this one goes on polling with its partitions paused: however
long the platform is away, the group keeps its member. When partitions change hands, everything in memory is given up
and read again; what was sent and not committed is sent again, and is a duplicate.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event as Flag
from threading import Thread
from time import monotonic

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from cornjacket_model.status import Status
from cornjacket_model.stream.batch import Batch, Reader, Record
from cornjacket_model.stream.delivery import Delivery
from cornjacket_model.stream.partition import Partition
from cornjacket_model.stream.sender import Stopped

log = logging.getLogger(__name__)

GROUP, KAFKA = "group", "kafka"
_AT_ONCE = 500
_POLL_S = 0.05
_ANSWER_S = 5.0
# What may be set otherwise.
_SETTINGS: dict[str, str | int | bool] = {
    # The topic may be made after we have begun.
    "topic.metadata.refresh.interval.ms": 5_000,
    # While there is no broker, two attempts a second are enough, and enough to read of.
    "reconnect.backoff.ms": 500,
}
# What may not. Nothing is committed that was not delivered. Records of transactions that were given up come again, and
# are known by their place in the log. Partitions change hands all at once, since everything is given up with them.
_FIXED: dict[str, str | int | bool] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_uncommitted",
    "auto.offset.reset": "earliest",
    "partition.assignment.strategy": "range",
}


@dataclass(frozen=True)
class Source:
    """What is read: settings of librdkafka, and how many records before the committed offset windows are made of."""

    settings: dict[str, str | int | bool]
    topic: str
    rebuild: int


class Worker:
    """Runs until it is stopped, or until something happens that it has no answer to."""

    def __init__(self, source: Source, reader: Reader, delivery: Delivery, status: Status) -> None:
        self._source, self._reader, self._delivery, self._status = source, reader, delivery, status
        # Whether it has ended without being asked to.
        self.failed = False
        # Partitions that were given to us and are not begun with.
        self._given: list[TopicPartition] = []
        self._batch = Batch()
        # What is being delivered, what may be committed after it, and what tells it to give up.
        self._delivering: tuple[Future[None], Batch] | None = None
        self._give_up = Flag()
        # What is delivered and may be committed, and whether Kafka has been asked to.
        self._owed: dict[int, tuple[int, str]] = {}
        self._is_committing = False
        self._stop = Flag()
        self._trouble: KafkaError | None = None
        self._deliverer = ThreadPoolExecutor(1, "deliverer")
        self._consumer = Consumer(
            {
                **_SETTINGS,
                **source.settings,
                **_FIXED,
                "error_cb": self._on_error,
                "on_commit": self._on_commit,
                "logger": logging.getLogger("librdkafka"),
            }
        )

    def start(self, ended: Callable[[], None]) -> Thread:
        """Begins. `ended` hears of the end, whatever it is."""
        self._status.wait(GROUP, "it has not joined yet")

        def run() -> None:
            try:
                self._run()
            except Exception:
                log.exception("the stream has ended")
                self.failed = True
            ended()

        thread = Thread(target=run, name="stream")
        thread.start()
        return thread

    def stop(self) -> None:
        """Asks it to end. What is being delivered is not tried again; its offset moves if it is stored by then."""
        self._stop.set()

    def _run(self) -> None:
        try:
            self._consumer.subscribe(
                [self._source.topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
            while not self._stop.is_set():
                self._step()
            self._give_up.set()
            while self._delivering is not None:
                self._step_delivering(*self._delivering)
            self._commit_the_rest()
        finally:
            self._give_up.set()
            self._deliverer.shutdown()
            self._consumer.close()
            self._delivery.sender.close()

    def _step(self) -> None:
        if self._trouble is not None:
            self._look_for_kafka(self._trouble)
        if self._given:
            self._begin()
        if self._delivering is not None:
            self._step_delivering(*self._delivering)
            return
        self._commit()
        self._take(self._consumer.consume(_AT_ONCE, _POLL_S))
        self._deliver()

    def _step_delivering(self, future: Future[None], batch: Batch) -> None:
        # Everything is paused: what comes all the same was on its way, and belongs to the next batch.
        if not future.done():
            message = self._consumer.poll(_POLL_S)
            self._take([message] if message else [])
            return
        self._delivering = None
        try:
            future.result()
        except Stopped:
            return
        self._owed.update(batch.commits)
        self._commit()
        self._consumer.resume(self._consumer.assignment())

    def _deliver(self) -> None:
        """Has the batch delivered; one with nothing to deliver is done."""
        batch, self._batch = self._batch, Batch()
        if not (batch.measured or batch.letters):
            self._owed.update(batch.commits)
            return
        self._consumer.pause(self._consumer.assignment())
        self._delivering = (self._deliverer.submit(self._delivery.deliver, batch, self._give_up), batch)

    def _commit(self) -> None:
        """Moves the offsets that are owed. Kafka answers in a poll: nobody waits for it."""
        if not self._owed or self._is_committing:
            return
        topic = self._source.topic
        self._is_committing = True
        try:
            self._consumer.commit(offsets=[TopicPartition(topic, each, *place) for each, place in self._owed.items()])
        except KafkaException as error:
            self._on_commit(error.args[0], [])

    def _commit_the_rest(self) -> None:
        """Commits for the last time; after a while without an answer it is for the next one to send all of it again."""
        last = monotonic() + _ANSWER_S
        while self._owed and monotonic() < last:
            self._commit()
            self._consumer.poll(_POLL_S)

    def _on_commit(self, error: KafkaError | None, committed: list[TopicPartition]) -> None:
        """What Kafka did not take stays owed, and is tried again; it is ours until a rebalance."""
        self._is_committing = False
        error = error or next((one.error for one in committed if one.error), None)
        taken = committed if error is None else []
        for one in taken:
            # More may be owed by now.
            if self._owed.get(one.partition, (-1, ""))[0] == one.offset:
                del self._owed[one.partition]
        if error is not None:
            self._status.wait(KAFKA, f"offsets cannot be committed: {error}")
        elif self._trouble is None:
            self._status.go_on(KAFKA)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        # Where to begin takes questions to Kafka that may fail, and a callback has no way to try again.
        consumer.assign([])
        self._given = partitions
        if not partitions:
            self._status.go_on(GROUP)

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        log.info("partitions are taken from us: %s", sorted(one.partition for one in partitions))
        self._give_up.set()
        self._give_up = Flag()
        self._delivering, self._batch, self._owed, self._given = None, Batch(), {}, []
        self._reader.begin([])
        consumer.unassign()

    def _begin(self) -> None:
        """Finds where each of the given partitions is to be read from, and begins; later, when Kafka does not say."""
        try:
            committed = self._consumer.committed(self._given, _ANSWER_S)
            partitions = [self._resumed(one) for one in committed]
        except KafkaException as error:
            self._status.wait(KAFKA, str(error))
            return
        self._given = []
        self._reader.begin(partitions)
        topic, rebuild = self._source.topic, self._source.rebuild
        self._consumer.assign(
            [TopicPartition(topic, one.number, max(one.committed - rebuild, 0)) for one in partitions]
        )
        log.info("begins with partitions at offsets %s", {one.number: one.committed for one in partitions})
        self._status.go_on(KAFKA)
        self._status.go_on(GROUP)

    def _resumed(self, at: TopicPartition) -> Partition:
        if at.error:
            raise KafkaException(at.error)
        partition = Partition.resumed(at.partition, at.offset, at.metadata)
        _, end = self._consumer.get_watermark_offsets(TopicPartition(at.topic, at.partition), _ANSWER_S)
        if partition.committed > end:
            log.warning("partition %s ends before what was committed: its topic was made anew", at.partition)
            partition.committed = 0
        return partition

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            error = message.error()
            if error is None:
                self._reader.take(_record(message), self._batch)
            elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                self._status.wait(GROUP, str(error))
            else:
                self._on_error(error)

    def _on_error(self, error: KafkaError) -> None:
        """Notes that something is wrong with Kafka. Most of it librdkafka mends by itself."""
        log.warning("Kafka: %s", error)
        self._trouble = error

    def _look_for_kafka(self, trouble: KafkaError) -> None:
        """Finds out whether it answers, and until then says that it is waited for."""
        if trouble.fatal():
            raise KafkaException(trouble)
        try:
            self._consumer.list_topics(timeout=1.0)
        except KafkaException as error:
            self._status.wait(KAFKA, str(error))
        else:
            self._trouble = None
            self._status.go_on(KAFKA)


def _record(message: Message) -> Record:
    # librdkafka gives pairs of a name and bytes, or nothing for a header without a value.
    headers = {name: value for name, value in dict(message.headers() or []).items() if isinstance(value, bytes)}
    key, value = message.key() or b"", message.value()
    return Record(
        partition=message.partition() or 0,
        offset=message.offset() or 0,
        key=key.encode() if isinstance(key, str) else key,
        headers=headers,
        value=value.encode() if isinstance(value, str) else value,
    )

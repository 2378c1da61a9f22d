"""What cannot be handled: kept in a file, in which it is before the offset moves on."""

import base64
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO


@dataclass(frozen=True)
class Letter:
    """A record that is no event, a measurement that the model cannot score, or a result that was refused."""

    # The record's key; for results the subject, which is the same.
    key: str
    why: str
    # Where it was, such as `sensor-events/3@17`, or the cause and id of a result.
    what: str
    content: bytes


class Full(Exception):
    """The file has no room; the text says what to do."""


class DeadLetters:
    """A file of JSON lines. Only ever added to, and only up to a limit; an operator who has read it moves it away."""

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path = path
        self._most_bytes = most_bytes

    def add(self, letters: list[Letter]) -> None:
        """Writes letters to the disk, all or none. Raises Full, and OSError when the disk does not take them."""
        if not letters:
            return
        lines = b"".join(_line(letter) for letter in letters)
        with self._path.open("a+b") as file:
            size = file.tell()
            if size and _ends_within_a_line(file, size):
                lines = b"\n" + lines
            # One batch is taken whatever its size: nothing would ever go on otherwise.
            if size and size + len(lines) > self._most_bytes:
                raise Full(f"{self._path} has {size} bytes, of at most {self._most_bytes}: move it away")
            try:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                # A line that was begun would spoil the next one.
                os.ftruncate(file.fileno(), size)
                raise


def _ends_within_a_line(file: BinaryIO, size: int) -> bool:
    """Whether a process was killed while it wrote."""
    file.seek(size - 1)
    return file.read(1) != b"\n"


def _line(letter: Letter) -> bytes:
    content = base64.b64encode(letter.content).decode()
    return json.dumps({**asdict(letter), "content": content}).encode() + b"\n"

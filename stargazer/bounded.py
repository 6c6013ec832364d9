"""What others wrote, read within limits: text, JSON, YAML and the headers of files.

A parser that is given 200,000 brackets ends the process, one that is given a billion aliases fills the memory, a named
pipe never ends. So size, nesting and numbers are limited before anything is parsed, and what is beyond is one error
that names the file.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import stat
import zlib
from contextlib import contextmanager
from contextvars import ContextVar
from typing import IO, TYPE_CHECKING, Any

from stargazer.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Judge = Callable[[str], list[str] | None]

__all__ = [
    "DEEPEST",
    "LARGEST",
    "LONGEST_LINE",
    "check_header",
    "check_reading",
    "is_count",
    "is_nested_deeper",
    "judge_of_reading",
    "lines_of",
    "parse_json",
    "parse_yaml",
    "read_own",
    "read_text",
    "read_within",
]

LARGEST = 64 << 20
"""Bytes of a text that is read whole: a thousand times what people write."""

LONGEST_LINE = 64 << 20
"""Characters of one line: the longest read of a nanopore has four million."""

DEEPEST = 100
"""Lists and mappings in each other."""

LONGEST_NUMBER = 4000
"""Digits. Python itself refuses a few more, for reading them takes the square of their number."""

GZIP_MAGIC = b"\x1f\x8b"
_COUNT = re.compile(r"[0-9]{1,18}", re.ASCII)
_LONG_NUMBER = re.compile(rb"(?<![0-9])[0-9]{%d}" % (LONGEST_NUMBER + 1))
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = b"[{"


_judge: ContextVar[Judge | None] = ContextVar("stargazer_reading", default=None)


@contextmanager
def read_within(judge: Judge) -> Iterator[None]:
    """Let somebody judge every path and address that a workflow is given or finds in a sheet, before it is read.

    Parameters
    ----------
    judge
        Called with each; raises where it must not be read, and returns the IP addresses that may be asked for it, None
        for any. Who asks a server may not read all that the server can.
    """
    token = _judge.set(judge)
    try:
        yield
    finally:
        _judge.reset(token)


def check_reading(place: str | Path) -> None:
    """Ask whoever judges paths here, if anybody does."""
    if (judge := judge_of_reading()) is not None:
        judge(str(place))


def judge_of_reading() -> Judge | None:
    """Return whoever judges paths here, if anybody does: for what goes on in threads of others, which do not know."""
    return _judge.get()


def read_text(path: Path, most: int = LARGEST) -> str:
    """Return the text of a regular file.

    Parameters
    ----------
    path
        The file; a link to one is followed.
    most
        Bytes that it may have.

    Raises
    ------
    DataError
        It is no regular file, too large, or neither UTF-8 nor, by its mark, UTF-16, which spreadsheets save as.
    OSError
        It cannot be read.
    """
    # Opening a named pipe would wait for whoever writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{path} is no regular file")
        data = file.read(most + 1)
    if len(data) > most:
        raise DataError(f"{path} is larger than the {most >> 20} MiB that such a file may have")
    coding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(coding)
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in {coding.removesuffix('-sig').upper()}: {error}") from error


def read_own(path: Path, most: int = LARGEST) -> bytes:
    """Return what this user noted in a cache; what somebody else put there is not believed.

    Parameters
    ----------
    path
        The note.
    most
        Bytes that it may have.

    Raises
    ------
    OSError
        It is not there, is a link or no file, belongs to somebody else, or is larger.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > most:
            raise PermissionError(f"{path} is none of this user's notes")
        return file.read(most)


def is_count(text: str) -> bool:
    """Whether a text is a whole number as machines write it, of at most 18 digits.

    ``str.isdigit`` takes ``²`` for a digit, which `int` does not, and thousands of them.
    """
    return _COUNT.fullmatch(text) is not None


def parse_json(text: str | bytes, what: str) -> Any:
    """Return the value of a JSON text.

    Parameters
    ----------
    text
        As it came.
    what
        Names it, for messages.

    Raises
    ------
    DataError
        It is no JSON, nested too deeply, too large, or has a number with too many digits.
    """
    try:
        shown = text if isinstance(text, str) else text.decode("utf-8")
        _check_limits(shown, what)
        return json.loads(shown)
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{what} is no JSON: {error}") from error


def _check_limits(text: str, what: str) -> None:
    if len(text) > LARGEST:
        raise DataError(f"{what} is larger than the {LARGEST >> 20} MiB that such a text may have")
    data = text.encode("utf-8", "surrogatepass")
    if is_nested_deeper(data, DEEPEST):
        raise DataError(f"{what} has more than {DEEPEST} lists and mappings in each other")
    if _LONG_NUMBER.search(data) and _LONG_NUMBER.search(_outside_texts(data)):
        raise DataError(f"{what} has a number of more than {LONGEST_NUMBER:,} digits")


def is_nested_deeper(data: bytes, most: int) -> bool:
    """Whether lists and objects of a JSON text are nested deeper than that; brackets in texts do not count.

    Told before it is parsed, and without parsing: a text of a few brackets in two scans of the machine's own speed.

    Parameters
    ----------
    data
        The text, perhaps none: of what is no JSON the parser says what is wrong.
    most
        Levels.
    """
    if data.count(b"[") + data.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _outside_texts(data).translate(None, delete=_NO_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        if depth > most:
            return True
    return False


def _outside_texts(data: bytes) -> bytes:
    """What stands between the quoted texts of a JSON text."""
    return b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])


def parse_yaml(text: str, what: str) -> Any:
    """Return the value of a YAML text without aliases, which could stand for more than any memory holds.

    Parameters
    ----------
    text
        As it came.
    what
        Names it, for messages.

    Raises
    ------
    DataError
        It is no YAML, has aliases or tags of its own, is nested too deeply or too large.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    if len(text) > LARGEST:
        raise DataError(f"{what} is larger than the {LARGEST >> 20} MiB that such a text may have")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            _check_event(event, depth, what)
        return yaml.load(text, Loader=loader)  # both loaders are safe ones
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{what} is no YAML that is read here: {error}") from error


def _check_event(event: Any, depth: int, what: str) -> None:
    import yaml

    if depth > DEEPEST:
        raise DataError(f"{what} has more than {DEEPEST} lists and mappings in each other")
    if isinstance(event, yaml.AliasEvent):
        raise DataError(f"{what} has an alias (*{event.anchor}): write out what it stands for")
    if isinstance(event, yaml.ScalarEvent) and not event.style and len(event.value) > LONGEST_NUMBER:
        raise DataError(f"{what} has a bare word of {len(event.value):,} characters; give long texts in quotes")


def lines_of(file: IO[str], name: str, longest: int = LONGEST_LINE) -> Iterator[str]:
    """Yield the lines of an open text, gzipped or not, of which none may fill the memory.

    Raises
    ------
    DataError
        One is too long: a few kilobytes may be gzip for many gigabytes.
    """
    for line in iter(lambda: file.readline(longest + 1), ""):
        if len(line) > longest:
            raise DataError(f"{name} has a line of more than {longest:,} characters: it is damaged, or made to harm")
        yield line


def check_header(path: Path, mark: str, most: int = LARGEST) -> None:
    """Refuse a file whose header would fill the memory.

    Parameters
    ----------
    path
        Text, gzipped or not; of what else it is, nothing is said.
    mark
        With which each line of the header begins.
    most
        Characters that the header may have.

    Raises
    ------
    DataError
        It has more, or a line of it is too long.
    """
    import gzip

    with open(path, "rb") as raw:
        compressed = raw.read(2) == GZIP_MAGIC
    size = 0
    try:
        with (gzip.open if compressed else open)(path, "rt", encoding="latin-1") as file:
            for line in lines_of(file, path.name, longest=most):
                if not line.startswith(mark):
                    return
                size += len(line)
                if size > most:
                    raise DataError(f"{path.name} has a header of more than {most:,} characters")
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return  # whoever reads it next says what is wrong

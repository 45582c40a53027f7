"""Structured logs: an event name and keys, one line each, to stderr.

`structlog.get_logger()` works anywhere; `start` decides where events go. Logging never waits for whoever reads the
lines: see `logwriter`. What must never be in a log: see `redaction`.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import structlog

from config.model import Logs

from .logwriter import CAPACITY, LogWriter
from .redaction import Plain, safe_exception, safe_field, safe_stack, safe_text

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
_OURS: Final = frozenset({"time", "level", "event", "exc_info", "exception", "stack"})


class LogHandle:
    """Where logs go while it is open. Returned by `start`."""

    def __init__(self, logs: Logs, fd: int, capacity: int, marks: Mapping[str, Plain]) -> None:
        self._fd = fd
        self._marks = marks
        self._render = render_json
        self._writer = LogWriter(fd, self._report, capacity)
        self._foreign = _Foreign(logging.WARNING)
        logging.getLogger().addHandler(self._foreign)
        self.apply(logs)

    @property
    def dropped(self) -> int:
        """How many events were lost so far because nobody took them."""
        return self._writer.dropped

    def apply(self, logs: Logs) -> None:
        """Change level and format, for instance after a reload. Holds for loggers that exist already."""
        text = logs.format == "text" or (logs.format == "auto" and os.isatty(self._fd))
        self._render = render_text if text else render_json
        structlog.configure(
            processors=[self._put],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[logs.level]),
            logger_factory=lambda *_: None,
            cache_logger_on_first_use=False,  # a cached logger would keep the level it was first used with
        )

    def close(self, timeout: float = 2.0) -> bool:
        """Flush for at most `timeout` seconds; blocks. Later events are dropped. False if some could not be written."""
        logging.getLogger().removeHandler(self._foreign)
        return self._writer.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put(self, _logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
        """The only structlog processor: make a line of an event and queue it. Never raises."""
        try:
            self._writer.put(self._render(entry(method, {**event, **self._marks} if self._marks else event)))
        except Exception as exc:  # noqa: BLE001 (a value with a broken method must not break its logger's caller)
            self._writer.put(self._render(entry("error", {"event": "event not logged", "exc_info": exc})))
        raise structlog.DropEvent

    def _report(self, missing: int) -> bytes:
        return self._render(entry("warning", {"event": "log events dropped", "count": missing}))


def start(
    logs: Logs, *, fd: int = 2, capacity: int = CAPACITY, marks: Mapping[str, Plain] = MappingProxyType({})
) -> LogHandle:
    """Send structlog's events, and warnings of the standard `logging`, to a descriptor until the handle is closed.

    ``marks``: keys that every event of this process gets.
    """
    return LogHandle(logs, fd, capacity, marks)


def entry(level: str, event: Mapping[str, Any]) -> dict[str, Plain]:
    """An event as it is written: time (UTC), level, event, its keys without secrets, exception."""
    made: dict[str, Plain] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": {"exception": "error", "warn": "warning"}.get(level, level),
        "event": safe_text(str(event.get("event", ""))),
    }
    made.update({key: safe_field(key, value) for key, value in event.items() if key not in _OURS})
    exc = _exception(event.get("exc_info"))
    if exc is not None:
        made["exception"] = safe_exception(exc)
        made["stack"] = list(safe_stack(exc))
    return made


def render_json(made: Mapping[str, Plain]) -> bytes:
    return json.dumps(made, separators=(", ", ": ")).encode("ascii") + b"\n"


def render_text(made: Mapping[str, Plain]) -> bytes:
    """`TIME LEVEL event key=value`, where a value that is more than one word is quoted as in JSON."""
    keys = [f"{key}={_word(value)}" for key, value in made.items() if key not in ("time", "level", "event")]
    line = " ".join([f"{made['time']} {made['level']:<7} {_printable(str(made['event']))}", *keys])
    return line.encode("utf-8", "backslashreplace") + b"\n"


class RateLimited:
    """Lets one event through per period, and says how many it held back since the one before.

    >>> limited = RateLimited(period=1.0)
    >>> [limited.admit(now) for now in (0.0, 0.1, 0.2, 1.5)]
    [0, None, None, 2]
    """

    def __init__(self, period: float = 1.0) -> None:
        self._period = period
        self._next = float("-inf")
        self._held = 0

    def admit(self, now: float) -> int | None:
        """None: hold this one back. Else let it through; the number says how many were held back. `now` in seconds."""
        if now < self._next:
            self._held += 1
            return None
        held, self._held = self._held, 0
        self._next = now + self._period
        return held


class _Foreign(logging.Handler):
    """Brings what libraries log in; without a handler it would go to stderr, and a full pipe would stop the loop."""

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        level = "warning" if record.levelno < logging.ERROR else "error"
        log = structlog.get_logger()
        getattr(log, level)(record.getMessage(), logger=record.name, **({"exc_info": exc} if exc else {}))


def _exception(given: object) -> BaseException | None:
    """The exception meant by `exc_info`, which may be one, a triple as of `sys.exc_info`, or True."""
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple) and len(given) == 3:
        return given[1] if isinstance(given[1], BaseException) else None
    return sys.exc_info()[1] if given else None


def _word(value: Plain) -> str:
    if isinstance(value, str) and value and not set(value) & set(' "=') and value.isprintable():
        return value
    return json.dumps(value)


def _printable(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)

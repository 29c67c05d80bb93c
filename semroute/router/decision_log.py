"""The log of second looks: what a surer router said about which text, kept so that the quick one can learn from it."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.background import Writer
from semroute.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from semroute.router.decision import Complexity, Intent, Origin, RoutingDecision, Staleness

logger = logging.getLogger("semroute.router")

VERSION: Final = 1
DEFAULT_MAX_BYTES: Final = 64 * 1024**2
DEFAULT_MAX_PROMPT_CHARS: Final = 8_000

_LEAST_BYTES: Final = 4_096
_WAITING: Final = 256
_LOCK_TRIES: Final = 50
_LOCK_PAUSE_S: Final = 0.02
# JSON leaves these as they are, and readers that split at every kind of line end would cut a row in two.
_LINE_ENDS: Final = {0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"}


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One row of the log: a text, and what was decided about it."""

    at: float
    """Seconds since the Unix epoch."""
    prompt: str
    """The user's words; a long text is cut."""
    intent: Intent
    complexity: Complexity
    staleness: Staleness
    confidence: float
    origin: Origin
    model: str | None = None
    tier: int | None = None
    """That of the model."""
    good_tiers: tuple[int, ...] | None = None
    """The tiers that the decision takes to be good enough: that of its model and every stronger one."""
    embedder: str | None = None
    """Identity of the embedder whose vectors the router that was unsure reads."""


class DecisionLog:
    """Appends decisions to a JSONL file, one object a line, which `semroute router train` reads.

    There is none unless an application asks for it by its path, because the rows hold the users' words: of a request
    its query as it was asked, cut after `max_prompt_chars`, and nothing else: no system prompt, no earlier turns, no
    answer, no scope. A row also has the time, the decision (intent, complexity, staleness, model and its tier,
    confidence, origin) and the identity of the embedder. The file is readable by its owner alone, and may be shared by
    processes. When it would grow beyond half of `max_bytes` it becomes the older file, whose name ends in ".1", in the
    place of the one before.

    Writing happens on a thread of its own and never raises: what could not be written (disk full, folder not
    writable, file locked, too much at once) is counted in `lost`, and logged once until writing works again. Raises
    ConfigError for a limit that is out of range.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_prompt_chars: int = DEFAULT_MAX_PROMPT_CHARS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not os.fspath(path).strip():
            raise ConfigError("a decision log needs the path of its file, such as 'decisions.jsonl'")
        _check_limit("max_bytes", max_bytes, _LEAST_BYTES)
        _check_limit("max_prompt_chars", max_prompt_chars, 1)
        self._file = _Lines(Path(path).expanduser().absolute(), max_bytes // 2)
        self._max_prompt_chars = max_prompt_chars
        self._clock = clock
        self._writer = Writer(limit=_WAITING)
        self._lock = threading.Lock()
        self._written, self._lost = 0, 0
        self._is_down = False

    def __repr__(self) -> str:
        return f"<DecisionLog {str(self.path)!r}, {self._written} written, {self._lost} lost>"

    @property
    def path(self) -> Path:
        return self._file.path

    @property
    def older_path(self) -> Path:
        """Where the rows are that came before those of `path`; there is no such file before `path` was full."""
        return self._file.older

    @property
    def written(self) -> int:
        """How many rows this object has written."""
        return self._written

    @property
    def lost(self) -> int:
        """How many rows this object could not write."""
        return self._lost

    def add(
        self,
        prompt: str,
        decision: RoutingDecision,
        *,
        tier: int | None = None,
        good_tiers: Iterable[int] | None = None,
        embedder: str | None = None,
    ) -> None:
        """Queue a decision to be written; never raises, and never waits for the file."""
        row = LoggedDecision(
            at=self._clock(),
            # What is no text (half of a surrogate pair) cannot be written down as it is.
            prompt=prompt[: self._max_prompt_chars].encode("utf-8", "replace").decode("utf-8"),
            intent=decision.intent,
            complexity=decision.complexity,
            staleness=decision.staleness,
            confidence=decision.confidence,
            origin=decision.origin,
            model=decision.model,
            tier=tier,
            good_tiers=None if good_tiers is None else tuple(sorted(set(good_tiers))),
            embedder=embedder,
        )
        try:
            is_queued = self._writer.offer(lambda: self._write(row))
        except RuntimeError:  # the interpreter is ending and starts no threads any more
            self._write(row)
            return
        if not is_queued:
            self._note_loss("more arrived than could be written")

    def flush(self) -> None:
        """Wait until everything that was added before is written, or lost."""
        self._writer.flush()

    def close(self) -> None:
        """Write what waits, and let go of the thread; a later row starts a new one."""
        self._writer.close()

    def rows(self) -> Iterator[LoggedDecision]:
        """Yield every row, oldest first; lines that are none, such as one cut short by a power cut, are left out.

        Raises StoreError where the file cannot be read; one that is not there has no rows.
        """
        for path in (self._file.older, self._file.path):
            try:
                with path.open("rb") as file:
                    yield from (row for row in map(_row_of, file) if row is not None)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StoreError(f"the decision log {path} cannot be read: {error}") from error

    def clear(self) -> None:
        """Remove the file and the older one, with what waits to be written. Raises StoreError."""
        self.flush()
        for path in (self._file.older, self._file.path):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StoreError(f"the decision log {path} cannot be removed: {error}") from error

    def _write(self, row: LoggedDecision) -> None:
        try:
            self._file.append(_line_of(row))
        except (OSError, StoreError) as error:
            self._note_loss(str(error))
            return
        with self._lock:
            self._written += 1
            was_down, self._is_down = self._is_down, False
        if was_down:
            logger.info("the decision log %s is written again; %d rows were lost", self.path, self._lost)

    def _note_loss(self, reason: str) -> None:
        with self._lock:
            self._lost += 1
            was_down, self._is_down = self._is_down, True
        if not was_down:
            logger.warning("rows of the decision log %s are being lost: %s", self.path, reason)


def _check_limit(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"{name}={value!r} is out of range: it must be a whole number of at least {least}")


def _line_of(row: LoggedDecision) -> bytes:
    told = {name: value for name, value in asdict(row).items() if value is not None}
    text = json.dumps({"v": VERSION, **told}, ensure_ascii=False, allow_nan=False)
    return f"{text.translate(_LINE_ENDS)}\n".encode()


def _row_of(line: bytes) -> LoggedDecision | None:
    """Read a line; None for one that is no row, or of a version that this release does not know."""
    try:
        told = json.loads(line)
        if not isinstance(told, dict) or told.get("v") != VERSION:
            return None
        known = {each.name: told[each.name] for each in fields(LoggedDecision) if each.name in told}
        if "good_tiers" in known:
            known["good_tiers"] = tuple(known["good_tiers"])
        return LoggedDecision(**known)
    except (ValueError, TypeError, RecursionError):
        return None


class _Lines:
    """A file to whose end whole lines are written, by several processes in turn; opened anew for each of them."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self.older = path.with_name(f"{path.name}.1")
        self._max_bytes = max_bytes

    def append(self, line: bytes) -> None:
        """Write a line, or nothing at all. Raises OSError and StoreError."""
        if len(line) > self._max_bytes:
            raise StoreError(f"a row of {len(line)} bytes is larger than the log may be")
        while True:
            with self._held() as handle:
                size = os.fstat(handle).st_size
                if size == 0 or size + len(line) <= self._max_bytes:
                    _write_whole(handle, line, size)
                    return
                self.path.replace(self.older)

    @contextmanager
    def _held(self) -> Iterator[int]:
        """Lend the file that has the log's name now, with everybody else kept out."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        while True:
            # Not blocking, so that a pipe in the file's place is found out and not waited for.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
            handle = os.open(self.path, flags, 0o600)
            try:
                found = os.fstat(handle)
                if not stat.S_ISREG(found.st_mode):
                    raise StoreError(f"{self.path} is no file")
                _lock(handle, self.path)
                if _is_still(found, self.path):
                    _make_private(handle, found)
                    yield handle
                    return
            finally:
                os.close(handle)  # the lock goes with it


def _write_whole(handle: int, line: bytes, size: int) -> None:
    # A process that was killed may have left half a line: ours begins on one of its own.
    ends_well = size == 0 or _byte_at(handle, size - 1) == b"\n"
    waiting = memoryview(line if ends_well else b"\n" + line)
    try:
        while waiting:
            waiting = waiting[os.write(handle, waiting) :]
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, size)
        raise


def _byte_at(handle: int, position: int) -> bytes:
    os.lseek(handle, position, os.SEEK_SET)
    return os.read(handle, 1)


def _is_still(found: os.stat_result, path: Path) -> bool:
    """Say whether a file still has its name: another process may have made it the older one meanwhile."""
    try:
        return os.path.samestat(found, path.stat())
    except FileNotFoundError:
        return False


def _make_private(handle: int, found: os.stat_result) -> None:
    if hasattr(os, "fchmod") and found.st_mode & 0o077:
        with suppress(PermissionError):  # it is another user's, who has let us write
            os.fchmod(handle, 0o600)


def _lock(handle: int, path: Path) -> None:
    """Keep other writers out, where the system knows locks, or raise StoreError after a second."""
    try:
        import fcntl
    except ImportError:  # Windows keeps a file that is open from being replaced
        return
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
        except OSError:  # a file system without locks: whole lines at the end of a file seldom mix
            return
        else:
            return
    raise StoreError(f"another process kept {path} locked for {_LOCK_TRIES * _LOCK_PAUSE_S:g} s")

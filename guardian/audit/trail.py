"""Where events are kept: the file, and a copy to syslog; and what happens while the file cannot be written."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
import trio

from balancer.snapshot import AuditSnapshot, AuditState, SyslogSnapshot
from config import model
from config.model import OnFailure, Sync
from guardian.events import Event, Events, Kind

from .chain import KIND, START, Place
from .file import AuditFile
from .sender import SyslogSender
from .settings import AuditReady
from .writer import AuditWriter

_LOOK_EVERY: Final = 0.1  # seconds
_SEAL_EVERY: Final = 60.0  # seconds


class AuditTrail:
    """Takes every event. `run` is its task; `open` and `adopt` give it its settings; `close` writes what is left.

    ``refuse(yes)`` is called when commands that may write have to be refused from now on, and when not any more.
    """

    def __init__(self, events: Events, refuse: Callable[[bool], None]) -> None:
        self.refusing = False
        self._events = events
        self._refuse = refuse
        self._settings = model.Audit()
        self._key: bytes | None = None
        self._writer: AuditWriter | None = None
        self._former: list[AuditWriter] = []
        self._sender: SyslogSender | None = None
        self._scope = trio.CancelScope()  # around the sender's task
        self._nursery: trio.Nursery | None = None
        self._failing = ""
        self._counted = (0, 0, 0)  # records, failures, lost of writers that have ended
        self._sealed = START
        self._log = structlog.get_logger()
        events.subscribe(self._take)

    # --- settings ------------------------------------------------------------------------------------------------

    def open(self, ready: AuditReady) -> AuditFile | None:
        """The file that `adopt` is to be given; None where the one that is open goes on. Raises `AuditError`.

        Blocks; may run in a thread, as long as nobody calls `adopt` meanwhile.
        """
        settings = ready.settings
        if settings.file is None or not (self._writer is None or self._differs(settings, ready.key)):
            return None
        batched = settings.sync is Sync.BATCH
        file = AuditFile(settings.file, key=ready.key, max_size=settings.max_size, sync=batched)
        file.open()
        return file

    def adopt(self, ready: AuditReady, file: AuditFile | None) -> None:
        """From now on. What was told before is still written where it was to be; where that fails, to the new file."""
        settings = ready.settings
        leaving = self._writer if settings.file is None or file is not None else None
        if leaving is not None:
            where = "are written nowhere" if settings.file is None else f"go to {settings.file}, by other settings"
            self._events.tell(Kind.AUDIT, "file", "left", detail=f"by a reload: from now on records {where}")
            self._former.append(leaving)
            self._writer = None
        if file is not None:
            self._writer = AuditWriter(file, self._told())
            for each in self._former:
                each.heir = self._writer
            if self._failing:  # its first record, and the proof that it can be written
                self._events.tell(Kind.AUDIT, "file", "failed", detail=f"before a reload: {self._failing}")
        if leaving is not None:
            leaving.retire()
        former, self._settings, self._key = self._settings.syslog, settings, ready.key
        if self._sender is not None and settings.syslog == former:
            self._sender.renew(ready.side)
        else:
            self._scope.cancel()
            self._sender = None if settings.syslog is None else SyslogSender(settings.syslog, ready.side)
            self._start_sender()
        self._look()

    def _differs(self, settings: model.Audit, key: bytes | None) -> bool:
        now = self._settings
        same = (settings.file, settings.max_size, settings.sync) == (now.file, now.max_size, now.sync)
        return not same or key != self._key

    def _start_sender(self) -> None:
        if self._nursery is not None and self._sender is not None:
            self._scope = trio.CancelScope()
            self._nursery.start_soon(self._keep_sender, self._sender, self._scope)

    @staticmethod
    async def _keep_sender(sender: SyslogSender, scope: trio.CancelScope) -> None:
        with scope:
            await sender.run()

    def _told(self) -> Callable[[], None]:
        """For a writer's thread, to have the loop look."""
        token = trio.lowlevel.current_trio_token()

        def told() -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._look)

        return told

    # --- events --------------------------------------------------------------------------------------------------

    def _take(self, event: Event) -> None:
        if self._writer is not None:
            self._writer.put(event)
        if self._sender is not None:
            self._sender.put(event)

    async def run(self) -> None:
        """Watch the file, and send. Until cancelled."""
        seal_at = trio.current_time() + _SEAL_EVERY
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self._start_sender()
            try:
                while True:
                    await trio.sleep(_LOOK_EVERY)
                    self._look()
                    if trio.current_time() >= seal_at:
                        seal_at = trio.current_time() + _SEAL_EVERY
                        self.seal()
            finally:
                self._nursery = None

    def _look(self) -> None:
        """Whether the file can be written, by what the writer says and by how long it has said nothing.

        A writer that is new is believed when it has written: it may be for the same disk.
        """
        writer = self._writer
        fault = ""
        if writer is not None:
            late = writer.late(time.monotonic())
            fault = writer.fault or (f"a record has waited for {late:.0f} s" if late > self._settings.late else "")
            if not writer.records:
                fault = fault or self._failing
        else:
            self._failing = ""  # nobody asks for it any more
        if bool(fault) != bool(self._failing):
            self._failing = fault
            if fault:
                self._log.error("audit records cannot be written", file=str(self._settings.file), reason=fault)
            else:
                self._log.warning("audit records are written again", file=str(self._settings.file))
            self._events.tell(Kind.AUDIT, "file", "failed" if fault else "works again", detail=fault)
        self._failing = fault
        refusing = bool(fault) and self._settings.on_failure is OnFailure.REFUSE_WRITES
        if refusing is not self.refusing:
            self.refusing = refusing
            self._refuse(refusing)
        for former in tuple(self._former):
            if not former.running:
                self._former.remove(former)
                self._count(former)

    def _count(self, ended: AuditWriter) -> None:
        records, failures, lost = self._counted
        self._counted = (records + ended.records, failures + ended.failures, lost + ended.lost + ended.unwritten)

    def seal(self) -> None:
        """Say the last record's hash where the file's owner cannot take it back: in the log, and to syslog."""
        last = START if self._writer is None else self._writer.last
        if last != self._sealed:
            self._sealed = last
            self._log.info("audit sealed", record=last.number, digest=last.digest)
            if self._sender is not None:
                self._sender.put(self._seal_of(last))

    def _seal_of(self, last: Place) -> Event:
        return Event(
            number=0, at=time.time(), kind=Kind(KIND), who="guardian", source="", what="file", result="sealed",
            detail=f"record {last.number}, hash {last.digest}",
        )  # fmt: skip

    def close(self) -> None:
        """Write what waits. Blocks, for a few seconds at most."""
        for writer in (*self._former, *([self._writer] if self._writer is not None else [])):
            if not writer.close():
                self._log.error("audit records are lost", file=str(writer.file.path), count=writer.unwritten)
        if self._writer is not None:
            last = self._writer.last
            self._log.info("audit sealed", record=last.number, digest=last.digest)
        self._writer = None

    # --- what is shown -------------------------------------------------------------------------------------------

    def snapshot(self) -> AuditSnapshot:
        writer, sender = self._writer, self._sender
        state = AuditState.OFF if writer is None else AuditState.FAILING if self._failing else AuditState.WRITING
        writers = (*self._former, *([] if writer is None else [writer]))
        records, failures, lost = self._counted
        records += sum(each.records for each in writers)
        failures += sum(each.failures for each in writers)
        lost += sum(each.lost for each in writers)
        last = START if writer is None else writer.last
        return AuditSnapshot(
            state=state,
            refuses_writes=self.refusing,
            reason=self._failing,
            records=records,
            failures=failures,
            lost=lost,
            unwritten=sum(each.unwritten for each in writers),
            last=last.number,
            digest=last.digest,
            syslog=None
            if sender is None
            else SyslogSnapshot(
                address=str(sender.settings.address),
                connected=sender.connected,
                reason=sender.fault,
                sent=sender.sent,
                dropped=sender.dropped,
                queued=sender.queued,
            ),
        )

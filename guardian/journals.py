"""Which write journal each group has, also where another process has handed it down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from config.model import Config

from .groups import RunningGroup
from .journal import WriteJournal, open_journal, open_memory
from .journal_file import Owners

Opened = dict[str, WriteJournal | None]  # by group


class Journals:
    """Opens what a configuration asks for."""

    def __init__(self, owners: Owners, *, together: bool = False) -> None:
        """``owners``: of journals that another process writes too; they are for the first configuration.

        ``together``: there are always other processes.
        """
        self._owners = owners
        self._together = together

    def offer(self, owners: Owners) -> None:
        """More of them, for the next configuration."""
        self._owners.files.update(owners.files)
        self._owners.memory.update(owners.memory)

    def withdraw(self) -> None:
        """Those that no configuration took are closed."""
        for descriptor in (*self._owners.files.values(), *self._owners.memory.values()):
            os.close(descriptor)
        self._owners.files.clear()
        self._owners.memory.clear()

    def of(self, config: Config, running: Mapping[str, RunningGroup]) -> Opened:
        """The journal of each group; one that is in use stays open. Raises OSError."""
        journals: Opened = {}
        try:
            for settings in config.groups:
                path = settings.writes.journal
                known = running[settings.name].journal if settings.name in running else None
                if known is not None and known.path == path:
                    journals[settings.name] = known
                    self._forget(settings.name, path)
                elif known is not None and not known.alone:
                    raise OSError(  # noqa: TRY301 - what is open is closed below
                        f"group {settings.name}: another process still writes in turns with this one, in the journal "
                        "of before: reload when it has ended"
                    )
                else:
                    journals[settings.name] = self._open(settings.name, path)
            left = [*map(str, self._owners.files), *(f"that of group {name}" for name in self._owners.memory)]
            if left:  # two processes would write to the same devices, each in an order of its own
                raise OSError(  # noqa: TRY301 - what is open is closed below
                    f"the running process has other write journals than this configuration ({', '.join(left)}): "
                    "reload it, and then upgrade"
                )
        except OSError:
            let_go(journals, running)
            raise
        return journals

    def _open(self, group: str, path: Path | None) -> WriteJournal | None:
        if path is None:
            in_memory = self._owners.memory.pop(group, None)
            journal = None if in_memory is None else open_memory(in_memory)
        else:
            journal = open_journal(path, owner=self._owners.files.pop(path, None))
        if journal is not None and self._together:
            journal.share(always=True)
        return journal

    def _forget(self, group: str, path: Path | None) -> None:
        """What was offered for a journal that is open already."""
        owner = self._owners.memory.pop(group, None) if path is None else self._owners.files.pop(path, None)
        if owner is not None:
            os.close(owner)


def share(running: Mapping[str, RunningGroup]) -> Owners:
    """Every group gets a journal that other processes can write into too. Raises OSError."""
    owners = Owners()
    for name, group in running.items():
        journal = group.journal or open_memory()
        group.keep_journal(journal)
        journal.share()
        if journal.path is None:
            owners.memory[name] = journal.lock.owner
        else:
            owners.files[journal.path] = journal.lock.owner
    return owners


def let_go(journals: Opened, running: Mapping[str, RunningGroup]) -> None:
    """Close those that were opened for a configuration which is not to be."""
    kept = {group.journal for group in running.values()}
    for journal in journals.values():
        if journal is not None and journal not in kept:
            journal.close()

"""The write journals of workers: owned by their supervisor, so that they outlive every worker; it never writes them.

Each group has one, where the configuration names no file one in memory: workers are always several, and their writes
need one order. Whoever reads what a worker left behind when it died is the next to have its turn (`guardian.journal`).
"""

from __future__ import annotations

import os
from pathlib import Path

from config.model import Config
from guardian.journal import open_journal, open_memory
from guardian.journal_file import Owners


def open_owners(config: Config, kept: Owners | None = None, running: Config | None = None) -> Owners:
    """A descriptor for each group's journal, to be handed to every worker; those that are kept stay what they are.

    ``running``: the configuration that ``kept`` was opened for. Blocks for as long as reading a file takes. Raises
    OSError, and then nothing was opened; also for another journal of a group that workers are writing to.
    """
    kept = kept or Owners()
    owners = Owners()
    before = {} if running is None else {group.name: group.writes.journal for group in running.groups}
    try:
        for group in config.groups:
            name, path = group.name, group.writes.journal
            if name in before and before[name] != path:
                raise OSError(  # noqa: TRY301 - what is open is closed below
                    f"group {name}: writes.journal cannot be changed while there are several workers: restart"
                )
            if path is None:
                owners.memory[name] = kept.memory[name] if name in kept.memory else _of(None)
            else:
                owners.files[path] = kept.files[path] if path in kept.files else _of(path)
    except OSError:
        let_go(owners, but=kept)
        raise
    return owners


def _of(path: Path | None) -> int:
    """The owner of a journal that is whole and that nobody else has, its header written. Raises OSError."""
    journal = open_memory() if path is None else open_journal(path)
    try:
        return os.dup(journal.lock.owner)
    finally:
        journal.close()


def let_go(owners: Owners, but: Owners | None = None) -> None:
    """Close them, but for those that are also in ``but``: whoever else has one goes on."""
    but = but or Owners()
    for path, descriptor in owners.files.items():
        if but.files.get(path) != descriptor:
            os.close(descriptor)
    for name, descriptor in owners.memory.items():
        if but.memory.get(name) != descriptor:
            os.close(descriptor)


def descriptors(owners: Owners) -> list[int]:
    return [*owners.files.values(), *owners.memory.values()]

"""Which journal a group gets at a reload, while another process has the one of before and when it has none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import attrs
import pytest

from config.model import Config
from guardian.groups import RunningGroup
from guardian.journal import WriteJournal, open_journal, open_memory
from guardian.journal_file import Owners
from guardian.journals import Journals
from tests.support.configs import EXAMPLE, load_text


@attrs.define(eq=False)
class Known:
    """What `Journals` asks a running group for."""

    journal: WriteJournal | None


@pytest.fixture
def asked(tmp_path: Path) -> Config:
    """A configuration with a journal at another path."""
    found = load_text(tmp_path, EXAMPLE).config
    (group,) = found.groups
    writes = attrs.evolve(group.writes, journal=tmp_path / "another.journal")
    return attrs.evolve(found, groups=(attrs.evolve(group, writes=writes),))


@pytest.mark.parametrize("memory", [False, True])
def test_another_journal_is_refused_while_another_process_writes_in_turns(
    tmp_path: Path, asked: Config, memory: bool
) -> None:
    path = tmp_path / "writes.journal"
    ours = open_memory() if memory else open_journal(path)
    owner = os.dup(ours.lock.owner)
    theirs = open_memory(owner) if memory else open_journal(path, owner=owner)
    running = cast("dict[str, RunningGroup]", {asked.groups[0].name: Known(ours)})
    with pytest.raises(OSError, match="reload when it has ended"):
        Journals(Owners()).of(asked, running)
    assert ours.lock.turns.try_take(), "it is still open"
    assert not (tmp_path / "another.journal").exists()
    theirs.close()
    (found,) = Journals(Owners()).of(asked, running).values()
    assert found is not None
    assert found.path == tmp_path / "another.journal"
    found.close()
    ours.close()

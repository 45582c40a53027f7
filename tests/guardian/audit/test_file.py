"""The file goes on where it ended: after a restart, a crash and a rename, and beside another process."""

from __future__ import annotations

import contextlib
import gzip
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from guardian.audit import file as audit_file
from guardian.audit.file import AuditError
from tests.support.audit import BIG, a_file, facts, results, verified, whole


def test_it_is_its_owners_alone_and_a_chain(path: Path) -> None:
    file = a_file(path)
    file.append([facts("a"), facts("b")])
    file.append([facts("c")])
    file.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert results(path) == ["opened", "a", "b", "c"]
    assert whole(path)


def test_a_new_process_goes_on(path: Path) -> None:
    for word in "abc":
        file = a_file(path)
        file.open()
        file.append([facts(word)])
        file.close()
    assert results(path) == ["opened", "a", "b", "c"]
    assert whole(path)


def test_two_processes_write_one_chain(path: Path) -> None:
    one, other = a_file(path), a_file(path)
    for word in "abcdef":
        (one if word in "acd" else other).append([facts(word)])
    assert results(path) == ["opened", *"abcdef"]
    assert whole(path)
    one.close()
    other.close()


@pytest.mark.parametrize("cut", range(1, 200, 11))
def test_an_unfinished_line_is_explained_by_who_goes_on(path: Path, cut: int) -> None:
    file = a_file(path)
    file.append([facts("a"), facts("b")])
    file.close()
    data = path.read_bytes()
    path.write_bytes(data[:-cut])
    again = a_file(path)
    again.open()
    again.append([facts("c")])
    again.close()
    if cut == 1:
        assert results(path) == ["opened", "a", "b", "c"], "only its newline was missing"
    else:
        assert results(path) == ["opened", "a", "torn", "c"]
        assert "of a crash" in str(verified(path).notes[0])
    assert whole(path)


@pytest.mark.parametrize("left", [1, 5, 40])
def test_also_where_it_is_the_first_of_all(path: Path, left: int) -> None:
    file = a_file(path)
    file.append([facts("a")])
    file.close()
    path.write_bytes(path.read_bytes()[:left])
    again = a_file(path)
    again.open()
    again.append([facts("b")])
    again.close()
    assert results(path) == ["torn", "b"]
    assert whole(path)


def test_a_long_file_is_renamed_and_the_chain_goes_on(path: Path) -> None:
    file = a_file(path, max_size=2000)
    for number in range(40):
        file.append([facts(f"r{number}")])
    file.close()
    files = sorted(path.parent.iterdir())
    assert len(files) > 4
    assert not [each for each in files if "new" in each.name]
    assert all(each.stat().st_size < 2500 for each in files)
    assert [word for word in results(*files) if word != "opened"] == [f"r{number}" for number in range(40)]
    assert whole(*files)


def test_whoever_renames_it_finds_the_chain_in_the_next_file(path: Path) -> None:
    """As logrotate does, with or without a file made in its place."""
    file = a_file(path)
    file.append([facts("a")])
    path.rename(path.with_name("audit.log.2"))
    file.append([facts("b")])
    path.rename(path.with_name("audit.log.1"))
    path.touch()
    file.append([facts("c")])
    file.close()
    files = [path.with_name("audit.log.2"), path.with_name("audit.log.1"), path]
    assert results(*files) == ["opened", "a", "opened", "b", "opened", "c"]
    assert whole(*files)


@pytest.mark.parametrize("packed", [False, True])
def test_also_where_a_new_process_finds_no_file(path: Path, packed: bool) -> None:
    file = a_file(path)
    file.append([facts("a")])
    file.close()
    former = path.with_name("audit.log.1")
    path.rename(former)
    if packed:
        data = former.read_bytes()
        former.unlink()
        former = path.with_name("audit.log.1.gz")
        former.write_bytes(gzip.compress(data))
    path.with_name("audit.log.key").write_bytes(b"something else")
    again = a_file(path)
    again.append([facts("b")])
    again.close()
    assert results(former, path) == ["opened", "a", "opened", "b"]
    assert whole(former, path)


def test_another_process_renames_it(path: Path) -> None:
    one, other = a_file(path, max_size=1500), a_file(path, max_size=1500)
    for number in range(30):
        (one, other)[number % 2].append([facts(f"r{number}")])
    one.close()
    other.close()
    files = sorted(path.parent.iterdir())
    assert len(files) > 3
    assert [word for word in results(*files) if word != "opened"] == [f"r{number}" for number in range(30)]
    assert whole(*files)


def test_somebody_elses_file_is_not_touched(path: Path) -> None:
    path.write_text("precious\nthings\n")
    with pytest.raises(AuditError, match="is no audit file"):
        a_file(path).open()
    assert path.read_text() == "precious\nthings\n"


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_refused(path: Path, make: Any) -> None:
    make(path)
    with pytest.raises(AuditError, match=str(path)):
        a_file(path).open()


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(AuditError, match=str(path)):
        a_file(path).open()
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_renamed_after_another_process_wrote_the_last(path: Path) -> None:
    one, other = a_file(path), a_file(path)
    one.append([facts("a")])
    other.append([facts("b")])
    path.rename(path.with_name("audit.log.1"))
    one.append([facts("c")])
    one.close()
    other.close()
    assert results(path.with_name("audit.log.1"), path) == ["opened", "a", "b", "opened", "c"]
    assert whole(path.with_name("audit.log.1"), path)


class Crash(BaseException):
    pass


def linked(name: Path, former: Path, _fresh: Path) -> None:
    os.link(name, former)


@pytest.mark.parametrize("ends", [Crash, OSError])
@pytest.mark.parametrize("does", [lambda *_: None, linked], ids=["nothing", "linked"])
def test_a_renaming_that_was_broken_off_leaves_nothing_that_is_no_chain(
    path: Path, ends: type[BaseException], does: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(*names: Path) -> None:
        does(*names)
        raise ends

    file = a_file(path, max_size=900)
    with monkeypatch.context() as patched:
        patched.setattr(audit_file, "_rename_two", broken_off)
        for number in range(3):
            with contextlib.suppress(Crash):
                file.append([facts(f"a{number}"), facts(f"b{number}")])
    file.close()
    kept = path.with_name("audit.log.mine")
    os.link(path, kept)
    again = a_file(path, max_size=BIG)
    again.open()
    again.append([facts("c")])
    again.close()
    assert sorted(path.parent.iterdir()) == [path, kept], "a name that somebody else gave it stays"
    assert whole(path)
    after = a_file(path, max_size=900)
    for number in range(6):
        after.append([facts(f"d{number}"), facts(f"e{number}")])
    after.close()
    kept.unlink()
    files = sorted(path.parent.iterdir())
    assert len(files) > 3
    assert whole(*files)

"""`guardian audit`: an auditor's questions, answered with exit codes that scripts can stand on."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from guardian.audit.chain import fields_of
from guardian.audit.file import AuditFile
from guardian.cli import execute
from guardian.events import Actor, Events, Kind

KEY = b"a key that nobody else knows"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return written(tmp_path / "audit.log")


def written(path: Path, key: bytes | None = None) -> Path:
    at = iter(range(1_790_000_000, 1_790_100_000, 3600))
    events = Events(lambda: float(next(at)))
    file = AuditFile(path, key=key, max_size=1 << 30, sync=False)
    alice, vault = Actor(name="alice", source="192.0.2.7"), Actor(name="vault\x1b[31m-1", source="10.0.0.9")
    for event in (
        events.tell(Kind.START, "guardian", "serving"),
        events.tell(Kind.LOGIN, "payments/RKLG", "refused", by=vault),
        events.tell(Kind.WILL, "payments/hsm1", "drain", by=alice, detail="for the night"),
        events.tell(Kind.WILL, "payments/hsm1", "ready", by=alice),
    ):
        file.append([fields_of(event)])
    file.close()
    return path


def hashes(text: str) -> list[str]:
    return [line.rpartition(" ")[2] for line in text.splitlines() if ", hash " in line]


def test_a_whole_file_and_its_first_and_last_hash(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["audit", "verify", str(log)]) == 0
    said = capsys.readouterr().out
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert hashes(said) == [lines[0]["hash"], lines[-1]["hash"]]
    assert said.splitlines()[-1] == "5 records in 1 file: whole"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("alice", "mallory", "audit.log:4: record 4 was changed"),
        ('"drain"', '"maint"', "audit.log:4: record 4 was changed"),
    ],
)
def test_a_changed_record_is_named(
    log: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log.write_text(log.read_text().replace(old, new, 1))
    assert execute(["audit", "verify", str(log)]) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "NOT WHOLE, 1 fault" in out


def test_a_record_that_was_taken_out_is_named(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = log.read_text().splitlines(keepends=True)
    log.write_text("".join(lines[:2] + lines[3:]))
    assert execute(["audit", "verify", str(log)]) == 1
    assert "audit.log:3: record 3 is missing before record 4" in capsys.readouterr().out


def test_a_hash_that_was_written_down(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is cut off at the end, or made anew, shows only to who has such a hash."""
    lines = log.read_text().splitlines(keepends=True)
    known = json.loads(lines[3])["hash"]
    assert execute(["audit", "verify", str(log), "--since", known]) == 0
    assert "record 4 has the hash that you wrote down; 1 come after it" in capsys.readouterr().out
    log.write_text("".join(lines[:3]))
    assert execute(["audit", "verify", str(log)]) == 0
    assert execute(["audit", "verify", str(log), "--since", known]) == 1
    assert "no record has the hash" in capsys.readouterr().out
    assert execute(["audit", "verify", str(log), "--since", "latest"]) == 2


def test_several_files_in_any_order(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    former = tmp_path / "audit.log.1.gz"
    former.write_bytes(gzip.compress(log.read_bytes()))
    log.rename(tmp_path / "audit.log.1")
    (tmp_path / "later").mkdir()
    written(log)
    (tmp_path / "audit.log.1").unlink()
    assert execute(["audit", "verify", str(log), str(former)]) == 0
    assert "10 records in 2 files: whole" in capsys.readouterr().out
    assert execute(["audit", "verify", str(log)]) == 0
    assert "goes on from record 5, which is in none of these files" in capsys.readouterr().out


def test_one_file_by_two_names_is_one(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "audit.log.link").hardlink_to(log)
    assert execute(["audit", "verify", str(log), str(tmp_path / "audit.log.link")]) == 0
    assert "5 records in 1 file: whole" in capsys.readouterr().out


def test_with_a_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, key, other = written(tmp_path / "audit.log", KEY), tmp_path / "key", tmp_path / "other"
    key.write_bytes(KEY + b"\n")
    other.write_bytes(b"another key, as long as it")
    assert execute(["audit", "verify", str(log), "--key-file", str(key)]) == 0
    assert "whole and made with the key" in capsys.readouterr().out
    assert execute(["audit", "verify", str(log)]) == 0
    assert "in order; 5 were made with a key" in capsys.readouterr().out
    assert execute(["audit", "verify", str(log), "--key-file", str(other)]) == 1
    assert execute(["audit", "verify", str(log), "--key-file", str(other), "--key-file", str(key)]) == 0
    bare = written(tmp_path / "bare.log")
    capsys.readouterr()
    assert execute(["audit", "verify", str(bare), "--key-file", str(key)]) == 1
    assert "record 1 is made without a key" in capsys.readouterr().out
    assert execute(["audit", "verify", str(bare), "--keyed-from", "3"]) == 2, "of which key?"
    file = AuditFile(bare, key=KEY, max_size=1 << 30, sync=False)
    file.append([fields_of(Events().tell(Kind.STOP, "guardian", "stopped"))])
    file.close()
    capsys.readouterr()
    assert execute(["audit", "verify", str(bare), "--key-file", str(key), "--keyed-from", "6"]) == 0
    assert "6 records in 1 file: whole and made with the key, but for the first 5" in capsys.readouterr().out


def shown(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[list[str]]:
    execute(["audit", "show", *map(str, arguments)])
    return [line.split() for line in capsys.readouterr().out.splitlines()[1:]]


def test_show_says_who_did_what(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, log)
    assert [row[2] for row in rows] == ["audit", "start", "login", "will", "will"]
    assert rows[3][2:] == ["will", "alice", "192.0.2.7", "payments/hsm1", "drain", "for", "the", "night"]
    assert rows[2][3] == "vault?[31m-1", "what a certificate says must not steer a terminal"


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (["--kind", "will"], 2),
        (["--kind", "will", "--kind", "login"], 3),
        (["--who", "alice"], 2),
        (["--who", "10.0.0.9"], 1),
        (["--what", "hsm1"], 2),
        (["--result", "drain"], 1),
        (["--kind", "login", "--before", "2026-09-21T15:13:20+00:00"], 0),
        (["--kind", "login", "--after", "2026-09-21T15:13"], 1),
        (["--kind", "start", "--before", "2026-09-22"], 1),
        (["--after", "2099-01-01"], 0),
        (["--last", "2"], 2),
    ],
)
def test_filters(log: Path, filters: list[str], count: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["audit", "show", str(log), *filters, "--json"]) == (0 if count else 1)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(found) == count


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "/nowhere/audit.log"],
        ["show", "LOG", "--after", "yesterday"],
        ["verify", "LOG", "--key-file", "EMPTY"],
        ["verify", "BROKEN.gz"],
    ],
)
def test_wrong_usage(log: Path, tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "EMPTY").touch()
    (tmp_path / "BROKEN.gz").write_bytes(b"no gzip")
    names = {"LOG": str(log), "EMPTY": str(tmp_path / "EMPTY"), "BROKEN.gz": str(tmp_path / "BROKEN.gz")}
    assert execute(["audit", *(names.get(each, each) for each in arguments)]) == 2


def test_the_auditors_own_program_agrees(log: Path) -> None:
    """The one that docs/audit.md prints, which knows nothing of ours."""
    document = (Path(__file__).parents[2] / "docs" / "audit.md").read_text()
    [program] = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    command = [sys.executable, "-c", program, str(log)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    last = json.loads(log.read_text().splitlines()[-1])
    assert said == f"({last['n']}, '{last['hash']}')\n"
    log.write_text(log.read_text().replace("alice", "mallory", 1))
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_a_file_without_records_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / "audit.log").touch()
    assert execute(["audit", "verify", str(tmp_path / "audit.log")]) == 1


def test_a_file_in_a_folder_that_may_not_be_entered_is_not_said_to_be_missing(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stat(path: Path, *, follow_symlinks: bool = True) -> None:
        raise PermissionError(13, "Permission denied", str(path))  # root may enter any

    monkeypatch.setattr(Path, "stat", stat)
    assert execute(["audit", "verify", str(log)]) == 2
    said = capsys.readouterr().err
    assert "its folder may not be entered" in said
    assert "does not exist" not in said

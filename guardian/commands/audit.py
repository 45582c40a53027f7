"""`guardian audit`: whether the record of what happened is whole, and what it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from config.units import parse_duration
from guardian import console

if TYPE_CHECKING:
    from guardian.audit.chain import Record
    from guardian.audit.verification import Verification

_SHOWN_FAULTS: Final = 20
_LONGEST_LINE: Final = 1_048_576  # bytes; no record is nearly as long, and a file without lines must not fill memory
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_COLUMNS: Final = ("TIME (UTC)", "KIND", "WHO", "FROM", "WHAT", "RESULT", "DETAIL")


class _Existing(click.Path):
    """By itself it says of a file in a folder that may not be entered that there is none."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            Path(value).stat()
        except PermissionError:
            self.fail(f"{value} cannot be looked at by who runs this: its folder may not be entered", param, ctx)
        except (OSError, ValueError):
            pass  # told below
        return super().convert(value, param, ctx)


_FILES = click.argument("files", nargs=-1, required=True, metavar="FILE...", type=_Existing())


@click.group()
def audit() -> None:
    """Verify or read the audit file.

    Give the files that were renamed too, in any order: audit.log*. Files that end in .gz are unpacked.
    """


def _hash(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    if value is not None and not _HASH.fullmatch(value):
        raise click.BadParameter("a hash is 64 hex digits, as `guardian audit verify` prints it")
    return value


def _moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    with suppress(ValueError):
        return datetime.now(UTC) - timedelta(seconds=parse_duration(value))
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r} is no time like 2026-11-21, 2026-11-21T15:30 or 2h (ago)") from exc
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


@audit.command()
@_FILES
@click.option("--since", metavar="HASH", callback=_hash, help="A hash that you wrote down: a record must have it.")
@click.option(
    "--key-file", "key_files", multiple=True, type=_Existing(), metavar="FILE",
    help="The key of `audit.key_file`: every record must be made with it. Repeat it if it was changed.",
)  # fmt: skip
@click.option(
    "--keyed-from", type=click.IntRange(min=1), metavar="N",
    help="With --key-file: records before number N may be without a key, and are then not proved.",
)  # fmt: skip
def verify(files: tuple[Path, ...], since: str | None, key_files: tuple[Path, ...], keyed_from: int | None) -> int:
    """Say whether FILEs are one whole chain of records, and where they are not.

    Prints the first and the last hash: write the last one down, and ask for it the next time with --since. Exit code 1
    if a record was changed, is missing or stands where it should not, or if none has the hash of --since.
    """
    from guardian.audit.verification import Verification  # noqa: PLC0415 (only this command needs it)

    if keyed_from is not None and not key_files:
        raise click.UsageError("--keyed-from says from where on the key of --key-file counts: give that, too")
    verification = Verification([_key(path) for path in key_files], since, keyed_from or 0)
    for _ in _records(files, verification):
        pass
    for note in verification.notes:
        console.say(str(note))
    faults = verification.faults
    for fault in faults[:_SHOWN_FAULTS]:
        console.say(click.style(str(fault), fg="red"))
    if len(faults) > _SHOWN_FAULTS:
        console.say(f"and {len(faults) - _SHOWN_FAULTS} more like these")
    return _verdict(files, verification, since)


def _verdict(files: Sequence[Path], done: Verification, since: str | None) -> int:
    """Print what was found, and give the exit code."""
    if done.first is None or done.last is None:
        console.say("no records", err=True)
        return 1
    for word, record in (("first", done.first), ("last", done.last)):
        console.say(f"{word} record {record.place.number}, {record.fields['at']}, hash {record.place.digest}")
    missed = since is not None and done.since is None
    if missed:
        console.say(f"no record has the hash {since}: records were taken out, or all made anew")
    elif done.since is not None:
        console.say(f"record {done.since.number} has the hash that you wrote down; {done.after_since} come after it")
    held = len(_distinct(files))
    count = f"{done.count} record{'' if done.count == 1 else 's'} in {held} file{'' if held == 1 else 's'}"
    if done.faults:
        console.say(f"{count}: NOT WHOLE, {len(done.faults)} fault{'' if len(done.faults) == 1 else 's'}")
    elif done.unproven:
        console.say(f"{count}: in order; {done.unproven} were made with a key: give --key-file to prove these")
    else:
        bare = done.count - done.keyed
        made = "" if not done.keyed else " and made with the key" + (f", but for the first {bare}" if bare else "")
        console.say(f"{count}: whole{made}")
    return 1 if done.faults or missed else 0


@audit.command()
@_FILES
@click.option("--kind", multiple=True, metavar="KIND", help="Only of this kind: login, blocked, will...; may repeat.")
@click.option("--who", metavar="TEXT", help="Only where this is in who did it, or in from where.")
@click.option("--what", metavar="TEXT", help="Only where this is in what it was done to: payments/hsm1, GPKD...")
@click.option("--result", metavar="TEXT", help="Only with this result: refused, failed, ok...")
@click.option("--after", metavar="TIME", callback=_moment, help="Only after 2026-11-21, 2026-11-21T15:30, or 2h (ago).")
@click.option("--before", metavar="TIME", callback=_moment, help="Only before that.")
@click.option("--last", type=click.IntRange(min=1), metavar="N", help="Only the last N of these.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, as they stand in the file.")
def show(
    files: tuple[Path, ...],
    kind: tuple[str, ...],
    who: str | None,
    what: str | None,
    result: str | None,
    after: datetime | None,
    before: datetime | None,
    last: int | None,
    as_json: bool,
) -> int:
    """Show the records of FILEs, oldest first.

    Exit code 1 if there is none of that kind. Whether they are genuine says `guardian audit verify`.
    """
    from guardian.audit.verification import Verification  # noqa: PLC0415 (only this command needs it)

    def wanted(record: Record) -> bool:
        fields = record.fields
        return (
            (not kind or fields["kind"] in kind)
            and (who is None or who in fields["who"] or who in fields["source"])
            and (what is None or what in fields["what"])
            and (result is None or fields["result"] == result)
            and (after is None or _at(record) >= after)
            and (before is None or _at(record) < before)
        )

    verification = Verification()
    found = [record for record in _records(files, verification) if wanted(record)]
    if last is not None:
        found = found[-last:]
    lines = [json.dumps(dict(record.fields)) for record in found] if as_json else _table(found)
    for line in lines:
        console.say(line)
    if verification.faults:
        console.say("guardian: these records are not whole: guardian audit verify says where", err=True)
    if not found:
        console.say("guardian: no such records", err=True)
    return 0 if found else 1


def _records(files: Sequence[Path], verification: Verification) -> Iterator[Record]:
    """Every record of the files, in order, each shown to the verification first."""
    from guardian.audit.file import opened  # noqa: PLC0415
    from guardian.audit.verification import in_order  # noqa: PLC0415

    firsts = []
    for path in _distinct(files):
        with _readable(path), opened(path) as file:
            firsts.append((str(path), file.readline(_LONGEST_LINE)))
    for name in in_order(firsts):
        with _readable(Path(name)), opened(Path(name)) as file:
            number = 0
            while line := file.readline(_LONGEST_LINE):
                number += 1
                record = verification.take(name, number, line)
                if record is not None:
                    yield record
    verification.end()


def _distinct(files: Sequence[Path]) -> list[Path]:
    """Without those that are the same file by another name."""
    by_inode: dict[tuple[int, int], Path] = {}
    for path in files:
        with _readable(path):
            known = path.stat()
            by_inode.setdefault((known.st_dev, known.st_ino), path)
    return list(by_inode.values())


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what is wrong with reading a file into a wrong call."""
    try:
        yield
    except (OSError, EOFError) as exc:
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise click.UsageError(f"cannot read {path}: {why}") from exc


def _key(path: Path) -> bytes:
    from config.credentials import CredentialError  # noqa: PLC0415 (cryptography)
    from guardian.audit.settings import read_key  # noqa: PLC0415

    try:
        return read_key(path)
    except CredentialError as exc:
        raise click.BadParameter(str(exc), param_hint="'--key-file'") from exc


def _at(record: Record) -> datetime:
    try:
        return datetime.fromisoformat(record.fields["at"])
    except ValueError:
        return datetime.combine(date.min, datetime.min.time(), UTC)


def _table(records: Iterable[Record]) -> list[str]:
    rows = [_COLUMNS]
    for record in records:
        fields = record.fields
        at = fields["at"].replace("T", " ").removesuffix("Z")[:23]
        texts = (at, *(fields[name] for name in ("kind", "who", "source", "what", "result", "detail")))
        rows.append(tuple(_printable(text) for text in texts))  # type: ignore[arg-type]
    if len(rows) == 1:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _printable(text: str) -> str:
    """Without what could steer a terminal: names come from certificates."""
    return "".join(letter if letter.isprintable() else "?" for letter in text) or "-"

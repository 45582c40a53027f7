"""Man pages of every command, made from what its `--help` is made of: python deploy/manpages.py FOLDER."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from guardian.cli import guardian
from guardian.installation import version

_EXIT: Final = """\
.SH EXIT STATUS
.TP
.B 0
All is well.
.TP
.B 1
The answer is no; a line on standard error, or the output itself, says why.
.TP
.B 2
Wrong usage.
.TP
.B 3
The proxy cannot be reached.
.TP
.B 130
Interrupted.
"""
_ENVIRONMENT: Final = """\
.SH ENVIRONMENT
.TP
.B GUARDIAN_ADMIN
Where the admin port of the proxy is, as \\fB\\-\\-admin\\fR.
.TP
.B GUARDIAN_TOKEN_FILE
The file that holds the admin token, as \\fB\\-\\-token\\-file\\fR.
.TP
.B NO_COLOR
Set and not empty: no colours.
.TP
.B GUARDIAN_DEBUG
Set: an unforeseen fault shows its traceback.
"""


def pages() -> dict[str, str]:
    """File name -> the page in roff, for the program and each of its commands at every depth."""
    root = click.Context(guardian, info_name="guardian")
    return {f"{'-'.join(names)}.1": _page(context, names) for names, context in _walk(root, ("guardian",))}


def _walk(context: click.Context, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Context]]:
    yield names, context
    command = context.command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None, "it was listed"
            if not inner.hidden:
                yield from _walk(click.Context(inner, info_name=name, parent=context), (*names, name))


def _page(context: click.Context, names: tuple[str, ...]) -> str:
    command, title = context.command, "-".join(names)
    text = inspect.cleandoc(command.help or "")
    made = [
        f'.TH "{title.upper()}" 1 "{_date()}" "Guardian {version() or ""}" "Guardian Manual"',
        f".SH NAME\n{_escaped(title)} \\- {_escaped(command.get_short_help_str(200).rstrip('.'))}",
        f".SH SYNOPSIS\n.B {_escaped(' '.join(names))}\n{_escaped(' '.join(command.collect_usage_pieces(context)))}",
        ".SH DESCRIPTION\n" + _paragraphs(text),
    ]
    options = [
        record for param in command.get_params(context) if (record := param.get_help_record(context)) and record[1]
    ]
    if options:
        made.append(".SH OPTIONS\n" + "\n".join(_entry(*option) for option in options))
    if isinstance(command, click.Group):
        made.append(".SH COMMANDS\n" + "\n".join(_commands(command, context, title)))
    made += [_EXIT, _ENVIRONMENT]
    if len(names) > 1:
        made.append(f".SH SEE ALSO\n.BR {_escaped('-'.join(names[:-1]))} (1)")
    return "\n".join(part.rstrip("\n") for part in made) + "\n"


def _commands(group: click.Group, context: click.Context, title: str) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, "it was listed"
        yield f".TP\n.BR {_escaped(f'{title}-{name}')} (1)\n{_text(command.get_short_help_str(200))}"


def _entry(names: str, text: str) -> str:
    return f".TP\n.B {_escaped(names)}\n{_text(text)}"


def _paragraphs(text: str) -> str:
    """Paragraphs as they are; those that click is told not to wrap (a line of \\b before them) line by line."""
    made = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            lines = "\n".join(_text(line) for line in paragraph.splitlines()[1:])
            made.append(f".PP\n.nf\n{lines}\n.fi")
        else:
            made.append(f".PP\n{_text(' '.join(paragraph.split()))}")
    return "\n".join(made).removeprefix(".PP\n")


def _text(text: str) -> str:
    """A line of running text: none may begin with what roff would obey."""
    escaped = _escaped(text)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _date() -> str:
    """As reproducible builds want it: the day is given, or there is none."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return f"{datetime.fromtimestamp(int(epoch), UTC):%Y-%m-%d}" if epoch else ""


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace("\b", "").replace("`", "\\(ga")


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    print(f"{len(pages())} man pages in {folder}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python deploy/manpages.py FOLDER")
    sys.exit(main(Path(sys.argv[1])))

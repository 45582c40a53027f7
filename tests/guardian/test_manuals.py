"""Commands and links in the manuals lead somewhere."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from guardian.cli import guardian
from tests.support.manuals import DECISIONS, MANUALS, OTHERS, ROOT, anchors, arguments, command_lines, links

LINES = sorted({(manual.relative_to(ROOT).as_posix(), line) for manual in MANUALS for line in command_lines(manual)})
LINKS = sorted(
    {(manual.relative_to(ROOT).as_posix(), link) for manual in (*MANUALS, *OTHERS) for link in links(manual)}
)


def parse(words: list[str]) -> None:
    """As far as click can without running anything. Raises UsageError."""
    command: click.Command = guardian
    context = click.Context(command, info_name="guardian")
    while isinstance(command, click.Group):
        _, rest, _ = command.make_parser(context).parse_args(list(words))
        if not rest:
            return  # a group is named, or an option of it
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"there is no {rest[0]}")
        command, words = found, rest[1:]
        context = click.Context(command, parent=context, info_name=rest[0])
    if not words:
        return  # the command is named, no more
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    if rest:
        raise click.UsageError(f"nothing takes {rest}")
    for parameter in command.params:
        value = values.get(parameter.name or "")
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)


@pytest.mark.parametrize(("manual", "line"), LINES)
def test_every_command_line_of_the_manuals_is_one(manual: str, line: str) -> None:
    parse(arguments(line))


@pytest.mark.parametrize("line", ["guardian stauts", "guardian status --jsno", "guardian check a.yaml b.yaml"])
def test_a_line_that_is_none_is_found(line: str) -> None:
    with pytest.raises(click.UsageError):
        parse(arguments(line))


def test_the_lines_are_found() -> None:
    assert ("README.md", "guardian check guardian.yaml") in LINES
    assert ("docs/operations.md", "guardian device maint payments/hsm2 --wait") in LINES
    assert ("docs/runbook.md", "guardian device drain GROUP/DEVICE --wait") in LINES


@pytest.mark.parametrize(("manual", "link"), LINKS)
def test_every_link_between_the_manuals_leads_somewhere(manual: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = ((ROOT / manual).parent / path).resolve() if path else ROOT / manual
    assert target.exists()
    if anchor:
        assert anchor in anchors(Path(target))


def test_decisions_are_numbered_one_after_the_other() -> None:
    assert [int(each.name.partition("-")[0]) for each in DECISIONS] == list(range(1, len(DECISIONS) + 1))
    titles = [each.read_text().partition("\n")[0] for each in DECISIONS]
    assert [title.split()[1] for title in titles] == [f"{number}." for number in range(1, len(DECISIONS) + 1)]

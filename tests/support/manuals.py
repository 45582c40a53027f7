"""What the manuals promise: their sections, their links, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MANUALS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
DECISIONS = tuple(sorted((ROOT / "docs" / "adr").glob("*.md")))
OTHERS = (ROOT / "CHANGELOG.md", ROOT / "bench" / "README.md", ROOT / "loadtest" / "README.md", *DECISIONS)


def anchors(manual: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _without_code(manual.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(manual: Path) -> Iterator[str]:
    """Targets within the project."""
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(manual.read_text())):
        if "://" not in target:
            yield target


def command_lines(manual: Path) -> Iterator[str]:
    """Every `guardian ...` that somebody may copy.

    One alternative of `a|b` at a time; what stands in `[...]` is optional and left out.
    """
    text = manual.read_text()
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.M | re.S):
        for line in re.sub(r"\\\n", " ", block).splitlines():
            for part in re.split(r"&&|\|\||[|;&]|\$\(", line.partition(" #")[0]):
                if part.strip().startswith("guardian "):
                    yield part.strip()
    for inline in re.findall(r"`(guardian [^`\n]+)`", _without_code(text)):
        yield from _alternatives(re.sub(r"\[[^]]*\]", "", inline).replace("\\|", "|"))


def arguments(line: str) -> list[str]:
    """After `guardian`, up to a redirection or to `...`, which stands for more."""
    words = shlex.split(line)[1:]
    cut = next((i for i, word in enumerate(words) if re.match(r"\d?[<>]|\.\.\.|…", word)), len(words))
    return words[:cut]


def _alternatives(line: str) -> Iterator[str]:
    choice = re.search(r"\S+\|\S+", line)
    if choice is None:
        yield line
        return
    for each in choice[0].split("|"):
        yield from _alternatives(line.replace(choice[0], each, 1))


def _without_code(text: str) -> str:
    return re.sub(r"^ *```\w*\n.*?^ *```", "", text, flags=re.M | re.S)

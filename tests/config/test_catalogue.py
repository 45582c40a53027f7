from __future__ import annotations

from pathlib import Path

import pytest

from config.catalogue import ALL, Catalogue, Effect, UnknownEntryError, load_catalogue


@pytest.fixture(scope="module")
def shipped() -> Catalogue:
    catalogue, problems = load_catalogue()
    assert problems == ()
    return catalogue


def test_shipped_catalogue_has_what_the_protocol_needs(shipped: Catalogue) -> None:
    assert len(shipped) == 142
    facts = {command.name: command for command in shipped}
    assert facts["ECHO"].effect is Effect.READ
    assert facts["HASH"].effect is Effect.DEVICE
    assert facts["VPIN"].effect is Effect.COUNTER
    assert facts["TIME"].effect is Effect.WRITE
    assert facts["GPKS"].effect is Effect.WRITE
    assert facts["RKLG"].effect is Effect.SESSION
    assert facts["PEDI"].effect is Effect.PINNED
    assert {name for name, fact in facts.items() if fact.multipart} == {"RSAS", "RSAV"}
    assert not facts["RAND"].deterministic
    assert facts["ECHO"].deterministic


def test_only_reads_are_repeatable() -> None:
    assert {effect for effect in Effect if effect.repeatable} == {Effect.READ, Effect.DEVICE}


def test_entries_expand(shipped: Catalogue) -> None:
    assert shipped.expand("GPKD") == {"GPKD"}
    assert shipped.expand("Excrypt:GPKD") == {"GPKD"}
    assert shipped.expand("generic/signing") == {"ASYS", "ASYV", "GPSV", "RSAS"}
    assert shipped.expand("category:signing") == {"ASYS", "ASYV", "GPSV", "RSAS", "RSAV"}
    assert shipped.expand("effect:session") == {"RKLG"}
    assert shipped.expand("*") is ALL
    assert shipped.expand("ZZ99") == {"ZZ99"}


def test_every_effect_can_be_named_even_if_no_command_has_it() -> None:
    assert Catalogue({}).expand("effect:counter") == frozenset()


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("gpkd", "did you mean 'GPKD'"),
        ("excrypt:GPKD", "did you mean 'GPKD'"),
        ("TIMES", "did you mean 'TIME'"),
        ("generic/sining", "did you mean 'generic/signing'"),
        ("category:signin", "did you mean 'category:signing'"),
        ("effect:reads", "did you mean 'effect:read'"),
        ("effect:xyzzy", "there are: counter"),
        ("", "must be a command"),
        ("sig*", "names no function"),
    ],
)
def test_an_entry_that_names_nothing_is_told_what_is_near(shipped: Catalogue, entry: str, hint: str) -> None:
    with pytest.raises(UnknownEntryError) as caught:
        shipped.expand(entry)
    assert hint in str(caught.value)


def test_user_file_overrides_key_by_key_and_adds(tmp_path: Path, shipped: Catalogue) -> None:
    file = tmp_path / "commands.yaml"
    file.write_text(
        "commands:\n  - {name: TIME, effect: read}\n  - {name: XNEW, effect: write, lists: [own/list], category: own}\n"
    )
    catalogue, problems = load_catalogue(file)
    assert problems == ()
    time, before = catalogue.get("TIME"), shipped.get("TIME")
    assert time is not None
    assert before is not None
    assert time.effect is Effect.READ
    assert (time.category, time.lists, time.description) == (before.category, before.lists, before.description)
    assert catalogue.expand("own/list") == {"XNEW"}
    assert catalogue.expand("category:own") == {"XNEW"}
    assert len(catalogue) == len(shipped) + 1
    assert "XNEW" not in load_catalogue()[0]


def test_mistakes_of_a_user_file_carry_its_name_and_line(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(
        "commands:\n"
        "  - {name: XNEW}\n"
        "  - {name: time, effect: read}\n"
        "  - {name: TIME, effekt: read}\n"
        "  - {name: TIME, effect: rread}\n"
        "  - {name: STAT, effect: write}\n"
    )
    catalogue, problems = load_catalogue(file)
    lines = [str(problem) for problem in problems]
    for number, text in (
        (2, "commands.XNEW.effect: is missing, and 'XNEW' is not in the shipped catalogue"),
        (3, "commands.time.name: is 'time', must be four upper-case letters or digits"),
        (4, "commands.TIME.effekt: is no known key, did you mean 'effect'?"),
        (5, "commands[3].effect: is 'rread', must be one of read, device"),
        (5, "commands[3].name: is given twice"),
    ):
        assert any(line.startswith(f"{file}:{number}: {text}") for line in lines), (text, lines)
    assert len(lines) == 5
    stat = catalogue.get("STAT")
    assert stat is not None
    assert stat.effect is Effect.WRITE  # what is right in the file counts


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"- 1", b"commands: 5", b"commands: [[]]", b"{"])
def test_broken_user_file_is_a_problem_and_the_shipped_commands_stay(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    catalogue, problems = load_catalogue(file)
    assert problems
    assert len(catalogue) == 142


def test_missing_user_file_is_a_problem(tmp_path: Path) -> None:
    _, problems = load_catalogue(tmp_path / "none.yaml")
    assert len(problems) == 1
    assert "cannot be read" in problems[0].message


def test_user_file_that_is_a_directory_is_a_problem(tmp_path: Path) -> None:
    assert "no regular file" in load_catalogue(tmp_path)[1][0].message

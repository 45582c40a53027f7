"""One mistake at a time: each must be reported alone, with its line, its key and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configs import EXAMPLE, load_text
from tests.support.mistakes import MISTAKES, G, L
from tests.support.mistakes_of_rules import MISTAKES_OF_RULES, U

ALL = MISTAKES | MISTAKES_OF_RULES


@pytest.mark.parametrize("name", ALL)
def test_mistake_is_reported_alone_at_its_line_and_key(name: str, tmp_path: Path) -> None:
    old, new, line, path, text = ALL[name]
    assert old in EXAMPLE
    spoiled = EXAMPLE.replace(old, new, 1)
    loaded = load_text(tmp_path, spoiled)
    found = [problem for problem in loaded.errors if not problem.path.startswith(("xlisteners", "xdevices"))]
    assert [(problem.line, problem.path) for problem in found] == [(line, path)], [
        str(each) for each in loaded.problems
    ]
    assert text in found[0].message
    assert loaded.config is None
    file = "none.yaml" if name == "catalogue missing" else "guardian.yaml"
    assert str(found[0]).startswith(f"{tmp_path / file}:{line}: {path}: ")
    assert "hunter2" not in "".join(map(str, loaded.problems))


WARNINGS = {
    "function nobody knows": ("[TIME, GPKD]", "[TIME, GPKX]", 26, f"{G}.functions.block[1]", "is in no catalogue"),
    "ping nobody knows": ("[AOECHO;AGping;]", "[AOZZZZ;]", 19, f"{G}.ping.request", "in no catalogue"),
    "rule that never counts": (
        "    unmatched: group",
        "      - {match: {common_name: vault-1}, functions: {}}",
        29,
        f"{G}.clients[1].match",
        "same as on line 28",
    ),
    "name not looked at": ("verify: name", "verify: ca, name: hsm", 18, f"{G}.tls.name", "not looked at"),
    "ca not used": ("      mode: mutual", "      mode: server", 11, f"{L}.tls.ca", "not used with mode: server"),
}

WARNINGS |= {
    "quorum without copies": (
        U, "    writes: {mode: primary, quorum: all}", 29, f"{G}.writes.quorum", "where mode is not replicate",
    ),
    "varying command that is not repeated": (
        U, "    writes: {varying: [GRSA]}", 29, f"{G}.writes.varying[0]", "is not repeated",
    ),
    "varying command nobody knows": (
        U, "    writes: {varying: [ZZZZ]}", 29, f"{G}.writes.varying[0]", "is in no catalogue",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WARNINGS)
def test_warning_lets_the_configuration_load(name: str, tmp_path: Path) -> None:
    old, new, line, path, text = WARNINGS[name]
    assert old in EXAMPLE
    loaded = load_text(tmp_path, EXAMPLE.replace(old, new, 1))
    assert [(problem.line, problem.path, problem.severity) for problem in loaded.problems] == [(line, path, "warning")]
    assert text in loaded.problems[0].message
    assert loaded.config is not None


def test_group_whose_devices_never_serve_is_a_warning(tmp_path: Path) -> None:
    text = EXAMPLE.replace("balancing: true", "balancing: false")
    text = text.replace("role: primary", "role: primary, balancing: false")
    text = text.replace("role: production", "role: production, balancing: false")
    found = load_text(tmp_path, text).problems
    assert [(each.line, each.path, each.severity) for each in found] == [(30, f"{G}.devices", "warning")]


def test_group_that_no_listener_uses_is_a_warning(tmp_path: Path) -> None:
    second = EXAMPLE[EXAMPLE.index("  - name: payments") : EXAMPLE.index("admin:")].replace("payments", "spare")
    loaded = load_text(tmp_path, EXAMPLE.replace("admin:\n", second + "admin:\n"))
    assert [(each.line, each.path, each.severity) for each in loaded.problems] == [(34, "groups.spare.name", "warning")]
    assert loaded.config is not None


def test_one_address_is_taken_once(tmp_path: Path) -> None:
    text = EXAMPLE.replace("0.0.0.0:9100", "127.0.0.1:9190")
    [problem] = load_text(tmp_path, text).problems
    assert (problem.line, problem.path) == (35, "admin.bind")
    assert "listeners.excrypt.bind (line 3)" in problem.message


@pytest.mark.parametrize(("one", "other"), [("127.0.0.1", "127.0.0.2"), ("0.0.0.0", "[::1]"), ("[::]", "127.0.0.1")])
def test_one_port_of_two_addresses_is_no_mistake(tmp_path: Path, one: str, other: str) -> None:
    text = EXAMPLE.replace("0.0.0.0:9100", f'"{one}:9190"').replace("bind: 127.0.0.1:9190", f'bind: "{other}:9190"')
    assert load_text(tmp_path, text).problems == ()


def test_group_names_are_unique(tmp_path: Path) -> None:
    second = EXAMPLE[EXAMPLE.index("  - name: payments") : EXAMPLE.index("admin:")]
    loaded = load_text(tmp_path, EXAMPLE.replace("admin:\n", second + "admin:\n"))
    assert [(each.line, each.path) for each in loaded.problems] == [(34, "groups[1].name")]


def test_all_mistakes_of_a_file_come_in_one_run_in_the_order_of_lines(tmp_path: Path) -> None:
    text = EXAMPLE
    chosen = (
        "unknown key",
        "quoted number",
        "unknown choice",
        "no port",
        "unknown function",
        "ping that writes",
        "attempt beyond request",
        "workers",
        "duration negative",
    )
    for name in chosen:
        old, new, *_ = ALL[name]
        assert old in text
        text = text.replace(old, new, 1)
    found = [(problem.line, problem.path) for problem in load_text(tmp_path, text).problems]
    assert found == sorted((ALL[name][2], ALL[name][3]) for name in chosen)


@pytest.mark.parametrize(
    ("content", "line", "text"),
    [
        (b"", 1, "is empty"),
        (b"# nothing\n", 1, "is empty"),
        (b"---\n...\n", 1, "is empty"),
        (b"- a\n- b\n", 1, "a list at the top level"),
        (b"hello\n", 1, "a single value at the top level"),
        (b"a: 1\n--- \nb: 2\n", 2, "second document"),
        (b"a: 1\nb: \xff\xfe\n", 2, "is not UTF-8"),
        (b"\x7fELF\x00\x01", 1, "is not valid YAML"),
        (b"a: 1\nb: [1, 2\n", 3, "is not valid YAML"),
        (b"a: 1\n\tb: 2\n", 2, "is not valid YAML"),
        (b"a: *b\n", 1, "uses *b, which is defined nowhere"),
        (b"a: &x [*x]\n", 1, "uses *x inside itself"),
        (b"a: " + b"[" * 10000, 1, "nested deeper"),
        (b"- " * 10000, 1, "nested deeper"),
        (b"x" * (1024 * 1024 + 1), 1, "is longer than"),
        (b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
            b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in range(ord("b"), ord("l"))
        ), 5, "far too large"),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else None,
)  # fmt: skip
def test_what_is_no_configuration_is_one_problem(tmp_path: Path, content: bytes, line: int, text: str) -> None:
    loaded = load_text(tmp_path, content)
    assert [(problem.line, problem.path) for problem in loaded.problems] == [(line, "(file)")]
    assert text in loaded.problems[0].message
    assert loaded.config is None


def test_nobody_to_promote_is_a_warning(tmp_path: Path) -> None:
    text = EXAMPLE.replace("role: production", "role: backup").replace(U, "    writes: {primary_loss: promote}")
    found = load_text(tmp_path, text).problems
    assert [(each.line, each.path, each.severity) for each in found] == [(29, f"{G}.writes.primary_loss", "warning")]


def test_two_groups_do_not_share_a_write_journal(tmp_path: Path) -> None:
    text = EXAMPLE.replace(U, "    writes: {journal: a.journal}")
    second = text[text.index("  - name: payments") : text.index("admin:")].replace("payments", "spare")
    [problem] = load_text(tmp_path, text.replace("admin:\n", second + "admin:\n")).errors
    assert (problem.line, problem.path) == (47, "groups.spare.writes.journal")
    assert "line 29" in problem.message

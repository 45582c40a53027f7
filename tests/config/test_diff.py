from __future__ import annotations

from pathlib import Path

import pytest

from config.diff import Changes, diff
from config.model import Config
from tests.support.configs import EXAMPLE, load_text


def change(folder: Path, *edits: tuple[str, str]) -> Changes:
    return diff(read(folder, EXAMPLE), read(folder, edited(*edits)))


def edited(*edits: tuple[str, str]) -> str:
    text = EXAMPLE
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def read(folder: Path, text: str) -> Config:
    config = load_text(folder, text).config
    assert config is not None
    return config


def test_nothing_changed_is_empty_and_says_nothing(tmp_path: Path) -> None:
    changes = change(tmp_path)
    assert changes == Changes()
    assert not changes
    assert changes.describe() == ()


def test_comments_and_ways_to_write_are_no_change(tmp_path: Path) -> None:
    assert not change(tmp_path, ("idle: 10m", "idle: 600s"), ("workers: 1", "# new\nworkers: 1"))


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("0.0.0.0:9100", "0.0.0.0:9200", "listener excrypt: changed bind"),
        ("idle: 10m", "idle: 5m", "listener excrypt: changed limits.idle"),
        ("pki/guardian.crt", "pki/new.crt", "listener excrypt: changed tls.certificate"),
        ("slow_start: 15s", "slow_start: 1s", "group payments: changed slow_start"),
        ("fall: 3", "fall: 4", "group payments: changed ping.fall"),
        ("weight: 2", "rate: 2000/s, weight: 2", "device payments/hsm2: changed rate"),
        ("weight: 2", "weight: 3", "device payments/hsm2: changed weight"),
        ("10.0.8.31:9100", "10.0.8.99:9100", "device payments/hsm2: changed address"),
        ("role: backup", "role: production", "device payments/hsm3: changed role"),
        ("workers: 1", "logs: {level: debug}", "logs.level: changed"),
        ("workers: 1", "workers: auto", "workers: changed, needs a restart"),
        ("workers: 1", "errors: {busy: {text: LATER}}", "errors.busy.text: changed"),
        ("127.0.0.1:9190", "127.0.0.1:9191", "admin.bind: changed, needs a restart"),
        ("127.0.0.1:9190", "127.0.0.1:9190\n  buckets: [1ms, 1s]", "admin.buckets: changed, needs a restart"),
    ],
)
def test_one_change_is_one_line(tmp_path: Path, old: str, new: str, line: str) -> None:
    changes = change(tmp_path, (old, new))
    assert changes.describe() == (line,)
    assert changes


def test_devices_come_and_go(tmp_path: Path) -> None:
    changes = change(tmp_path, ("name: hsm3, address: 10.0.8.32:9100", "name: hsm4, address: 10.0.8.34:9100"))
    [group] = changes.groups_changed
    assert (group.added, group.removed, group.changed, group.fields) == (("hsm4",), ("hsm3",), (), ())
    assert changes.describe() == ("device payments/hsm4: added", "device payments/hsm3: removed")


def test_order_of_devices_is_no_change_of_any_device(tmp_path: Path) -> None:
    lines = EXAMPLE.splitlines(keepends=True)
    lines[31], lines[32] = lines[32], lines[31]
    assert not diff(read(tmp_path, EXAMPLE), read(tmp_path, "".join(lines)))


def test_group_tls_changes_each_device_that_inherits_it(tmp_path: Path) -> None:
    own = ("role: backup", "role: backup, tls: {ca: [own.crt]}")
    old = read(tmp_path, edited(own))
    new = read(tmp_path, edited(own, ("ca: [pki/ca.crt], verify", "ca: [pki/new.crt], verify")))
    [group] = diff(old, new).groups_changed
    assert group.fields == ("tls.ca",)
    assert {(device.name, device.fields) for device in group.changed} == {("hsm1", ("tls.ca",)), ("hsm2", ("tls.ca",))}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[TIME, GPKD]", "[TIME]"),
        ("common_name: vault-1", "common_name: vault-2"),
        ("unmatched: group", "unmatched: refuse"),
    ],
)
def test_function_rules_are_told_apart(tmp_path: Path, old: str, new: str) -> None:
    [group] = change(tmp_path, (old, new)).groups_changed
    assert group.functions_changed


def test_other_fields_change_no_function_rule(tmp_path: Path) -> None:
    [group] = change(tmp_path, ("slow_start: 15s", "slow_start: 1s")).groups_changed
    assert not group.functions_changed


def test_only_what_a_reload_cannot_do_needs_a_restart(tmp_path: Path) -> None:
    changes = change(
        tmp_path,
        ("bind: 127.0.0.1:9190", "bind: 127.0.0.1:9191\n  token_file: t"),
        ("slow_start: 15s", "slow_start: 1s"),
    )
    assert set(changes.fields) == {"admin.bind", "admin.token_file"}
    assert changes.needs_restart == ("admin.bind",)


def test_what_needs_a_restart_is_said_until_there_was_one(tmp_path: Path) -> None:
    started, more = read(tmp_path, EXAMPLE), read(tmp_path, EXAMPLE.replace("workers: 1", "workers: 2"))
    assert diff(more, more, started).needs_restart == ("workers",)
    assert not diff(more, started, started)


def test_listeners_and_groups_come_and_go(tmp_path: Path) -> None:
    renamed = edited(
        ("name: excrypt", "name: other"), ("group: payments", "group: cards"), ("name: payments", "name: cards")
    )
    changes = diff(read(tmp_path, EXAMPLE), read(tmp_path, renamed))
    assert changes.describe() == (
        "listener other: added",
        "listener excrypt: removed",
        "group cards: added",
        "group payments: removed",
    )


def test_description_holds_no_value(tmp_path: Path) -> None:
    old, new = (
        load_text(tmp_path, EXAMPLE.replace("vault-1", "'${env:CN}'"), {"CN": value}).config
        for value in ("secret-one", "secret-two")
    )
    assert old is not None
    assert new is not None
    assert diff(old, new).describe() == ("group payments: changed clients",)

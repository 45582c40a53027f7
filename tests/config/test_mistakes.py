"""One mistake at a time: each must be reported alone, with its line, its key and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configs import EXAMPLE, load_text

L = "listeners.excrypt"
G = "groups.payments"
D = f"{G}.devices"
HSM2 = EXAMPLE.splitlines()[31].removeprefix("      - ")
TLS = EXAMPLE.splitlines()[17]
TIMES = "".join(EXAMPLE.splitlines(keepends=True)[22:25])  # request_timeout, queue, retries
SECOND = """\
  - name: other
    bind: 127.0.0.1:9101
    group: payments
    tls: {mode: clear}
groups:
"""
PIN = "sha256:" + "AB" * 32

# what to replace, by what, the line, the key, and what the message must hold
MISTAKES = {
    # keys
    "unknown key": ("    framing: excrypt", "    framming: excrypt", 5, f"{L}.framming", "did you mean 'framing'?"),
    "unknown top key": ("workers: 1", "worker: 1", 36, "worker", "did you mean 'workers'?"),
    "unknown key far off": ("workers: 1", "xyzzy: 1", 36, "xyzzy", "possible: workers, catalogue"),
    "unknown key in a device": ("weight: 2", "wait: 2", 32, f"{D}.hsm2.wait", "did you mean 'weight'?"),
    "unknown key in a flow section": ("fall: 3", "fal: 3", 19, f"{G}.ping.fal", "did you mean 'fall'?"),
    "duplicate key": ("workers: 1", "workers: 1\nworkers: 1", 37, "workers", "given twice (first on line 36)"),
    "duplicate nested key": ("fall: 3", "fall: 3, fall: 4", 19, f"{G}.ping.fall", "given twice (first on line 19)"),
    "merge key": ("admin:\n", "admin:\n  <<: {}\n", 35, "admin.<<", "merging is not read"),
    "key that is a list": ("admin:\n", "admin:\n  [a]: 1\n", 35, "admin", "keys must be words"),
    "missing key": ("    bind: 0.0.0.0:9100\n", "", 2, f"{L}.bind", "is missing, must be host:port"),
    "missing name": ("{name: hsm2, ", "{", 32, f"{D}[1].name", "is missing, must be letters"),
    "missing group": ("    group: payments\n", "", 2, f"{L}.group", "is missing"),
    "missing match": ("match: {common_name: vault-1}, ", "", 28, f"{G}.clients[0].match", "keys: common_name, san"),
    "a secret": (
        "key_password_file: pki/password",
        "key_password: hunter2",
        10,
        f"{L}.tls.key_password",
        "never in the file: write key_password_file",
    ),
    "a literal password": (
        "key_password_file: pki/password",
        "password: hunter2",
        10,
        f"{L}.tls.password",
        "key_password_file",
    ),
    "a literal token": ("admin:\n", "admin:\n  token: hunter2\n", 35, "admin.token", "write token_file"),
    # types
    "quoted number": (
        "connections: 4096",
        'connections: "4096"',
        14,
        f"{L}.limits.connections",
        "must be a whole number without quotes",
    ),
    "fraction": ("connections: 4096", "connections: 1500.7", 14, f"{L}.limits.connections", "must be a whole number"),
    "octal": ("connections: 4096", "connections: 0755", 14, f"{L}.limits.connections", "must be a whole number"),
    "underscore": ("connections: 4096", "connections: 4_096", 14, f"{L}.limits.connections", "must be a whole number"),
    "hexadecimal": ("connections: 4096", "connections: 0x10", 14, f"{L}.limits.connections", "must be a whole number"),
    "true as a number": (
        "connections: 4096",
        "connections: true",
        14,
        f"{L}.limits.connections",
        "must be a whole number",
    ),
    "endless number": (
        "connections: 4096",
        "connections: " + "9" * 5000,
        14,
        f"{L}.limits.connections",
        "must be a whole number",
    ),
    "zero": ("connections: 4096", "connections: 0", 14, f"{L}.limits.connections", "must be at least 1"),
    "yes is no bool": ("balancing: true", "balancing: yes", 33, f"{D}.hsm3.balancing", "must be true or false"),
    "on is no bool": ("balancing: true", "balancing: on", 33, f"{D}.hsm3.balancing", "must be true or false"),
    "quoted bool": (
        "balancing: true",
        'balancing: "true"',
        33,
        f"{D}.hsm3.balancing",
        "must be true or false without quotes",
    ),
    "not a number": ("weight: 2", "weight: .nan", 32, f"{D}.hsm2.weight", "must be a number"),
    "weight zero": ("weight: 2", "weight: 0", 32, f"{D}.hsm2.weight", "must be more than 0"),
    "a rate without its unit": ("weight: 2", "rate: 2000", 32, f"{D}.hsm2.rate", "must be a rate such as 2000/s"),
    "a rate that pings use up": ("weight: 2", "rate: 30/m", 32, f"{D}.hsm2.rate", "is 30/m, must be at least 1/s"),
    "weight too large": ("weight: 2", "weight: 1001", 32, f"{D}.hsm2.weight", "must be at most 1000"),
    "duration without unit": ("interval: 2s", "interval: 2", 19, f"{G}.ping.interval", "needs its unit"),
    "duration of sixty": ("interval: 2s", "interval: 12:30:45", 19, f"{G}.ping.interval", "a duration with its unit"),
    "duration zero": (
        "interval: 2s, timeout: 1s",
        "interval: 2s, timeout: 0s",
        19,
        f"{G}.ping.timeout",
        "must be more than 0s",
    ),
    "duration negative": ("slow_start: 15s", "slow_start: -1s", 22, f"{G}.slow_start", "a duration with its unit"),
    "size in powers of ten": ("message: 256KiB", "message: 256KB", 14, f"{L}.limits.message", "256KiB"),
    "unknown choice": ("role: backup", "role: spare", 33, f"{D}.hsm3.role", "one of primary, production, backup"),
    "choice in capitals": ("mode: enforce", "mode: Enforce", 26, f"{G}.functions.mode", "one of enforce, detect, off"),
    "bool for a choice": ("mode: enforce", "mode: false", 26, f"{G}.functions.mode", "one of enforce, detect, off"),
    "wrong version": ('min_version: "1.2"', 'min_version: "1.1"', 13, f"{L}.tls.min_version", "one of 1.2, 1.3"),
    "workers": ("workers: 1", "workers: 4", 36, "workers", "must be 1"),
    "a list for a section": (
        "    balancing: {policy: least_outstanding}",
        "    balancing: [policy]",
        20,
        f"{G}.balancing",
        "must be a section with keys: policy",
    ),
    "a value for a section": (
        "    balancing: {policy: least_outstanding}",
        "    balancing: round_robin",
        20,
        f"{G}.balancing",
        "must be a section with keys: policy",
    ),
    "an empty section": (
        "    balancing: {policy: least_outstanding}",
        "    balancing:",
        20,
        f"{G}.balancing",
        "is empty",
    ),
    "a value for a list": ("ca: [pki/ca.crt]\n", "ca: pki/ca.crt\n", 11, f"{L}.tls.ca", "put [ ] around it"),
    "a section for a value": (
        "slow_start: 15s",
        "slow_start: {a: 1}",
        22,
        f"{G}.slow_start",
        "is a section, must be a duration",
    ),
    "an empty value": ("slow_start: 15s", "slow_start:", 22, f"{G}.slow_start", "is empty, must be a duration"),
    "a value for a device": (HSM2, "hsm2", 32, f"{D}[1]", "must be a section with keys: name, address"),
    "bad name": ("name: hsm2", "name: hsm 2", 32, f"{D}[1].name", "letters, digits"),
    "name with a line feed": ("name: hsm2", 'name: "hsm2\\n"', 32, f"{D}[1].name", "letters, digits"),
    "tag": ("workers: 1", "workers: !!int 1", 36, "workers", "tags are not read"),
    # addresses
    "no port": ("10.0.8.31:9100", "10.0.8.31", 32, f"{D}.hsm2.address", "must be host:port"),
    "port zero of a device": ("10.0.8.31:9100", "10.0.8.31:0", 32, f"{D}.hsm2.address", "must have the device's port"),
    "port too high": ("0.0.0.0:9100", "0.0.0.0:91000", 3, f"{L}.bind", "from 0 to 65535"),
    "IPv6 without brackets": ("10.0.8.31:9100", "fd00::1:9100", 32, f"{D}.hsm2.address", "needs brackets"),
    "same address twice": ("10.0.8.32:9100", "10.0.8.31:9100", 33, f"{D}.hsm3.address", "as on line 32"),
    "bind twice": (
        "groups:\n",
        SECOND.replace("127.0.0.1:9101", "0.0.0.0:9100"),
        16,
        "listeners.other.bind",
        "listeners.excrypt.bind (line 3)",
    ),
    "bind under a wildcard": (
        "groups:\n",
        SECOND.replace("9101", "9100"),
        16,
        "listeners.other.bind",
        "listeners.excrypt.bind (line 3)",
    ),
    "bind of the admin": ("127.0.0.1:9190", "127.0.0.1:9100", 35, "admin.bind", "listeners.excrypt.bind (line 3)"),
    "admin for everyone": ("127.0.0.1:9190", "0.0.0.0:9190", 35, "admin.bind", "needs token_file, or tls with ca"),
    "admin for a name": ("127.0.0.1:9190", "admin.example:9190", 35, "admin.bind", "needs token_file, or tls with ca"),
    "admin with one-sided TLS": (
        "  bind: 127.0.0.1:9190",
        "  tls: {certificate: a.crt}\n  bind: 0.0.0.0:9190",
        36,
        "admin.bind",
        "needs token_file",
    ),
    # names
    "listener name twice": (
        "groups:\n",
        SECOND.replace("other", "excrypt"),
        15,
        "listeners[1].name",
        "as on line 2, must be unique",
    ),
    "device name twice": ("name: hsm3", "name: hsm2", 33, f"{D}[2].name", "as on line 32, must be unique"),
    "no such group": ("group: payments", "group: payment", 4, f"{L}.group", "did you mean 'payments'?"),
    "no listener": ("listeners:\n", "listeners: []\nxlisteners:\n", 1, "listeners", "at least one listener"),
    "no device": (
        "devices:\n",
        "devices: []\nxdevices:\n",
        30,
        f"{G}.devices",
        "is empty, must have at least one device",
    ),
    "no primary": (
        "role: primary",
        "role: production",
        30,
        f"{G}.devices",
        "exactly one device must have role: primary",
    ),
    "two primaries": ("role: production", "role: primary", 32, f"{D}.hsm2.role", "the first is on line 31"),
    # TLS
    "mutual without ca": ("      ca: [pki/ca.crt]\n", "", 6, f"{L}.tls.ca", "mode: mutual needs a list of CA files"),
    "mutual with an empty ca": (
        "      ca: [pki/ca.crt]\n",
        "      ca: []\n",
        11,
        f"{L}.tls.ca",
        "is empty, mode: mutual needs",
    ),
    "clear with files": (
        TLS,
        "    tls: {mode: clear, ca: [pki/ca.crt]}",
        18,
        f"{G}.tls.ca",
        "not used with mode: clear",
    ),
    "device without ca": (", ca: [pki/ca.crt], verify: name", "", 18, f"{G}.tls.ca", "is missing, mode: mutual needs"),
    "fingerprint missing": ("verify: name", "verify: fingerprint", 18, f"{G}.tls.fingerprint", "is missing"),
    "fingerprint malformed": ("verify: name", "fingerprint: sha256:abcd", 18, f"{G}.tls.fingerprint", "64 hex digits"),
    "fingerprint not looked at": (
        "verify: name",
        f"verify: ca, fingerprint: {PIN}",
        18,
        f"{G}.tls.fingerprint",
        "not looked at with verify: ca",
    ),
    "device clear with files": (
        "role: backup",
        "role: backup, tls: {mode: clear, ca: [x]}",
        33,
        f"{D}.hsm3.tls.ca",
        "not used with mode: clear",
    ),
    "device server with certificate": (
        "role: backup",
        "role: backup, tls: {mode: server, certificate: x}",
        33,
        f"{D}.hsm3.tls.certificate",
        "never shown with mode: server",
    ),
    "device fingerprint missing": (
        "role: backup",
        "role: backup, tls: {verify: fingerprint}",
        33,
        f"{D}.hsm3.tls.fingerprint",
        "is missing",
    ),
    # rules
    "unknown function": ("[TIME, GPKD]", "[TIME, gpkd]", 26, f"{G}.functions.block[1]", "did you mean 'GPKD'?"),
    "unknown list": (
        "vault/communication",
        "vault/comunication",
        28,
        f"{G}.clients[0].functions.allow[0]",
        "did you mean 'vault/communication'?",
    ),
    "unknown category": (
        "[TIME, GPKD]",
        "[category:signin]",
        26,
        f"{G}.functions.block[0]",
        "did you mean 'category:signing'?",
    ),
    "unknown effect": (
        "[TIME, GPKD]",
        "[effect:writes]",
        26,
        f"{G}.functions.block[0]",
        "did you mean 'effect:write'?",
    ),
    "empty match": (
        "{common_name: vault-1}",
        "{}",
        28,
        f"{G}.clients[0].match",
        "must have common_name, san or fingerprint",
    ),
    "client fingerprint": (
        "{common_name: vault-1}",
        "{fingerprint: abc}",
        28,
        f"{G}.clients[0].match.fingerprint",
        "64 hex digits",
    ),
    "unmatched": ("unmatched: group", "unmatched: allow", 29, f"{G}.unmatched", "one of group, refuse"),
    # times
    "attempt beyond request": (
        "attempt_timeout: 1s",
        "attempt_timeout: 11s",
        25,
        f"{G}.retries.attempt_timeout",
        "at most request_timeout, which is 10s",
    ),
    "request under the default attempt": (
        TIMES,
        "    request_timeout: 500ms\n",
        23,
        f"{G}.request_timeout",
        "at least retries.attempt_timeout, which is 1s by default",
    ),
    "ping timeout beyond interval": (
        "timeout: 1s, fall",
        "timeout: 3s, fall",
        19,
        f"{G}.ping.timeout",
        "at most interval, which is 2s",
    ),
    "device ping timeout": (
        "ping_timeout: 500ms",
        "ping_timeout: 5s",
        33,
        f"{D}.hsm3.ping_timeout",
        "at most interval, which is 2s",
    ),
    "ejection base beyond max": ("base: 30s", "base: 1h", 21, f"{G}.ejection.base", "at most max, which is 5m"),
    # pings
    "ping is no message": ("[AOECHO;AGping;]", "ping", 19, f"{G}.ping.request", "is no Excrypt message"),
    "ping with a nested bracket": (
        "[AOECHO;AGping;]",
        "[AOECHO;AG[;]",
        19,
        f"{G}.ping.request",
        "is no Excrypt message",
    ),
    "ping with a short code": ("[AOECHO;AGping;]", "[AOECH;]", 19, f"{G}.ping.request", "is no Excrypt message"),
    "ping with two AO": ("[AOECHO;AGping;]", "[AOECHO;AOTIME;]", 19, f"{G}.ping.request", "two AO fields"),
    "ping that writes": ("[AOECHO;AGping;]", "[AOGPKD;BD1;]", 19, f"{G}.ping.request", "changes nothing"),
    # errors
    "error number twice": (
        "workers: 1",
        "errors: {busy: {number: 901}}",
        36,
        "errors.busy.number",
        "like that of 'blocked'",
    ),
    "error text with a bracket": (
        "workers: 1",
        'errors: {busy: {text: "A]"}}',
        36,
        "errors.busy.text",
        "printable ASCII",
    ),
    "unknown refusal": ("workers: 1", "errors: {bussy: {number: 34}}", 36, "errors.bussy", "did you mean 'busy'?"),
    "error number too large": (
        "workers: 1",
        "errors: {busy: {number: 100000}}",
        36,
        "errors.busy.number",
        "at most 99999",
    ),
    "errors as a list": ("workers: 1", "errors: [901]", 36, "errors", "must be a section with keys: blocked"),
    # a value that is wrong silences what needs it, and no more
    "wrong listener mode": (
        "      mode: mutual",
        "      mode: mutal",
        7,
        f"{L}.tls.mode",
        "one of mutual, server, clear",
    ),
    "wrong group mode": (
        "tls: {mode: mutual",
        "tls: {mode: mutal",
        18,
        f"{G}.tls.mode",
        "one of mutual, server, clear",
    ),
    "wrong device mode": (
        "role: backup",
        "role: backup, tls: {mode: cleer}",
        33,
        f"{D}.hsm3.tls.mode",
        "one of mutual, server, clear",
    ),
    "empty expected name": (
        "role: backup",
        'role: backup, tls: {name: ""}',
        33,
        f"{D}.hsm3.tls.name",
        "must be the name",
    ),
    "tag on the primary": ("{name: hsm1", "!x {name: hsm1", 31, f"{D}.hsm1", "tags are not read"),
    "wrong verify": ("verify: name", "verify: names", 18, f"{G}.tls.verify", "one of name, fingerprint, ca"),
    "wrong match": ("common_name: vault-1", "common_name: [a]", 28, f"{G}.clients[0].match.common_name", "is a list"),
    "wrong ca in mutual": ("      ca: [pki/ca.crt]", "      ca: {a: b}", 11, f"{L}.tls.ca", "must be a list of paths"),
    "wrong token of an open admin": (
        "  bind: 127.0.0.1:9190",
        "  token_file: [t]\n  bind: 0.0.0.0:9190",
        35,
        "admin.token_file",
        "is a list",
    ),
    "wrong TLS of an open admin": (
        "  bind: 127.0.0.1:9190",
        "  tls: {certificate: a, ca: b}\n  bind: 0.0.0.0:9190",
        35,
        "admin.tls.ca",
        "list of paths",
    ),
    "wrong role": ("role: primary", "role: primus", 31, f"{D}.hsm1.role", "one of primary"),
    "wrong bind": ("0.0.0.0:9100", "everywhere", 3, f"{L}.bind", "must be host:port"),
    "wrong attempt": (
        "attempt_timeout: 1s",
        "attempt_timeout: 1",
        25,
        f"{G}.retries.attempt_timeout",
        "needs its unit",
    ),
    "wrong error": ("workers: 1", "errors: {busy: {number: x}}", 36, "errors.busy.number", "must be a whole number"),
    "wrong error section": (
        "workers: 1",
        "errors: {busy: 34}",
        36,
        "errors.busy",
        "must be a section with keys: number, text",
    ),
    "wrong entry": ("[TIME, GPKD]", "[TIME, [GPKD]]", 26, f"{G}.functions.block[1]", "is a list, must be text"),
    "key without certificate": (
        "      certificate: pki/guardian.crt\n      key:",
        "      key:",
        6,
        f"{L}.tls.certificate",
        "mode: mutual needs a file",
    ),
    # the environment
    "variable not set": ("name: hsm2", 'name: "${env:NOT_SET}"', 32, f"{D}[1].name", "NOT_SET, which is not set"),
    "substitution of another kind": (
        "slow_start: 15s",
        "slow_start: ${HOME}",
        22,
        f"{G}.slow_start",
        "must be ${env:NAME}",
    ),
    # the rest
    "catalogue missing": ("workers: 1", "catalogue: none.yaml", 1, "(file)", "cannot be read"),
    "bucket of zero": ("admin:\n", "admin:\n  buckets: [1ms, 0s]\n", 35, "admin.buckets[1]", "more than 0s"),
    "log level": ("workers: 1", "logs: {level: verbose}", 36, "logs.level", "one of debug, info"),
}

U = "    unmatched: group"
MISTAKES |= {
    "quorum of more devices than there are": (
        U, "    writes: {quorum: 4}", 29, f"{G}.writes.quorum", "is 4, must be at most 3, the number of devices",
    ),
    "quorum that is none": (U, "    writes: {quorum: most}", 29, f"{G}.writes.quorum", "must be all, majority, or a"),
    "quorum of nobody": (U, "    writes: {quorum: 0}", 29, f"{G}.writes.quorum", "must be all, majority, or a number"),
    "unknown mode of writes": (U, "    writes: {mode: copy}", 29, f"{G}.writes.mode", "must be one of replicate, pri"),
    "varying that is no command": (U, "    writes: {varying: [time]}", 29, f"{G}.writes.varying[0]", "four upper-case"),
    "field that is no tag": (U, "    writes: {slot_fields: [BDX]}", 29, f"{G}.writes.slot_fields[0]", "two upper-case"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_is_reported_alone_at_its_line_and_key(name: str, tmp_path: Path) -> None:
    old, new, line, path, text = MISTAKES[name]
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
        old, new, *_ = MISTAKES[name]
        assert old in text
        text = text.replace(old, new, 1)
    found = [(problem.line, problem.path) for problem in load_text(tmp_path, text).problems]
    assert found == sorted((MISTAKES[name][2], MISTAKES[name][3]) for name in chosen)


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

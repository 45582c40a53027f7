"""Mistakes in a configuration, one at a time: keys, types, addresses, names and TLS."""

from __future__ import annotations

from tests.support.configs import EXAMPLE

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
    "workers": ("workers: 1", "workers: 65", 36, "workers", "must be at most 64, or auto"),
    "workers as a word": ("workers: 1", "workers: all", 36, "workers", "must be a whole number, or auto"),
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
    "admin for everyone": ("127.0.0.1:9190", "0.0.0.0:9190", 35, "admin.bind", "needs token_file or tokens"),
    "admin for a name": ("127.0.0.1:9190", "admin.example:9190", 35, "admin.bind", "needs token_file or tokens"),
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
}

"""Mistakes in a configuration, one at a time: rules, times, pings, answers, the environment and writes."""

from __future__ import annotations

from tests.support.mistakes import TIMES, D, G, L

# what to replace, by what, the line, the key, and what the message must hold
MISTAKES_OF_RULES = {
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
    "buckets that fall": (
        "admin:\n",
        "admin:\n  buckets: [1ms, 5ms, 2ms]\n",
        35,
        "admin.buckets",
        "has 2ms after 5ms, must rise",
    ),
    "a bucket twice": ("admin:\n", "admin:\n  buckets: [1ms, 1ms]\n", 35, "admin.buckets", "1ms after 1ms, must rise"),
    "no bucket": ("admin:\n", "admin:\n  buckets: []\n", 35, "admin.buckets", "has 0 bounds, must have 1 to 50"),
    "more buckets than anybody looks at": (
        "admin:\n",
        f"admin:\n  buckets: {[f'{n}ms' for n in range(1, 52)]}\n",
        35,
        "admin.buckets",
        "has 51 bounds",
    ),
    "log level": ("workers: 1", "logs: {level: verbose}", 36, "logs.level", "one of debug, info"),
}

U = "    unmatched: group"
MISTAKES_OF_RULES |= {
    "quorum of more devices than there are": (
        U, "    writes: {quorum: 4}", 29, f"{G}.writes.quorum", "is 4, must be at most 3, the number of devices",
    ),
    "quorum that is none": (U, "    writes: {quorum: most}", 29, f"{G}.writes.quorum", "must be all, majority, or a"),
    "quorum of nobody": (U, "    writes: {quorum: 0}", 29, f"{G}.writes.quorum", "must be all, majority, or a number"),
    "unknown mode of writes": (U, "    writes: {mode: copy}", 29, f"{G}.writes.mode", "must be one of replicate, pri"),
    "varying that is no command": (U, "    writes: {varying: [time]}", 29, f"{G}.writes.varying[0]", "four upper-case"),
    "field that is no tag": (U, "    writes: {slot_fields: [BDX]}", 29, f"{G}.writes.slot_fields[0]", "two upper-case"),
}  # fmt: skip

A = "admin:\n"
MISTAKES_OF_RULES |= {
    "admin socket without a path": ("127.0.0.1:9190", "'unix:'", 35, "admin.bind", "has no path after unix:"),
    "admin socket too long": ("127.0.0.1:9190", "unix:/" + "x" * 107, 35, "admin.bind", "more than 107 bytes"),
    "admin socket with tls": (
        "bind: 127.0.0.1:9190", "bind: unix:/run/a\n  tls: {certificate: a}", 36, "admin.tls", "must go",
    ),
    "admin mode": (A, f'{A}  mode: "0888"\n', 35, "admin.mode", "three octal digits"),
    "admin mode without a socket": (A, f"{A}  mode: 0660\n", 35, "admin.mode", "is for bind: unix: only"),
    "admin role": (
        A, f"{A}  tokens: [{{name: a, role: root, file: b}}]\n", 35, "admin.tokens.a.role", "one of view, operate",
    ),
    "admin token twice": (
        A, f"{A}  token_file: b\n  tokens: [{{name: operator, role: view, file: c}}]\n", 36,
        "admin.tokens.operator.name", "as on line 35",
    ),
    "admin clients without certificates": (
        A, f"{A}  clients: [{{match: {{san: a}}, role: view}}]\n", 35, "admin.clients", "needs tls with ca",
    ),
    "admin client of nobody": (
        A, f"{A}  tls: {{certificate: a, ca: [b]}}\n  clients: [{{match: {{}}, role: view}}]\n", 36,
        "admin.clients[0].match", "is empty",
    ),
}  # fmt: skip

"""What is wrong with a client's file beside a proxy: one tag spoilt, one line told."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.fxpkcs11_tags import TAGS
from config.model import Bind
from guardian.cli import execute
from guardian.fxpkcs11.examination import Examined, examine
from tests.support.client_files import PASSWORD, Files, read

Changes = Mapping[str, Sequence[str]]
NOTHING: Changes = {}
SERVER = "mode: server, certificate: pki/guardian.crt, key: pki/guardian.key"
MUTUAL = "certificate: pki/guardian.crt, key: pki/guardian.key, "
CERT_OF_GUARDIAN = {"PROD-TLS-CERT": ["{pki}/guardian.crt"]}


def told(examined: Examined, folder: Path) -> list[str]:
    """Each problem after the file's name; a warning begins with `w `."""
    lines = []
    for problem in examined.problems:
        mark = "w " if problem.severity == "warning" else ""
        where = str(problem).split(":", 2)
        lines.append(f"{mark}{where[2].strip()}".replace(str(folder), "."))
    return lines


def check(
    files: Files, changes: Changes = NOTHING, *, section: str = "HSM", wanted: tuple[str, ...] = (), **proxy: str
) -> list[str]:
    path = files.client(changes, section=section)
    examined = examine(path, now=time.time(), proxy=files.proxy(**proxy), wanted=wanted)  # type: ignore[arg-type]
    return told(examined, files.folder)


@pytest.mark.parametrize(
    "changes",
    [
        NOTHING,
        {"PROD-TLS-KEY": ["{pki}/pkcs1.key"]},
        {"PROD-TLS-KEY": ["{pki}/locked.key"], "PROD-TLS-KEY-PASS": [PASSWORD]},
        {"PROD-TLS-KEY": ["{pki}/app1.p12"], "PROD-TLS-KEY-PASS": [PASSWORD]},
        {"PROD-TLS-CA": ["{pki}/ecc.crt", "{pki}/ca.crt"]},
        {"ADDRESS": ["localhost"]},
    ],
)
def test_a_good_file_is_fine(files: Files, changes: Changes) -> None:
    assert check(files, changes) == []


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({"PROD-ENABLED": ["NO"]}, [("PROD-ENABLED: is NO, must be YES: the library does not use the address and port "
                                    "of this section")]),
        ({"PROD-ENABLED": []}, [("PROD-ENABLED: is missing, must be YES: the library does not use the address and port "
                                "of this section")]),
        ({"FX-LOAD-BALANCE": ["NO"]}, [("FX-LOAD-BALANCE: is NO, must be YES: the library then knows that it talks "
                                       "through a balancer")]),
        ({"FX-LOAD-BALANCE": ["perhaps"]}, ["FX-LOAD-BALANCE: is neither YES nor NO"]),
        ({"LABEL": []}, [("w LABEL: is missing: the token's label is then made of the address, as far as is known, and "
                         "becomes '127.0.0.1:9100'; applications that look for the one of before no longer find it, "
                         "write it here")]),
        ({"ADDRESS": []}, ["ADDRESS: is missing, must be the host of the proxy's listener"]),
        ({"PROD-PORT": ["9200"]}, ["PROD-PORT: is 9200, where no listener is, must be one of: 9100 (excrypt)"]),
        ({"PROD-PORT": ["9101"]}, [("ADDRESS: is device hsm1 of group payments itself: the client goes past the proxy, "
                                   "must be the proxy's host and a listener's port (9100 (excrypt))")]),
        ({"ADDRESS": ["10.0.8.30"]}, [
            "ADDRESS: is 10.0.8.30, but listener excrypt listens on 127.0.0.1 only",
            ("w ADDRESS: is 10.0.8.30, and the certificate of listener excrypt is for localhost, 127.0.0.1: a library "
            "that compares names will refuse it")]),
        ({"PROD-TLS-ENABLED": ["NO"]},
         ["PROD-TLS-ENABLED: is NO, must be YES: listener excrypt speaks TLS (mode: mutual)"]),
        ({"PROD-TLS-ANONYMOUS": ["YES"]},
         [("PROD-TLS-ANONYMOUS: is YES, must be NO with PROD-TLS-CERT and PROD-TLS-KEY: listener excrypt lets in "
          "nobody without a certificate (mode: mutual)")]),
        ({"PROD-TLS-CA": []}, ["PROD-TLS-CA: is missing, must be the CA of the listener's certificate"]),
        ({"PROD-TLS-CA": ["{pki}/ecc.crt"]},
         [("PROD-TLS-CA: did not sign the certificate of listener excrypt, whose issuer is CN=Try CA: that is a tree "
          "of RSA keys, this one of ECC keys; both sides need the same CA tree")]),
        ({"PROD-TLS-CA": ["{pki}/renewed.crt"]},
         [("PROD-TLS-CA: did not sign the certificate of listener excrypt, whose issuer is CN=Try CA: a CA of that "
          "name is here, but with another key; take the listener's CA as it is now")]),
        ({"PROD-TLS-CA": ["{pki}/nothing.crt"]},
         [("PROD-TLS-CA: names ./pki/nothing.crt, which does not exist here, must be a file that the application can "
          "read")]),
        ({"PROD-TLS-CA": ["C:\\certs\\ca.crt"]},
         ["w PROD-TLS-CA: names C:\\certs\\ca.crt, a file of a Windows machine: check it there"]),
        ({"PROD-TLS-CERT": []}, [("PROD-TLS-CERT: is missing, must be the client's own: PROD-TLS-ANONYMOUS is not YES, "
                                 "so it shows a certificate"),
                                 "PROD-TLS-KEY: ./pki/app1.key: holds PRIVATE KEY and no CERTIFICATE"]),
        ({"PROD-TLS-KEY": ["{pki}/stranger.key"]},
         ["PROD-TLS-KEY: ./pki/stranger.key: the key does not belong to the certificate (CN=app1) in ./pki/app1.crt"]),
        ({"PROD-TLS-KEY": ["{pki}/locked.key"]},
         [("PROD-TLS-KEY: ./pki/locked.key: the private key is encrypted and no password is given; say its password "
          "with PROD-TLS-KEY-PASS")]),
        ({"PROD-TLS-KEY": ["{pki}/app1.p12"], "PROD-TLS-KEY-PASS": ["battery staple"]},
         ["PROD-TLS-KEY-PASS: ./pki/app1.p12: the password does not open the PKCS #12 file, or it is damaged"]),
        ({"PROD-TLS-CERT": ["{pki}/expired.crt"]}, [("PROD-TLS-CERT: has expired: certificate CN=app1 ended on DATE, "
                                                    "must be renewed")]),
        ({"PROD-TLS-CERT": ["{pki}/early.crt"]},
         ["PROD-TLS-CERT: is not valid yet: certificate CN=app1 begins on DATE"]),
        ({"PROD-TLS-CERT": ["{pki}/soon.crt"]},
         ["w PROD-TLS-CERT: ends soon: certificate CN=app1 ends on DATE, renew it"]),
        ({"PROD-TLS-CERT": ["{pki}/no-purpose.crt"]},
         [("PROD-TLS-CERT: has no extendedKeyUsage, must say clientAuth: listener excrypt has client_auth: required "
          "(if_present would let it in)")]),
        ({"PROD-TLS-CERT": ["{pki}/server.crt"]},
         ["PROD-TLS-CERT: has an extendedKeyUsage without clientAuth, must have it: this is no client's certificate"]),
        ({"PROD-TLS-CERT": ["{pki}/stranger.crt"], "PROD-TLS-KEY": ["{pki}/stranger.key"]},
         [("PROD-TLS-CERT: is signed by CN=ECC CA, which listener excrypt does not believe: only CN=Try CA (of RSA "
          "keys, and this of ECC)")]),
        ({"CRYPTO-OPR": ["crypto1"]},
         [("w CRYPTO-OPR: logs in with a command that is not public for HSMs; sessions.login of group payments has "
          "RKLG, and any other pins the client to one device: `guardian learn` tells which it is")]),
    ],
)  # fmt: skip
def test_one_wrong_tag_is_one_line(files: Files, changes: Changes, lines: list[str]) -> None:
    found = [re.sub(r"\d{4}-\d\d-\d\d", "DATE", line) for line in check(files, changes)]
    assert found == lines


@pytest.mark.parametrize(
    ("changes", "proxy", "lines"),
    [
        (NOTHING, {"tls": SERVER},
         [("w PROD-TLS-ANONYMOUS: is NO, should be YES: listener excrypt asks for no certificate (mode: server) and "
          "does not know the client by one")]),
        ({"PROD-TLS-ANONYMOUS": ["YES"], "PROD-TLS-CERT": [], "PROD-TLS-KEY": []}, {"tls": SERVER}, []),
        (NOTHING, {"tls": "mode: clear"},
         ["PROD-TLS-ENABLED: is YES, must be NO: listener excrypt speaks no TLS (mode: clear)"]),
        ({"PROD-TLS-ENABLED": ["NO"]}, {"tls": "mode: clear"}, []),
        ({"PROD-TLS-CERT": ["{pki}/no-purpose.crt"]},
         {"tls": MUTUAL + "ca: [pki/ca.crt], client_auth: if_present"}, []),
        (NOTHING, {"tls": MUTUAL + "ca: [pki/ca.crt], crl: [pki/revoked.crl]"},
         ["PROD-TLS-CERT: will be refused by listener excrypt: it is revoked"]),
        (NOTHING, {"tls": MUTUAL + "ca: [pki/ca.crt], crl: [pki/ca.crl]"}, []),
        # A copy of the configuration without the proxy's key is enough, on a client's machine.
        (NOTHING, {"tls": "certificate: pki/guardian.crt, key: pki/nothing.key, ca: [pki/ca.crt]"}, []),
        (NOTHING, {"kind": "kms", "group": "functions: {allow: [ECHO, RKLG, RKRL]}"},
         [("PROD-PORT: is that of listener excrypt, whose group payments has devices of type kms: must be a <KMS> "
          "section, no listener here is for it")]),
        (NOTHING, {"group": "unmatched: refuse"},
         [("PROD-TLS-CERT: is of nobody that group payments knows: no entry of its clients matches common name 'app1', "
          "and unmatched is refuse")]),
        ({"CRYPTO-OPR": ["crypto1"]}, {"group": "functions: {allow: [vault/communication]}"},
         ["w PROD-TLS-CERT: HashiCorp Vault", "w PROD-TLS-CERT: vSEC:CMS",
          "CRYPTO-OPR: cannot log in: the rules of group payments block its login command RKLG"]),
        ({"CRYPTO-OPR": ["crypto1"]},
         {"group": "sessions: {login: [{command: ABCD, success: {tag: AN, value: Y}}]}"}, []),
        ({"CRYPTO-OPR": ["crypto1"]}, {"group": "sessions: {login: []}"},
         [("w CRYPTO-OPR: logs in, and group payments knows no login command (sessions.login is empty): the client "
          "would be pinned to one device")]),
        # One integration may live with these rules, and nobody has said which it is.
        (NOTHING, {"group": "functions: {block: [TIME]}"}, []),
        (NOTHING, {"group": "functions: {mode: detect, block: [TIME, GPKD]}"}, []),
        (NOTHING, {"group": "clients: [{match: {common_name: app1}, functions: {block: [GPKD]}}]"},
         ["w PROD-TLS-CERT: HashiCorp Vault", "w PROD-TLS-CERT: vSEC:CMS"]),
        (NOTHING, {"group": "clients: [{match: {common_name: other}, functions: {block: [GPKD]}}]"}, []),
    ],
)  # fmt: skip
def test_beside_another_proxy(files: Files, changes: Changes, proxy: dict[str, str], lines: list[str]) -> None:
    found = [
        re.sub(r"the client may not use .*, and (.*) needs that.*", r"\1", line)
        for line in check(files, changes, **proxy)
    ]
    assert sorted(found) == sorted(lines)


KMES = {"kind": "kms", "group": "functions: {allow: [ECHO, RKLG, RKRL]}"}


@pytest.mark.parametrize(
    ("section", "wanted", "proxy", "part"),
    [
        ("HSM", ("vsec-cms",), {"group": "functions: {block: [TIME]}"}, "may not use TIME, and vSEC:CMS needs that"),
        ("HSM", ("vault",), {"group": "functions: {block: [TIME]}"}, None),
        ("HSM", ("vault",), {"group": "functions: {block: [GPED, GPKD]}"},
         "may not use GPED, GPKD, of which GPKD change a device, and HashiCorp Vault needs that"),
        ("HSM", ("openssh",), {}, "is of a group of type hsm; OpenSSH with keys of a KMES needs one of type kms"),
        ("KMS", ("openssh",), KMES, None),
        ("KMS", ("openssh",), {"kind": "kms"}, "may not use RKRL, and OpenSSH with keys of a KMES needs that"),
        ("KMS", (), {"kind": "kms"}, "may not use RKRL, and OpenSSH with keys of a KMES needs that"),
        ("KMS", ("vault",), KMES, "is of a group of type kms; HashiCorp Vault needs one of type hsm"),
        # What RKRL carries is judged one by one there, and nobody knows what ssh sends.
        ("KMS", ("openssh",), {"kind": "kms", "group": "nested: {RKRL: {tag: NC}}"}, None),
    ],
)  # fmt: skip
def test_what_the_integrations_need(
    files: Files, section: str, wanted: tuple[str, ...], proxy: dict[str, str], part: str | None
) -> None:
    lines = check(files, section=section, wanted=wanted, **proxy)
    assert len(lines) == (0 if part is None else 1), lines
    if part is not None:
        assert part in lines[0]
        assert lines[0].startswith("w ") is not bool(wanted)


def test_the_login_of_a_kmes_is_rklg(files: Files) -> None:
    group = "sessions: {login: [{command: ABCD, success: {tag: AN, value: Y}}]}\n    functions: {allow: ['*', RKRL]}"
    [line] = check(files, {"CRYPTO-OPR": ["x"]}, section="KMS", kind="kms", group=group)
    assert line == (
        "CRYPTO-OPR: logs in with RKLG, the login of a KMES, and sessions.login of group payments has only ABCD: must "
        "have RKLG too"
    )


def test_without_the_configuration_the_address_is_compared(files: Files) -> None:
    path = files.client({"FX-LOAD-BALANCE": []})
    examined = examine(path, now=time.time(), address=Bind(host="guardian.example", port=9443))
    assert told(examined, files.folder) == [
        "FX-LOAD-BALANCE: is missing, must be YES: the library then knows that it talks through a balancer",
        "ADDRESS: is 127.0.0.1, must be guardian.example, where the proxy is",
        "PROD-PORT: is 9100, must be 9443, the proxy's port",
    ]
    assert told(examine(path, now=time.time(), address=Bind(host="127.0.0.1", port=9100)), files.folder) == [
        "FX-LOAD-BALANCE: is missing, must be YES: the library then knows that it talks through a balancer"
    ]


def test_a_name_of_another_machine_is_not_at_a_loopback_listener(files: Files) -> None:
    first, *_ = check(files, {"ADDRESS": ["proxy.example"]})
    assert first == "ADDRESS: is proxy.example, but listener excrypt listens on 127.0.0.1 only"


def test_a_listener_that_wants_lengths_is_told(files: Files) -> None:
    config = files.config()
    config.write_text(config.read_text().replace("    bind:", "    framing: length2\n    bind:"))
    [line] = told(examine(files.client(NOTHING), now=time.time(), proxy=read(config)), files.folder)
    assert line.startswith("w PROD-PORT: is that of listener excrypt, which wants a length before each message")


def test_among_listeners_of_one_port_the_one_of_the_address_or_type_is_taken(files: Files) -> None:
    tls = "tls: {certificate: pki/guardian.crt, key: pki/guardian.key, ca: [pki/ca.crt]}"
    ours = "tls: {certificate: pki/guardian-client.crt, key: pki/guardian-client.key, ca: [pki/ca.crt]}"
    text = f"""\
listeners:
  - {{name: one, bind: "127.0.0.1:9100", group: kmes, {tls}}}
  - {{name: two, bind: "127.0.0.2:9100", group: hsms, {tls}}}
groups:
  - {{name: hsms, {ours}, devices: [{{name: a, address: "127.0.0.1:9101", role: primary}}]}}
  - {{name: kmes, type: kms, {ours}, devices: [{{name: b, address: "127.0.0.1:2002", role: primary}}]}}
"""
    path = files.folder / "guardian.yaml"
    path.write_text(text)
    for address, section, name in (
        ("127.0.0.1", "KMS", "one"), ("127.0.0.2", "HSM", "two"), ("proxy", "KMS", "one"), ("proxy", "HSM", "two"),
        ("127.0.0.2", "KMS", "two"),
    ):  # fmt: skip
        examined = examine(files.client({"ADDRESS": [address]}, section=section), now=time.time(), proxy=read(path))
        [(_, offer)] = examined.tokens
        assert offer is not None
        assert offer.listener.name == name, (address, section)


@pytest.mark.parametrize("name", ["nothing.cfg", ".", "x\0y"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    [problem] = examine(tmp_path / name, now=0.0).problems
    assert problem.severity == "error"


def test_no_secret_is_told(files: Files) -> None:
    """A canary in every tag that is no address, port or path, and in the lines that are none."""
    canary = "hunter2"
    path = files.client(
        {"PROD-TLS-KEY": ["{pki}/app1.p12"], "PROD-TLS-KEY-PASS": [canary], "CRYPTO-OPR-PASS": [canary],
         "PROD-ENABLED": [canary], "FX-LOAD-BALANCE": [canary], "NEW-TAG": [canary], "SLOT": [canary]}
    )  # fmt: skip
    path.write_text(path.read_text() + f"<HSM>\n{canary}\n<PROD-TLS-KEY-PASS> {canary}\n</HSM>\n")
    examined = examine(path, now=time.time(), proxy=files.proxy())
    assert len(examined.problems) > 6
    assert canary not in "\n".join(map(str, examined.problems)) + repr(examined)


ODD = st.text(max_size=30) | st.sampled_from(
    [
        "",
        "YES",
        "no",
        "127.0.0.1",
        "::1",
        "[::1]",
        "9100",
        "-1",
        "/",
        ".",
        "/dev/null",
        "/proc/self/mem",
        "a\0b",
        "\udcff",
        "C:\\x",
    ]
)


def test_whatever_is_in_the_tags_it_is_judged(files: Files) -> None:
    path = files.folder / "odd.cfg"
    proxies = (None, files.proxy(), files.proxy(kind="kms", tls="mode: clear"))

    @settings(max_examples=120)
    @given(st.lists(st.tuples(st.sampled_from(sorted(TAGS)), ODD), max_size=12), st.sampled_from(["HSM", "KMS"]))
    def judged(tags: list[tuple[str, str]], section: str) -> None:
        lines = [f"<{tag}> {value} </{tag}>" for tag, value in tags]
        path.write_text("\n".join([f"<{section}>", *lines, f"</{section}>"]), "utf-8", "surrogateescape")
        for proxy in proxies:
            examined = examine(path, now=time.time(), proxy=proxy, address=Bind(host="proxy", port=9100))
            assert all(str(problem).isprintable() for problem in examined.problems)
        assert execute(["fxpkcs11", "check", str(path), "--no-connect"]) in (0, 1)

    judged()


@pytest.mark.parametrize("host", ["a\0b", "a" * 300, "\udcff", "[", "..", "-"])
def test_an_address_that_can_be_none_is_told(files: Files, capsys: pytest.CaptureFixture[str], host: str) -> None:
    path = files.folder / "odd.cfg"
    path.write_text(f"<HSM>\n<ADDRESS> {host} </ADDRESS>\n<PROD-TLS-ENABLED> NO </PROD-TLS-ENABLED>\n</HSM>",
                    "utf-8", "surrogateescape")  # fmt: skip
    assert execute(["fxpkcs11", "check", str(path)]) == 1
    assert "name  FAILED" in capsys.readouterr().out

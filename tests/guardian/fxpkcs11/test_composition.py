"""`guardian fxpkcs11 render`: what it writes passes its own check, and an adapted file keeps what is a client's own."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from config.fxpkcs11 import parse
from guardian.cli import execute
from guardian.fxpkcs11.examination import examine
from tests.support.client_files import PASSWORD, Files, read

OLD = """\
# Written by hand in 2019
<HSM>
    <SLOT>                  3               </SLOT>
    <ADDRESS>               10.0.8.30       </ADDRESS>
    <PROD-ENABLED>          YES             </PROD-ENABLED>
    <PROD-PORT>             9100            </PROD-PORT>
    <PROD-TLS-ENABLED>      YES             </PROD-TLS-ENABLED>
    <PROD-TLS-ANONYMOUS>    YES             </PROD-TLS-ANONYMOUS>
    <PROD-TLS-CA>           /old/one.pem    </PROD-TLS-CA>
    <PROD-TLS-CA>           /old/two.pem    </PROD-TLS-CA>
    # <FX-LOAD-BALANCE>     NO              </FX-LOAD-BALANCE>
    <CRYPTO-OPR>            crypto1         </CRYPTO-OPR>
    <CRYPTO-OPR-PASS>       safest          </CRYPTO-OPR-PASS>
    <UNHEARD-OF>            x               </UNHEARD-OF>
</HSM>
"""


def render(files: Files, *args: str) -> int:
    return execute(["fxpkcs11", "render", "--config", str(files.folder / "guardian.yaml"), *args])


def test_what_is_written_is_fine(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    config = files.config()
    word = files.folder / "password"
    word.write_text(PASSWORD + "\n")
    made = files.folder / "new.cfg"
    assert render(files, "--client-name", "app1", "--key-password-file", str(word), "--output", str(made)) == 0
    assert PASSWORD not in capsys.readouterr().out
    assert made.stat().st_mode & 0o777 == 0o600
    assert f"<PROD-TLS-KEY-PASS> {PASSWORD} </PROD-TLS-KEY-PASS>" in made.read_text()
    assert examine(made, now=time.time(), proxy=read(config), wanted=("vault", "vsec-cms")).problems == ()
    assert render(files, "--client-name", "app1", "--output", str(made)) == 1
    assert "is there already" in capsys.readouterr().err


def test_paths_are_whole_wherever_it_is_run(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files.config()
    monkeypatch.chdir(files.folder)
    assert execute(["fxpkcs11", "render", "--config", "guardian.yaml", "--certificate", "pki/app1.crt", "--key",
                    "pki/app1.key", "--ca", "pki/ca.crt", "--user", "crypto1", "--label", "hsm"]) == 0  # fmt: skip
    [section] = parse(capsys.readouterr().out).sections
    found = {setting.tag: setting.value for setting in section.settings}
    assert found["PROD-TLS-CERT"] == str(files.folder / "pki/app1.crt")
    assert found["PROD-TLS-CA"] == str(files.folder / "pki/ca.crt")
    assert (found["CRYPTO-OPR"], found["LABEL"], found["SLOT"]) == ("crypto1", "hsm", "0")
    assert "PROD-TLS-KEY-PASS" not in found


def test_an_old_file_keeps_what_is_its_own(files: Files) -> None:
    files.config()
    old, made = files.folder / "old.cfg", files.folder / "new.cfg"
    old.write_text(OLD)
    pair = ["--certificate", str(files.pki / "app1.crt"), "--key", str(files.pki / "app1.key")]
    assert render(files, "--from", str(old), "--output", str(made), *pair) == 0
    pki = files.pki
    assert (
        made.read_text()
        == f"""\
# Written by hand in 2019
<HSM>
    <SLOT>                  3               </SLOT>
    <ADDRESS>               127.0.0.1       </ADDRESS>
    <PROD-ENABLED>          YES             </PROD-ENABLED>
    <PROD-PORT>             9100            </PROD-PORT>
    <PROD-TLS-ENABLED>      YES             </PROD-TLS-ENABLED>
    <PROD-TLS-ANONYMOUS>    NO             </PROD-TLS-ANONYMOUS>
    <PROD-TLS-CA>           {pki}/ca.crt    </PROD-TLS-CA>
#     <PROD-TLS-CA>           /old/two.pem    </PROD-TLS-CA>
    <FX-LOAD-BALANCE>     YES              </FX-LOAD-BALANCE>
    <CRYPTO-OPR>            crypto1         </CRYPTO-OPR>
    <CRYPTO-OPR-PASS>       safest          </CRYPTO-OPR-PASS>
    <UNHEARD-OF>            x               </UNHEARD-OF>
    <PROD-TLS-CERT> {pki}/app1.crt </PROD-TLS-CERT>
    <PROD-TLS-KEY> {pki}/app1.key </PROD-TLS-KEY>
    <LABEL> 10.0.8.30:9100 </LABEL>
</HSM>
""".replace("127.0.0.1       <", "127.0.0.1       <")
    )


@pytest.mark.parametrize(
    ("tls", "args", "told"),
    [
        ("", [], "wants a client certificate"),
        ("", ["--client-name", "nobody"], "has no nobody.crt"),
        ("certificate: pki/stranger.crt, key: pki/stranger.key, ca: [pki/ca.crt]",
         ["--certificate", "x", "--key", "y"], "no file of the configuration has the CA"),
        ("", ["--client-name", "app1", "--label", " x"], "begins or ends with a blank"),
        ("", ["--client-name", "app1", "--from", "/does/not/exist"], "cannot be read"),
        ("", ["--client-name", "app1", "--from", "kms.cfg"], "no <HSM> section"),
        ("", ["--client-name", "app1", "--from", "broken.cfg"], "line 1: SLOT stands in no section"),
    ],
)  # fmt: skip
def test_what_is_missing_is_asked_for(
    files: Files,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tls: str,
    args: list[str],
    told: str,
) -> None:
    files.config(tls=tls)
    monkeypatch.chdir(files.folder)
    Path("kms.cfg").write_text("<KMS>\n</KMS>\n")
    Path("broken.cfg").write_text("<SLOT> 1 </SLOT>\n")
    assert render(files, *args) == 1
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.out == ""


def test_a_port_that_only_the_kernel_knows_cannot_be_written(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.config(port=0)
    assert render(files, "--client-name", "app1") == 1
    assert "has port 0" in capsys.readouterr().err


def test_a_listener_everywhere_is_reached_by_a_name_of_its_certificate(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    path = files.config(tls="mode: server, certificate: pki/guardian.crt, key: pki/guardian.key")
    path.write_text(path.read_text().replace("bind: 127.0.0.1", "bind: 0.0.0.0"))
    assert render(files, "--ca", str(files.pki / "ca.crt")) == 1
    assert "say --address HOST" in capsys.readouterr().err
    assert render(files, "--ca", str(files.pki / "ca.crt"), "--address", "guardian.example") == 0
    out = capsys.readouterr().out
    assert "<ADDRESS> guardian.example </ADDRESS>" in out
    assert "<PROD-TLS-ANONYMOUS> YES </PROD-TLS-ANONYMOUS>" in out
    assert "PROD-TLS-CERT" not in out


@pytest.mark.parametrize(
    "args",
    [
        ["check"], ["check", "a", "--config", "b", "--address", "c:1"], ["check", "a", "--address", "nonsense"],
        ["check", "a", "--for", "vault"], ["render"], ["render", "--config", "guardian.yaml", "--listener", "other"],
        ["render", "--config", "guardian.yaml", "--client-name", "app1", "--key", "x"],
        ["render", "--config", "guardian.yaml", "--key-password-file", "/does/not/exist"],
    ],
)  # fmt: skip
def test_wrong_usage_is_2(files: Files, monkeypatch: pytest.MonkeyPatch, args: list[str]) -> None:
    files.config()
    monkeypatch.chdir(files.folder)
    monkeypatch.delenv("FXPKCS11_CFG", raising=False)
    monkeypatch.setattr("guardian.commands.fxpkcs11._USUAL", Path("no such file"))
    assert execute(["fxpkcs11", *args]) == 2


def test_without_a_file_the_librarys_own_is_taken(
    files: Files, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = files.client({"SLOT": ["x"]}, name="usual.cfg")
    monkeypatch.setattr("guardian.commands.fxpkcs11._USUAL", usual)
    assert execute(["fxpkcs11", "check", "--no-connect"]) == 1
    assert "usual.cfg:2: SLOT: is no number" in capsys.readouterr().out
    monkeypatch.setenv("FXPKCS11_CFG", str(files.client({"SLOT": ["y"]}, name="named.cfg")))
    assert execute(["fxpkcs11", "check", "--no-connect"]) == 1
    assert "named.cfg:2: SLOT" in capsys.readouterr().out
    monkeypatch.delenv("FXPKCS11_CFG")
    usual.unlink()
    assert execute(["fxpkcs11", "check"]) == 2


def test_a_wrong_configuration_is_told(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.config(group="nonsense: 1")
    assert render(files) == 1
    assert "guardian check" in capsys.readouterr().err
    files.config(tls="certificate: pki/nothing.crt, ca: [pki/ca.crt]")
    assert render(files) == 1
    assert "nothing.crt" in capsys.readouterr().err

from __future__ import annotations

import errno
from pathlib import Path
from typing import NoReturn

import pytest

from config.loader import load
from config.model import (
    Admin,
    Balancing,
    Bind,
    ClientRule,
    Config,
    Device,
    DeviceTls,
    Ejection,
    ErrorText,
    Functions,
    Group,
    Limits,
    Listener,
    ListenerTls,
    Match,
    Ping,
    Queue,
    Refusal,
    Retries,
    Role,
    TlsMode,
    UnixBind,
    Verify,
)
from config.problems import Place, Report
from tests.support.configs import EXAMPLE, load_text

MINIMAL = """\
listeners: [{name: a, bind: "127.0.0.1:0", group: g, tls: {mode: clear}}]
groups:
  - name: g
    tls: {mode: clear}
    devices:
      - {name: d1, address: "hsm1:9100", role: primary}
"""


def loaded(folder: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    result = load_text(folder, text, environment)
    assert result.config is not None, [str(problem) for problem in result.problems]
    return result.config


def test_example_means_exactly_what_it_says(tmp_path: Path) -> None:
    result = load_text(tmp_path, EXAMPLE)
    assert result.problems == ()
    pki = tmp_path / "pki"
    tls = DeviceTls(
        mode=TlsMode.MUTUAL,
        certificate=pki / "guardian-client.crt",
        key=pki / "guardian-client.key",
        ca=(pki / "ca.crt",),
        verify=Verify.NAME,
    )

    def device(name: str, host: str, **more: object) -> Device:
        return Device(name=name, address=Bind(host=host, port=9100), tls=tls, **more)  # type: ignore[arg-type]

    assert result.config == Config(
        listeners=(
            Listener(
                name="excrypt",
                bind=Bind(host="0.0.0.0", port=9100),
                group="payments",
                tls=ListenerTls(
                    mode=TlsMode.MUTUAL,
                    certificate=pki / "guardian.crt",
                    key=pki / "guardian.key",
                    key_password_file=pki / "password",
                    ca=(pki / "ca.crt",),
                    min_version="1.2",
                ),
                limits=Limits(connections=4096, message=262144, pipeline=16, idle=600.0, handshake=10.0),
            ),
        ),
        groups=(
            Group(
                name="payments",
                tls=tls,
                ping=Ping(request="[AOECHO;AGping;]", interval=2.0, timeout=1.0, fall=3, rise=2),
                balancing=Balancing(),
                ejection=Ejection(failures=5, base=30.0, max=300.0),
                slow_start=15.0,
                request_timeout=10.0,
                queue=Queue(size=1024, timeout=1.0),
                retries=Retries(attempts=2, attempt_timeout=1.0, budget=0.2),
                functions=Functions(allow=("*",), block=("TIME", "GPKD")),
                clients=(
                    ClientRule(
                        match=Match(common_name="vault-1"),
                        functions=Functions(allow=("vault/communication", "vault/data-encryption")),
                    ),
                ),
                devices=(
                    device("hsm1", "10.0.8.30", role=Role.PRIMARY),
                    device("hsm2", "10.0.8.31", weight=2.0, connections=8, pipeline=1, outstanding=32),
                    device("hsm3", "10.0.8.32", role=Role.BACKUP, ping_timeout=0.5),
                ),
            ),
        ),
        admin=Admin(bind=Bind(host="127.0.0.1", port=9190)),
        workers=1,
    )


def test_types_are_exact(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE)
    assert type(config.groups[0].devices[1].weight) is float
    assert type(config.listeners[0].limits.message) is int
    assert type(config.groups[0].slow_start) is float
    assert type(config.workers) is int


def test_what_is_not_given_is_the_model_default(tmp_path: Path) -> None:
    config = loaded(tmp_path, MINIMAL)
    clear = DeviceTls(mode=TlsMode.CLEAR)
    device = Device(name="d1", address=Bind(host="hsm1", port=9100), role=Role.PRIMARY, tls=clear)
    bind = Bind(host="127.0.0.1", port=0)
    assert config == Config(
        listeners=(Listener(name="a", bind=bind, group="g", tls=ListenerTls(mode=TlsMode.CLEAR)),),
        groups=(Group(name="g", tls=clear, devices=(device,)),),
    )


def test_paths_are_relative_to_the_file_and_absolute_ones_stay(tmp_path: Path) -> None:
    text = EXAMPLE.replace("key: pki/guardian.key", "key: /etc/guardian.key").replace("[pki/ca.crt]", "[../ca.crt]", 1)
    tls = loaded(tmp_path, text).listeners[0].tls
    assert tls.key == Path("/etc/guardian.key")
    assert tls.ca == (tmp_path / "../ca.crt",)


def test_relative_path_to_the_file_gives_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "guardian.yaml").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    config = load(Path("guardian.yaml")).config
    assert config is not None
    assert config.listeners[0].tls.certificate == tmp_path / "pki/guardian.crt"


@pytest.mark.parametrize("name", ["no", "on", "0755", "1e3", "007", "true", "1.10"])
def test_names_that_yaml_would_turn_into_something_else_stay_text(tmp_path: Path, name: str) -> None:
    config = loaded(tmp_path, MINIMAL.replace("d1", name))
    assert config.groups[0].devices[0].name == name


def test_unquoted_version_keeps_its_digits(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE.replace('min_version: "1.2"', "min_version: 1.3"))
    assert config.listeners[0].tls.min_version == "1.3"


def test_optional_keys_may_be_null(tmp_path: Path) -> None:
    assert loaded(tmp_path, EXAMPLE.replace("key_password_file: pki/password", "key_password_file: null"))
    assert loaded(tmp_path, EXAMPLE.replace("admin:\n", "admin:\n  tls:\n")).admin.tls is None


def test_slow_start_may_be_off(tmp_path: Path) -> None:
    assert loaded(tmp_path, EXAMPLE.replace("slow_start: 15s", "slow_start: 0s")).groups[0].slow_start == 0.0


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    assert load_text(tmp_path, b"\xef\xbb\xbf" + EXAMPLE.encode()).problems == ()


def test_anchors_may_share_sections(tmp_path: Path) -> None:
    text = EXAMPLE.replace("    tls: {mode: mutual, ", "    tls: &tls {mode: mutual, ").replace(
        "role: backup,", "role: backup, tls: *tls,"
    )
    config = loaded(tmp_path, text)
    assert config.groups[0].devices[2].tls == config.groups[0].tls


class TestDeviceTls:
    PIN = "sha256:" + ":".join(["aB"] * 32)

    def device(self, folder: Path, tls: str) -> DeviceTls:
        return loaded(folder, EXAMPLE.replace("role: backup", f"role: backup, tls: {tls}")).groups[0].devices[2].tls

    def test_overrides_its_group_key_by_key(self, tmp_path: Path) -> None:
        tls = self.device(tmp_path, "{name: Production, ca: [other.crt]}")
        assert tls.name == "Production"
        assert tls.ca == (tmp_path / "other.crt",)
        assert tls.certificate == tmp_path / "pki/guardian-client.crt"
        assert tls.mode is TlsMode.MUTUAL

    def test_fingerprint_alone_pins_and_is_normalised(self, tmp_path: Path) -> None:
        tls = self.device(tmp_path, f'{{fingerprint: "{self.PIN}"}}')
        assert tls.verify is Verify.FINGERPRINT
        assert tls.fingerprint == "sha256:" + "ab" * 32

    def test_fingerprint_of_a_group_is_normalised_too(self, tmp_path: Path) -> None:
        group = loaded(tmp_path, EXAMPLE.replace("verify: name", f'fingerprint: "{self.PIN}"')).groups[0]
        assert group.tls.fingerprint == group.devices[0].tls.fingerprint == "sha256:" + "ab" * 32
        assert group.devices[0].tls.verify is Verify.FINGERPRINT

    def test_clear_inherits_no_files(self, tmp_path: Path) -> None:
        assert self.device(tmp_path, "{mode: clear}") == DeviceTls(mode=TlsMode.CLEAR)

    def test_server_does_not_inherit_our_certificate(self, tmp_path: Path) -> None:
        tls = self.device(tmp_path, "{mode: server}")
        assert tls == DeviceTls(mode=TlsMode.SERVER, ca=(tmp_path / "pki/ca.crt",))

    def test_group_that_pins_leaves_the_fingerprint_to_its_devices(self, tmp_path: Path) -> None:
        text = EXAMPLE.replace("verify: name", "verify: fingerprint")
        for role in ("primary", "production", "backup"):
            text = text.replace(f"role: {role}", f'role: {role}, tls: {{fingerprint: "{self.PIN}"}}')
        config = loaded(tmp_path, text)
        assert {device.tls.fingerprint for device in config.groups[0].devices} == {"sha256:" + "ab" * 32}

    def test_a_group_mistake_is_said_once_for_all_devices(self, tmp_path: Path) -> None:
        found = load_text(tmp_path, EXAMPLE.replace(", ca: [pki/ca.crt], verify", ", verify")).problems
        assert [problem.path for problem in found] == ["groups.payments.tls.ca"]


def test_errors_are_merged_key_by_key_over_the_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE + "errors: {busy: {number: 34}, blocked: {text: NOT FOR YOU}}\n")
    assert config.errors[Refusal.BUSY] == ErrorText(number=34, text="BUSY")
    assert config.errors[Refusal.BLOCKED] == ErrorText(number=901, text="NOT FOR YOU")
    assert config.errors[Refusal.TIMED_OUT] == ErrorText(number=905, text="TIMED OUT")
    assert set(config.errors) == set(Refusal)


def test_error_numbers_may_swap_places(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE + "errors: {busy: {number: 901}, blocked: {number: 904}}\n")
    assert config.errors[Refusal.BLOCKED].number == 904


def test_admin_may_be_a_socket_in_the_file_system(tmp_path: Path) -> None:
    admin = loaded(tmp_path, EXAMPLE.replace("127.0.0.1:9190", "unix:admin.sock\n  mode: 0660")).admin
    assert (admin.bind, admin.mode) == (UnixBind(path=tmp_path / "admin.sock"), "0660")
    assert str(admin.bind) == f"unix:{tmp_path}/admin.sock"


def test_admin_may_be_reached_by_others_with_a_token_or_mutual_tls(tmp_path: Path) -> None:
    for protection in ("token_file: t", "tls: {certificate: a, ca: [b]}"):
        text = EXAMPLE.replace("bind: 127.0.0.1:9190", f"bind: 0.0.0.0:9190\n  {protection}")
        assert loaded(tmp_path, text).admin.bind.host == "0.0.0.0"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", '"[::1]'])
def test_loopback_needs_no_protection(tmp_path: Path, host: str) -> None:
    end = '"' if host.startswith('"') else ""
    assert loaded(tmp_path, EXAMPLE.replace("127.0.0.1:9190", f"{host}:9190{end}"))


def test_two_listeners_may_both_take_a_free_port(tmp_path: Path) -> None:
    other = "  - {name: b, bind: 0.0.0.0:0, group: payments, tls: {mode: clear}}\n"
    text = EXAMPLE.replace("0.0.0.0:9100", "0.0.0.0:0").replace("groups:\n", other + "groups:\n")
    assert len(loaded(tmp_path, text).listeners) == 2


def test_user_catalogue_counts_and_its_mistakes_name_its_file(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("commands: [{name: GPKX, effect: write}]")
    text = EXAMPLE.replace("[TIME, GPKD]", "[GPKX]") + "catalogue: own.yaml\n"
    assert load_text(tmp_path, text).problems == ()
    (tmp_path / "own.yaml").write_text("commands: [{name: GPKX, effect: wrote}]")
    broken = load_text(tmp_path, text)
    assert broken.config is None
    assert any(
        str(problem).startswith(f"{tmp_path / 'own.yaml'}:1: commands.GPKX.effect") for problem in broken.problems
    )


class TestEnvironment:
    def test_fills_text_numbers_and_parts(self, tmp_path: Path) -> None:
        text = (
            EXAMPLE.replace("10.0.8.31:9100", "'${env:HOST}:${env:PORT}'")
            .replace("weight: 2", "weight: '${env:WEIGHT}'")
            .replace("slow_start: 15s", 'slow_start: "${env:SLOW}"')
        )
        config = loaded(tmp_path, text, {"HOST": "hsm2.example", "PORT": "9200", "WEIGHT": "3.5", "SLOW": "1m"})
        assert str(config.groups[0].devices[1].address) == "hsm2.example:9200"
        assert config.groups[0].devices[1].weight == 3.5
        assert config.groups[0].slow_start == 60.0

    def test_value_is_not_read_as_yaml_nor_filled_again(self, tmp_path: Path) -> None:
        text = EXAMPLE.replace("common_name: vault-1", "common_name: '${env:CN}'")
        config = loaded(tmp_path, text, {"CN": "[a, ${env:OTHER}]"})
        assert config.groups[0].clients[0].match.common_name == "[a, ${env:OTHER}]"

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("slow_start: 15s", "slow_start: ${env:S}"),
            ("connections: 4096", "connections: ${env:S}"),
            ("balancing: true", "balancing: ${env:S}"),
            ("role: backup", "role: ${env:S}"),
            ("0.0.0.0:9100", "${env:S}"),
            ("name: hsm2", "name: ${env:S}"),
            ("group: payments", "group: ${env:S}"),
            ("TIME, GPKD", "'${env:S}'"),
            ("verify: name", "fingerprint: ${env:S}"),
            ('"[AOECHO;AGping;]"', "'${env:S}'"),
            ("workers: 1", "errors: {busy: {number: '${env:S}', text: '${env:S}'}}"),
            ("workers: 1", "catalogue: ${env:S}"),
        ],
    )
    @pytest.mark.parametrize("secret", ["s3cr3t pa;s/word]", "tab\there-secret"])
    def test_value_is_never_printed(self, tmp_path: Path, old: str, new: str, secret: str) -> None:
        assert old in EXAMPLE
        result = load_text(tmp_path, EXAMPLE.replace(old, new, 1), {"S": secret})
        assert result.errors
        text = "\n".join(f"{problem} {problem!r}" for problem in result.problems)
        assert "s3cr3t" not in text
        assert "here-secret" not in text

    def test_name_stands_in_for_a_value_that_is_used_twice(self, tmp_path: Path) -> None:
        text = EXAMPLE.replace("name: hsm2", "name: '${env:S}'").replace("name: hsm3", "name: '${env:S}'")
        [problem] = load_text(tmp_path, text, {"S": "secret-name"}).problems
        assert problem.message == "is '${env:S}' as on line 32, must be unique: give another"

    def test_process_environment_is_the_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GUARDIAN_TEST_SLOW", "7s")
        path = tmp_path / "guardian.yaml"
        path.write_text(EXAMPLE.replace("slow_start: 15s", "slow_start: ${env:GUARDIAN_TEST_SLOW}"))
        config = load(path).config
        assert config is not None
        assert config.groups[0].slow_start == 7.0


class TestUnreadableFile:
    def one(self, path: Path) -> str:
        result = load(path)
        assert result.config is None
        [problem] = result.problems
        assert str(problem).startswith(f"{problem.file}:1: (file): ")
        return problem.message

    def test_missing(self, tmp_path: Path) -> None:
        assert "No such file" in self.one(tmp_path / "none.yaml")

    def test_directory(self, tmp_path: Path) -> None:
        assert "directory" in self.one(tmp_path)

    def test_name_that_no_file_can_have(self, tmp_path: Path) -> None:
        assert "cannot be read" in self.one(tmp_path / "a\0b")

    def test_name_too_long(self, tmp_path: Path) -> None:
        assert "cannot be read" in self.one(tmp_path / ("a" * 5000))

    def test_no_permission(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(_path: Path, _mode: str) -> NoReturn:  # root may read everything, and tests may run as root
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        assert "Permission denied" in self.one(tmp_path / "guardian.yaml")


def test_problem_reads_as_promised() -> None:
    report = Report("guardian.yaml")
    report.error(Place("groups.payments.devices.hsm2.role", 12), "is 'spare', must be backup")
    [problem] = report.problems()
    assert str(problem) == "guardian.yaml:12: groups.payments.devices.hsm2.role: is 'spare', must be backup"


def test_no_problem_breaks_its_line(tmp_path: Path) -> None:
    result = load_text(tmp_path, '"a\\nb\\e[31m": 1\nlisteners: "x\\ny"\n')
    for problem in result.problems:
        assert "\n" not in str(problem)
        assert "\x1b" not in str(problem)

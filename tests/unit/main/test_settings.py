"""Settings: which source wins, what is refused, and that children get the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aicp.core.errors import InvalidError
from aicp.main.otel import trace_rules
from aicp.main.settings import SETTINGS, Settings, is_loopback, load_settings


def load(tmp_path: Path, *, yaml: str = "", flags: dict[str, str] | None = None, **variables: str) -> Settings:
    (tmp_path / "config.yaml").write_text(yaml)
    return load_settings(flags or {}, {"AICP_DATA_DIR": str(tmp_path), **variables})


def test_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.host, settings.port, settings.gateway_host, settings.gateway_port) == (
        "127.0.0.1",
        8600,
        "127.0.0.1",
        8601,
    )
    assert settings.database_url == f"sqlite+aiosqlite:///{tmp_path}/db/aicp.sqlite"
    assert settings.environments_dir == Path.home() / ".cache" / "aicp" / "environments"
    assert settings.engine_user is None
    assert load_settings({}, {}).data_dir == Path.home() / ".aicp"


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path) -> None:
    yaml = "port: 1001\noffline: true\n"
    assert load(tmp_path, yaml=yaml).port == 1001
    assert load(tmp_path, yaml=yaml, AICP_PORT="1002").port == 1002
    assert load(tmp_path, yaml=yaml, flags={"port": "1003"}, AICP_PORT="1002").port == 1003
    assert load(tmp_path, yaml=yaml).gateway_port == 1002, "the default gateway port follows the port"
    assert load(tmp_path, yaml=yaml).offline


def test_engines_are_installed_once_for_all_data_directories(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    cache, own = {"XDG_CACHE_HOME": str(tmp_path)}, {"AICP_ENVIRONMENTS_DIR": str(one)}
    for data_dir in (one, two):
        found = load_settings({"data_dir": str(data_dir)}, cache).environments_dir
        assert found == tmp_path / "aicp" / "environments"
    assert load_settings({}, cache | own).environments_dir == one
    assert (
        load_settings({}, {"XDG_CACHE_HOME": "relative"}).environments_dir == Path.home() / ".cache/aicp/environments"
    )


def test_another_file(tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("import_allowed_networks: [10.0.0.0/8, hub.example.org]\nport: 9000")
    settings = load(tmp_path, yaml="port: 1", AICP_CONFIG=str(other))
    assert settings.import_allowed_networks == ("10.0.0.0/8", "hub.example.org")
    assert settings.port == 9000


@pytest.mark.parametrize(
    ("yaml", "variables", "words"),
    [
        ("prot: 1", {}, "which is no setting"),
        ("port: x", {}, "port in the configuration file is 'x'"),
        ("- a", {}, "must hold `name: value`"),
        ("a: [", {}, "cannot be read"),
        ("", {"AICP_PORT": "70000"}, "AICP_PORT is '70000'"),
        ("", {"AICP_OFFLINE": "perhaps"}, "AICP_OFFLINE is 'perhaps'"),
        ("", {"AICP_LOG_LEVEL": "loud"}, "AICP_LOG_LEVEL"),
        ("", {"AICP_CURRENCY": "dollars"}, "AICP_CURRENCY is 'dollars'"),
        ("", {"AICP_CONFIG": "/nowhere.yaml"}, "/nowhere.yaml does not exist"),
        ("", {"AICP_TLS_KEY": "/key.pem"}, "only one of them"),
        ("", {"AICP_HOST": "0.0.0.0"}, "in the clear"),
        ("", {"AICP_GATEWAY_HOST": "192.168.1.5"}, "AICP_GATEWAY_HOST"),
        ("host: '::'", {}, "in the clear"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, yaml: str, variables: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidError) as caught:
        load(tmp_path, yaml=yaml, **variables)
    assert words in caught.value.message


def test_other_addresses_are_allowed_with_tls_or_on_demand(tmp_path: Path) -> None:
    assert load(tmp_path, AICP_HOST="0.0.0.0", AICP_INSECURE="1").control_url == "http://127.0.0.1:8600"
    tls = {"AICP_TLS_CERTIFICATE": "/c.pem", "AICP_TLS_KEY": "/k.pem"}
    assert load(tmp_path, AICP_HOST="::", **tls).gateway_url == "https://[::1]:8601"


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)],
)
def test_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_children_read_the_same_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        yaml="import_allowed_networks: [10.0.0.0/8, 10.1.0.0/16]",
        flags={"insecure": "true", "host": "0.0.0.0"},
        AICP_ENGINE_USER="daemon",
    )
    again = load_settings({}, settings.as_environment() | {"AICP_CONFIG": str(tmp_path / "config.yaml")})
    assert again == settings
    assert again.digest() == settings.digest()
    assert load(tmp_path).digest() != settings.digest()


def test_every_setting_is_described() -> None:
    assert all(setting.description.endswith((".", "`.")) for setting in SETTINGS)


def test_traces_follow_the_own_setting_then_opentelemetry_s_variables(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.otel_exporter_otlp_endpoint == ""
    assert (settings.otel_traces_sampler_arg, settings.otel_service_name) == (1.0, "aicp-gateway")
    standard = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
        "OTEL_SERVICE_NAME": "ours",
    }
    settings = load(tmp_path, **standard)
    assert settings.otel_exporter_otlp_endpoint == "http://collector:4318"
    assert (settings.otel_traces_sampler_arg, settings.otel_service_name) == (0.1, "ours")
    settings = load(tmp_path, **standard, AICP_OTEL_TRACES_SAMPLER_ARG="0", AICP_OTEL_EXPORTER_OTLP_ENDPOINT="")
    assert (settings.otel_exporter_otlp_endpoint, settings.otel_traces_sampler_arg) == ("", 0.0)
    assert load_settings({}, standard | settings.as_environment()) == settings, "what is off is off in every process"
    rules = trace_rules(standard)
    assert rules is not None
    assert (rules.endpoint, rules.ratio, rules.service) == ("http://collector:4318", 0.1, "ours")
    assert trace_rules({}) is None


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"), ("OTEL_TRACES_SAMPLER_ARG", "2")]
)
def test_what_opentelemetry_s_variables_cannot_be_is_named(tmp_path: Path, name: str, value: str) -> None:
    for read in (lambda: load(tmp_path, **{name: value}), lambda: trace_rules({name: value})):
        with pytest.raises(InvalidError, match=re.escape(value)) as caught:
            read()
        assert "OTEL" in caught.value.message.upper() or "OpenTelemetry" in caught.value.message


def test_simulated_accelerators_are_names_of_the_catalogue(tmp_path: Path) -> None:
    settings = load(tmp_path, AICP_SIMULATED_ACCELERATORS="h20-96g:8, 910B3")
    assert settings.simulated_accelerators == ("H20-96G:8", "910B3:1")
    assert load(tmp_path, **settings.as_environment()).simulated_accelerators == settings.simulated_accelerators
    assert load(tmp_path).simulated_accelerators == ()
    assert load(tmp_path, yaml="simulated_accelerators: [L20:2, L4]\n").simulated_accelerators == ("L20:2", "L4:1")
    with pytest.raises(InvalidError, match=r"AICP_SIMULATED_ACCELERATORS is 'H21:8': .* the closest: .*H20"):
        load(tmp_path, AICP_SIMULATED_ACCELERATORS="H21:8")

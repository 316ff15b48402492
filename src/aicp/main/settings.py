"""Every setting of the platform, read once a process: flag > environment (AICP_*) > YAML file > default."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from aicp.core.errors import InvalidError
from aicp.core.quantity import parse_bytes
from aicp.core.simulated_cards import parse_simulated
from aicp.main import otel
from aicp.main import setting_values as read
from aicp.main.cluster_settings import CLUSTER_SETTINGS
from aicp.main.runner_settings import RUNNER_SETTINGS
from aicp.main.setting import Setting


@dataclass(frozen=True, slots=True)
class Settings:
    """The typed values. Fields are the rows of SETTINGS, in their order."""

    data_dir: Path
    host: str
    port: int
    gateway_host: str
    gateway_port: int
    gateway_processes: int
    reserved_ports: tuple[str, ...]
    insecure: bool
    tls_certificate: Path | None
    tls_key: Path | None
    database_url: str
    environments_dir: Path
    console_dir: Path | None
    import_allowed_networks: tuple[str, ...]
    import_directories: tuple[Path, ...]
    media_fetch: bool
    media_allowed_networks: tuple[str, ...]
    gateway_coordinator: str
    limits_without_coordinator: str
    offline: bool
    wheelhouse: Path | None
    hf_endpoint: str | None
    modelscope_endpoint: str | None
    engine_user: str | None
    simulated_accelerators: tuple[str, ...]
    cluster_address: str
    node_lease_seconds: float
    runner: str
    ray_address: str
    ray_redis: str
    ray_redis_authority: Path | None
    ray_reconnect_seconds: int
    kubernetes_config: Path | None
    kubernetes_namespace: str
    kubernetes_scheduler: str
    kubernetes_images: tuple[str, ...]
    kubernetes_image: str | None
    kubernetes_models: str
    kubernetes_control_url: str | None
    kubernetes_token_secret: str
    kubernetes_gateway_networks: tuple[str, ...]
    currency: str
    file_quota: int
    batch_requests: int
    otel_exporter_otlp_endpoint: str
    otel_traces_sampler_arg: float
    otel_service_name: str
    log_level: str

    @property
    def control_url(self) -> str:
        """Where the processes of this machine reach the control plane."""
        return f"{self._scheme}://{_reachable(self.host)}:{self.port}"

    @property
    def gateway_url(self) -> str:
        """Where applications on this machine reach the gateway."""
        return f"{self._scheme}://{_reachable(self.gateway_host)}:{self.gateway_port}"

    @property
    def agent_socket(self) -> Path:
        """The agent's unix socket."""
        return self.data_dir / "agent" / "agent.sock"

    @property
    def _scheme(self) -> str:
        return "https" if self.tls_certificate else "http"

    def runner_options(self) -> dict[str, Any]:
        """The settings of the chosen runner, by their names without its own; with where its replicas find control."""
        mark = f"{self.runner}_"
        options = {name.removeprefix(mark): value for name, value in asdict(self).items() if name.startswith(mark)}
        options["run_dir"] = self.data_dir / "run"
        if not is_loopback(self.host):
            options["control_url"] = options.get("control_url") or self.control_url
        if self.tls_certificate is not None:
            options["control_certificate"] = self.tls_certificate
        return options

    def as_environment(self) -> dict[str, str]:
        """The same settings as variables, for the platform's other processes."""
        values = {setting.variable: _as_text(getattr(self, setting.name)) for setting in SETTINGS}
        return {name: text for name, text in values.items() if text is not None}

    def digest(self) -> str:
        """Changes whenever a process started with these settings would behave differently."""
        text = json.dumps(asdict(self), sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


SETTINGS: tuple[Setting, ...] = (
    Setting("data_dir", read.path, "~/.aicp", "Directory that holds everything the platform keeps."),
    Setting("host", read.plain, "127.0.0.1", "Address on which the console and the REST interface listen."),
    Setting("port", read.port, "8600", "Port of the console and the REST interface."),
    Setting("gateway_host", read.plain, None, "Address on which the gateway listens. Default: the same as `host`."),
    Setting("gateway_port", read.port, None, "Port of the gateway. Default: the one after `port`."),
    Setting(
        "gateway_processes",
        read.processes,
        "1",
        "Gateway processes that accept on that port together; one carries about a processor core's worth of requests.",
    ),
    Setting(
        "reserved_ports",
        read.ports,
        "",
        "Ports that no listener of a service may take, comma-separated, ranges too: `5432, 9000-9099`.",
    ),
    Setting("insecure", read.boolean, "false", "Allow listening beyond loopback without TLS."),
    Setting("tls_certificate", read.optional_path, "", "PEM file of the certificate chain; turns TLS on."),
    Setting("tls_key", read.optional_path, "", "PEM file of the certificate's private key."),
    Setting(
        "database_url",
        read.plain,
        None,
        "`postgresql+asyncpg://user:password@host/name`. Default: embedded SQLite in `<data_dir>/db`.",
    ),
    Setting(
        "environments_dir",
        read.path,
        None,
        "Directory of engine environments, shared by data directories. Default: `$XDG_CACHE_HOME/aicp/environments`, "
        "which is `~/.cache/aicp/environments` where nothing else is set. A service of the system names one of its "
        "own, such as `/var/cache/aicp/environments`.",
    ),
    Setting(
        "console_dir",
        read.optional_path,
        None,
        "Built console that is served. Default: the one that ships with the platform.",
    ),
    Setting(
        "import_allowed_networks",
        read.names,
        "",
        "Private networks and hosts that imports may fetch from, comma-separated: `10.1.0.0/16, hub.example.org`.",
    ),
    Setting(
        "import_directories",
        read.paths,
        "",
        "Folders of this machine that imports may read, comma-separated. Default: all but the platform's own.",
    ),
    Setting(
        "media_fetch",
        read.boolean,
        "true",
        "Whether the gateway fetches images and other media that a request names by an http or https address. "
        "With `offline` it never does.",
    ),
    Setting(
        "media_allowed_networks",
        read.names,
        "",
        "Private networks and hosts that media of requests may come from, comma-separated; public ones always are.",
    ),
    Setting(
        "gateway_coordinator",
        read.coordinator,
        "",
        "Where gateways of several machines share limits: `redis://:password@host:6379`, `rediss://` with TLS, or "
        "`valkey://`, `valkeys://`. `file:/folder` shares them among processes of this machine. Default: `file:limits` "
        "in the gateway's directory for several `gateway_processes`, else nowhere.",
    ),
    Setting(
        "limits_without_coordinator",
        read.one_of("share", "refuse"),
        "share",
        "What a gateway does while it cannot reach its coordinator: `share` (it holds to its part of every limit) or "
        "`refuse` (what has limits is answered 503).",
    ),
    Setting("offline", read.boolean, "false", "Never ask a hub or a package index; use what is here."),
    Setting(
        "wheelhouse", read.optional_path, "", "Directory of wheels that engine environments are built from offline."
    ),
    Setting("hf_endpoint", read.optional, "", "Address of a Hugging Face compatible hub. Default: the public one."),
    Setting(
        "modelscope_endpoint", read.optional, "", "Address of a ModelScope compatible hub. Default: the public one."
    ),
    Setting(
        "engine_user",
        read.optional,
        "",
        "User that engines run as when the platform is started as root. Default: `nobody`; `root` keeps them root.",
    ),
    Setting(
        "simulated_accelerators",
        parse_simulated,
        "",
        "Accelerators that this machine pretends to have, for tests, demonstrations and planning: `H20-96G:8,910B3:4`, "
        "names as `aicp accelerator catalog` lists them. They are marked as simulated wherever they are shown, and no "
        "model runs on one.",
    ),
    *CLUSTER_SETTINGS,
    *RUNNER_SETTINGS,
    Setting(
        "currency",
        read.currency,
        "USD",
        "Currency of prices, costs and budgets: three letters. It names amounts and converts none.",
    ),
    Setting("file_quota", parse_bytes, "20GiB", "What the files of one project, for batches, may hold together."),
    Setting("batch_requests", read.count, "64", "Requests of batches that are under way at the gateway at once."),
    Setting(
        "otel_exporter_otlp_endpoint",
        otel.collector,
        None,
        "Base address of an OpenTelemetry collector (OTLP over HTTP) that gets traces of the gateway's requests, such "
        "as `http://127.0.0.1:4318`. Default: `OTEL_EXPORTER_OTLP_ENDPOINT`; without either no traces are kept.",
    ),
    Setting(
        "otel_traces_sampler_arg",
        otel.share,
        None,
        "Share of requests that are traced, from 0 to 1. A request that brings a trace context is traced as that says. "
        "Default: `OTEL_TRACES_SAMPLER_ARG`, else 1.",
    ),
    Setting(
        "otel_service_name",
        read.plain,
        None,
        "What the gateway is called in traces. Default: `OTEL_SERVICE_NAME`, else `aicp-gateway`.",
    ),
    Setting(
        "log_level",
        read.one_of("debug", "info", "warning", "error"),
        "info",
        "How much the platform's own processes log: debug, info, warning, error.",
    ),
)
CONFIG_VARIABLE = "AICP_CONFIG"
assert [setting.name for setting in SETTINGS] == [field.name for field in fields(Settings)]


def environment() -> dict[str, str]:
    """This process's environment; the only place that reads it."""
    return dict(os.environ)


def load_settings(flags: Mapping[str, str | None], variables: Mapping[str, str]) -> Settings:
    """The settings from `flags` (by setting name, None where not given), `variables` and the YAML file.

    Raises InvalidError that names the setting, where its value came from, and what it may be.
    """
    given = {name: text for name, text in flags.items() if text is not None}
    first = _sources(given, variables, {})
    data_dir = _value(_setting("data_dir"), first)
    sources = _sources(given, variables, _read_file(variables.get(CONFIG_VARIABLE), data_dir))
    values = {setting.name: _value(setting, sources) for setting in SETTINGS}
    _derive(values, variables)
    settings = Settings(**values)
    check_listening(settings)
    return settings


def check_listening(settings: Settings) -> None:
    """Raises InvalidError for an address beyond loopback without TLS, unless `insecure` allows it."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise InvalidError(
            "TLS needs a certificate and its key; only one of them is set.",
            hint="Set both AICP_TLS_CERTIFICATE and AICP_TLS_KEY.",
        )
    for name, host in (("host", settings.host), ("gateway_host", settings.gateway_host)):
        if not is_loopback(host) and settings.tls_certificate is None and not settings.insecure:
            raise InvalidError(
                f"Listening on {host} ({_setting(name).variable}) would send keys and answers in the clear to other "
                "machines.",
                hint="Set AICP_TLS_CERTIFICATE and AICP_TLS_KEY, or say --insecure when the network is trusted.",
            )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


_Source = tuple[str, Mapping[str, str]]


def _sources(flags: Mapping[str, str], variables: Mapping[str, str], file: Mapping[str, str]) -> Sequence[_Source]:
    by_name = {setting.name: variables[setting.variable] for setting in SETTINGS if setting.variable in variables}
    return (("flag", flags), ("environment", by_name), ("configuration file", file))


def _value(setting: Setting, sources: Sequence[_Source]) -> Any:
    for source, values in sources:
        if setting.name in values:
            return _parse(setting, values[setting.name], source)
    return None if setting.default is None else setting.parse(setting.default)


def _parse(setting: Setting, text: str, source: str) -> Any:
    try:
        return setting.parse(text)
    except ValueError as error:
        where = {"flag": setting.flag, "environment": setting.variable}.get(source, f"{setting.name} in the {source}")
        raise InvalidError(f"{where} is {text!r}: {error}.", hint=setting.description) from error


def _read_file(name: str | None, data_dir: Path) -> dict[str, str]:
    path = read.path(name) if name else data_dir / "config.yaml"
    try:
        content = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        if name is None:
            return {}
        raise InvalidError(f"The configuration file {path} does not exist.", hint="Correct AICP_CONFIG.") from error
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError(f"The configuration file {path} cannot be read: {error}.") from error
    if not isinstance(content or {}, dict):
        raise InvalidError(f"The configuration file {path} must hold `name: value` lines.")
    values: dict[str, Any] = content or {}
    known = [setting.name for setting in SETTINGS if setting.name != "data_dir"]
    for key in values:
        if key not in known:
            raise InvalidError(f"{path} sets {key!r}, which is no setting.", hint=f"Known: {', '.join(known)}.")
    return {key: _from_yaml(value) for key, value in values.items()}


def _from_yaml(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return "" if value is None else str(value)


def _derive(values: dict[str, Any], variables: Mapping[str, str]) -> None:
    data_dir = values["data_dir"]
    derived = {
        "gateway_host": values["host"],
        "gateway_port": values["port"] + 1,
        "database_url": f"sqlite+aiosqlite:///{data_dir / 'db' / 'aicp.sqlite'}",
        "environments_dir": _cache_dir(variables) / "aicp" / "environments",
    }
    for name, value in derived.items():
        if values[name] is None:
            values[name] = value
    for name in otel.DEFAULTS:
        if values[name] is None:
            values[name] = _parse(_setting(name), otel.standard(name, variables), "OpenTelemetry environment")


def _cache_dir(variables: Mapping[str, str]) -> Path:
    # An engine takes gigabytes: one copy for every data directory of a user, where caches belong.
    named = Path(variables.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"  # a relative one is invalid and to be ignored


def _setting(name: str) -> Setting:
    return next(setting for setting in SETTINGS if setting.name == name)


def _reachable(host: str) -> str:
    if host in ("0.0.0.0", ""):
        return "127.0.0.1"
    if host == "::":
        return "[::1]"
    return f"[{host}]" if ":" in host else host


def _as_text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

"""`aicp quickstart`: from nothing to an answer of a real model, then stay up. `make run` ends here."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from aicp.cli.chat import stream_chat
from aicp.cli.connection import Target, local_endpoints, target_of
from aicp.cli.output import err, out
from aicp.cli.platform import running_supervisor, server_command, wait_until_up
from aicp.cli.progress import wait_for_job, wait_for_service
from aicp.client.rest import Client
from aicp.core.api_key import ApiKey
from aicp.core.clock import SystemClock
from aicp.core.errors import AicpError, InvalidError, NotFoundError
from aicp.core.model import DirectorySource, ImportRequest, ModelType
from aicp.core.service import Compute, Plan, ServiceCreate, ServiceSpec, ServiceState, ServiceUpdate
from aicp.security.keys import key_id

MODEL = "aicp-demo"
KEY_NAME = "quickstart"
ADMIN = "admin"
QUESTION = "What is aicp?"
app = typer.Typer(invoke_without_command=True, help="Serve the demonstration model and stay up.")


@dataclass(frozen=True, slots=True)
class Quickstart:
    """What scripts need; written as quickstart.json (0600) once the demo answer has arrived."""

    console_url: str
    api_base: str
    api_key: str
    model: str
    admin_user: str
    admin_password: str | None


def demo_directory() -> Path:
    """The demonstration model that ships with the project."""
    for parent in Path(__file__).resolve().parents:
        found = parent / "demo" / "model"
        if (found / "config.json").is_file():
            return found
    raise InvalidError(
        "The demonstration model is not here.",
        hint="Run `make run` in a checkout of the project, which holds demo/model.",
    )


@app.callback()
def quickstart(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", envvar="AICP_RUN_ONCE", help="Stop after the demo answer.")] = False,
) -> None:
    """Start the platform, publish the demonstration model, ask it a question, and stay up."""
    if ctx.invoked_subcommand is not None:
        return
    target = target_of(ctx)
    if running_supervisor(target.data_dir):
        raise InvalidError(
            f"A platform already runs on {target.data_dir}.",
            hint="Stop it with `aicp down`, or set AICP_DATA_DIR and AICP_PORT for a second one.",
        )
    signal.signal(signal.SIGTERM, _interrupt)
    status = 130
    process = _start_platform(target)
    try:
        _demonstrate(wait_until_up(target.data_dir, process), target.data_dir)
        status = 0  # from here on, Ctrl-C is how it is meant to end
        if not once:
            err.print("\nThe platform stays up; Ctrl-C stops it.")
            status = process.wait()
    except KeyboardInterrupt:
        err.print("\nStopping ...")
    finally:
        _stop(process)
    if status:
        raise typer.Exit(status)


def _start_platform(target: Target) -> subprocess.Popen[bytes]:
    options = ["--port", str(target.port)] if target.port else []
    # Its own session: Ctrl-C reaches only this process, which then stops the platform in order.
    return subprocess.Popen(server_command(target.data_dir, options), stdin=subprocess.DEVNULL, start_new_session=True)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # a second Ctrl-C must not leave half a platform behind
        signal.signal(number, signal.SIG_IGN)
    if process.poll() is None:
        process.terminate()
    process.wait(120)


def _demonstrate(client: Client, data_dir: Path) -> None:
    err.print(f"Platform: {client.transport.url}", markup=False)
    _wait_for_node(client)
    _ensure_model(client)
    _serve(client)
    with _key(client, read_quickstart(data_dir)) as secret:
        facts = _facts(client, data_dir, secret)
        _ask(facts, client.transport.tls)
        _write(data_dir / "quickstart.json", facts)
    _explain(facts, data_dir)


def _wait_for_node(client: Client) -> None:
    deadline = time.monotonic() + 60
    while not any(node.state == "ready" for node in client.nodes.list()):
        if time.monotonic() > deadline:
            raise InvalidError("This machine did not register as a node.", hint="Look into the agent's log.")
        time.sleep(0.1)
    node = client.nodes.list()[0]
    cores = node.status.cpu_cores if node.status else "?"
    err.print(f"Node: {node.name}, {cores} cores", markup=False)


def _ensure_model(client: Client) -> None:
    try:
        if client.models.get(MODEL).latest:
            return
    except NotFoundError:
        pass
    source = DirectorySource(path=str(demo_directory()))
    request = ImportRequest(
        source=source, type=ModelType.CHAT, description="Answers questions about this platform. A demonstration only."
    )
    wait_for_job(client, client.models.import_version(MODEL, request), "Importing the demonstration model")
    err.print(f"Model: {MODEL}", markup=False)


def _serve(client: Client) -> None:
    """The demonstration on what the platform chooses; on the processor where an accelerator's engine does not work."""
    wanted = ServiceCreate(name=MODEL, spec=ServiceSpec(model=MODEL))
    plan = client.services.plan(wanted)
    try:
        _ensure_engine(client, plan)
        _ensure_service(client, wanted)
    except AicpError as error:
        if plan.variant == "cpu":
            raise
        err.print(f"{plan.engine} {plan.variant} does not work here: {error.message}", markup=False)
        err.print("The demonstration runs on the processor instead.", markup=False)
        wanted = wanted.model_copy(update={"spec": ServiceSpec(model=MODEL, compute=Compute(accelerators=0))})
        _ensure_engine(client, client.services.plan(wanted))
        _ensure_service(client, wanted)


def _ensure_engine(client: Client, plan: Plan) -> None:
    if not plan.environment_installed:
        job = client.engines.install(plan.engine, plan.engine_version)
        wait_for_job(client, job, f"Installing engine {plan.engine} {plan.engine_version}")
    err.print(f"Engine: {plan.engine} {plan.engine_version}", markup=False)


def _ensure_service(client: Client, wanted: ServiceCreate) -> None:
    try:
        service = client.services.get(MODEL)
        if service.stopped:
            client.services.update(MODEL, ServiceUpdate(stopped=False))
        elif service.state == ServiceState.FAILED:
            moved = wanted.spec.compute.accelerators == 0
            client.services.update(MODEL, ServiceUpdate(spec=wanted.spec if moved else service.spec))
    except NotFoundError:
        client.services.create(wanted)
    started = time.monotonic()
    wait_for_service(client, MODEL, f"Starting {MODEL}")
    err.print(f"Service: {MODEL} is ready after {time.monotonic() - started:.0f} s", markup=False)


@contextmanager
def _key(client: Client, kept: Quickstart | None) -> Generator[str, None, None]:
    """The key of the last time where it still holds, else a new one, which is revoked if it comes to nothing."""
    own = own_key(client, kept)
    if kept is not None and own is not None and _usable(own):
        yield kept.api_key
        return
    created = client.keys.create(KEY_NAME, models=[MODEL])
    try:
        yield created.secret
    except BaseException:  # nobody will ever know its secret
        with suppress(AicpError):
            client.keys.revoke(created.key.id)
        raise
    if own is not None and not own.revoked_at:
        client.keys.revoke(own.id)


def _usable(key: ApiKey) -> bool:
    ended = key.expires_at is not None and key.expires_at <= SystemClock().now()
    return not (key.revoked_at or ended) and (key.models is None or MODEL in key.models)


def own_key(client: Client, kept: Quickstart | None) -> ApiKey | None:
    """The key that quickstart.json holds; other keys may have its name and are somebody else's."""
    found = key_id(kept.api_key) if kept else None
    try:
        return client.keys.get(found) if found else None
    except NotFoundError:
        return None


def _facts(client: Client, data_dir: Path, secret: str) -> Quickstart:
    password = data_dir / "run" / "admin-password"
    first = password.is_file() and any(user.name == ADMIN and user.must_change_password for user in client.users.list())
    return Quickstart(
        console_url=client.transport.url,
        api_base=client.services.get(MODEL).address or "",
        api_key=secret,
        model=MODEL,
        admin_user=ADMIN,
        admin_password=password.read_text().strip() if first else None,
    )


def read_quickstart(data_dir: Path) -> Quickstart | None:
    """What an earlier quickstart wrote, None when there is nothing usable."""
    try:
        return Quickstart(**json.loads((data_dir / "quickstart.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _ask(facts: Quickstart, tls: ssl.SSLContext | None) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    out.print(f"\n[bold]{QUESTION}[/]")
    for piece in _answer_once_routed(facts, messages, tls):
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")


def _answer_once_routed(facts: Quickstart, messages: list[dict[str, str]], tls: ssl.SSLContext | None) -> Iterator[str]:
    """The pieces of the answer. A new key and route reach the gateway within a second, so refusals are tried again."""
    deadline = time.monotonic() + 10
    while True:
        pieces = stream_chat(facts.api_base, facts.api_key, facts.model, messages, {"temperature": 0}, tls=tls)
        try:
            first = next(pieces, "")
        except AicpError as error:
            if error.status not in (401, 404, 503) or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
            continue
        yield first
        yield from pieces
        return


def _write(path: Path, facts: Quickstart) -> None:
    temporary = path.with_suffix(".tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(facts), file, indent=2)
    temporary.rename(path)


def _explain(facts: Quickstart, data_dir: Path) -> None:
    body = json.dumps({"model": facts.model, "messages": [{"role": "user", "content": QUESTION}], "stream": True})
    password = facts.admin_password or "(changed)"
    where = data_dir / "run" / "admin-password"
    certificate = local_endpoints(data_dir).get("certificate")
    tls = f"\n\nTLS: callers must believe {certificate}, or who signed it:\n" if certificate else ""
    tls += "curl --cacert FILE, Python SSL_CERT_FILE=FILE, aicp --ca FILE." if certificate else ""
    hint = f"\n          (the first password is also in {where})" if facts.admin_password else ""
    typer.echo(
        f"""
The same with curl:

  curl {facts.api_base}/chat/completions \\
    -H "Authorization: Bearer {facts.api_key}" -H "Content-Type: application/json" \\
    -d '{body}'

The same in Python (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="{facts.api_base}", api_key="{facts.api_key}")
  for chunk in client.chat.completions.create(
      model="{facts.model}", messages=[{{"role": "user", "content": "{QUESTION}"}}], stream=True
  ):
      print(chunk.choices[0].delta.content or "", end=""){tls}

Console:  {facts.console_url}   user {facts.admin_user}   password {password}{hint}
For scripts: {data_dir / "quickstart.json"}"""
    )


@app.command()
def clean(ctx: typer.Context) -> None:
    """Remove quickstart.json and revoke its key."""
    target = target_of(ctx)
    path = target.data_dir / "quickstart.json"
    kept = read_quickstart(target.data_dir)
    if kept is None:
        path.unlink(missing_ok=True)
        out.print(f"There is no key to revoke: {path} holds none.", soft_wrap=True, markup=False)
        return
    running = running_supervisor(target.data_dir) is not None
    process = None if running else _start_platform(target)
    try:
        client = wait_until_up(target.data_dir, process)
        own = own_key(client, kept)
        if own is not None and not own.revoked_at:
            client.keys.revoke(own.id)
    finally:
        if process is not None:
            _stop(process)
    path.unlink(missing_ok=True)
    out.print("Removed quickstart.json and revoked its key.")

"""`aicp login`, `aicp project` and `aicp user`."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer

from aicp.cli.connection import LOGIN_FILE, JsonFlag, YesFlag, connect, local_pin, open_client, saved_login, target_of
from aicp.cli.limits import LIMIT_HELP, changed_limits, limits_text
from aicp.cli.output import err, out, print_done, print_facts, print_json, print_table
from aicp.client.rest import Client
from aicp.core.errors import InvalidError, UnauthorizedError, UnavailableError
from aicp.core.identity import ProjectCreate, ProjectUpdate, Role, UserCreate, UserUpdate
from aicp.core.limits import Limits

LimitOption = Annotated[list[str] | None, typer.Option("--limit", help=LIMIT_HELP)]
project_app = typer.Typer(no_args_is_help=True, help="Projects and their members.")
user_app = typer.Typer(no_args_is_help=True, help="People and programs that log in.")


def login(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Argument(help="Address of the console.")] = None,
    user: Annotated[str, typer.Option(prompt=True)] = "admin",
    password: Annotated[str | None, typer.Option(help="Asked for when not given.", envvar="AICP_PASSWORD")] = None,
) -> None:
    """Log in and keep the session for later commands."""
    secret = password or typer.prompt("Password", hide_input=True)
    target = target_of(ctx)
    address = (url or target.url or target.local_url()).rstrip("/")
    pin = None if target.ca else local_pin(target.data_dir, address)
    client, session = Client.login(address, user, secret, ca=target.ca, pin=pin)
    client.close()
    LOGIN_FILE.parent.mkdir(parents=True, exist_ok=True)
    LOGIN_FILE.touch(mode=0o600)
    LOGIN_FILE.chmod(0o600)
    kept = {"url": address, "token": session.token, "expires_at": session.expires_at.isoformat()}
    LOGIN_FILE.write_text(json.dumps(kept | ({"ca": str(target.ca)} if target.ca else {})))
    out.print(f"Logged in as {session.user.name} until {session.expires_at.astimezone():%Y-%m-%d %H:%M}.")
    if session.user.must_change_password:
        out.print("Change the first password with `aicp user password`.")


def logout(ctx: typer.Context) -> None:
    """End the kept session."""
    saved = saved_login()
    try:
        if saved:
            with open_client(target_of(ctx), saved["url"], saved["token"]) as client:
                client.logout()
    except UnauthorizedError:
        pass  # it had ended
    except UnavailableError as error:
        err.print(f"{error.message} The session there ends by itself {_end_of(saved)}.", markup=False)
    LOGIN_FILE.unlink(missing_ok=True)
    out.print("Logged out." if saved else "There was no login.")


def _end_of(saved: dict[str, str]) -> str:
    ends = saved.get("expires_at")
    return f"at {datetime.fromisoformat(ends).astimezone():%Y-%m-%d %H:%M}" if ends else "within a week"


@project_app.command("list")
def list_projects(ctx: typer.Context, search: str | None = None, json_: JsonFlag = False) -> None:
    """List projects."""
    projects = connect(ctx).projects.list(search=search)
    if json_:
        return print_json(projects)
    print_table(
        projects,
        [
            ("name", lambda p: p.name),
            ("organization", lambda p: p.organization),
            ("description", lambda p: p.description),
        ],
        empty="No projects.",
    )


@project_app.command("show")
def show_project(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show a project."""
    project = connect(ctx).projects.get(name)
    if json_:
        return print_json(project)
    print_facts(
        [
            ("name", project.name),
            ("organization", project.organization),
            ("description", project.description),
            ("limits", limits_text(project.limits)),
            ("created", project.created_at),
        ]
    )


@project_app.command()
def organizations(ctx: typer.Context, json_: JsonFlag = False) -> None:
    """List organizations, the owners of projects."""
    found = [*connect(ctx).projects.organizations()]
    if json_:
        return print_json(found)
    print_table(
        found,
        [
            ("name", lambda o: o.name),
            ("limits", lambda o: limits_text(o.limits)),
            ("created", lambda o: o.created_at),
        ],
        empty="No organizations.",
    )


@project_app.command("limit-organization")
def limit_organization(
    ctx: typer.Context,
    name: str,
    limit: Annotated[list[str], typer.Option("--limit", help=LIMIT_HELP)],
    json_: JsonFlag = False,
) -> None:
    """Set the limits that all projects of an organization share."""
    projects = connect(ctx).projects
    present = next((one.limits for one in projects.organizations() if one.name == name), Limits())
    organization = projects.update_organization(name, changed_limits(present, limit))
    print_done(organization, f"{name} has limits: {limits_text(organization.limits)}.", as_json=json_)


@project_app.command("create")
def create_project(
    ctx: typer.Context,
    name: str,
    description: str = "",
    organization: Annotated[str, typer.Option(help="Its owner.")] = "default",
    limit: LimitOption = None,
    json_: JsonFlag = False,
) -> None:
    """Create a project."""
    limits = changed_limits(Limits(), limit or [])
    body = ProjectCreate(name=name, description=description, organization=organization, limits=limits)
    print_done(connect(ctx).projects.create(body), f"Created project {name}.", as_json=json_)


@project_app.command("update")
def update_project(
    ctx: typer.Context,
    name: str,
    description: Annotated[str | None, typer.Option(help="What people read about it; '' clears it.")] = None,
    limit: LimitOption = None,
    json_: JsonFlag = False,
) -> None:
    """Change a project's description or limits; its name never changes."""
    projects = connect(ctx).projects
    changes: dict[str, object] = {} if description is None else {"description": description}
    if limit:
        changes["limits"] = changed_limits(projects.get(name).limits, limit)
    if not changes:
        raise InvalidError("Nothing to change was given.", hint="See `aicp project update --help`.")
    project = projects.update(name, ProjectUpdate.model_validate(changes))
    print_done(project, f"Changed {name}.", as_json=json_)


@project_app.command("delete")
def delete_project(ctx: typer.Context, name: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Remove an empty project."""
    if not yes:
        typer.confirm(f"Remove project {name}?", abort=True)
    connect(ctx).projects.delete(name)
    print_done({"removed": name}, f"Removed {name}.", as_json=json_)


@project_app.command()
def members(ctx: typer.Context, name: str, search: str | None = None, json_: JsonFlag = False) -> None:
    """List who has which role."""
    found = connect(ctx).projects.members(name, search=search)
    if json_:
        return print_json([*found])
    print_table(found, [("user", lambda m: m.user), ("role", lambda m: m.role)], empty="No members.")


@project_app.command()
def grant(ctx: typer.Context, name: str, user: str, role: Role, json_: JsonFlag = False) -> None:
    """Give a user a role in a project."""
    connect(ctx).projects.set_member(name, user, role)
    member = {"project": name, "user": user, "role": role.value}
    print_done(member, f"{user} is {role.value} in {name}.", as_json=json_)


@project_app.command()
def withdraw(ctx: typer.Context, name: str, user: str, json_: JsonFlag = False) -> None:
    """Take a user's role in a project away."""
    connect(ctx).projects.remove_member(name, user)
    print_done({"project": name, "user": user, "role": None}, f"{user} has no role in {name}.", as_json=json_)


@user_app.command("list")
def list_users(
    ctx: typer.Context,
    search: str | None = None,
    disabled: Annotated[bool | None, typer.Option("--disabled/--enabled", help="Only these; default: both.")] = None,
    json_: JsonFlag = False,
) -> None:
    """List users."""
    users = connect(ctx).users.list(search=search, disabled=disabled)
    if json_:
        return print_json(users)
    print_table(
        users,
        [
            ("name", lambda u: u.name),
            ("platform roles", lambda u: [role.value for role in u.platform_roles]),
            ("projects", lambda u: [f"{name}: {role.value}" for name, role in u.projects.items()]),
            ("disabled", lambda u: u.disabled),
            ("last login", lambda u: u.last_login_at),
        ],
        empty="No users.",
    )


@user_app.command("show")
def show_user(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Show a user and what roles they have where."""
    user = connect(ctx).users.get(name)
    if json_:
        return print_json(user)
    print_facts(
        [
            ("name", user.name),
            ("e-mail", user.email),
            ("platform roles", [role.value for role in user.platform_roles]),
            ("projects", [f"{project}: {role.value}" for project, role in user.projects.items()]),
            ("disabled", user.disabled),
            ("created", user.created_at),
            ("last login", user.last_login_at),
        ]
    )


@user_app.command("create")
def create_user(
    ctx: typer.Context,
    name: str,
    role: Annotated[list[Role] | None, typer.Option("--role", help="Platform role; repeat for several.")] = None,
    project: Annotated[list[str] | None, typer.Option("--project", help="PROJECT=ROLE; repeat for several.")] = None,
    email: str | None = None,
    json_: JsonFlag = False,
) -> None:
    """Create a user; the generated password is shown once."""
    projects = {key: Role(value) for key, _, value in (item.partition("=") for item in project or [])}
    body = UserCreate(name=name, email=email, platform_roles=role or [], projects=projects)
    created = connect(ctx).users.create(body)
    if json_:
        return print_json(created)
    out.print(f"Created {name}. First password (shown once): [bold]{created.password}[/]")


@user_app.command("update")
def update_user(
    ctx: typer.Context,
    name: str,
    role: Annotated[list[Role] | None, typer.Option("--role", help="All platform roles; repeat for several.")] = None,
    no_role: Annotated[bool, typer.Option("--no-role", help="Take every platform role away.")] = False,
    email: str | None = None,
    json_: JsonFlag = False,
) -> None:
    """Change a user's platform roles or e-mail; roles in projects are granted with `aicp project grant`."""
    if role and no_role:
        raise InvalidError("--role and --no-role exclude each other.")
    changes: dict[str, object] = {}
    if role or no_role:
        changes["platform_roles"] = role or []
    if email is not None:
        changes["email"] = email or None
    if not changes:
        raise InvalidError("Nothing to change was given.", hint="See `aicp user update --help`.")
    user = connect(ctx).users.update(name, UserUpdate.model_validate(changes))
    print_done(user, f"Changed {name}.", as_json=json_)


@user_app.command("disable")
def disable_user(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Keep a user out; sessions end at once."""
    user = connect(ctx).users.update(name, UserUpdate(disabled=True))
    print_done(user, f"{name} is disabled.", as_json=json_)


@user_app.command("enable")
def enable_user(ctx: typer.Context, name: str, json_: JsonFlag = False) -> None:
    """Let a disabled user in again."""
    user = connect(ctx).users.update(name, UserUpdate(disabled=False))
    print_done(user, f"{name} is enabled.", as_json=json_)


@user_app.command("delete")
def delete_user(ctx: typer.Context, name: str, yes: YesFlag = False, json_: JsonFlag = False) -> None:
    """Remove a user."""
    if not yes:
        typer.confirm(f"Remove user {name}?", abort=True)
    connect(ctx).users.delete(name)
    print_done({"removed": name}, f"Removed {name}.", as_json=json_)


@user_app.command()
def password(
    ctx: typer.Context, name: Annotated[str | None, typer.Argument(help="Another user, as admin.")] = None
) -> None:
    """Change the own password, or set another user's."""
    client = connect(ctx)
    new = typer.prompt("New password", hide_input=True, confirmation_prompt=True)
    if name:
        client.users.update(name, UserUpdate(password=new))
    else:
        client.change_password(typer.prompt("Current password", hide_input=True), new)
    out.print("Changed.")

"""The typed Python client of the REST interface: what the command line uses, and what scripts should.

from aicp.client.rest import Client

client = Client("http://127.0.0.1:8600", token)
job = client.models.import_directory("demo", "/models/demo")
client.jobs.wait(job.id)
published = client.services.publish("demo")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from aicp.client.accelerators import Accelerators
from aicp.client.batches import Batches, Files
from aicp.client.cache_rules import CacheRules
from aicp.client.identity import Keys, Projects, Users
from aicp.client.joins import JoinTokens
from aicp.client.listeners import Listeners
from aicp.client.models import Jobs, Models
from aicp.client.pool_changes import PoolMoves, Reservations
from aicp.client.prices import Prices
from aicp.client.records import Records
from aicp.client.requests import Requests
from aicp.client.routes import Providers, Routes
from aicp.client.services import Engines, Nodes, Pools, Services
from aicp.client.traffic import TrafficNow
from aicp.client.transport import Transport
from aicp.client.trust import pinned, trusting
from aicp.client.uploads import Uploads
from aicp.core.identity import Login, PasswordChange, Preferences, Session


class Client:
    """One platform. Every call raises an AicpError with `message`, `hint`, `code` and `status`.

    `ca` is a PEM file with the authority, or the platform's own certificate, to believe at an https address. `pin` is
    the certificate of the platform on this machine: exactly it is believed, whatever name it was made out to. `renew`
    gives the token of now when the platform no longer takes `token`.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        ca: Path | None = None,
        pin: Path | None = None,
        renew: Callable[[], str | None] | None = None,
        timeout_seconds: float = 30.0,
    ) -> None:
        tls = trusting(ca) if ca else pinned(pin) if pin else None
        self.transport = Transport(url, token, tls=tls, renew=renew, timeout_seconds=timeout_seconds)
        self.models = Models(self.transport)
        self.uploads = Uploads(self.transport)
        self.jobs = Jobs(self.transport)
        self.services = Services(self.transport)
        self.nodes = Nodes(self.transport)
        self.join_tokens = JoinTokens(self.transport)
        self.pools = Pools(self.transport)
        self.pool_moves = PoolMoves(self.transport)
        self.reservations = Reservations(self.transport)
        self.accelerators = Accelerators(self.transport)
        self.engines = Engines(self.transport)
        self.files = Files(self.transport)
        self.batches = Batches(self.transport)
        self.routes = Routes(self.transport)
        self.providers = Providers(self.transport)
        self.listeners = Listeners(self.transport)
        self.keys = Keys(self.transport)
        self.prices = Prices(self.transport)
        self.cache_rules = CacheRules(self.transport)
        self.projects = Projects(self.transport)
        self.users = Users(self.transport)
        self.records = Records(self.transport)
        self.traffic = TrafficNow(self.transport)
        self.requests = Requests(self.transport)

    @classmethod
    def login(
        cls, url: str, user: str, password: str, *, ca: Path | None = None, pin: Path | None = None
    ) -> tuple[Client, Session]:
        """A client with a new session; `session.token` can be kept and given to `Client(url, token)` later."""
        with cls(url, ca=ca, pin=pin) as stranger:
            body = Login(user=user, password=password)
            session: Session = stranger.transport.post("/api/v1/session", Session, body)
        return cls(url, session.token, ca=ca, pin=pin), session

    def logout(self) -> None:
        """Ends the session of this client's token."""
        self.transport.delete("/api/v1/session")

    def session(self) -> Session:
        """Who this client is and what it may do."""
        return self.transport.get("/api/v1/session", Session)

    def change_password(self, current: str, new: str) -> None:
        """Changes the own password; other sessions end."""
        self.transport.post("/api/v1/session/password", None, PasswordChange(current=current, new=new))

    def set_language(self, language: str) -> None:
        """The language that the console shows this user: en, zh-TW or zh-CN."""
        self.transport.send("PUT", "/api/v1/session/preferences", body=Preferences(language=language))

    def close(self) -> None:
        """Closes the connections."""
        self.transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

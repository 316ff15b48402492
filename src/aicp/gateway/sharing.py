"""Whether and where this process shares its limits with others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aicp.core.clock import Clock
from aicp.core.route import LimitsEntry
from aicp.gateway.accounts import Accounts
from aicp.gateway.budgets import Budgets, Purse
from aicp.gateway.config import SharingRules
from aicp.gateway.leased import LeasedAccount
from aicp.gateway.leased_purses import LeasedPurse
from aicp.gateway.leases import Leases
from aicp.gateway.limits import Account
from aicp.gateway.pools import Pools
from aicp.gateway.presence import Presence
from aicp.gateway.redis_ledger import RedisLedger
from aicp.gateway.shared_ledger import SharedLedger


@dataclass(frozen=True, slots=True)
class Sharing:
    """The accounts and budgets of a process; `leases` is None where it shares nothing."""

    accounts: Accounts
    budgets: Budgets
    leases: Leases | None = None

    def state(self) -> str:
        """For the control plane: connected, lost, or nothing where limits are not shared."""
        return "" if self.leases is None else "connected" if self.leases.connected else "lost"

    def gauges(self) -> dict[str, float]:
        """For /metrics, where limits are shared."""
        if self.leases is None:
            return {}
        return {
            "coordinator_connected": float(self.leases.connected),
            "coordinator_processes": float(self.leases.processes),
        }


def make_sharing(rules: SharingRules, directory: Path, clock: Clock) -> Sharing:
    """By `rules.coordinator`. `directory` is the gateway's."""
    if not rules.coordinator:
        return Sharing(Accounts(), Budgets())
    pools = Pools(clock, strict=rules.strict)

    def account(scope: str, name: str, limits: LimitsEntry) -> Account:
        return LeasedAccount(pools, scope, name, limits)

    def purse(scope: str, name: str) -> Purse:
        return LeasedPurse(pools, scope, name)

    return Sharing(Accounts(account), Budgets(purse), _leases(rules.coordinator, directory, pools, clock))


def _leases(coordinator: str, directory: Path, pools: Pools, clock: Clock) -> Leases:
    kind, _, folder = coordinator.partition(":")
    if kind == "file":
        ledger = SharedLedger(directory / folder, clock)
        return Leases(ledger, pools, clock, ledger)
    return Leases(RedisLedger(coordinator, Presence(directory / "fellows", clock)), pools, clock)

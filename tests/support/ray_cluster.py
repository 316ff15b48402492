"""A double of what the platform asks of Ray: its list of nodes and its named actors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from aicp.core.ray_member import NODE_LABEL


def ray_node(node_id: str, name: str, *, alive: bool = True, reason: str = "") -> dict[str, Any]:
    """An entry of `ray.nodes()`, as far as anybody reads it."""
    return {"NodeID": node_id, "Alive": alive, "Labels": {NODE_LABEL: name}, "DeathReasonMessage": reason}


class RayCluster:
    """See `aicp.runners.ray.tending.Cluster`. Each of `looks` is one answer; after the last one it is over."""

    def __init__(self, *looks: list[dict[str, Any]], keepers: tuple[str, ...] = ()) -> None:
        self._looks = list(looks)
        self.actors = dict.fromkeys(keepers, "")
        self.ended: list[str] = []

    def nodes(self) -> list[dict[str, Any]]:
        if not self._looks:
            raise EOFError
        return self._looks.pop(0)

    def keepers(self) -> list[str]:
        return list(self.actors)

    def keep(self, name: str, node_id: str) -> None:
        assert name not in self.actors
        self.actors[name] = node_id

    def end(self, name: str) -> None:
        del self.actors[name]
        self.ended.append(name)


def speaking(folder: Path, lines: list[str], *, stays: bool = True) -> tuple[str, ...]:
    """A command that says `lines` as the connection to Ray does, then stays, or ends as it does without a head."""
    script = folder / "connection.py"
    said = "".join(f"print({line!r}, flush=True)\n" for line in lines)
    count = f"open({str(folder / 'starts')!r}, 'a').write('x')\n"
    end = "import time\ntime.sleep(60)\n" if stays else ""
    script.write_text(f"input()\n{count}{said}{end}")
    return (sys.executable, str(script))

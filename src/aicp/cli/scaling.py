"""The options of `aicp publish` and `aicp service update` about scaling."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from pydantic import ValidationError

from aicp.core.autoscale import Autoscale, ScaleWindow
from aicp.core.errors import InvalidError

MinOption = Annotated[int | None, typer.Option("--min-replicas", help="Fewest; 0 lets it sleep when nobody uses it.")]
MaxOption = Annotated[int | None, typer.Option("--max-replicas", help="Most; this turns scaling by load on.")]
QueueOption = Annotated[
    float | None, typer.Option("--target-queue", help="Waiting requests per replica; 0: no target.")
]
RunningOption = Annotated[
    float | None, typer.Option("--target-running", help="Requests per replica, waiting ones too; 0: no target.")
]
KvOption = Annotated[float | None, typer.Option("--target-kv", help="Percent of the KV caches in use; 0: no target.")]
TtftOption = Annotated[
    float | None, typer.Option("--target-ttft-ms", help="Time to first token (p99) in ms; 0: no target.")
]
IdleOption = Annotated[float | None, typer.Option("--idle-seconds", help="Without a request, before the last goes.")]
UpOption = Annotated[float | None, typer.Option("--up-seconds", help="More after so long a need of them.")]
DownOption = Annotated[float | None, typer.Option("--down-seconds", help="Fewer after so long without need of them.")]
MaxWaitOption = Annotated[
    float | None, typer.Option("--max-wait-seconds", help="How long a request waits for a sleeping service.")
]
WindowOption = Annotated[
    list[str] | None,
    typer.Option("--window", help="Other bounds at some hours, e.g. 'mon-fri 08:00-18:00 Asia/Taipei 2-8'; repeat."),
]
NoWindowsOption = Annotated[bool, typer.Option("--no-windows", help="The same bounds at all hours.")]
NoAutoscaleOption = Annotated[bool, typer.Option("--no-autoscale", help="You say how many: --replicas.")]

_TARGETS = ("queued_per_replica", "running_per_replica", "kv_percent", "ttft_ms")


def scaling_of(before: Autoscale | None, windows: list[str] | None = None, **given: Any) -> Autoscale | None:
    """`before` with what was given (None: not given). Raises InvalidError for what makes no rule."""
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= {name: None for name in _TARGETS if changes.get(name) == 0}
    try:
        if windows is not None:
            changes["windows"] = [ScaleWindow.parse(text) for text in windows]
        if not changes:
            return before
        if before is None and "max_replicas" not in changes:
            raise InvalidError(
                "A service that scales itself needs a highest number of replicas.", hint="Add --max-replicas N."
            )
        kept = {} if before is None else before.model_dump()
        return Autoscale.model_validate({**kept, **changes})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidError(f"{place}: {first['msg']}" if place else str(first["msg"])) from error
    except ValueError as error:
        raise InvalidError(str(error)) from error

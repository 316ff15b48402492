"""A process that takes over from a living one of its kind: how it is told, and how it says that it serves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from contextlib import suppress

TAKES_OVER = "AICP_TAKES_OVER"
READY_DESCRIPTOR = "AICP_READY_DESCRIPTOR"
READY_SECONDS = 60.0


class ReadyPipe:
    """Carries one word from a process that was started to who started it."""

    def __init__(self) -> None:
        self._read, self.write = os.pipe()
        os.set_inheritable(self.write, True)
        os.set_blocking(self._read, False)

    def variables(self, former: int) -> dict[str, str]:
        """What the new process is told; `former` is the pid that it takes over from."""
        return {TAKES_OVER: str(former), READY_DESCRIPTOR: str(self.write)}

    def given(self) -> None:
        """The new process has its end: this one's is closed, so that its death is heard."""
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    async def heard(self) -> bool:
        """Whether it said that it serves; False when it ended, or said nothing for a minute."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._read, readable.set)
        try:
            async with asyncio.timeout(READY_SECONDS):
                await readable.wait()
            return bool(os.read(self._read, 16))
        except (TimeoutError, OSError):
            return False
        finally:
            loop.remove_reader(self._read)

    def close(self) -> None:
        """Ends it."""
        self.given()
        os.close(self._read)


def former_of(variables: Mapping[str, str]) -> tuple[int | None, int | None]:
    """Of a process that was started: whom it takes over from, and where it says that it serves."""
    numbers: list[int | None] = []
    for name in (TAKES_OVER, READY_DESCRIPTOR):
        number: int | None = None
        with suppress(ValueError):
            number = int(variables.get(name, ""))
        numbers.append(number)
    return numbers[0], numbers[1]

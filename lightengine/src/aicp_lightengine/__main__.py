"""`python -m aicp_lightengine --model NAME FOLDER --listen PATH`: serves until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aicp_lightengine import __version__
from aicp_lightengine.batching import Limits
from aicp_lightengine.errors import ModelError
from aicp_lightengine.http_server import listen
from aicp_lightengine.models import Settings, open_all
from aicp_lightengine.server import Server
from aicp_lightengine.session import CPU, CUDA, Device


def _arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="aicp-lightengine", description=__doc__)
    parser.add_argument(
        "--model", dest="models", action="append", required=True, nargs=2, metavar=("NAME", "FOLDER"),
        help="a model and the name it answers to; several may be given",
    )  # fmt: skip
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--listen", help="path of the unix socket")
    place.add_argument("--port", type=int, help="port of the loopback interface")
    parser.add_argument("--device", choices=(CPU, CUDA), default=CPU)
    parser.add_argument("--threads", type=int, default=1, help="threads that compute")
    parser.add_argument("--precision", choices=("float32", "int8"), default="float32")
    parser.add_argument(
        "--int8", dest="int8_names", action="append", default=[], metavar="NAME",
        help="one of the models whose matrices are kept in 8 bits; several may be given",
    )  # fmt: skip
    parser.add_argument("--context-length", type=int, help="tokens of the longest text; default: the model's own")
    parser.add_argument("--max-batch", type=int, default=32, help="texts of the largest batch")
    parser.add_argument("--max-batch-tokens", type=int, default=2048, help="tokens of the largest batch, padded")
    parser.add_argument("--version", action="version", version=__version__)
    given = parser.parse_args(words)
    if unknown := set(given.int8_names) - {name for name, _ in given.models}:
        parser.error(f"--int8 names no model that is served: {', '.join(sorted(unknown))}")
    return given


async def _run(arguments: argparse.Namespace, token: str) -> None:
    settings = Settings(
        device=Device(arguments.device, max(1, arguments.threads)),
        int8=frozenset(
            name for name, _ in arguments.models if arguments.precision == "int8" or name in arguments.int8_names
        ),
        context_length=arguments.context_length,
        limits=Limits(arguments.max_batch, arguments.max_batch_tokens),
    )
    folders = {name: Path(folder) for name, folder in arguments.models}
    # Texts become tokens beside the event loop, on no more threads than were given.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(settings.device.threads, "tokens"))
    # One thread runs every session: its own threads are those that compute.
    with ThreadPoolExecutor(1, "compute") as executor:
        server = Server(open_all(folders, settings, executor), token)
        listening = await listen(server.answer, path=arguments.listen, port=arguments.port)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await stop.wait()
        listening.close()


def main() -> int:
    """Serves until SIGTERM; 2 with a sentence when a model cannot be loaded."""
    arguments = _arguments(sys.argv[1:])
    # The token reaches an engine as a variable of its own process, so that no list of processes shows it.
    token = os.environ.pop("LIGHT_TOKEN", "")
    if not token:
        print("LIGHT_TOKEN is not set; without a token nobody could be let in.", file=sys.stderr)
        return 2
    try:
        asyncio.run(_run(arguments, token))
    except ModelError as error:
        print(f"The model cannot be served: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`aicp-server <process> [--setting value ...]`: reads the settings and becomes one of the platform's processes."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from aicp.core.errors import AicpError, UnavailableError
from aicp.main.children import SETTINGS_ERROR
from aicp.main.settings import SETTINGS, environment, load_settings

PROCESSES = ("up", "control", "gateway", "agent", "node", "ray-head", "ray-node")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 78 when the platform cannot run with these settings on this machine."""
    given = vars(_parser().parse_args(arguments))
    process = given.pop("process")
    try:
        settings = load_settings(given, environment())
        # only the module of the process asked for: the gateway must not load a database
        return importlib.import_module(f"aicp.main.{process.replace('-', '_')}").main(settings)
    except AicpError as error:
        sys.stderr.write(f"aicp: {error.message}\n" + (f"aicp: {error.hint}\n" if error.hint else ""))
        return 1 if isinstance(error, UnavailableError) else SETTINGS_ERROR
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aicp-server", description="One of the platform's processes.")
    parser.add_argument("process", choices=PROCESSES)
    for setting in SETTINGS:
        text = setting.description.replace("%", "%%")
        if setting.default == "false":
            parser.add_argument(setting.flag, dest=setting.name, action="store_const", const="true", help=text)
        else:
            parser.add_argument(setting.flag, dest=setting.name, metavar="VALUE", help=text)
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""A child of the supervisor in tests: `small_child.py SOCKET MODE`, where MODE is serve, deaf, die or refuse."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time


def main() -> None:
    path, mode = sys.argv[1:]
    sys.stdout.write(f"started with {os.environ.get('AICP_PORT')}\n")
    sys.stdout.flush()
    if mode == "die":
        sys.exit("it died at once")
    if mode == "refuse":
        sys.stderr.write("aicp: the database is of a newer platform\n")
        sys.exit(78)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.path.exists(path):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        if "AICP_READY_DESCRIPTOR" in os.environ:
            if os.path.exists(f"{path}.refuse"):
                sys.exit("it cannot take over")
            os.write(int(os.environ["AICP_READY_DESCRIPTOR"]), b"ready")
        time.sleep(600)


if __name__ == "__main__":
    main()

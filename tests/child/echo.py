"""A worker for the tests: does what it is told, so that a parent can be seen to cope."""

import os
import signal
import socket
import sys
from pathlib import Path

from appliance.child import attach, inbox


def main() -> None:
    wire = attach()
    messages = inbox(wire)
    while True:
        order = messages.get()
        match order["do"]:
            case "echo":
                wire.send(order)
            case "tell":
                wire.send(_about_itself())
            case "exit":
                print("the last words", file=sys.stderr, flush=True)
                os._exit(order["code"])
            case "signal":
                os.kill(os.getpid(), getattr(signal, order["name"]))
            case "allocate":
                try:
                    bytearray(order["bytes"])
                    wire.send({"allocated": True})
                except MemoryError:
                    wire.send({"allocated": False})
            case "raw":
                _send_raw(order)


def _send_raw(order: dict[str, object]) -> None:
    end = socket.socket(fileno=os.dup(int(sys.argv[1])))
    end.sendall(str(order["text"]).encode() * int(str(order.get("times", 1))))


def _about_itself() -> dict[str, object]:
    own = Path("/proc/self")
    return {
        "cwd": str(Path.cwd()),
        "environment": dict(os.environ),
        "path": sys.path,
        "limits": (own / "limits").read_text(),
        "oom_score_adj": (own / "oom_score_adj").read_text(),
        "status": (own / "status").read_text(),
        "files": [str(file.readlink()) for file in (own / "fd").iterdir() if file.is_symlink()],
    }


if __name__ == "__main__":
    main()

"""Several processes that do the same work side by side: forked once, ended together."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from appliance.errors import HubError

_PR_SET_PDEATHSIG = 1


def side_by_side(count: int, work: Callable[[int], None]) -> None:
    """Run ``work`` in ``count`` processes, each with its number from 0, until a signal or until one of them ends.

    To be called before threads are started. SIGTERM and SIGINT are passed on. That a process ends by itself is never
    meant: the others are ended too, so that whoever looks after the service starts all of it again.

    Raises:
        HubError: a process ended by itself.
    """
    children: dict[int, int] = {}
    told = False

    def stop(*_: int | FrameType | None) -> None:
        nonlocal told
        told = True
        for pid in children:
            os.kill(pid, signal.SIGTERM)

    for number in range(count):
        pid = os.fork()
        if pid == 0:
            _be_a_child(work, number)
        children[pid] = number
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop)
    ended = None
    while children:
        pid, status = os.waitpid(-1, 0)
        number = children.pop(pid)
        if not told:
            ended = (number, os.waitstatus_to_exitcode(status))
            stop()
    if ended is not None:
        raise HubError(
            f"Process {ended[0]} of {count} ended by itself ({ended[1]}).",
            needed="The others were stopped too.",
            todo="Start the hub again. What was signed for is safe.",
        )


def _be_a_child(work: Callable[[int], None], number: int) -> None:
    code = 1
    try:
        # Killed outright, the parent tells nobody.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        work(number)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except Exception as error:
        sys.stderr.write(f"Error: {error}\n")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

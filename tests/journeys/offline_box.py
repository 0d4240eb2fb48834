"""Run inside a network namespace by test_offline: serve under strace, load the page, ask in both languages.

python -m tests.journeys.offline_box HOME TRACE
"""

import sys

import httpx

from tests.journeys.demo import ENGLISH, SWAHILI
from tests.support.site import ask_page, serving

# -D keeps the box itself the process that is started and stopped, and the tracer its grandchild.
STRACE = ("strace", "-D", "-f", "--seccomp-bpf", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o")


def main(home: str, trace: str) -> None:
    with serving("fieldpost", "--home", home, prefix=(*STRACE, trace)) as box:
        assert httpx.get(box.url).status_code == 200
        print(ask_page(box.url, ENGLISH, "en")["state"])
        print(ask_page(box.url, SWAHILI, "sw")["state"])


if __name__ == "__main__":
    main(*sys.argv[1:])

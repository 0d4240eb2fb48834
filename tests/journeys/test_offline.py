"""Offline is absolute: in a network namespace with no route, the box works, looks no name up and connects nowhere."""

import re
import subprocess

import pytest

from tests.support.site import BIN, run

pytestmark = pytest.mark.needs_root

# Inside the namespace: bring loopback up (the page's own address), then trace every connection and datagram.
TRACED = "ip link set lo up && exec strace -f -qq -e trace=connect,sendto,sendmsg,sendmmsg -o {trace} {command}"
OUTWARD = re.compile(r'sin_addr=inet_addr\("(?!127\.)[^"]+"\)|inet_pton\(AF_INET6, "(?!::1")[^"]+"|htons\(53\)|nscd')


def in_namespace(command: str, trace) -> subprocess.CompletedProcess:
    script = TRACED.format(trace=trace, command=command)
    return subprocess.run(["unshare", "-n", "bash", "-c", script], capture_output=True, text=True, cwd="/")


def outward(trace) -> list[str]:
    return [line for line in trace.read_text().splitlines() if OUTWARD.search(line)]


def test_the_trace_would_show_a_name_look_up(tmp_path):
    trace = tmp_path / "trace"
    in_namespace(f"{BIN}/python -c 'import socket; socket.getaddrinfo(\"example.org\", 80)'", trace)
    assert outward(trace), "the proof below proves nothing if a look-up leaves no trace"


def test_ask_works_and_looks_nothing_up(demo_site, tmp_path):
    trace = tmp_path / "trace"
    done = in_namespace(f'{BIN}/fieldpost ask "How long should I boil water?" --home {demo_site.home}', trace)
    assert done.returncode == 0, done.stderr
    assert "[1]" in done.stdout
    assert outward(trace) == []


def test_serve_works_and_looks_nothing_up(demo_site, tmp_path):
    trace = tmp_path / "trace"
    client = tmp_path / "client.py"
    client.write_text(
        "import sys\n"
        "from tests.support.site import ask_page, serving\n"
        "import httpx\n"
        "prefix = ('strace', '-f', '-qq', '-e', 'trace=connect,sendto,sendmsg,sendmmsg', '-o', sys.argv[2])\n"
        "with serving('fieldpost', '--home', sys.argv[1], prefix=prefix) as box:\n"
        "    assert httpx.get(box.url).status_code == 200\n"
        "    print(ask_page(box.url, 'How long should I boil water?', 'en')['answer'])\n"
        "    print(ask_page(box.url, 'Nichemshe maji kwa muda gani?', 'sw')['answer'])\n"
    )
    root = run("git", "-C", BIN.parent.parent, "rev-parse", "--show-toplevel").stdout.strip()
    script = f"ip link set lo up && cd / && PYTHONPATH={root} exec {BIN}/python {client} {demo_site.home} {trace}"
    done = subprocess.run(["unshare", "-n", "bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("[") >= 2
    assert outward(trace) == []

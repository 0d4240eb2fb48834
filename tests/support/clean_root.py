"""A clean Debian in a folder: a stick, its own Python, no network. What stands for a technician's freshly set up PC.

Made once by debootstrap and kept as a tar below ``~/.cache/fieldpost``. Needs root.
"""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

CACHE = Path(os.environ.get("FIELDPOST_CACHE") or Path.home() / ".cache" / "fieldpost") / "debootstrap"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENTER = """\
set -e
ip link set lo up
root=$1; shift
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
for node in null zero full random urandom tty; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
if [ -d "$STICK" ]; then mount --bind -o ro "$STICK" "$root/media/usb"; mount -o remount,bind,ro "$root/media/usb"; fi
exec chroot "$root" /usr/bin/env -i PATH="$CHROOT_PATH" HOME=/root LANG=C.UTF-8 "$@"
"""


def make_root(folder: Path, *, suite: str = "bookworm", arch: str = "amd64") -> Path:
    """Unpack Debian ``suite``, minimal and with python3, into ``folder``; made first where there is none yet."""
    tar = CACHE / f"{suite}-{arch}.tar"
    if not tar.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        making = CACHE / f".{suite}-{arch}.{os.getpid()}"
        words = ["debootstrap", "--variant=minbase", "--include=python3", f"--arch={arch}", suite, str(making)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(making / "var/cache/apt", ignore_errors=True)
        draft = tar.with_suffix(f".{os.getpid()}.part")
        subprocess.run(["tar", "-C", str(making), "-cf", str(draft), "."], check=True)
        draft.replace(tar)
        shutil.rmtree(making)
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["tar", "-C", str(folder), "-xpf", str(tar)], check=True)
    (folder / "media/usb").mkdir(parents=True, exist_ok=True)
    return folder


def inside(root: Path, *command: str, stick: Path | None = None, isolated: bool = True) -> list[str]:
    """The command line that runs ``command`` in the clean root, in namespaces that end with it: loopback alone, and
    the stick, read-only, as ``/media/usb``."""
    spaces = ["--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", *(["--net"] if isolated else [])]
    named = [f"STICK={stick or ''}", f"CHROOT_PATH={PATH}"]
    return ["env", *named, "unshare", *spaces, "sh", "-c", _ENTER, "sh", str(root), *command]


@dataclass(slots=True)
class Running:
    """A command in a clean root that goes on."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def first_pid(self) -> int:
        """The first process of the namespaces, as seen from outside."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])


@contextmanager
def running(
    root: Path,
    *command: str,
    stick: Path | None,
    until: str,
    timeout: float = 600,
    env: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a command until a line holds ``until``; ended, with all that it started, in the end.

    Raises:
        AssertionError: it ended, or the time was over, before it said so.
    """
    words = inside(root, *command, stick=stick)
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True, env=env
    )
    run, ready = Running(process=process), threading.Event()

    def read() -> None:
        assert process.stdout
        for line in process.stdout:
            run.lines.append(line.rstrip())
            if until in line:
                ready.set()
        ready.set()

    threading.Thread(target=read, daemon=True).start()
    try:
        assert ready.wait(timeout) and any(until in line for line in run.lines), "\n".join(run.lines[-40:])
        yield run
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

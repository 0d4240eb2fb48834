"""A plug pulled at any moment, as strace makes it: the installer's process is ended, stopped or lied to at one of its
changes to the disk. The product has no seam for it and needs none.

A change is a system call that writes, names, removes or syncs. ``cut`` ends the process before its n-th; ``snapshots``
stops it there and copies the block device under it, which holds exactly what a disk would hold without power.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bundles.format.digest import digest_of_file
from installer.releases import Releases
from tests.support.site import ROOT

_NAMES = ("write", "pwrite64", "ftruncate", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat",
          "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "chmod", "fchmod")  # fmt: skip
SYNCS = "?fsync,?fdatasync,?sync"
CHANGES = ",".join([*(f"?{name}" for name in _NAMES), SYNCS])
_STOPPED = {"T", "t"}


def command(stick: Path, home: Path, fingerprint: str) -> list[str]:
    """The installer as a technician runs it."""
    pyz = ROOT / "dist" / "installer.pyz"
    return [
        sys.executable, "-I", "-S", str(pyz), "install", "--from", str(stick), "--home", str(home),
        "--fingerprint", fingerprint,
    ]  # fmt: skip


def rollback(home: Path) -> list[str]:
    """The release before put in use again, as a technician does it."""
    return [sys.executable, "-I", "-S", str(ROOT / "dist" / "installer.pyz"), "rollback", "--home", str(home)]


def changes(words: Sequence[str], trace: Path) -> list[str]:
    """The changes to the disk that a command makes when nothing happens to it: names of system calls, in order."""
    subprocess.run(["strace", "-qq", "-o", trace, "-e", f"trace={CHANGES}", *words], check=True, capture_output=True)
    return [found[1] for line in trace.read_text().splitlines() if (found := re.match(r"(\w+)\(", line))]


def cut(words: Sequence[str], sequence: Sequence[str], number: int) -> subprocess.CompletedProcess[str]:
    """Run a command that is ended at its ``number``-th change, before it is made; the first is 0."""
    return _injected(words, sequence, number, "error=EIO:signal=SIGKILL")


def full(words: Sequence[str], sequence: Sequence[str], number: int) -> subprocess.CompletedProcess[str]:
    """Run a command that finds the disk full at its ``number``-th change."""
    return _injected(words, sequence, number, "error=ENOSPC")


def _injected(
    words: Sequence[str], sequence: Sequence[str], number: int, what: str
) -> subprocess.CompletedProcess[str]:
    # strace counts each system call for itself.
    name = sequence[number]
    nth = sequence[: number + 1].count(name)
    strace = ["strace", "-qq", "-o", os.devnull, "-e", f"trace={name}", "-e", f"inject={name}:{what}:when={nth}"]
    return subprocess.run([*strace, *words], capture_output=True, text=True)


def state_of(home: Path) -> str:
    """``nothing``, or the version in use when every byte of it is there; else what is broken, after ``BROKEN``."""
    try:
        if not (home / "current").is_symlink():
            return "nothing"
        releases = Releases(home)
        number = releases.current
        assert number is not None
        facts = releases.describe(number)
        for component in facts["components"]:
            for file in component["files"]:
                path = home / "current" / component["folder"] / file["path"]
                if digest_of_file(path) != (file["digest"], file["size"]):
                    return f"BROKEN: {file['path']} of {facts['version']} has other bytes"
        if not releases.read_state().root:
            return "BROKEN: trusts nobody"
        json.loads((home / "trust" / "metadata" / "timestamp.json").read_bytes())
        return str(facts["version"])
    except Exception as error:
        return f"BROKEN: {error!r}"


@contextmanager
def ext4(image: Path, mount: Path, *, make: int = 0) -> Iterator[Path]:
    """An ext4 image of ``make`` bytes, or the one that is there, mounted as a careless machine would.

    Metadata are written every second and ``rename`` flushes nothing, so that only what is synced is safe.
    """
    if make:
        with image.open("wb") as file:
            file.truncate(make)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-O", "^metadata_csum_seed", image], check=True)
    mount.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop,commit=1,noauto_da_alloc", image, mount], check=True)
    try:
        yield mount
    finally:
        for _ in range(20):
            if subprocess.run(["umount", mount], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)


def snapshots(
    words: Sequence[str], image: Path, folder: Path, *, step: int, synced: bool = True, wait: float = 0.0
) -> Iterator[Path]:
    """Copies of the block device under ``image``: one at every ``step``-th change of the command, one after its end.

    Args:
        synced: False makes every sync do nothing and say that it did.
        wait: seconds between stopping and copying, in which the kernel writes what it wants.
    """
    lies = [] if synced else ["-e", f"inject={SYNCS}:retval=0"]
    stopping = CHANGES if synced else CHANGES.removesuffix(f",{SYNCS}")
    strace = ["strace", "-qq", "-o", os.devnull, "-e", f"trace={CHANGES}", *lies]
    strace += ["-e", f"inject={stopping}:signal=SIGSTOP:when={step}+{step}"]
    process = subprocess.Popen([*strace, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        number = 0
        while (pid := _stopped(process)) is not None:
            number += 1
            time.sleep(wait)
            copy = folder / f"{number}.ext4"
            subprocess.run(["cp", "--sparse=always", image, copy], check=True)
            os.kill(pid, signal.SIGCONT)
            _until_running(pid)
            yield copy
            copy.unlink(missing_ok=True)
        # The light goes out when the technician has read that it is done.
        time.sleep(wait)
        copy = folder / "end.ext4"
        subprocess.run(["cp", "--sparse=always", image, copy], check=True)
        yield copy
        copy.unlink(missing_ok=True)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _stopped(process: subprocess.Popen[bytes]) -> int | None:
    """The tracee once it stands still; None when it has ended."""
    while process.poll() is None:
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if _status(int(pid)) == "T" or (_status(int(pid)) == "t" and _pending_stop(int(pid))):
                return int(pid)
        time.sleep(0.002)
    return None


def _pending_stop(pid: int) -> bool:
    """Whether a traced process is in a group stop, and not between two system calls: it stays there for a moment."""
    for _ in range(10):
        time.sleep(0.005)
        if _status(pid) != "t":
            return False
    return True


def _until_running(pid: int) -> None:
    for _ in range(50):
        if _status(pid) not in _STOPPED:
            return
        time.sleep(0.002)


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def copy_home(home: Path, to: Path) -> Path:
    """A home as it is, links and all."""
    shutil.rmtree(to, ignore_errors=True)
    return Path(shutil.copytree(home, to, symlinks=True)) if home.exists() else to

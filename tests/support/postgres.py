"""A real PostgreSQL server for tests, from Debian's package: a cluster in a folder of its own, reached by a socket.

It does not force its writes to the disk: what is tested is our processes' death, never the machine's.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_FAST = dict.fromkeys(_DURABLE, "off")


class Postgres:
    """A running server."""

    def __init__(self, folder: Path, user: str) -> None:
        self._folder, self._user, self._made = folder, user, 0

    def database(self) -> str:
        """The URL of a new empty database."""
        self._made += 1
        name = f"hub{self._made}"
        with psycopg.connect(self._url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} STRATEGY file_copy")
        return self._url(name)

    def _url(self, name: str) -> str:
        return f"postgresql://{self._user}@/{name}?host={self._folder}"


@contextmanager
def postgres(*, durable: bool = False) -> Iterator[Postgres]:
    """A server from its first start to its end; nothing of it stays."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    # It refuses to run as root; Debian's package has made a user for it.
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    folder = Path(tempfile.mkdtemp(prefix="fieldpost-pg-"))

    def as_user(program: str, *words: str) -> None:
        who = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        subprocess.run([programs / program, *words], check=True, capture_output=True, cwd="/", timeout=60, **who)

    try:
        if os.geteuid() == 0:
            shutil.chown(folder, user)
        data = str(folder / "data")
        as_user("initdb", "-D", data, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "-U", user)
        settings = {
            "listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "60",
            **(_DURABLE if durable else _FAST),
        }  # fmt: skip
        options = " ".join(f"-c {name}={value or chr(39) * 2}" for name, value in settings.items())
        as_user("pg_ctl", "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start")
        try:
            yield Postgres(folder, user)
        finally:
            as_user("pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Who is signed in: random tokens, of which the box keeps SHA-256 only, each revocable at once.

Sessions of people's own phones survive a restart, because the power fails often. Those of shared devices live in
memory only and end after a quarter of an hour without a sign of life. Idle time is measured by the monotonic clock
while the box runs; over a restart by the wall clock, where a clock that went back counts as no time.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from appliance.accounts.people import People, Person

IDLE_S = 7 * 86_400.0
SHARED_IDLE_S = 900.0
MOST_A_PERSON = 10
MOST_SHARED = 500
_NOTE_EVERY_S = 600.0
_COLUMNS = "hash, person, device, epoch, made_s, used_s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One signed-in browser, without its token."""

    hash: str
    person: str
    device: str
    """What the browser calls itself, shortened; for people to tell their devices apart."""
    shared: bool
    epoch: int
    """The person's when it began; with another one it is over."""
    made_s: int
    used_s: int
    """Seconds since 1970 by the box's clock; noted every ten minutes."""


class Sessions:
    """All sessions of a box. Any thread may call it."""

    def __init__(
        self, people: People, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._people = people
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._shared: dict[str, Session] = {}
        self._seen: dict[str, float] = {}
        self._noted: dict[str, float] = {}

    def begin(self, person: Person, *, shared: bool, device: str) -> str:
        """Sign somebody in; the new token, told once. Whatever the browser had before is worth nothing for it."""
        token = secrets.token_urlsafe(32)
        now = int(self._wall())
        session = Session(
            hash=hash_of(token), person=person.id, device=device[:80], shared=shared, epoch=person.epoch, made_s=now,
            used_s=now,
        )  # fmt: skip
        with self._lock:
            self._seen[session.hash] = self._noted[session.hash] = self._clock()
            if shared:
                self._shared[session.hash] = session
                while len(self._shared) > MOST_SHARED:
                    self._forget(min(self._shared, key=self._seen.__getitem__))
                return token
        with self._people.writing() as database:
            database.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?)",
                (session.hash, session.person, session.device, session.epoch, now, now),
            )
            database.execute(
                "DELETE FROM sessions WHERE person = ? AND hash NOT IN (SELECT hash FROM sessions WHERE person = ? "
                "ORDER BY used_s DESC, hash = ? DESC LIMIT ?)",
                (person.id, person.id, session.hash, MOST_A_PERSON),
            )
        return token

    def find(self, token: str) -> tuple[Session, Person] | None:
        """The session of this token and its person, as they are now; None when there is none, or no more."""
        if not token:
            return None
        key = hash_of(token)
        with self._lock:
            session = self._shared.get(key)
            seen = self._seen.get(key)
        if session is None:
            rows = self._people.rows(f"SELECT {_COLUMNS} FROM sessions WHERE hash = ?", (key,))  # noqa: S608
            if not rows:
                return None
            session = _session(rows[0])
        idle = self._clock() - seen if seen is not None else max(0.0, self._wall() - session.used_s)
        person = self._people.get(session.person)
        over = idle > (SHARED_IDLE_S if session.shared else IDLE_S)
        if over or person is None or not person.active or person.epoch != session.epoch:
            self.end(key)
            return None
        with self._lock:
            self._seen[key] = self._clock()
        return session, person

    def to_note(self, session: Session) -> bool:
        """Whether ``note`` has something to write: asked on every request, so it costs nothing."""
        noted = self._noted.get(session.hash)
        return not session.shared and (noted is None or self._clock() - noted > _NOTE_EVERY_S)

    def note(self, session: Session) -> None:
        """Write down that the session is in use; it waits for the disk."""
        self._noted[session.hash] = self._clock()
        with self._people.writing() as database:
            database.execute("UPDATE sessions SET used_s = ? WHERE hash = ?", (int(self._wall()), session.hash))

    def of(self, person_id: str) -> list[Session]:
        """Somebody's sessions, newest first."""
        rows = self._people.rows(f"SELECT {_COLUMNS} FROM sessions WHERE person = ?", (person_id,))  # noqa: S608
        kept = [_session(row) for row in rows]
        with self._lock:
            idle = {key: self._clock() - seen for key, seen in self._seen.items()}
            kept += [session for session in self._shared.values() if session.person == person_id]
        now = self._wall()
        seen_now = [replace(s, used_s=int(now - idle[s.hash])) if s.hash in idle else s for s in kept]
        return sorted(seen_now, key=lambda session: session.used_s, reverse=True)

    def end(self, key: str) -> None:
        """End one session, by its hash."""
        with self._lock:
            self._forget(key)
        with self._people.writing() as database:
            database.execute("DELETE FROM sessions WHERE hash = ?", (key,))

    def end_all(self, person_id: str, *, but: str = "") -> None:
        """End all sessions of somebody, but perhaps the one with that hash."""
        for session in self.of(person_id):
            if session.hash != but:
                self.end(session.hash)

    def _forget(self, key: str) -> None:
        self._shared.pop(key, None)
        self._seen.pop(key, None)
        self._noted.pop(key, None)


def _session(row: tuple[Any, ...]) -> Session:
    hash_, person, device, epoch, made_s, used_s = row
    return Session(hash=hash_, person=person, device=device, shared=False, epoch=epoch, made_s=made_s, used_s=used_s)


def hash_of(token: str) -> str:
    """How a token is kept: it has 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()

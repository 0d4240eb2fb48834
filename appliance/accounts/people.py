"""The people of a site in ``data/accounts.sqlite``: names, roles, how they sign in, and what the site decided.

No name or PIN is built in. The first administrator comes with a code that the box prints while it has none. PINs,
pictures and codes are kept as Argon2id. Other processes, such as ``fieldpost people``, may change the file meanwhile.
"""

import secrets
import sqlite3
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, cast

from sqlite_utils import Database

from appliance.accounts import proof
from appliance.accounts.brake import CLOSED_AFTER, Brake
from appliance.accounts.migrations import STEPS
from appliance.accounts.proof import Kind
from appliance.database import open_database, transaction
from appliance.errors import AccountError

LONGEST_NAME = 60
_COLUMNS = "id, name, role, kind, active, consent, failures, epoch, made_s"
Entry = Literal["people", "code"]
Transport = Literal["https", "http"]
SETTINGS = {"entry": ("people", "code"), "transport": ("https", "http")}
"""What an administrator decides, the default first: who may ask (people by name, or whoever knows the access code too),
and whether pages travel encrypted."""


class Role(StrEnum):
    """What somebody may do; each may what those before it may."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One person, without the secret."""

    id: str
    name: str
    role: Role
    kind: Kind
    active: bool
    consent: bool
    """Whether supervisors may read what this person asked."""
    failures: int
    """Wrong tries in a row under this name."""
    epoch: int
    """Counts up whenever every session must end: another PIN, another role, shut out."""
    made_s: int
    """Seconds since 1970 by the box's clock."""

    @property
    def closed(self) -> bool:
        """Too many wrong tries: somebody with rights has to open it."""
        return self.failures >= CLOSED_AFTER


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Why nobody was let in. It does not tell whether there is such a name."""

    wait_s: float = 0.0
    closed: bool = False


class People:
    """The open file. Any thread may call it; closed by leaving its ``with`` block."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Open the file, or begin it.

        Raises:
            AccountError: it cannot be opened, or was written by a newer Fieldpost.
        """
        self.path = path
        self._lock = threading.RLock()
        self._brake = Brake(clock=clock)
        self._nobody = ""
        with _in_words(path):
            self.database: Database = open_database(path, STEPS)
            self.database.execute("PRAGMA foreign_keys = ON")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        with self._lock:
            self.database.close()

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """All or nothing, one at a time; failures of the disk in words."""
        with self._lock, _in_words(self.path), transaction(self.database):
            yield self.database

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """What a query finds, whole."""
        with self._lock, _in_words(self.path):
            return cast(list[tuple[Any, ...]], self.database.execute(statement, values).fetchall())

    def all(self) -> list[Person]:
        """Everybody, by name."""
        return [_person(row) for row in self.rows(f"SELECT {_COLUMNS} FROM people ORDER BY name_key")]  # noqa: S608

    def get(self, person_id: str) -> Person | None:
        found = self.rows(f"SELECT {_COLUMNS} FROM people WHERE id = ?", (person_id,))  # noqa: S608
        return _person(found[0]) if found else None

    def named(self, name: str) -> Person:
        """Raises AccountError: nobody is called so."""
        found = self.rows(f"SELECT {_COLUMNS} FROM people WHERE name_key = ?", (_key(name),))  # noqa: S608
        if not found:
            raise AccountError(f"There is nobody called {name}.", todo="See the list of people.")
        return _person(found[0])

    def add(self, name: str, role: Role, kind: Kind = "pin", told: str | None = None) -> tuple[Person, str]:
        """A new person, and the PIN or pictures: ``told``, or fresh random ones that are told once and never again.

        Raises:
            AccountError: the name is taken or none, or what was told may not be used.
        """
        name = " ".join(unicodedata.normalize("NFC", name).split())
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise AccountError(f"{name!r} is no name.", needed=f"1 to {LONGEST_NAME} letters are needed.")
        secret, kept = self._new_secret(role, kind, told)
        person = Person(
            id=f"p-{secrets.token_hex(6)}", name=name, role=role, kind=kind, active=True, consent=False, failures=0,
            epoch=0, made_s=int(time.time()),
        )  # fmt: skip
        with self.writing() as database:
            if database.execute("SELECT 1 FROM people WHERE name_key = ?", (_key(name),)).fetchone():
                raise AccountError(f"There is somebody called {name}.", todo="Add a second name or a place.")
            database.execute(
                "INSERT INTO people VALUES (?, ?, ?, ?, ?, ?, 1, 0, 0, 0, ?)",
                (person.id, name, _key(name), role.value, kind, kept, person.made_s),
            )
        return person, secret

    def reset(self, person_id: str, kind: Kind, told: str | None = None) -> str:
        """Another PIN or pictures; every session ends, and a closed name is open again.

        Raises:
            AccountError: there is no such person, or what was told may not be used.
        """
        person = self._known(person_id)
        secret, kept = self._new_secret(person.role, kind, told)
        self._update(person, "kind = ?, secret = ?, failures = 0", (kind, kept))
        return secret

    def give_role(self, person_id: str, role: Role) -> str | None:
        """Another role; every session ends. A worker who rises gets a longer PIN: it is returned, and told once.

        Raises:
            AccountError: there is no such person, or nobody would be left to administer.
        """
        person = self._known(person_id)
        secret = None
        changes, values = "role = ?", [role.value]
        if person.role is Role.WORKER and role is not Role.WORKER:
            secret, kept = self._new_secret(role, "pin", None)
            changes, values = "role = ?, kind = 'pin', secret = ?, failures = 0", [role.value, kept]
        self._update(person, changes, tuple(values), leaves_admin=role is not Role.ADMIN)
        return secret

    def shut_out(self, person_id: str) -> None:
        """Nobody comes in under this name until ``let_in``; every session ends.

        Raises:
            AccountError: there is no such person, or nobody would be left to administer.
        """
        self._update(self._known(person_id), "active = 0", (), leaves_admin=True)

    def let_in(self, person_id: str) -> None:
        """Open a name that was shut out, or closed by too many wrong tries. Raises AccountError: nobody's."""
        self._update(self._known(person_id), "active = 1, failures = 0", ())

    def _update(self, person: Person, changes: str, values: tuple[Any, ...], *, leaves_admin: bool = False) -> None:
        with self.writing() as database:
            if leaves_admin:
                self._keep_an_admin(database, person)
            database.execute(
                f"UPDATE people SET {changes}, epoch = epoch + 1 WHERE id = ?",  # noqa: S608
                (*values, person.id),
            )
            database.execute("DELETE FROM sessions WHERE person = ?", (person.id,))
            self._brake.free(_key(person.name))

    def remove(self, person_id: str) -> None:
        """Forget somebody: name, sessions and history.

        Raises:
            AccountError: there is no such person, or nobody would be left to administer.
        """
        person = self._known(person_id)
        with self.writing() as database:
            self._keep_an_admin(database, person)
            database.execute("DELETE FROM people WHERE id = ?", (person_id,))

    def let_read(self, person_id: str, consent: bool) -> None:
        """Whether supervisors may read what this person asked; theirs to say, and nobody else's."""
        with self.writing() as database:
            database.execute("UPDATE people SET consent = ? WHERE id = ?", (consent, person_id))

    def enter(self, name: str, kind: Kind, told: str) -> Person | Refused:
        """The person, if the name and the PIN or pictures are right and no wait is owed.

        A try is counted before it is looked at, so that a thousand at once are a thousand. An unknown name takes as
        long, waits as long and closes as a known one does.
        """
        key = _key(name)[: 2 * LONGEST_NAME]
        with self.writing() as database:
            found = database.execute(
                f"SELECT {_COLUMNS}, secret FROM people WHERE name_key = ?",  # noqa: S608
                (key,),
            ).fetchone()
            failures = int(found[6]) if found else self._brake.strangers(key)
            if failures >= CLOSED_AFTER:
                return Refused(closed=True)
            if wait := self._brake.wait_s(key, failures):
                return Refused(wait_s=wait)
            if found:
                database.execute("UPDATE people SET failures = failures + 1 WHERE name_key = ?", (key,))
            else:
                self._brake.strangers(key, more=1)
            self._brake.count(key, failures + 1)
            wait = self._brake.wait_s(key, failures + 1)
        right = proof.fits(found[-1] if found else self._decoy(), proof.normal(kind, told))
        person = _person(found[:-1]) if found else None
        if person is None or not right or not person.active or person.kind != kind:
            return Refused(wait_s=wait, closed=failures + 1 >= CLOSED_AFTER)
        with self.writing() as database:
            database.execute("UPDATE people SET failures = 0 WHERE id = ?", (person.id,))
            self._brake.free(key)
        return person

    def has_admin(self) -> bool:
        return bool(self.rows("SELECT 1 FROM people WHERE role = 'admin' AND active"))

    def new_first_code(self) -> str:
        """A one-time code that makes an administrator; the one before ends. Only its hash is kept."""
        code = proof.make_code()
        self._put("first_code", proof.hashed(proof.normal_code(code)))
        return code

    def first_admin(self, code: str, name: str, pin: str) -> Person | Refused:
        """The administrator that the printed code makes; it is used up then.

        Raises:
            AccountError: the name or the PIN may not be used; the code is still good.
        """
        proof.check_new("pin", pin, least=proof.LEAST_SIGNS)
        with self._lock:
            key, failures = "\0first code", self._brake.strangers("\0first code")
            if wait := self._brake.wait_s(key, failures):
                return Refused(wait_s=wait)
            self._brake.strangers(key, more=1)
            self._brake.count(key, failures + 1)
            kept = self._setting("first_code")
            if not proof.fits(kept or self._decoy(), proof.normal_code(code)) or not kept:
                return Refused(wait_s=self._brake.wait_s(key, failures + 1))
            person, _ = self.add(name, Role.ADMIN, "pin", pin)
            with self.writing() as database:
                database.execute("DELETE FROM settings WHERE name = 'first_code'")
            self._brake.free(key)
            return person

    @property
    def entry(self) -> Entry:
        """Who may ask: people by name only, or whoever knows the access code too."""
        return cast(Entry, self._setting("entry") or "people")

    @property
    def transport(self) -> Transport:
        """Whether pages travel encrypted. Plain only where an administrator said so."""
        return cast(Transport, self._setting("transport") or "https")

    def decide(self, name: str, value: str) -> None:
        """Set what an administrator decides for the site; it holds with the next request.

        Raises:
            AccountError: there is no such setting or value.
        """
        if value not in SETTINGS.get(name, ()):
            raise AccountError(f"{name} {value!r} is no choice.", needed=f"There are: {SETTINGS.get(name) or 'none'}.")
        self._put(name, value)

    def _setting(self, name: str) -> str | None:
        found = self.rows("SELECT value FROM settings WHERE name = ?", (name,))
        return str(found[0][0]) if found else None

    def _put(self, name: str, value: str) -> None:
        with self.writing() as database:
            database.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def _new_secret(self, role: Role, kind: Kind, told: str | None) -> tuple[str, str]:
        if role is not Role.WORKER and kind == "pictures":
            raise AccountError(f"A {role.value} cannot sign in with pictures.", needed="A PIN is needed.")
        least = proof.LEAST_DIGITS if role is Role.WORKER else proof.LEAST_SIGNS
        secret = proof.make(kind, least=least) if told is None else proof.check_new(kind, told, least=least)
        return secret, proof.hashed(secret)

    def _known(self, person_id: str) -> Person:
        person = self.get(person_id)
        if person is None:
            raise AccountError("There is no such person any more.", todo="See the list of people.")
        return person

    def _keep_an_admin(self, database: Database, person: Person) -> None:
        others = "SELECT 1 FROM people WHERE role = 'admin' AND active AND id != ?"
        if person.role is Role.ADMIN and not database.execute(others, (person.id,)).fetchone():
            raise AccountError(
                f"{person.name} is the only administrator.",
                needed="One is always needed.",
                todo="Make another person administrator first.",
            )

    def _decoy(self) -> str:
        self._nobody = self._nobody or proof.hashed(secrets.token_hex(8))
        return self._nobody


def _key(name: str) -> str:
    """Names that look alike are one name."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _person(row: tuple[Any, ...]) -> Person:
    person_id, name, role, kind, active, consent, failures, epoch, made_s = row
    return Person(
        id=person_id, name=name, role=Role(role), kind=kind, active=bool(active), consent=bool(consent),
        failures=failures, epoch=epoch, made_s=made_s,
    )  # fmt: skip


@contextmanager
def _in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise AccountError(
            f"{path} cannot be used: {error}.",
            needed="It holds the people of this box.",
            todo="Check the disk, and who owns the folder. If it stays, restore it from a backup.",
        ) from error

"""What each person asked, for that person: redacted like the log, searchable, and gone when they say so.

The log keeps its own record, which names nobody; this one is the person's and never leaves the box.
"""

import time
from dataclasses import dataclass

from appliance.accounts.people import People

MOST_KEPT = 2000
"""Questions a person; the oldest make room."""
PAGE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question of somebody and its answer, redacted."""

    id: str
    asked_s: int
    """Seconds since 1970 by the box's clock."""
    lang: str
    question: str
    answer: str


class History:
    """Everybody's history, each reached by the person's id only."""

    def __init__(self, people: People) -> None:
        self._people = people

    def keep(self, person: str, *, exchange: str, lang: str, question: str, answer: str) -> None:
        """Remember one; texts must be redacted already. Somebody who was removed meanwhile is not remembered."""
        with self._people.writing() as database:
            database.execute(
                "INSERT OR REPLACE INTO history SELECT id, ?, ?, ?, ?, ? FROM people WHERE id = ?",
                (exchange, int(time.time()), lang, question, answer, person),
            )
            database.execute(
                "DELETE FROM history WHERE person = ? AND id NOT IN "
                "(SELECT id FROM history WHERE person = ? ORDER BY asked_s DESC LIMIT ?)",
                (person, person, MOST_KEPT),
            )

    def find(self, person: str, words: str = "", *, skip: int = 0, most: int = PAGE) -> list[Asked]:
        """The newest ones in which every one of the words stands, whatever their case."""
        wanted = words.split()[:10]
        like = " AND (question || ' ' || answer) LIKE ? ESCAPE '\\'" * len(wanted)
        rows = self._people.rows(
            f"SELECT id, asked_s, lang, question, answer FROM history WHERE person = ?{like} "  # noqa: S608
            "ORDER BY asked_s DESC, id LIMIT ? OFFSET ?",
            (person, *(f"%{_literal(word)}%" for word in wanted), most, skip),
        )
        return [Asked(id=i, asked_s=s, lang=lang, question=q, answer=a) for i, s, lang, q, a in rows]

    def forget(self, person: str, exchange: str) -> bool:
        """Delete one for good; whether there was one."""
        with self._people.writing() as database:
            found = database.execute("DELETE FROM history WHERE person = ? AND id = ?", (person, exchange)).rowcount
        self._wipe()
        return bool(found)

    def forget_all(self, person: str) -> int:
        """Delete all of somebody's for good; how many there were."""
        with self._people.writing() as database:
            found = int(database.execute("DELETE FROM history WHERE person = ?", (person,)).rowcount)
        self._wipe()
        return found

    def counts(self) -> dict[str, int]:
        """How many questions are kept of each person; no texts."""
        return dict(self._people.rows("SELECT person, count(*) FROM history GROUP BY person"))

    def _wipe(self) -> None:
        """Empty the write-ahead log too: deleted words would stay in it. Whoever reads just then delays it."""
        self._people.rows("PRAGMA wal_checkpoint(TRUNCATE)")


def _literal(word: str) -> str:
    return word.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")

"""The log database's schema, as the ordered steps that lead to it. A step that has shipped is never edited.

``PRAGMA user_version`` says how many steps a file has taken. Steps run within the caller's transaction, so a power cut
leaves the file before or after them, never between.
"""

from sqlite_utils import Database

from appliance.errors import LogError

STEPS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE log (
            stream TEXT NOT NULL,
            seq INTEGER NOT NULL,
            boot INTEGER NOT NULL,
            mono_ms INTEGER NOT NULL,
            wall_ms INTEGER NOT NULL,
            egress INTEGER NOT NULL,
            salt BLOB NOT NULL,
            body BLOB,
            "commitment" BLOB NOT NULL,
            hash BLOB NOT NULL,
            PRIMARY KEY (stream, seq)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE TABLE head (stream TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL) STRICT, WITHOUT ROWID",
        # One row: whose log this is. A new epoch begins when the hub knows another history under this box's name.
        "CREATE TABLE meta (box TEXT NOT NULL, epoch INTEGER NOT NULL, boot INTEGER NOT NULL) STRICT",
    ),
)


def version(database: Database) -> int:
    """How many steps this file has taken.

    Raises:
        LogError: more than this program knows.
    """
    taken = int(database.execute("PRAGMA user_version").fetchone()[0])
    if taken > len(STEPS):
        raise LogError(
            f"The log was written by a newer Fieldpost (version {taken} of its tables).",
            needed=f"Version {len(STEPS)} or older is needed here.",
            todo="Install the newer release again; the log is kept as it is.",
        )
    return taken


def migrate(database: Database) -> None:
    """Take the steps that are missing. To be called within a write transaction, which the caller commits.

    Raises:
        LogError: the file is from a newer program.
    """
    for number, step in enumerate(STEPS[version(database) :], start=version(database) + 1):
        for statement in step:
            database.execute(statement)
        database.execute(f"PRAGMA user_version = {number}")

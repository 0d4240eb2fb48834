"""The accounts database's schema, as the ordered steps that lead to it. A step that has shipped is never edited.

How they are taken is ``appliance.database``'s.
"""

from appliance.database import Migration

STEPS: tuple[Migration, ...] = (
    (
        """
        CREATE TABLE people (
            id TEXT PRIMARY KEY,
            name TEXT NOT NULL,
            name_key TEXT NOT NULL UNIQUE,
            role TEXT NOT NULL CHECK (role IN ('worker', 'supervisor', 'admin')),
            kind TEXT NOT NULL CHECK (kind IN ('pin', 'pictures')),
            secret TEXT NOT NULL,
            active INTEGER NOT NULL,
            consent INTEGER NOT NULL,
            failures INTEGER NOT NULL,
            epoch INTEGER NOT NULL,
            made_s INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        """
        CREATE TABLE sessions (
            hash TEXT PRIMARY KEY,
            person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            device TEXT NOT NULL,
            epoch INTEGER NOT NULL,
            made_s INTEGER NOT NULL,
            used_s INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX sessions_person ON sessions (person)",
        """
        CREATE TABLE history (
            person TEXT NOT NULL REFERENCES people (id) ON DELETE CASCADE,
            id TEXT NOT NULL,
            asked_s INTEGER NOT NULL,
            lang TEXT NOT NULL,
            question TEXT NOT NULL,
            answer TEXT NOT NULL,
            PRIMARY KEY (person, id)
        ) STRICT, WITHOUT ROWID
        """,
        # What an administrator decides for the whole site, and the hash of the first one's code.
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ),
)

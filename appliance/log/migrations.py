"""The log database's schema, as the ordered steps that lead to it. A step that has shipped is never edited.

How they are taken is ``appliance.database``'s.
"""

from appliance.database import Migration

STEPS: tuple[Migration, ...] = (
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
        # One row: whose log this is, and how often it was opened to write.
        "CREATE TABLE meta (box TEXT NOT NULL, boot INTEGER NOT NULL) STRICT",
    ),
)

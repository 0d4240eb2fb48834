"""The box's append-only log: five streams, each a hash chain, in one SQLite file."""

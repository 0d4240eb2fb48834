"""The other end of the log: takes batches from both ways, each record once, and signs for what it has."""

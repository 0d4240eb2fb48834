"""Who may use the box: people with roles, their sessions and history, and keys for other programs."""

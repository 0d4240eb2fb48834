"""The room of the documents: read, cut into passages, indexed, and found again by their words."""

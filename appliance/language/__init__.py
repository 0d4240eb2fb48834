"""The room of the languages: sentences, translation in a worker process, and what is doubtful about it."""

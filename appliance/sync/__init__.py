"""Brings the log to the hub: sealed batches, over HTTP or on a stick. It knows nothing of what the records say."""

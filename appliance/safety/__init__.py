"""What is taken out of a text before it is stored, queued or sent."""

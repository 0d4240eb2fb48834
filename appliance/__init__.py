"""The box: asks, answers, log and sync. See README.md in this folder for the way through it."""

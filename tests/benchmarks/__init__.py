"""Benchmarks: one module each, found by name. ``scripts/bench NAME`` runs one; the frame prints its rows."""

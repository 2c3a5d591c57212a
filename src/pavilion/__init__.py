"""The embedded host."""

"""Plugins: how they are found, checked, and known by name."""

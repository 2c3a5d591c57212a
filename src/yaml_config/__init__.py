"""Configuration elements on PyYAML."""

"""What parsers need of this package."""

PER_FIRST = "first"

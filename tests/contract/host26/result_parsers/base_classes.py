"""What parsers are made of."""

from pavilion.result.options import PER_FIRST


class ResultParser:
    """A parser."""

    per = PER_FIRST

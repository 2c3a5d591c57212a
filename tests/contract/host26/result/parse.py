"""What needs the parsers."""

from pavilion.result_parsers.base_classes import ResultParser


def parse_results(parser):
    """The result of a test."""
    return parser.per if isinstance(parser, ResultParser) else None

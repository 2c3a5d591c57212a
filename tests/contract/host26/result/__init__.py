"""Results.  This package and ``result_parsers`` import each other, as those of a real host do:
both load when this one comes first."""

from ..result_parsers import base_classes  # noqa: F401
from .parse import parse_results  # noqa: F401

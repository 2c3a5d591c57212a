"""Which scheduler has which capability, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from batch.sites import Can, site_classes


class Matrix:
    """What all sites declare.

    :param kinds: Those that tests run with.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.kinds = kinds
        self.declared = {kind: made.can for kind, made in site_classes().items()}

    def lines(self, nowhere: Iterable[str] = ()) -> list[str]:
        """The table, and the tests that none of the chosen sites can have."""
        width = max(len(can.name) for can in Can)
        kinds = list(self.declared)
        rows = [
            f"  {can.name:{width}}  "
            + "  ".join(
                ("yes" if can in self.declared[kind] else "-").center(len(kind)) for kind in kinds
            )
            for can in Can
        ]
        missing = [kind for kind in kinds if kind not in self.kinds]
        return [
            "",
            f"tests/batch ran with {', '.join(self.kinds)}"
            + (f"; not with {', '.join(missing)}" if missing else "")
            + ". What each scheduler can do:",
            f"  {'':{width}}  " + "  ".join(kinds),
            *rows,
            *(
                f"  not run here, as no scheduler of this run has what it needs: {name}"
                for name in nowhere
            ),
        ]

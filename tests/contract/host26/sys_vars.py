"""Variables of the system; one of them."""


def get_vars(defer):
    """:param defer: Whether we are outside of the allocation."""
    if not isinstance(defer, bool):
        raise TypeError(f"no bool: {defer!r}")
    return {"sys_name": "host26"}

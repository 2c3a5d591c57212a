"""What stands in for a value that is not known yet."""


class DeferredVariable:
    """Nothing can be done with it."""

# As sites write them, so not in our style:
# ruff: noqa

"""Next to nothing."""

from pavilion.schedulers import scheduler


class OnlyAvailable(scheduler.SchedulerPlugin):
    def __init__(self):
        super().__init__("only_available", "Can nothing.")

    def available(self):
        return True

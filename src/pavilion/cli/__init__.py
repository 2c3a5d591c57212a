"""``pav-sched``, the command line.  Nothing else of the project imports this package."""

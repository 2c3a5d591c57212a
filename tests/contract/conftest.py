"""What pytest must not take for tests: the modules of a host, one of which is called test_run."""

collect_ignore = ["host26"]

"""Inside: the command that kickoff scripts call."""

import sys

from host import run_tests

if __name__ == "__main__":
    assert sys.argv[1] == "_run", sys.argv
    run_tests(sys.argv[2:])

"""What every fake scheduler has: nodes, jobs that really run, time limits, faults, a log of calls.

A fake is a package beside this one.  It has a module ``context`` with a class ``Context`` (see
:class:`.context.Context`), a module ``controller`` with a class ``Controller`` (see
:class:`.controller.Controller`), and a module for each command, named like it, with a function
``run(context)`` that returns the command's exit code.

The engine's words for the states of a job are PENDING, RUNNING and SUSPENDED, and for those that
ended COMPLETED, FAILED, CANCELLED, TIMEOUT and NODE_FAIL; each fake shows them in its own words.
"""

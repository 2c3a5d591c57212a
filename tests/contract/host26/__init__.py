"""A made-up host that is as strict as Pavilion 2.6: the modules that the schedulers folder may
import, with the names, signatures and argument positions that a real checkout has for them.

Tests copy these files into a directory ``pavilion`` and our ``schedulers`` beside them; nothing
here is imported from where it stands.  A real host has more than this.  What is here is nowhere
kinder than a real host (test_host26_is_real compares the two), and what is not listed is an
AttributeError.  What begins with ``host_`` is for the tests that use these, and not for the
folder.

How each module differs from that of our embedded host:

``__init__``
    Imports ``schedulers.config`` before any other module of the host.
``result``, ``result_parsers``
    Import each other, and only load when ``result`` comes first.  ``test_run`` sees to that, so
    the schedulers folder has to import ``test_run``.
``errors``
    The second position of SchedulerPluginError is ``tests``, and an exception that is given there
    stays there.  SchedConfigError is not a ValueError.  ``msg`` cannot be set.  Errors can be
    compared, so they cannot be hashed.
``types``
    Every name is a NewType: it can be called, and isinstance() does not take it.
``status_file``
    Many more states, ``is_fatal()``, and ``list()`` is a view of keys.  ``set()`` and
    ``current()`` never raise for a file that cannot be used: they give the state STATUS_ERROR.  An
    unknown state is written as INVALID; a note that is not a string is an AttributeError.  Notes
    lose the white space around them.
``jobs``
    JobInfo is a NewType.  JobError is a RuntimeError that is not a PavilionError, and its cause is
    its second argument.  ``info`` is None while there is no record, raises json's ValueError when
    it is damaged, and is read once.  A job's paths are instance attributes; those of the logs are
    not resolved, so they go through the link of the test that they were reached by.
    ``kickoff_path`` is a link when the plugin has a KICKOFF_FN.  Tests are links in a directory.
    Node data are pickled.  Jobs can be compared, so they cannot be hashed.
``deferred``
    A DeferredVariable has neither a length nor a truth value: asking for one raises.
``var_dict``
    ``var_method`` is used without parentheses.  None is an error, and so are paths, sets and
    deferred values; a bad item of a list is not.  Iterating, len() and ``in`` know those variables
    that were read already.  Making an object reads every one of its attributes, properties
    included.  With DEFER_ERRORS a failure becomes a text before a subclass hears of it, and the
    entry in ``errors`` ends with a traceback.
``scriptcomposer``
    Nothing is quoted.  A command that is neither a string nor a list is dropped.  A shebang is not
    checked, and is completed with '#!'.
``sys_vars``
    Its variables are there once its plugins were registered, and not before.
``test_run``
    A test is a Mapping, and equal to another one of the same id.  ``id`` and
    ``series`` are objects; a test without a series has None there.  ``cancel()`` writes the state
    CANCELLED and a file ``cancel``, and not RUN_COMPLETE.  A second job is a RuntimeError.
    ``set_run_complete()`` of a test that was never saved raises.
``config``
    PavConfig is made of nothing or of a dictionary.  What is an attribute is an item, but for
    methods.
"""

from .schedulers.config import ScheduleConfig as _ScheduleConfig  # noqa: F401

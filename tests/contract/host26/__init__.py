"""A host as CONTRACT-like as can be: the modules that the schedulers folder may import, each with
exactly the names, signatures and argument positions that Pavilion 2.6 has for it, and no more.

Tests copy these files into a folder ``pavilion`` and our ``schedulers`` beside them; nothing here
is imported from where it stands.  Where ours is kinder than Pavilion 2.6, these are not:

- a test's id is an object that is no string; a job can be given to a test once;
- the second position of SchedulerPluginError is ``tests``; SchedConfigError is no ValueError;
- a variable whose method gives None is an error, and so is a job that has no identity yet;
- whatever is not listed is an AttributeError.

What begins with ``host_`` is for the tests that use these, and not for the folder.
"""

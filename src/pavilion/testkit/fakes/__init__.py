"""The commands of the fake schedulers, a package each, and the engine that carries them all.

Only the standard library and relative imports are used here: the commands are started without
``site`` and without the rest of Pavilion, so that each starts in a few hundredths of a second.
"""

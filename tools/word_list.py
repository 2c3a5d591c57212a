"""The words that our prose does without, and what to write instead.

Patterns are matched, whatever the case, against prose in which each run of blanks is one blank; so a
phrase is found across the ends of lines. ``{}`` stands for the values of f-strings, ``~`` for a code
span. A pattern should rather miss a case than hit a good sentence: false alarms make people stop
reading. Each has examples in tests/unit/test_words.py, and a row in CONTRIBUTING.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BE = r"\b(?:is|are|was|were|be|been|being|isn't|aren't|cannot be|get|gets)"
# What may stand between "is" and the word in question.
_ADVERBS = r"(?:(?:not|never|already|only|then|all|both|long|now|again|yet|first|just) )*"
_SCHEDULERS = (
    r"(?:schedulers?|slurm|slurmctld|slurmdbd|controller|plugins?|squeue|sacct|scontrol|sinfo)"
)
_MODALS = "can could will would may might must should shall has have had to".split()
_NOT_THERE_CAN = "".join(f"(?<!there {modal} )" for modal in _MODALS)


@dataclass(frozen=True)
class Word:
    """A word, or a turn of phrase, to do without.

    :param name: What it is called in CONTRIBUTING.md and in the tests.
    :param pattern: What it looks like.
    :param instead: What to write instead.
    """

    name: str
    pattern: str
    instead: str
    regex: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "regex", re.compile(self.pattern, re.IGNORECASE))


WORDS = (
    Word("folder", r"\b(?:sub)?folders?\b", "directory"),
    # Not: "is over 5 GB", "is over that of its partition".
    Word(
        "is over",
        rf"(?:{_BE} {_ADVERBS}|\b(?:already|not) )over\b"
        r"(?! (?:the|that|those|its|their|this|all|half|[{~\d]))",
        "has ended, has finished, is done",
    ),
    Word("goes before", r"\b(?:go|goes|going|went|gone) before\b", "takes precedence over"),
    # Not: "there is no job", "is no longer", "the answer is no and ...".
    Word(
        "is no ...",
        rf"(?<!there ){_NOT_THERE_CAN}\b(?:is|are|was|were|be|being|been) no (?=[a-z~{{])"
        r"(?!(?:longer|more|less|fewer|other|different|better|worse|good|use|need|one|and|or)\b)"
        r"(?!(?:reason|harm|guarantee|substitute|wonder|doubt|secret|match)\b)",
        "is not a ...",
    ),
    Word(
        "is told",
        rf"{_BE} {_ADVERBS}told\b(?! (?:(?:to|apart)\b|~))"
        r"|\b(?:tell|tells|told|telling) (?:the )?(?:users?|readers?|you|so|how)\b",
        "reports, shows, says, is reported; cannot be determined",
    ),
    # Not the keyword of Python, "or else", "anything else".
    Word("else", r"(?:[,;:.!?] |\(|^)else\b(?! if\b|:)", "otherwise"),
    Word(
        "is asked",
        rf"{_BE} {_ADVERBS}asked\b(?! (?:to|whether|for)\b)"
        rf"|\bask(?:s|ed|ing)? (?:(?:the|a|its|their|your|each|all|our|this|that) )*{_SCHEDULERS}\b"
        r"|\bask(?:s|ing)? (?:again|anew)\b",
        "is queried, query; is requested",
    ),
    Word("ask for", r"\bask(?:s|ed|ing)? for\b", "request"),
    Word("whole one", r"\bwhole ones?\b", "complete"),
    # Not: "besides those of the settings", "Besides, ...".
    Word("besides", r"\bbesides(?=[.;:)?!]|$| and\b| or\b)", "in addition, as well, otherwise"),
    # Not: "text file", "a text of 20 pages", "as text".
    Word(
        "a text",
        r"\b(?:a|one|another) text\b(?! (?:files?|editor|fields?|tables?|lines?|mode|of)\b)"
        r"|\b(?:lists?|dictionar(?:y|ies)|dicts?|mappings?|tuples?) of text\b|(?<!help )\btexts\b",
        "string; message; wording",
    ),
    # Not: "stands for", "stands in for", "stands in the way", "as it stands".
    Word(
        "stands in",
        r"\b(?:stand|stands|stood) (?:in|on|at|there|below|above|beside|between|under|behind|before)\b"
        r"(?! (?:for|(?:the|its|their) (?:way|place))\b)",
        "is in, is on, comes before",
    ),
    # Not: "lies in the fact that".
    Word(
        "lies in",
        r"\b(?:lie|lies) (?:in|below|under|beside|on)\b(?! (?:the fact|wait)\b)",
        "is in, is under",
    ),
    Word(
        "so many",
        r"\b(?:for|after|within|to|of|in|with|from|than|wait) so (?:many|few)\b(?! (?:\w+ )?that\b)"
        r"|\bso (?:many|few) (?:seconds|minutes|nodes|bytes|lines|characters|equal|evenly)\b(?! that\b)",
        "this many, N",
    ),
    Word("known of", rf"{_BE} known of\b(?! old\b)", "is known about"),
    Word("look-up", r"\blook-ups?\b", "lookup (a noun), look up (a verb)"),
    Word("time-out", r"\btime-?\s?-outs?\b", "timeout"),
    Word("time stamp", r"\btime[- ]stamp(?:s|ed)?\b", "timestamp"),
    Word("kick-off", r"\bkick-offs?\b", "kickoff"),
    Word("plain file", r"\b(?:plain|ordinary|normal) files?\b", "regular file"),
    # Not: "allows users to", "is allowed to".
    Word(
        "allow to",
        r"(?<!not )\b(?:allows|permits|enables) to\b|\b(?:does|do|did) not (?:allow|permit) to\b",
        "allows ... to, makes it possible to",
    ),
    Word("missing of", r"\bmissing of\b", "missing from"),
    Word("the one of", r"\bthe ones? of (?!(?:us|you|them|these|that|this)\b)", "that of"),
    Word("anew", r"\banew\b", "again"),
    Word("mend", r"\bmend(?:s|ed|ing)?\b", "fix"),
    # "Allowed are: ..."
    Word(
        "allowed are",
        r"(?:^|[.:;] )(?:allowed|needed|possible|required|known|valid|expected) (?:is|are)\b",
        "Allowed: ..., ... is required",
    ),
    Word("can be had", r"\b(?:can|could|cannot|not|to|ever|never) be had\b", "is available"),
    Word(
        "therein",
        r"\b(?:therein|thereof|thereby|wherein|whereof|whilst|amongst|thence|whence|hitherto)\b",
        "in it, of it, while, among",
    ),
    Word("informations", r"\binformations\b", "information"),
    Word("own", r"\ban own\b", "its own, an ... of its own"),
    Word(
        "foreign",
        r"\bforeign (?:jobs?|files?|process(?:es)?|director(?:y|ies))\b",
        "another user's",
    ),
    Word("none the less", r"\bnone the less\b", "nevertheless, all the same"),
    Word("nobody knows", r"\bthat nobody knows\b", "that is not recognized"),
)

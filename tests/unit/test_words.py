"""tools/words.py, the check of the words that prose does without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "words.py"
sys.path.insert(0, str(TOOL.parent))

from word_list import WORDS  # noqa: E402

sys.path.remove(str(TOOL.parent))

# Name of the word -> (sentences that have it, sentences that look like it).
EXAMPLES = {
    "folder": (["A folder.", "Its subfolders."], ["A directory.", "It is folded."]),
    "is over": (
        ["The test is over.", "Tests that are not over, go on.", "It is already over (FAIL)"],
        [
            "The time limit is over that of its partition.",
            "It is over 5 GB.",
            "It is over {} GB.",
            "The overhead is low.",
            "Hand it over.",
        ],
    ),
    "goes before": (
        ["An option goes before the setting.", "What went before it."],
        ["It takes precedence.", "Before it goes, it says so."],
    ),
    "is no ...": (
        ["'x' is no id.", "Nothing is no error.", "These are no numbers.", "That would be no job."],
        [
            "There is no job.",
            "There can be no lock.",
            "There would be no job.",
            "It is no longer there.",
            "The answer is no.",
            "If it is no or yes",
            "That is no reason to stop.",
        ],
    ),
    "is told": (
        ["The end is told once.", "It tells the user.", "This cannot be told.", "It tells how."],
        ["It is told to end.", "Tests that it cannot tell apart.", "unless it is told ~."],
    ),
    "else": (
        ["The name, else the id.", "Chunks (else jobs).", "Wait. Else it hangs."],
        ["Nothing else.", "Use it, or else it hangs.", "All else that one sees.", "x if y else z"],
    ),
    "is asked": (
        ["Schedulers are asked about it.", "It cannot be asked.", "Ask the scheduler."],
        ["Jobs are asked to end.", "It asks the user.", "Ask whoever set it up."],
    ),
    "ask for": (
        ["The test asks for nodes.", "Nodes asked for"],
        ["It requests nodes.", "To ask: for"],
    ),
    "whole one": (["The answer is no whole one."], ["The whole answer.", "One whole hour."]),
    "besides": (
        ["What it gets besides.", "Files that are there besides and stay."],
        ["Directories besides those of the settings.", "Besides, it is slow."],
    ),
    "a text": (
        ["A value is a text.", "A list of texts.", "Lists of text."],
        [
            "A text file.",
            "10 MiB of text.",
            "Help texts.",
            "It is kept as text.",
            "The text of a message.",
        ],
    ),
    "stands in": (
        ["The token stands in its comment.", "What stands before it.", "It stood there."],
        [
            "PD stands for pending.",
            "It stands in for the real one.",
            "Nothing stands in the way.",
            "The suite passes as it stands.",
            "A stand-in.",
        ],
    ),
    "lies in": (
        ["The script lies in it.", "They lie below."],
        ["It relies on it.", "The line below."],
    ),
    "so many": (
        ["It waits for so many seconds.", "Up to so many nodes."],
        ["There are so many nodes that it is slow.", "So many of them!", "so few that all fit"],
    ),
    "known of": (["What is known of a job."], ["What is known about it.", "It knows of jobs."]),
    "look-up": (["A look-up.", "Look-ups share a query."], ["A lookup.", "Look up the job."]),
    "time-out": (
        ["A time-out.", "Time-outs"],
        ["A timeout.", "It times out.", "The time without it"],
    ),
    "time stamp": (["A time stamp.", "time-stamped"], ["A timestamp."]),
    "kick-off": (["The kick-off."], ["The kickoff.", "Kick it off."]),
    "plain file": (
        ["It is no plain file.", "Ordinary files."],
        ["A regular file.", "A plain number."],
    ),
    "allow to": (
        ["It allows to cancel.", "What does not allow to use it."],
        ["It allows users to cancel.", "You are allowed to.", "What to allow to whom"],
    ),
    "missing of": (["What is missing of it."], ["What is missing from it.", "missing, of which"]),
    "the one of": (["The one of a checkout."], ["The one of that name.", "That of a checkout."]),
    "anew": (["It starts anew."], ["It starts a new job."]),
    "mend": (["It was mended."], ["It is recommended.", "An amendment."]),
    "allowed are": (
        ["Bad key. Allowed are: a, b.", "none; allowed are x", "Needed are [Core]"],
        ["Allowed: a, b.", "The allowed values are a, b.", "Those that are allowed are listed."],
    ),
    "can be had": (
        ["Nodes that can be had.", "It is not to be had."],
        ["It can be used.", "It had been."],
    ),
    "therein": (["The jobs therein.", "Whilst waiting"], ["The jobs in it.", "There in the list"]),
    "informations": (["The informations."], ["The information."]),
    "own": (["An own thread."], ["A thread of its own.", "Its own thread."]),
    "foreign": (["Foreign jobs."], ["A foreign key.", "Other users' jobs."]),
    "none the less": (["It runs none the less."], ["Nevertheless.", "None of the lesser ones."]),
    "nobody knows": (["A name that nobody knows."], ["Nobody knows why."]),
}


def test_each_word_has_examples() -> None:
    assert [word.name for word in WORDS] == list(EXAMPLES)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: word.name)
def test_words_hit_what_they_are_for_and_nothing_like_it(word) -> None:
    bad, good = EXAMPLES[word.name]
    assert [text for text in bad if not word.regex.search(text)] == []
    assert [text for text in good if word.regex.search(text)] == []


def test_contributing_lists_every_word() -> None:
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## Words\n")[1].split("\n## ")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("|")][2:]
    listed = [row[1].strip().strip("`") for row in rows]
    assert listed == [word.name for word in WORDS]


def _check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TOOL, path], capture_output=True, text=True, check=False, timeout=60
    )


def _hits(path: Path, source: str) -> list[str]:
    """'LINE: what was found' of each hit in a file."""
    path.write_text(source)
    done = _check(path)
    assert "Traceback" not in done.stderr, done.stderr
    prefix = f"{path}:"
    assert all(line.startswith(prefix) for line in done.stdout.splitlines()), done.stdout
    assert done.returncode == (1 if done.stdout else 0)
    return [line[len(prefix) :] for line in done.stdout.splitlines()]


DIRECTORY = "'folder': write 'directory'"


@pytest.mark.parametrize(
    "source, lines",
    [
        ('"""A folder."""\n', [1]),
        ("x = 1  # the folder\n", [1]),
        ("x = f'no folder {1}'\n", [1]),
        ('def f():\n    """Do.\n\n    In a\n    folder.\n    """\n', [5]),
        ('x = (\n    "a long"\n    f" folder {1}"\n)\n', [3]),
        ("#: A\n# folder\nx = 1\n", [2]),
        ("folder = {}\nfolder['x'] = folder\n", []),
        ("x = {'folder': 1}\nx['folder'] = x.get('folder')\n", []),
        ('"""Use `folder` and ``folder``.\n\n:param folder: Where.\n"""\n', []),
        ("x = '# folder'\n", [1]),
    ],
)
def test_strings_docstrings_and_comments_of_python_are_read(tmp_path, source, lines) -> None:
    assert _hits(tmp_path / "x.py", source) == [f"{line}: {DIRECTORY}" for line in lines]


def test_phrases_are_found_across_the_ends_of_lines(tmp_path) -> None:
    advice = "write 'has ended, has finished, is done'"
    python = '# The test is\n# over.\nx = (\n    "the job is "\n    "over"\n)\n"""A test is\nover.\n"""\n'
    assert _hits(tmp_path / "x.py", python) == [
        f"2: 'is over': {advice}",
        f"5: 'is over': {advice}",
        f"8: 'is over': {advice}",
    ]
    # Not across paragraphs, items of a list, cells of a table.
    markdown = "A test is\nover.\n\nWhat it is\n\nover there\n\n- it is\n- over\n\n| is | over |\n"
    assert _hits(tmp_path / "x.md", markdown) == [f"2: 'is over': {advice}"]


def test_values_in_f_strings_stand_for_themselves(tmp_path) -> None:
    assert _hits(tmp_path / "x.py", "x = f'{1} is no {2} and over {3}'\n") == [
        "1: 'is no': write 'is not a ...'"
    ]
    assert _hits(tmp_path / "x.py", "x = f'it is {1} over'\ny = f'is over {2} GB'\n") == []


def test_markdown_is_read_without_code(tmp_path) -> None:
    source = (
        "A folder.\n\n```sh\ncd folder  # folder\n```\n\nA `folder` and ``a `folder` ``,\n"
        "[x](folder/x.md), `long\nfolder` code.\n<!-- folder -->\n\n- x:\n\n  ~~~\n  folder\n  ~~~\n\n"
        "| a | **folder** |\n"
    )
    assert _hits(tmp_path / "x.md", source) == [f"1: {DIRECTORY}", f"18: {DIRECTORY}"]


def test_yaml_is_read_with_its_comments(tmp_path) -> None:
    assert _hits(tmp_path / "x.yaml", "# In a\n# folder\na: b\nc: x folder\n") == [
        f"2: {DIRECTORY}",
        f"4: {DIRECTORY}",
    ]


def test_lines_that_need_a_word_have_a_marker(tmp_path) -> None:
    for source in (
        "x = 'folder'  # words: ok\n",
        "# words: ok (printed by Slurm)\nx = 'folder'\n",
        'x = """A\nfolder\nhere"""  # words: ok\n',
        "y = (\n    'the folder'  # words: ok\n    ' here'\n)\n",
    ):
        assert _hits(tmp_path / "x.py", source) == [], source
    for source in (
        "A folder. <!-- words: ok -->\n",
        "<!-- words: ok, a key -->\nA folder.\n",
    ):
        assert _hits(tmp_path / "x.md", source) == [], source
    # It counts for its own line only.
    assert _hits(tmp_path / "x.py", "x = 'folder'  # words: ok\ny = 'folder'\n") == [
        f"2: {DIRECTORY}"
    ]


def test_markers_that_nothing_needs_are_found(tmp_path) -> None:
    unused = "this 'words: ok' is not needed (any more)"
    assert _hits(tmp_path / "x.py", "x = 'directory'  # words: ok\n") == [f"1: {unused}"]
    assert _hits(tmp_path / "x.md", "A directory. <!-- words: ok -->\n") == [f"1: {unused}"]


def test_a_quoted_marker_is_none(tmp_path) -> None:
    assert _hits(tmp_path / "x.py", "x = 'a # words: ok'\n") == []
    assert _hits(tmp_path / "x.md", "Write `# words: ok`.\n") == []


def test_directories_are_searched_for_files_with_prose(tmp_path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "a.py").write_text("# folder\n")
    (tmp_path / "below" / "script").write_text("#!/usr/bin/env python3\n# folder\n")
    (tmp_path / "below" / "data.txt").write_text("folder\n")
    (tmp_path / "z.md").write_text("folder\n")
    done = _check(tmp_path)
    assert done.stdout.splitlines() == [
        f"{tmp_path}/below/a.py:1: {DIRECTORY}",
        f"{tmp_path}/below/script:2: {DIRECTORY}",
        f"{tmp_path}/z.md:1: {DIRECTORY}",
    ]
    assert "3 found in 3 files" in done.stderr
    assert done.returncode == 1


def test_a_path_that_does_not_exist_is_reported(tmp_path) -> None:
    done = _check(tmp_path / "missing.md")
    assert done.returncode == 2
    assert f"there is no {tmp_path}/missing.md" in done.stderr


def test_the_project_keeps_to_its_words() -> None:
    done = subprocess.run(
        [sys.executable, TOOL], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)

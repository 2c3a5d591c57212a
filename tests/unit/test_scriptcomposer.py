"""Composed scripts: a real bash takes every path and value for what it is, and runs nothing."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pavilion.scriptcomposer import ScriptComposer, ScriptHeader, double_quote, quote

# Each would leave a file 'pwned' in the current folder, were any part of it executed.
HOSTILE = [
    "$(touch pwned)",
    "`touch pwned`",
    "\\`touch pwned\\`",
    "\\$(touch pwned)",
    "\\\\$(touch pwned)",
    '"; touch pwned; "',
    "'; touch pwned; '",
    '\\"; touch pwned; \\"',
    "a\ntouch pwned\n",
    "\r\ntouch pwned",
    "a & touch pwned &",
    "a | touch pwned",
    "> pwned",
    "<(touch pwned)",
    "$[a[$(touch pwned)]]",
    "${a[$(touch pwned)]}",
    "${HOME:a[`touch pwned`]}",
    "$((a[$(touch pwned)]))",
    "${x:=$(touch pwned)}",
    "${!x}",
    "${x@P}",
    "$$",
    "$?",
    "$1",
    "$@",
    "$",
    "a$",
    "!!",
    "!touch",
    "# not a comment",
    "~root",
    "*",
    "{a,b}",
    "\\",
    "\\\\",
    'a"b',
    "a'b",
    "a b",
    "  a  ",
    "\ta",
    "é€😀",
    "\x0b\x0c\x1c\x1d\x85\u2028\u2029",
    "-n",
    "--help",
    "",
    "\x7f\x1b[31m",
    "%s%n",
    "a=b",
    "EOF\n$(touch pwned)",
    "}; touch pwned; {",
    ");touch pwned;(",
]

# No null: neither files nor environment can have it.  No lone surrogates: no text has them.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40)
SHELLISH = st.text("$`\\\"'(){}[]a_ 1;&|<>\n!#~*", max_size=30)


def _run(script: ScriptComposer, folder: Path, **env: str) -> bytes:
    """The output of the script; that bash takes it without a complaint is checked twice."""
    path = folder / "script.sh"
    script.write(path)
    checked = subprocess.run(["bash", "-n", str(path)], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")
    done = subprocess.run(
        [str(path)],
        capture_output=True,
        check=False,
        cwd=folder,
        env={"PATH": os.environ["PATH"], **env},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert not (folder / "pwned").exists()
    return done.stdout


def _printing(values: list[str]) -> ScriptComposer:
    """A script that sets an environment variable to each value, and prints all of them."""
    script = ScriptComposer()
    script.env_change({f"V{number}": value for number, value in enumerate(values)})
    for number in range(len(values)):
        script.command(f"printenv -0 V{number}")
    return script


def test_hostile_values_arrive_intact(tmp_path: Path) -> None:
    out = _run(_printing(HOSTILE), tmp_path)
    assert out.decode().split("\0")[:-1] == HOSTILE


@given(values=st.lists(st.one_of(TEXT, SHELLISH), min_size=1, max_size=30))
@example(values=["a\\"])
@example(values=["$$A"])
@settings(max_examples=15, deadline=None)
def test_any_value_arrives_intact(
    tmp_path_factory: pytest.TempPathFactory, values: list[str]
) -> None:
    # $NAME and ${NAME} are meant to be expanded; they have a test of their own.
    values = [re.sub(r"\$+(?=[A-Za-z_{])", "", value) for value in values]
    out = _run(_printing(values), tmp_path_factory.mktemp("values"))
    assert out.decode().split("\0")[:-1] == values


@given(texts=st.lists(st.one_of(TEXT, SHELLISH), min_size=1, max_size=30))
@settings(max_examples=15, deadline=None)
def test_any_quoted_text_is_one_word(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    script = ScriptComposer()
    script.command("printf '%s\\0' " + " ".join(map(quote, texts)))
    out = _run(script, tmp_path_factory.mktemp("words"))
    assert out.decode().split("\0")[:-1] == texts


def test_names_of_variables_are_expanded_and_nothing_else(tmp_path: Path) -> None:
    script = _printing(["$HERE:${HERE}/x", "$HERE_NOT|${NOT}", "${HERE:-x}", "\\$HERE", "$1$HERE"])
    out = _run(script, tmp_path, HERE='a b; `x` $(y) "q"')
    here = 'a b; `x` $(y) "q"'
    assert out.decode().split("\0")[:-1] == [
        f"{here}:{here}/x",
        "|",
        "${HERE:-x}",
        f"\\{here}",
        f"$1{here}",
    ]


def test_a_later_value_may_refer_to_an_earlier_one(tmp_path: Path) -> None:
    script = ScriptComposer()
    script.env_change({"A": "one", "B": "$A two"})
    script.env_change({"PATH": "/opt/x:$PATH"})
    script.command(['echo "$B"', 'echo "$PATH"'])
    out = _run(script, tmp_path).decode().splitlines()
    assert out == ["one two", f"/opt/x:{os.environ['PATH']}"]


def test_none_unsets_a_variable(tmp_path: Path) -> None:
    script = ScriptComposer()
    script.env_change({"GONE": None, "EMPTY": ""})
    script.command('echo "${GONE-unset} ${EMPTY-unset}."')
    assert _run(script, tmp_path, GONE="here") == b"unset .\n"


@pytest.mark.parametrize(
    "name", ["", "1A", "A B", "A=B", "A;touch pwned", "A\n", "\nA", "A-B", "é", "A[$(touch pwned)]"]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of an environment variable"):
        ScriptComposer().env_change({name: "x"})


def test_a_null_character_is_refused() -> None:
    with pytest.raises(ValueError, match="NAME must not contain a null"):
        ScriptComposer().env_change({"NAME": "a\0b"})


@pytest.mark.parametrize("text", [text for text in HOSTILE if text and "/" not in text])
def test_hostile_paths_work(tmp_path: Path, text: str) -> None:
    folder = tmp_path / text
    folder.mkdir()
    script = ScriptComposer()
    script.command(f"exec >{quote(folder / 'log')} 2>&1")
    script.command(f"cd {quote(folder)} && pwd")
    path = folder / "script.sh"
    script.write(path)
    assert os.access(path, os.X_OK)
    assert _run(script, tmp_path) == b""
    assert (folder / "log").read_bytes() == os.fsencode(folder) + b"\n"
    # Bash itself gets the path, too, and a script that is started by it runs.
    subprocess.run([str(path)], check=True, cwd=tmp_path)
    assert not (tmp_path / "pwned").exists()


def test_a_path_that_is_no_utf8_works(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9 \xff")
    folder.mkdir()
    script = ScriptComposer()
    script.command(f"pwd >{quote(folder / 'out')}")
    _run(script, tmp_path)
    assert (folder / "out").exists()


def test_comments_run_nothing(tmp_path: Path) -> None:
    script = ScriptComposer()
    for number, text in enumerate(HOSTILE):
        script.comment(text)
        script.command(f"echo {number}")
    out = _run(script, tmp_path)
    assert out.split() == [str(number).encode() for number in range(len(HOSTILE))]


def test_commands_stay_as_they_are(tmp_path: Path) -> None:
    odd = "a\x0bb\x0cc\x1cd\x85e\u2028f"
    script = ScriptComposer()
    script.command(f"printf '%s\\n' '{odd}'")
    script.command(["cat <<'END'", "  two\n\nlines\n", "END"])
    script.newline()
    script.command("")
    script.command("echo end\n")
    assert _run(script, tmp_path).decode() == f"{odd}\n  two\n\nlines\nend\n"


def test_a_script_is_a_header_and_lines(tmp_path: Path) -> None:
    class Header(ScriptHeader):
        def get_lines(self) -> list[str]:
            return [*super().get_lines(), "#BATCH -n 4"]

    script = ScriptComposer(header=Header("#!/bin/sh"))
    script.newline()
    script.comment("one\ntwo\n\nthree")
    script.command("true")
    script.write(tmp_path / "script.sh")
    assert (tmp_path / "script.sh").read_text().splitlines() == [
        "#!/bin/sh",
        "#BATCH -n 4",
        "",
        "# one",
        "# two",
        "#",
        "# three",
        "true",
    ]
    assert script.get_lines()[0] == "#!/bin/sh"
    assert ScriptComposer().get_lines() == ["#!/bin/bash"]
    assert ScriptComposer(ScriptHeader(None)).get_lines() == ["#!/bin/bash"]


@pytest.mark.parametrize("shebang", ["bash", "", " #!/bin/sh", "#!/bin/sh\ntouch pwned"])
def test_a_shebang_must_be_one(shebang: str) -> None:
    header = ScriptHeader("#!/bin/sh")
    with pytest.raises(ValueError, match="starts with '#!'"):
        header.shebang = shebang


@pytest.mark.parametrize("umask, mode", [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_those_who_may_read_a_script_may_run_it(tmp_path: Path, umask: int, mode: int) -> None:
    old = os.umask(umask)
    try:
        ScriptComposer().write(tmp_path / "script.sh")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "script.sh").stat().st_mode) == mode


def test_a_script_that_cannot_be_written_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="gone"):
        ScriptComposer().write(tmp_path / "gone" / "script.sh")


def test_double_quotes_keep_the_text_readable() -> None:
    assert double_quote("plain text") == '"plain text"'
    assert double_quote("$A ${B} $(c) $5") == '"$A ${B} \\$(c) \\$5"'

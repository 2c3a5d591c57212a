"""Completion: what is offered where, and how real shells insert it."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_tools import Cli
from shell_tools import SHELLS, Terminal

from pavilion.cli import completing, completion
from pavilion.cli.completion import SCRIPTS
from pavilion.cli.main import main, make_parser
from pavilion.plugins import reset_plugins

BREAKS = " \t\n\"'><=;|&(:"
# Names that a shell takes for something else, where they are not quoted.
NAMES = ["nightly", "my suite", "we:ird", "pr$ice", "quo'te", "back`tick", "a;b", "eq=al"]
SUITE = """
_base:
  run: {cmds: ['true']}
hello:
  inherits_from: _base
  summary: |
    not: a test
'other':
  inherits_from: _base
"""


class Ask:
    """Asks in this process: what a shell is given, line by line."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> list[str]:
        assert main(["_complete", *arguments]) == 0
        printed = self._capsys.readouterr()
        assert printed.err == ""
        return printed.out.splitlines()

    def bash(self, cli: Cli, line: str, bare: bool = False) -> list[str]:
        """What bash is given to insert."""
        options = "" if bare else f"--working-dir '{cli.work}' --config-dir '{cli.config}' "
        return self("bash", f"pav-sched {options}{line}", BREAKS)[1:]


@pytest.fixture
def ask(
    site: Cli, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ask]:
    monkeypatch.chdir(site.root)
    # How fast this machine is does not matter here.
    monkeypatch.setattr(completion, "PATIENCE", 60.0)
    yield Ask(capsys)
    reset_plugins()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    made = Cli(tmp_path_factory.mktemp("site"))
    for name in NAMES:
        made.suite(SUITE, name)
    assert made("run", "nightly").code == 0
    assert made("run", "nightly.hello").code == 0
    yield made
    made.kill_all()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("stat", ["status"]),
        ("show plug", ["plugins"]),
        ("show sched --con", ["--config-file", "--config-dir", "--config"]),
        ("completion ", ["bash", "zsh", "fish"]),
        ("run --sched", ["--scheduler"]),
        ("run --scheduler r", ["raw"]),
        ("run --scheduler=r", ["raw"]),
        ("run --scheduler raw --sched", []),
        ("show sched --vars ", ["flux", "gridengine", "pbs", "raw", "slurm"]),
        ("show nodes sl", ["slurm"]),
        ("run night", ["nightly", "nightly.hello", "nightly.other"]),
        ("run nightly.o", ["nightly.other"]),
        ("run nightly._", ["nightly._base"]),
        ("run -- nightly.o", ["nightly.other"]),
        ("run --timeout 5 nightly.o", ["nightly.other"]),
        ("run nightly nightly.o", ["nightly.other"]),
        ("run --timeout ", []),
        ("run -c schedule.min_n", ["schedule.min_nodes="]),
        ("run -c schedule.slurm.f", ["schedule.slurm.features="]),
        ("status ", ["s2", "s1"]),
        ("status s1.", ["s1.1", "s1.2"]),
        ("wait s1 s2.", ["s2.1"]),
        ("log ", ["run", "kickoff", "sched", "s2", "s1"]),
        ("log k", ["kickoff"]),
        ("log kickoff s2.", ["s2.1"]),
        ("log kickoff s2.1 --fol", ["--follow"]),
        ("log s2.1 --fol", ["--follow"]),
        ("map --by j", ["job"]),
        ("nonsense ", []),
        ("run 'nightly.o", ["nightly.other"]),
        ("_", []),
    ],
)
def test_what_is_offered(site: Cli, ask: Ask, line: str, expected: list[str]) -> None:
    found = [word.rstrip("/") for word in ask.bash(site, line)]
    # Files of the current directory are offered, too; there are none of these names.
    assert [word for word in found if not (site.root / word).exists()] == expected


def test_options_have_a_few_words_each(ask: Ask) -> None:
    assert ask("fish", "run", "--sched")[1:] == [
        "--scheduler\tthe scheduler to use, whatever the suites say"
    ]


def test_tests_are_shown_with_their_names(site: Cli, ask: Ask) -> None:
    found = ask("zsh", "--working-dir", str(site.work), "log", "s1.")
    assert found[1:] == ["s1.1\tnightly.hello", "s1.2\tnightly.other"]


def test_settings_are_those_of_the_line(site: Cli, ask: Ask) -> None:
    file = site.root / "site.yaml"
    file.write_text(f"working_dir: {str(site.work)!r}\n", encoding="utf-8")
    assert ask.bash(site, f"--config-file {file} status s2.", bare=True) == ["s2.1"]
    assert ask.bash(site, f"--config-file={file} status s2.", bare=True) == ["s2.1"]
    assert ask.bash(site, "status s2.", bare=True) == []


@pytest.mark.parametrize(
    "words",
    [
        ["--config-file", "missing.yaml", "status", ""],
        ["--config-file", "broken.yaml", "run", ""],
        ["--working-dir", "/dev/null", "status", ""],
        ["--config-file", "a\nb", "run", ""],
        ["--config-file", "a\0b", "run", ""],
    ],
)
def test_nothing_is_printed_when_something_is_wrong(site: Cli, ask: Ask, words: list[str]) -> None:
    (site.root / "broken.yaml").write_text("a: [\n", encoding="utf-8")
    for shell in ("zsh", "fish"):
        assert ask(shell, *words)[1:] == []


@pytest.mark.parametrize(
    "arguments", [[], ["tcsh"], ["tcsh", "run"], ["bash"], ["bash", "pav-sched run"], ["fish"]]
)
def test_wrong_calls_get_no_answer(site: Cli, arguments: list[str]) -> None:
    done = site("_complete", *arguments, bare=True)
    assert (done.code, done.out, done.err) == (0, "", "")


def test_names_that_no_shell_could_show_are_left_out(site: Cli, ask: Ask) -> None:
    folder = site.root / "files"
    folder.mkdir()
    (folder / "a\nb.yaml").touch()
    (folder / "a\x1b[31m.yaml").touch()
    (folder / "ab.yaml").touch()
    assert ask.bash(site, "run files/a") == ["files/ab.yaml"]
    assert ask.bash(site, "run missing/") == []


def test_a_plugin_that_prints(cli: Cli) -> None:
    cli.plugin(
        "loud",
        """
        import sys
        from pavilion.schedulers import Raw

        print("loading")
        print("loading", file=sys.stderr)

        class Loud(Raw):
            def __init__(self):
                super().__init__()
                self.name = "loud"
        """,
    )
    words = ["--config-dir", str(cli.config), "run", "--scheduler", "l"]
    done = cli("_complete", "zsh", *words, bare=True)
    assert (done.code, done.err) == (0, "")
    assert [line.partition("\t")[0] for line in done.out.splitlines()] == ["ok", "loud"]


# ---------------------------------------------------------------------------- real shells


@pytest.fixture(scope="module", params=list(SHELLS))
def terminal(
    request: pytest.FixtureRequest, site: Cli, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terminal]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed here")
    folder = tmp_path_factory.mktemp(request.param)
    settings = folder / "home" / ".pavilion"
    settings.mkdir(parents=True)
    (settings / "pavilion.yaml").write_text(
        f"working_dir: {str(site.work)!r}\nconfig_dirs: [{str(site.config)!r}]\n", encoding="utf-8"
    )
    (folder / "home" / "thing.yaml").write_text("a: {}\n", encoding="utf-8")
    here = folder / "here"
    (here / "zz dir").mkdir(parents=True)
    (here / "zz dir" / "in $here.yaml").write_text("a: {}\n", encoding="utf-8")
    (here / "xx:$(touch oops).xml").touch()
    made = Terminal(request.param, folder, here)
    yield made
    made.close()
    assert not (here / "oops").exists()


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("pav-sched stat\t", ["status"]),
        ("pav-sched sho\tconf\t", ["show", "config"]),
        ("pav-sched run --sched\tra\t --det\t", ["run", "--scheduler", "raw", "--detach"]),
        ("pav-sched status s2.\t", ["status", "s2.1"]),
        ("pav-sched run nig\t.oth\t", ["run", "nightly.other"]),
        ("pav-sched run my\t", ["run", "my suite"]),
        ("pav-sched run my\t.oth\t --det\t", ["run", "my suite.other", "--detach"]),
        ('pav-sched run "my\t"', ["run", "my suite"]),
        ("pav-sched run 'my\t'", ["run", "my suite"]),
        ("pav-sched run we\t", ["run", "we:ird"]),
        ("pav-sched run we:\t", ["run", "we:ird"]),
        ("pav-sched run pr\t", ["run", "pr$ice"]),
        ('pav-sched run "pr\t"', ["run", "pr$ice"]),
        ("pav-sched run quo\t", ["run", "quo'te"]),
        ("pav-sched run back\t", ["run", "back`tick"]),
        ("pav-sched run a\t", ["run", "a;b"]),
        ("pav-sched run eq\t", ["run", "eq=al"]),
        ("pav-sched run -c schedule.min_n\t5", ["run", "-c", "schedule.min_nodes=5"]),
        ("pav-sched run zz\tin\t", ["run", "zz dir/in $here.yaml"]),
        ("pav-sched wait --junit xx\t", ["wait", "--junit", "xx:$(touch oops).xml"]),
        ("pav-sched wait --junit=xx\t", ["wait", "--junit=xx:$(touch oops).xml"]),
        ("FOO=1 pav-sched stat\t", ["status"]),
        ("echo a | pav-sched stat\t", ["status"]),
    ],
)
def test_what_a_shell_makes_of_it(terminal: Terminal, keys: str, expected: list[str]) -> None:
    assert terminal.arguments(keys) == expected


def test_the_home_directory(terminal: Terminal) -> None:
    home = terminal.said.parent / "home"
    assert terminal.arguments("pav-sched run ~/th\t") == ["run", str(home / "thing.yaml")]


# ------------------------------------------------------------------------------- the rest


@pytest.mark.parametrize("shell", list(SCRIPTS))
def test_scripts_are_correct(cli: Cli, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")
    script = cli("completion", shell)
    assert script.code == 0
    done = subprocess.run(
        [shell, "-n"], input=script.out, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert (done.returncode, done.stdout) == (0, "")


def actions(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                yield from actions(sub)
        else:
            yield parser.prog, action


def test_it_is_known_what_each_argument_takes() -> None:
    """A new metavar has its place in completing.KINDS, if only to say that nothing can be listed."""
    unknown = {
        f"{prog}: {action.metavar}"
        for prog, action in actions(make_parser())
        if action.nargs != 0
        and action.choices is None
        and action.dest not in completing.KINDS_BY_DEST
        and action.metavar not in completing.KINDS
        and prog != "pav-sched _run"
    }
    assert unknown == set()


def test_an_answer_needs_no_more_than_the_parser() -> None:
    """Nothing slow is loaded before TAB is pressed where it is needed."""
    code = (
        "import sys; from pavilion.cli.main import main; "
        "main(['_complete', 'zsh', 'stat']); "
        "assert 'rich' not in sys.modules and 'subprocess' not in sys.modules, 'slow'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("ok\nstatus\tshow the states of tests\n", "")


def test_list_paths_knows_what_is_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "a.yml", "a.txt", ".a.yaml"):
        (tmp_path / name).touch()
    (tmp_path / "a").mkdir()
    assert completing.list_paths("", "suites") == ["a.yaml", "a.yml", "a/"]
    assert completing.list_paths("a", "directories") == ["a/"]
    assert completing.list_paths("./a", "files") == ["./a.txt", "./a.yaml", "./a.yml", "./a/"]
    assert completing.list_paths(".a", "files") == [".a.yaml"]

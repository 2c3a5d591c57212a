"""The one door to a scheduler: commands as results, whatever they do; with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_time import FakeTime
from pavilion.schedulers.talk import commands
from pavilion.schedulers.talk.commands import CommandResult, CommandRunner, Failure
from polling import until

DEADLINE = 20.0
SOURCES = Path(commands.__file__).resolve().parents[3]
# The machine may be busy: how long an example takes says nothing about the code.
CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def script(path: Path, text: str) -> str:
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(0o755)
    return str(path)


def sh(text: str, *args: str) -> list[str]:
    return ["/bin/sh", "-c", text, "sh", *args]


@pytest.fixture
def runner() -> CommandRunner:
    return CommandRunner(timeout=DEADLINE)


# --- What a command does ---


def test_what_a_command_prints_and_returns(runner: CommandRunner) -> None:
    result = runner.run(sh("echo out; echo err >&2; exit 3"))

    assert result.argv == ("/bin/sh", "-c", "echo out; echo err >&2; exit 3", "sh")
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 3)
    assert not result.ok
    assert not result.timed_out
    assert 0 <= result.duration < DEADLINE
    assert result.tries == 1
    assert runner.run(["true"]).ok


def test_a_killed_command_says_by_what(runner: CommandRunner) -> None:
    result = runner.run(sh("kill -9 $$"))

    assert result.returncode == -9
    assert "killed by signal 9" in result.describe()


@pytest.mark.parametrize("argv", ["squeue -a", b"squeue", None, 7, ["squeue", 7], ["a", b"b"]])
def test_only_lists_of_text_are_commands(runner: CommandRunner, argv: Any) -> None:
    with pytest.raises(TypeError):
        runner.run(argv)
    assert runner.count() == 0


@pytest.mark.parametrize("argv", [[], [""]])
def test_an_empty_command_is_refused(runner: CommandRunner, argv: list[str]) -> None:
    with pytest.raises(ValueError, match="no command"):
        runner.run(argv)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_time_out_is_positive(runner: CommandRunner, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        runner.run(["true"], timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        CommandRunner(timeout=timeout)


def test_no_shell_sees_an_argument(runner: CommandRunner, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    hostile = [
        f"$(touch {trap})",
        f"; touch {trap}",
        f"`touch {trap}`",
        "a b",
        "*",
        "x\ny",
        "",
        "ü",
    ]

    result = runner.run(["printf", "<%s>", *hostile], cwd=tmp_path)

    assert result.stdout == "".join(f"<{arg}>" for arg in hostile)
    assert not trap.exists()


def test_paths_are_arguments_too_and_the_folder_can_be_chosen(
    runner: CommandRunner, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("content")
    assert runner.run(["cat", Path("file")], cwd=tmp_path).stdout == "content"


# --- Commands that cannot be run ---


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["no-such-command-anywhere"], "no such command in PATH"),
        (["/no/such/file"], "no such file"),
        (["true", "a\0b"], "cannot be given these arguments"),
        (["true", "\ud800"], "cannot be given these arguments"),
        (["true", "x" * 3_000_000], "too long"),
        (["/"], "denied"),
    ],
)
def test_a_command_that_cannot_be_run_is_a_result(
    runner: CommandRunner, argv: list[str], why: str
) -> None:
    result = runner.run(argv)

    assert result.returncode is None
    assert not result.timed_out
    assert result.stderr.startswith(f"{argv[0]} was not run: ")
    assert why in result.stderr
    assert "could not be run" in result.describe()
    assert why in result.describe()


def test_a_missing_folder_or_interpreter_is_told_from_a_missing_command(
    runner: CommandRunner, tmp_path: Path
) -> None:
    lost = tmp_path / "lost"
    lost.write_text("#!/no/such/interpreter\n")
    lost.chmod(0o755)

    assert "interpreter is missing" in runner.run([lost]).stderr
    assert (
        f"no directory '{tmp_path / 'gone'}'" in runner.run(["true"], cwd=tmp_path / "gone").stderr
    )


# --- Input and output ---


def test_a_command_has_no_input_unless_it_is_given_some(runner: CommandRunner) -> None:
    assert runner.run(["cat"]).stdout == ""
    assert runner.run(["cat"], stdin="").stdout == ""
    assert runner.run(["cat"], stdin="#!/bin/sh\nü\n").stdout == "#!/bin/sh\nü\n"


def test_much_in_and_out_at_once_does_not_deadlock(runner: CommandRunner) -> None:
    text = "0123456789abcde\n" * 200_000
    result = runner.run(["tee", "/dev/stderr"], stdin=text)

    assert result.ok
    assert result.stdout == text
    assert result.stderr == text


def test_a_command_need_not_read_its_input(runner: CommandRunner) -> None:
    assert runner.run(["true"], stdin="x" * 1_000_000).ok


def test_input_that_cannot_be_encoded_is_a_result_and_nothing_starts(
    runner: CommandRunner, tmp_path: Path
) -> None:
    result = runner.run(["touch", tmp_path / "trace"], stdin="\ud800")

    assert result.returncode is None
    assert not (tmp_path / "trace").exists()


def test_any_bytes_become_text(runner: CommandRunner) -> None:
    result = runner.run(sh(r"printf 'a\377\300b\n'; printf 'ü\200' >&2"))

    assert result.stdout == "a\\xff\\xc0b\n"
    assert result.stderr == "ü\\x80"


def test_too_much_output_is_a_clear_failure() -> None:
    runner = CommandRunner(max_output=100_000)
    result = runner.run(["yes"])

    assert result.returncode is None
    assert not result.timed_out
    assert result.stdout == ""
    assert "more than 100000 bytes" in result.describe()
    assert runner.run(["head", "-c", "100000", "/dev/zero"]).ok
    assert not runner.run(["head", "-c", "100001", "/dev/zero"]).ok


def test_a_daemon_left_behind_is_not_waited_for(runner: CommandRunner) -> None:
    began = time.monotonic()
    result = runner.run(sh("sleep 60 & echo $!"))
    took = time.monotonic() - began
    pid = int(result.stdout)
    try:
        assert result.ok
        assert took < DEADLINE / 2
        assert runs(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_a_chatty_daemon_left_behind_is_read_until_the_time_out_only() -> None:
    result = CommandRunner().run(
        sh("(while :; do echo more; sleep 0.01; done) & echo $!"), timeout=0.5
    )
    os.kill(int(result.stdout.split()[0]), signal.SIGKILL)

    assert result.ok
    assert not result.timed_out


def test_a_command_that_closes_its_output_is_waited_for(runner: CommandRunner) -> None:
    assert runner.run(sh("exec >&- 2>&-; sleep 0.2; exit 4")).returncode == 4
    assert runner.run(sh("exec >&- 2>&-; exec sleep 60"), timeout=0.2).timed_out


# --- Time-outs and interrupts ---


def test_a_time_out_ends_all_that_the_command_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = script(
        tmp_path / "slow",
        f"""
        sh -c 'trap "" TERM; echo $$ >> "{pids}"; echo early; while :; do sleep 0.1; done' &
        echo $$ >> "{pids}"
        wait
        """,
    )
    result = CommandRunner().run([command], timeout=1.0)

    assert result.timed_out
    assert result.returncode is None
    assert not result.ok
    assert result.stdout == "early\n"
    assert result.describe().startswith(f"'{command}' gave no answer within 1")
    found = [int(line) for line in pids.read_text().split()]
    assert len(found) == 2
    for pid in found:
        until(lambda pid=pid: not runs(pid), "the end of a process")  # type: ignore[misc]


def test_a_stopped_command_may_tidy_up(tmp_path: Path) -> None:
    command = script(tmp_path / "tidy", 'trap "touch $1; exit" TERM; while :; do sleep 0.05; done')
    assert CommandRunner().run([command, tmp_path / "tidied"], timeout=0.3).timed_out
    assert (tmp_path / "tidied").exists()


INTERRUPTED = """
import sys
from pathlib import Path
from pavilion.schedulers.talk import child_process, commands
child_process.INTERRUPT_WAIT = float(sys.argv[1])
try:
    commands.CommandRunner().run(sys.argv[3:], timeout=60, output=Path(sys.argv[2]))
except KeyboardInterrupt:
    sys.exit(42)
"""


@pytest.mark.parametrize(
    ("wait", "rest", "expected"),
    [
        (10.0, "sleep 0.3; echo job 17", "job 17"),
        (0.2, "exec sleep 60", "started"),
    ],
)
def test_an_interrupt_lets_the_command_finish_but_not_for_long(
    tmp_path: Path, wait: float, rest: str, expected: str
) -> None:
    pid_file, log = tmp_path / "pid", tmp_path / "log"
    command = script(
        tmp_path / "submit",
        f'echo started; sleep 0.5\necho $$ > "$1.new"; mv "$1.new" "$1"\n{rest}\n',
    )
    # It is up for a while before that is said: an interrupt inside Popen() is another matter.
    # Its own process group stands for the terminal's: Ctrl-C goes to all of the group.
    caller = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(wait), log, command, pid_file],
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        start_new_session=True,
    )
    try:
        until(pid_file.exists, "the command is up")
        os.killpg(caller.pid, signal.SIGINT)
        assert caller.wait(DEADLINE) == 42
    finally:
        caller.kill()
        caller.wait()
    assert expected in log.read_text()
    assert not runs(int(pid_file.read_text()))


# --- Environment ---


def test_the_environment_is_cleaned_at_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = CommandRunner(
        drop=["SBATCH_", "SLURM_"],
        keep=["SLURM_CONF"],
        set={"LC_ALL": "C", "SLURM_TIME_FORMAT": "standard"},
    )
    show = sh('echo "$SBATCH_PARTITION:$SLURM_JOB_ID:$SLURM_CONF:$LC_ALL:$SLURM_TIME_FORMAT:$KEPT"')
    monkeypatch.setenv("SBATCH_PARTITION", "debug")
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_CONF", "/conf")
    monkeypatch.setenv("SLURM_TIME_FORMAT", "%s")
    monkeypatch.setenv("LC_ALL", "de_DE")
    monkeypatch.setenv("KEPT", "1")

    assert runner.run(show).stdout == "::/conf:C:standard:1\n"
    monkeypatch.setenv("KEPT", "2")
    assert runner.run(show).stdout == "::/conf:C:standard:2\n"
    assert os.environ["SBATCH_PARTITION"] == "debug"


def test_the_environment_can_be_given(tmp_path: Path) -> None:
    script(tmp_path / "squeue", 'echo "mine $A"')
    runner = CommandRunner(environ={"PATH": str(tmp_path), "A": "1"})

    assert runner.run(["squeue"]).stdout == "mine 1\n"
    assert runner.environment() == {"PATH": str(tmp_path), "A": "1"}


NAMES = st.text(st.sampled_from("ABS_"), min_size=1, max_size=4)


@CALM
@given(
    st.dictionaries(NAMES, st.just("old")),
    st.lists(NAMES, max_size=3),
    st.lists(NAMES, max_size=3),
    st.dictionaries(NAMES, st.just("new"), max_size=3),
)
def test_what_is_left_of_an_environment(
    environ: dict[str, str], drop: list[str], keep: list[str], new: dict[str, str]
) -> None:
    left = CommandRunner(drop=drop, keep=keep, set=new, environ=environ).environment()
    for name in {*environ, *new}:
        if name in new:
            assert left[name] == "new"
        else:
            dropped = any(name.startswith(prefix) for prefix in drop) and name not in keep
            assert (name not in left) == dropped
    assert set(left) <= {*environ, *new}


def test_prefixes_are_lists_and_not_empty() -> None:
    with pytest.raises(TypeError, match="drop"):
        CommandRunner(drop="SLURM_")
    with pytest.raises(ValueError, match="drop"):
        CommandRunner(drop=["SLURM_", ""])


# --- Counting ---


def test_calls_are_counted_per_command_and_from_all_threads(tmp_path: Path) -> None:
    command = script(tmp_path / "squeue", "exit 0")
    runner = CommandRunner()

    def work() -> None:
        for _ in range(5):
            assert runner.run([command]).ok
        runner.run(["true"])

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert runner.calls == {"squeue": 30, "true": 6}
    assert runner.count("squeue") == 30
    assert runner.count("sinfo") == 0
    assert runner.count() == 36
    runner.calls.clear()
    assert runner.count() == 36


# --- Logs ---


def test_a_log_gets_the_command_and_what_it_printed(runner: CommandRunner, tmp_path: Path) -> None:
    log = tmp_path / "sched log"
    runner.run(sh("printf 'no newline'; echo bad >&2"), output=log)
    runner.run(["echo", "a b"], output=log)

    assert log.read_text().splitlines() == [
        "$ /bin/sh -c 'printf '\"'\"'no newline'\"'\"'; echo bad >&2' sh",
        "no newline",
        "bad",
        "$ echo 'a b'",
        "a b",
    ]


def test_without_its_log_a_command_is_not_run(runner: CommandRunner, tmp_path: Path) -> None:
    result = runner.run(["touch", tmp_path / "trace"], output=tmp_path / "gone" / "log")

    assert result.returncode is None
    assert "log" in result.stderr
    assert not (tmp_path / "trace").exists()
    assert runner.count() == 0


def test_a_log_that_fails_afterwards_does_not_hide_the_result(
    runner: CommandRunner, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    result = runner.run(sh('rm "$1"; mkdir "$1"; echo 17', str(log)), output=log)

    assert result.ok
    assert result.stdout == "17\n"
    assert "could not be added" in result.stderr


# --- Retries ---


def flaky(path: Path, good_from: int) -> list[str]:
    """A command that fails until its n-th call."""
    return [
        script(
            path / "flaky",
            f"""
        echo x >> {path}/calls
        n=$(wc -l < {path}/calls)
        [ $n -ge {good_from} ] && echo fine && exit 0
        echo "Socket timed out ($n)" >&2; exit 1
        """,
        )
    ]


def by_stderr(result: CommandResult) -> Failure | None:
    if result.ok:
        return None
    return Failure.TRANSIENT if "timed out" in result.stderr else Failure.PERMANENT


def test_transient_failures_are_tried_again(tmp_path: Path) -> None:
    fake = FakeTime()
    runner = CommandRunner(clock=fake.clock, sleep=fake.sleep, rng=lambda: 0.5)
    result = runner.run_retrying(flaky(tmp_path, 4), by_stderr, attempts=5)

    assert result.ok
    assert result.tries == 4
    assert fake.slept == [1.0, 2.0, 4.0]
    assert runner.count("flaky") == 4


def test_the_last_failure_is_the_result(tmp_path: Path) -> None:
    fake = FakeTime()
    runner = CommandRunner(clock=fake.clock, sleep=fake.sleep, rng=lambda: 0.5)
    result = runner.run_retrying(flaky(tmp_path, 9), by_stderr, attempts=3)

    assert result.returncode == 1
    assert result.tries == 3
    assert "tried 3 times: Socket timed out (3)" in result.describe()


@pytest.mark.parametrize(
    "failure", [None, *(failure for failure in Failure if failure is not Failure.TRANSIENT)]
)
def test_nothing_else_is_tried_again(failure: Failure | None) -> None:
    fake = FakeTime()
    runner = CommandRunner(clock=fake.clock, sleep=fake.sleep)
    assert runner.run_retrying(["false"], lambda result: failure).tries == 1
    assert fake.slept == []


@CALM
@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8),
    st.floats(0.1, 10),
    st.floats(0.1, 20),
    st.floats(0.1, 60),
    st.floats(0, 5),
)
def test_pauses_grow_are_spread_and_end_in_time(
    numbers: list[float], first: float, longest: float, total: float, each: float
) -> None:
    fake = FakeTime()
    starts: list[float] = []
    limits: list[float] = []

    class NoProcess(CommandRunner):
        def run(
            self, argv: Any, timeout: float | None = None, *args: Any, **kwargs: Any
        ) -> CommandResult:
            assert timeout is not None
            starts.append(fake.now)
            limits.append(timeout)
            fake.now += min(each, timeout)
            return CommandResult(("x",), 1, "", "timed out", 0.0, False)

    rng = iter(numbers)
    runner = NoProcess(clock=fake.clock, sleep=fake.sleep, rng=lambda: next(rng), timeout=30)
    result = runner.run_retrying(
        ["x"], by_stderr, 9, first_delay=first, max_delay=longest, total=total
    )

    assert result.tries == len(starts) <= 9
    for n, pause in enumerate(fake.slept):
        middle = min(first * 2**n, longest)
        assert 0.5 * middle <= pause <= 1.5 * middle
    for start, limit in zip(starts, limits):
        assert 0 < limit <= 30
        assert start + limit <= 1000 + total + 1e-6
    assert fake.now <= 1000 + total + 1e-6


def test_two_runners_do_not_come_back_together(tmp_path: Path) -> None:
    pauses = []
    for _ in range(2):
        fake = FakeTime()
        CommandRunner(clock=fake.clock, sleep=fake.sleep).run_retrying(
            ["false"], lambda result: Failure.TRANSIENT
        )
        pauses.append(fake.slept)
    assert len(pauses[0]) == len(pauses[1]) == 3
    assert pauses[0] != pauses[1]


def test_attempts_and_total_are_checked(runner: CommandRunner) -> None:
    with pytest.raises(ValueError, match="attempts"):
        runner.run_retrying(["true"], by_stderr, attempts=0)
    with pytest.raises(ValueError, match="total"):
        runner.run_retrying(["true"], by_stderr, total=0)
    assert runner.count() == 0


# --- Descriptions ---


def result_of(**changes: Any) -> CommandResult:
    base = CommandResult(("squeue", "-h", "-o", "%i %T"), 1, "", "", 0.1, False)
    return base._replace(**changes)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"returncode": 0}, "'squeue -h -o '%i %T'' succeeded"),
        ({}, "'squeue -h -o '%i %T'' failed with exit code 1, and printed nothing"),
        (
            {"stderr": "slurm_load_jobs error:\n  Invalid job id\n"},
            "'squeue -h -o '%i %T'' failed with exit code 1: slurm_load_jobs error: / Invalid job id",
        ),
        ({"stdout": "only here\n"}, "'squeue -h -o '%i %T'' failed with exit code 1: only here"),
        ({"stderr": "\x1b[31mred\x07"}, "'squeue -h -o '%i %T'' failed with exit code 1: [31mred"),
    ],
)
def test_a_result_is_described_in_a_line(changes: dict[str, Any], text: str) -> None:
    assert result_of(**changes).describe() == text


@CALM
@given(
    st.text(),
    st.text(),
    st.lists(st.text(), min_size=1, max_size=5),
    st.sampled_from([None, 0, 1, -9]),
    st.booleans(),
    st.integers(1, 5),
)
def test_any_result_is_described_in_one_printable_line(
    stdout: str, stderr: str, argv: list[str], code: int | None, timed_out: bool, tries: int
) -> None:
    text = CommandResult(tuple(argv), code, stdout, stderr, 1.0, timed_out, tries).describe()
    assert text.isprintable()
    assert "\n" not in text


def test_long_errors_are_shortened_and_keep_both_ends() -> None:
    text = result_of(stderr=f"first\n{'blah ' * 100_000}\nlast").describe()
    assert "first" in text
    assert text.endswith("last")
    assert len(text) < 1000


# --- Start-up ---


def test_importing_the_module_is_cheap() -> None:
    code = (
        "import sys\n"
        f"exec(compile(open({str(commands.__file__)!r}).read(), 'commands', 'exec'),"
        " {'__name__': 'commands'})\n"
        "print(*sorted(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "threading" in loaded
    for name in (
        "subprocess",
        "random",
        "shlex",
        "dataclasses",
        "inspect",
        "selectors",
        "concurrent",
        "concurrent.futures",
        "tempfile",
        "shutil",
        "logging",
    ):
        assert name not in loaded

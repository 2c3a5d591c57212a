"""Running a job's tests inside its allocation: ``pav _run s1.1 s1.2 ...``.

Kickoff scripts call this.  Each test is run once, however often the script is: a scheduler may
start a job again after a node failed.  Whatever happens to one test, the others are run.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from types import FrameType
from typing import Any, NamedTuple

from pavilion import sys_vars
from pavilion.config import PavConfig, load_config
from pavilion.env_setup import note_of, take_failures
from pavilion.errors import PavilionError, TestRunError
from pavilion.files import is_mine, write_new
from pavilion.log_limit import LeftLogs, LimitedLog, parse_size, size_text
from pavilion.plugins import load_plugins
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle import guard
from pavilion.schedulers.lifecycle.accepted import accepted_note, add_accepted
from pavilion.schedulers.lifecycle.identity import job_id_of, known_id
from pavilion.schedulers.placement.hostlists import natural_sorted
from pavilion.schedulers.talk.busy_files import when_not_busy
from pavilion.schedulers.talk.child_process import process_handle
from pavilion.status_file import STATES
from pavilion.test_run import ERROR, FAIL, PASS, TestRun, Where, parse_timeout

# How long the tests' processes have to end when the job is told to stop, in seconds.
STOP_WAIT = 5.0
# And how long they have to be gone after they were killed.
KILL_WAIT = 2.0
# Seconds between two checks whether a running test was cancelled.
CANCEL_PAUSE = 1.0
# And before the first look at its log: a program may print gigabytes in a second.
LOG_PAUSE = 0.05
# Seconds until a signal is handled for certain.
SIGNAL_PAUSE = 0.5
# In the environment of all processes of a test: its id.
ID_VARIABLE = "PAV_TEST_ID"
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Script(NamedTuple):
    """A test's running script."""

    process: subprocess.Popen[bytes]
    test_id: str


class Runner:
    """Runs tests of one job, several at a time where their configs allow it."""

    def __init__(self, pav_cfg: PavConfig) -> None:
        self._pav_cfg = pav_cfg
        self._stopped_by: int | None = None
        self._stopper: threading.Thread | None = None
        self._running: set[_Script] = set()
        self._lock = threading.Lock()
        # Where tests run, by the directories of their jobs.
        self._places: dict[str, Where] = {}
        # The guard that the kickoff script became; None without one.
        parent = os.getppid()
        self._guard = parent if guard.is_guard(parent) else None
        self._log_limit = parse_size(pav_cfg.get("log_limit"))
        # The kickoff log as well: env_setup may have started something that keeps printing.
        self._logs = LeftLogs(LimitedLog(sys.stdout.fileno(), self._log_limit))
        # The scripts that have ended, by their process groups, as far as something of them was left.
        self._left: dict[int, _Script] = {}

    def run(self, tests: Sequence[TestRun]) -> int:
        """Run tests, in order.

        :returns: 0, or 128 + the signal's number when the job was told to stop.
        """
        for number in _STOP_SIGNALS:
            signal.signal(number, self._stop)
        # One job, one kickoff script.
        job = next((test.job for test in tests if test.job is not None), None)
        failures = take_failures(job.kickoff_log if job else None)
        if failures:
            for test in tests:
                self._refuse(test, note_of(failures))
            return 0
        limit = min((_concurrency(test) for test in tests), default=1)
        with ThreadPoolExecutor(max_workers=min(limit, len(tests) or 1)) as pool:
            for future in [pool.submit(self._run_one, test) for test in tests]:
                # A signal that another thread gets, or that comes right before this one waits, is
                # handled only when this one runs again.
                while not future.done():
                    wait([future], SIGNAL_PAUSE)
                future.result()
        if self._stopper is not None:
            # A test's script may have ended without its children.
            self._stopper.join()
        self._end_left()
        return 0 if self._stopped_by is None else 128 + self._stopped_by

    def _run_one(self, test: TestRun) -> None:
        if self._stopped_by is not None:
            return
        if test.complete:
            print(
                f"Test {test.id} has already ended ({test.status.current().state}); not started.",
                flush=True,
            )
            return
        test.started_on(self._where(test))
        try:
            log = _claim(test)
        except FileExistsError:
            print(f"Test {test.id} was started before; it is not run a second time.", flush=True)
            return
        except OSError as exc:
            self._fail(
                test,
                STATES.RUN_ERROR,
                TestRunError(
                    f"The log {test.run_log} of test {test.id} cannot be made", prior_error=exc
                ),
            )
            return
        try:
            with os.fdopen(log, "wb") as log_file:
                self._prepare(test)
                self._run_script(test, log_file)
        except PavilionError as exc:
            self._fail(test, STATES.RUN_ERROR, exc)
        except Exception as exc:
            traceback.print_exc()
            self._fail(
                test,
                STATES.RUN_ERROR,
                PavilionError(f"Running test {test.id} failed unexpectedly", prior_error=exc),
            )

    def _where(self, test: TestRun) -> Where:
        """Where a test runs.  It is run even if that cannot be found out."""
        job = test.job
        if job is None:
            return Where()
        key = os.fspath(job.path)
        with self._lock:
            if key not in self._places:
                self._places[key] = _allocation(test).or_else(test.where({}))
            return self._places[key]

    def _refuse(self, test: TestRun, note: str) -> None:
        """End a test that cannot be run as it was meant to."""
        if test.complete:
            return
        # On which node it was may be all that there is to know.
        test.started_on(self._where(test))
        try:
            # As for a test that is run: if the job is started again, this was the first time.
            with os.fdopen(_claim(test), "w") as log_file:
                log_file.write(f"{note}\n")
        except FileExistsError:
            return
        except OSError as exc:
            print(f"The log of test {test.id} cannot be written: {exc}", flush=True)
        self._fail(test, STATES.ENV_FAILED, TestRunError(note))

    def _prepare(self, test: TestRun) -> None:
        """Fill in what is known on the allocation, and write the script."""
        job_id = test.where({}).job_id
        if job_id is not None:
            # The process that handed the job over may not have got as far as this.
            add_accepted(test, accepted_note(test.scheduler, job_id))
        test.status.set(STATES.PREPPING_RUN, "Preparing the final variables and the script.")
        try:
            test.record_start()
        except (OSError, ValueError, KeyError, TypeError) as exc:
            # The results have it, too.
            print(f"Where test {test.id} runs cannot be added to its record: {exc}", flush=True)
        if test.needs_allocation:
            _finalize(test)
        try:
            _make_work_folder(test)
            # Nobody else may write to it, whatever the umask says.
            write_new(test.run_script, "")
            test.make_script().write(test.run_script)
        except (OSError, ValueError) as exc:
            raise TestRunError(
                f"The script {test.run_script} cannot be written", prior_error=exc
            ) from exc

    def _run_script(self, test: TestRun, log_file: Any) -> None:
        timeout = parse_timeout(test.config["run"].get("timeout"))
        log = LimitedLog(log_file.fileno(), self._log_limit)
        test.status.set(STATES.RUNNING, f"Running {test.run_script.name}.")
        started, clock = time.time(), time.monotonic()
        script = _Script(_start(test, log_file), test.id)
        with self._lock:
            self._running.add(script)
            # The signal came before this process was known to its handler.
            too_late = self._stopped_by is not None
        try:
            if too_late:
                self._end_scripts([script])
            code, timed_out = self._wait(test, script, None if too_late else timeout, log)
        finally:
            with self._lock:
                self._running.discard(script)
        duration = time.monotonic() - clock
        if self._stopped_by is not None:
            # Why the job was stopped (a time limit, a cancel) is for its scheduler to say.
            print(
                f"Test {test.id} was running for {duration:.1f} s when the job was told to stop.",
                flush=True,
            )
            return
        log.look()
        with self._lock:
            self._left[script.process.pid] = script
        self._logs.add(script.process.pid, log)
        self._finish(test, code, timed_out, started, duration, log.note)

    def _finish(
        self,
        test: TestRun,
        code: int,
        timed_out: bool,
        started: float,
        duration: float,
        log_note: str,
    ) -> None:
        if test.complete:
            # Cancelled while it ran; that stays its last word.
            print(f"Test {test.id} was cancelled after {duration:.1f} s.", flush=True)
            return
        if timed_out:
            state = STATES.RUN_TIMEOUT
            note = (
                f"The test ran longer than its run.timeout of "
                f"{test.config['run']['timeout']} seconds and was stopped."
            )
        else:
            state = STATES.RUN_DONE
            note = f"Killed by {_signal_name(-code)}." if code < 0 else f"Exit code {code}."
        note = f"{note} {log_note}".rstrip()
        test.status.set(state, note)
        result = PASS if code == 0 and not timed_out else FAIL
        self._end(test, result, note, return_value=code, started=started, duration=duration)

    def _fail(self, test: TestRun, state: str, error: PavilionError) -> None:
        """End a test that could not be run."""
        text = error.pformat()
        print(f"Test {test.id}: {text}", flush=True)
        if test.complete:
            return
        try:
            test.status.set(state, text)
            self._end(test, ERROR, text)
        except PavilionError as exc:
            print(exc.pformat(), flush=True)
            try:
                # An empty file may fit on a full disk.  A test without results is an ERROR.
                test.set_run_complete()
            except PavilionError as complete_exc:
                # The scheduler's view of the job ends the test.
                print(complete_exc.pformat(), flush=True)

    def _end(
        self,
        test: TestRun,
        result: str,
        note: str,
        return_value: int | None = None,
        started: float | None = None,
        duration: float = 0.0,
    ) -> None:
        started = time.time() if started is None else started
        test.save_results(
            {
                "result": result,
                "note": note,
                "return_value": return_value,
                "started": started,
                "finished": started + duration,
                "duration": duration,
                "host": os.uname().nodename,
            }
        )
        test.status.set(STATES.COMPLETE, f"{result}: {note}")
        test.set_run_complete()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """The job is told to stop: so are its tests' processes, which may outlive us otherwise."""
        if self._stopped_by is not None:
            return
        self._stopped_by = number
        # Not in here: the lock may be held by the code that this signal interrupted.
        self._stopper = threading.Thread(target=self._stop_tests, args=(number,), daemon=True)
        self._stopper.start()

    def _stop_tests(self, number: int) -> None:
        print(f"pav _run: told to stop by {_signal_name(number)}.", flush=True)
        with self._lock:
            running = list(self._running)
        self._end_scripts(running)

    def _wait(
        self, test: TestRun, script: _Script, timeout: float | None, log: LimitedLog
    ) -> tuple[int, bool]:
        """Wait for a test's script.  It is stopped when its time is up, or the test is cancelled.

        :param log: What it prints to; it is kept within its limit meanwhile.
        :returns: Its exit code, and whether its time was up.
        """
        process = script.process
        deadline = None if timeout is None else time.monotonic() + timeout
        pause, told = LOG_PAUSE, False
        while True:
            left = CANCEL_PAUSE if deadline is None else deadline - time.monotonic()
            if left <= 0:
                self._end_scripts([script], log)
                return process.wait(), True
            if _has_ended(process, min(left, pause, CANCEL_PAUSE)):
                return process.wait(), False
            pause = min(log.look(), self._logs.look())
            if log.left_out and not told:
                told = True
                self._tell_of_limit(test)
            if test.complete:
                # Somebody cancelled it, maybe on another host; the job's other tests keep running.
                self._end_scripts([script], log)
                return process.wait(), False
            if self._guard not in (None, os.getppid()) and self._stopped_by is None:
                # It was killed, and with it the job.
                os.kill(os.getpid(), signal.SIGTERM)

    def _tell_of_limit(self, test: TestRun) -> None:
        assert self._log_limit is not None
        # The test keeps running, whether this can be recorded or not.
        with contextlib.suppress(PavilionError):
            test.status.set(
                STATES.RUNNING,
                f"The log has reached its limit of {size_text(self._log_limit)} (setting "
                "log_limit). Its beginning and its end are kept.",
            )

    def _end_left(self) -> None:
        """End what tests left running, and keep their logs within their limits meanwhile.

        The guard would end it, too, but does not know of logs.
        """
        groups = self._logs.groups
        if groups:
            names = ", ".join(self._left[group].test_id for group in groups)
            print(f"pav _run: ending processes that the tests left running: {names}.", flush=True)
            self._end_scripts([self._left[group] for group in groups])
        self._logs.look()

    def _end_scripts(self, scripts: Sequence[_Script], log: LimitedLog | None = None) -> None:
        """End tests' scripts with all that they started: TERM, and after a while KILL.

        :param log: The log of these, if nobody else looks after it.
        """

        def wait(seconds: float) -> bool:
            if log is not None:
                log.look()
            self._logs.look()
            time.sleep(seconds)
            return False

        for script in scripts:
            try:
                # The whole group at once: a shell must not get to its next command in between.
                os.killpg(script.process.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass
        guard.end_all(lambda: self._processes(scripts), STOP_WAIT, KILL_WAIT, wait)

    def _processes(self, scripts: Sequence[_Script]) -> list[guard.Process]:
        """The live processes of scripts: those in their sessions, orphans with the id of their
        test, and all below these.  Raw jobs that they started are not among them."""
        living = guard.all_processes()
        numbers = {script.process.pid for script in scripts}
        ids = {script.test_id.encode() for script in scripts}
        # Who may have adopted orphans: our guard, and the system.  Below others the id proves
        # nothing: a script may have submitted a job, which inherits it.
        adopters = {1, os.getppid()}
        roots = [
            found.pid
            for found in living.values()
            if numbers & {found.pid, found.session}
            or (found.ppid in adopters and found.pid != os.getpid() and _test_id(found.pid) in ids)
        ]
        return guard.with_descendants(living, roots)


def _allocation(test: TestRun) -> Where:
    """What a test's scheduler says about the allocation, queried on the allocation."""
    job = test.job
    assert job is not None
    where = Where()
    try:
        plugin = require_plugin(test.scheduler)
        # As the record has it, if that was written by now.
        alloc_id = job_id_of({"id": plugin._get_alloc_job_id(job)})
        where = Where(job_id=known_id(job) or alloc_id)
        nodes = plugin._checked_alloc_nodes(test, job)
        where = where._replace(nodes=natural_sorted(set(nodes)))
    except (Exception, SystemExit) as exc:
        print(f"The nodes of test {test.id} are not known: {exc}", flush=True)
    return where


def _make_work_folder(test: TestRun) -> None:
    """Make the directory that the script runs in.

    :raises OSError: When it cannot be made, or something else is there.
    """
    path = test.path / "work"
    try:
        # With the mode that the umask gives: the test's own files are up to the user.
        path.mkdir()
    except FileExistsError:
        if not is_mine(path):
            raise


def _claim(test: TestRun) -> int:
    """Open the test's log for the one and only time.

    :raises FileExistsError: When it was started before.
    """
    # With O_EXCL, a link in its place is an error, wherever it leads.
    return os.open(test.run_log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)


def _concurrency(test: TestRun) -> int:
    try:
        return max(1, int(test.config.get("concurrent") or 1))
    except ValueError:
        return 1


def _finalize(test: TestRun) -> None:
    """Fill in what is known only on the allocation.

    :raises PavilionError: When a variable that the test uses cannot be worked out.
    """
    sched_vars = require_plugin(test.scheduler).get_final_vars(test)
    before = set(sched_vars["errors"])
    test.finalize({"sched": sched_vars, "sys": sys_vars.get_vars(False)})
    # A scheduler variable that fails is a string that says so.  It must not get into the script.
    failed = [error for error in sched_vars["errors"] if error not in before]
    if failed:
        raise TestRunError(f"Variables of test {test.id} cannot be worked out: " + " ".join(failed))


def _start(test: TestRun, log_file: Any) -> subprocess.Popen[bytes]:
    """Start a test's script."""
    try:
        return when_not_busy(
            lambda: subprocess.Popen(
                [os.fspath(test.run_script)],
                cwd=test.path / "work",
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, ID_VARIABLE: test.id},
            )
        )
    except OSError as exc:
        raise TestRunError(
            f"The script {test.run_script} cannot be started", prior_error=exc
        ) from exc


def _has_ended(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Wait for a process, for this many seconds at most."""
    # Popen.wait with a timeout checks again and again, with pauses as long as a short test.
    handle = process_handle(process.pid)
    if handle is None:
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            return False
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(handle)


def _test_id(pid: int) -> bytes | None:
    """The id of the test that a process belongs to; None when it does not belong to this series."""
    environment = guard.read_environment(pid)
    if environment.get(b"PAV_CONFIG_FILE") != os.environb.get(b"PAV_CONFIG_FILE"):
        return None  # An id only means something within a working directory.
    return environment.get(ID_VARIABLE.encode())


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _load_tests(pav_cfg: PavConfig, ids: Sequence[str]) -> list[TestRun]:
    """The tests of these ids; what cannot be read is reported and left out."""
    tests: dict[str, TestRun] = {}
    for test_id in ids:
        try:
            tests[test_id] = TestRun.load(pav_cfg, test_id)
        except PavilionError as exc:
            print(exc.pformat(), flush=True)
    return list(tests.values())


def main(argv: Sequence[str]) -> int:
    """``pav _run ID ...``.  Exit code 2 for a wrong call; a failed test is not an error here."""
    if len(argv) < 2 or argv[0] != "_run":
        print(
            "This 'pav' is a part of pavilion-schedulers for kickoff scripts, and knows only "
            "'pav _run <test id> ...'. The command line for users is 'pav-sched'.",
            file=sys.stderr,
        )
        return 2
    try:
        # A directory may have been removed since the series was made.
        pav_cfg = load_config(check_dirs=False)
        load_plugins(pav_cfg)
        tests = _load_tests(pav_cfg, argv[1:])
    except PavilionError as exc:
        print(exc.pformat(), flush=True)
        return 2
    code = Runner(pav_cfg).run(tests)
    return code if len(tests) == len(set(argv[1:])) else code or 2


def entry_point() -> None:
    """The entry point of ``bin/pav``."""
    sys.exit(main(sys.argv[1:]))

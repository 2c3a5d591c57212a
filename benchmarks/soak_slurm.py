"""A soak of the slurm plugin on a real Slurm: hundreds of jobs, and much that goes wrong.

Starts a private Slurm (root, packages slurm-wlm and munge), submits tests in series as
``pav-sched run`` does, and lets happen to them what they are meant for: see soak_fates.KINDS.
Meanwhile the controller is frozen for 15 seconds while jobs are submitted, and later killed and
started again, with jobs submitted while there is none.

In the end every test must have exactly one fate, the one that was meant, and Slurm must have had
exactly one job for each.  Prints a table of fates; exit code 1 when anything is wrong.

    python benchmarks/soak_slurm.py [--jobs 500] [--trouble noisy,slow,shared]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import soak_fates as fates
from soak_fates import Kind, Outcome, SeenJob
from soak_kills import wrappers

from pavilion import schedulers
from pavilion.cancelling import cancel_tests
from pavilion.config import PavConfig, load_config
from pavilion.plugins import load_plugins
from pavilion.resolve import ResolvedTest, resolve_test
from pavilion.schedulers.plugins.slurm import parsing, queries
from pavilion.schedulers.plugins.slurm.states import parse_job_state
from pavilion.series import Series
from pavilion.status_file import STATES
from pavilion.suites import SuiteTest, TestElem
from pavilion.test_run import TestRun

if TYPE_CHECKING:
    from real_slurm import RealSlurm

# What starts a private Slurm.
REAL_SLURM = Path(__file__).resolve().parents[1] / "tests" / "slurm"
# slurmctld saves its state some seconds after it changed.  What happened since, a killed one has
# forgotten, and no plugin can know better.  So before it is killed, tests come to rest, which may
# take this long, and then it must have saved that.
REST_SECONDS = 60.0
# Tests that may be under way when another series is started.
BACKLOG = 70
TICK = 0.5


class Soak:
    """A soak on a running cluster.

    :param jobs: How many tests; each is a job of one CPU.
    :param freeze: Seconds that the controller is frozen.
    :param down: Seconds that there is none.
    :param wave: Tests in a series.
    :param patience: Seconds after which tests that have not ended are given up.
    :param tell: Gets lines about what happens.
    """

    def __init__(
        self,
        cluster: RealSlurm,
        pav_cfg: PavConfig,
        jobs: int,
        *,
        freeze: float = 15.0,
        down: float = 5.0,
        wave: int = 50,
        patience: float = 1500.0,
        short_limit: bool = False,
        seed: int = 1,
        tell: Callable[[str], object] = lambda line: None,
    ) -> None:
        self.cluster = cluster
        self.pav_cfg = pav_cfg
        self.freeze_seconds = freeze
        self.down_seconds = down
        self.short_limit = short_limit
        self.hold = pav_cfg.working_dir / "hold"
        self.tests: list[tuple[TestRun, Kind]] = []
        self.seen: dict[str, SeenJob] = {}
        self.errors: list[str] = []
        # Held while nobody may do anything to jobs.
        self.acting = threading.Lock()
        self._tell = tell
        self._began = time.monotonic()
        self._deadline = self._began + patience
        self._over = threading.Event()
        self._submitting = 0
        self._lock = threading.Lock()
        self._waves = self._plan(jobs, wave, random.Random(seed))
        self._series: list[threading.Thread] = []

    def _plan(self, jobs: int, wave: int, rng: random.Random) -> list[list[Kind]]:
        """The kinds of the tests of each series."""
        kinds = fates.portions(jobs)
        limited = [kind for kind in kinds if kind is fates.LIMIT]
        others = [kind for kind in kinds if kind is not fates.LIMIT]
        rng.shuffle(others)
        count = max(4, round(jobs / wave))
        waves = [others[number::count] for number in range(count)]
        # Not before the controller is killed: when it ends such a job is not up to us.
        half = 0 if self.short_limit else len(limited) // 2
        waves[0] += limited[half:]
        waves[-1] += limited[:half]
        for members in waves:
            rng.shuffle(members)
        return waves

    def tell(self, line: str) -> None:
        self._tell(f"{time.monotonic() - self._began:6.1f} s  {line}")

    # ------------------------------------------------------------------------------- the run

    def run(self) -> Outcome:
        """Do it all.  Always ends, and returns what is wrong."""
        helpers = [
            threading.Thread(target=self._guarded, args=(work,), daemon=True)
            for work in (self._keep_list, self._be_nasty, self._cancel_some)
        ]
        for helper in helpers:
            helper.start()
        freeze_at, kill_at = len(self._waves) // 3, 2 * len(self._waves) // 3 + 1
        for number, kinds in enumerate(self._waves):
            if number == freeze_at:
                self._freeze_during(kinds)
            elif number == kill_at:
                self._kill_before(kinds)
            else:
                if number == kill_at - 1:
                    # When Slurm ends these is not up to us, and must not be right before.
                    self._wait(
                        lambda: all(
                            test.complete for test, kind in list(self.tests) if kind is fates.LIMIT
                        )
                    )
                self._start_series(kinds)
            self._wait(lambda: self._left() <= BACKLOG and not self._submitting)
        for thread in self._series:
            thread.join(max(0.0, self._deadline - time.monotonic()))
        self._wait(lambda: all(job.is_over for job in self.seen.values()), seconds=30)
        self._over.set()
        for helper in helpers:
            helper.join(60)
        self._update_list()
        outcome = fates.judge(self.tests, self.seen)
        return outcome._replace(problems=self.errors + outcome.problems)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do something until all has ended; errors do not end it but are reported."""
        while not self._over.wait(TICK):
            try:
                work()
            except Exception as exc:
                self.errors.append(f"{work.__name__}: {type(exc).__name__}: {exc}")
                raise

    def _wait(
        self, condition: Callable[[], bool], seconds: float = 1e9, pause: float = TICK
    ) -> None:
        deadline = min(self._deadline, time.monotonic() + seconds)
        while not condition() and time.monotonic() < deadline:
            time.sleep(pause)

    def _left(self) -> int:
        return sum(not test.complete for test, _ in list(self.tests))

    # ---------------------------------------------------------------------------- the tests

    def _start_series(self, kinds: Sequence[Kind]) -> None:
        """Make a series; start it and wait for its end in a thread, like a process of its own."""
        series = Series.create(self.pav_cfg, [self._resolve(kind) for kind in kinds])
        with self._lock:
            self.tests += zip(series.tests, kinds)
            self._submitting += 1
        self.tell(f"series {series.id}: {len(kinds)} tests")
        thread = threading.Thread(target=self._see_through, args=(series,), daemon=True)
        self._series.append(thread)
        thread.start()

    def _see_through(self, series: Series) -> None:
        try:
            self.errors += [error.pformat() for error in series.kick_off()]
            self.tell(f"series {series.id}: submitted")
        except Exception as exc:
            self.errors.append(f"kick_off: {type(exc).__name__}: {exc}")
        finally:
            with self._lock:
                self._submitting -= 1
        if not series.wait(max(0.0, self._deadline - time.monotonic())):
            self.errors.append(f"series {series.id} did not end")
        self.tell(f"series {series.id}: ended")

    def _resolve(self, kind: Kind) -> ResolvedTest:
        schedule: dict[str, Any] = {
            "share_allocation": "false",
            "slurm": {"sbatch_extra": list(kind.sbatch)},
        }
        if kind is fates.LIMIT and self.short_limit:
            schedule["slurm"] = {}
        if kind.partition:
            schedule["partition"] = kind.partition
        run: dict[str, Any] = {"cmds": fates.commands(kind, self.hold)}
        if kind.timeout:
            run["timeout"] = kind.timeout
        config = TestElem().validate({"scheduler": "slurm", "run": run, "schedule": schedule})
        test = SuiteTest("soak", "_".join(kind.name.split()), Path("soak.yaml"), config)
        return resolve_test(test)[0]

    # --------------------------------------------------------------------- the controller

    def _freeze_during(self, kinds: Sequence[Kind]) -> None:
        """Freeze the controller while a series is handed to it."""
        before = len(self.tests)
        self._start_series(kinds)
        new = [test for test, _ in self.tests[before:]]
        # At once: a whole series is handed over within a second.
        self._wait(lambda: any(_job_id(test) for test in new), seconds=30, pause=0.002)
        self.cluster.freeze()
        self.tell(
            f"controller frozen; {sum(map(bool, map(_job_id, new)))} of {len(new)} jobs "
            "of the series were submitted"
        )
        time.sleep(self.freeze_seconds)
        self.cluster.thaw()
        self.tell("controller continues")

    def _kill_before(self, kinds: Sequence[Kind]) -> None:
        """Kill the controller, hand a series over while there is none, and start it again."""
        self._wait(lambda: not self._submitting)
        self.hold.touch()
        with self.acting:
            self._wait(self._rests, seconds=REST_SECONDS)
            time.sleep(1.0)  # for those that saw the file too late
            self.cluster.wait_saved()
            self.cluster.kill_controller()
            self.tell(f"controller killed, with {self._left()} tests under way")
            self._start_series(kinds)
            time.sleep(self.down_seconds)
            self.cluster.start_controller()
            self.tell("controller started")
        self.hold.unlink()

    def _rests(self) -> bool:
        """Whether no job begins or ends by itself soon, and Slurm lists what has ended as ended."""
        ended = {_job_id(test) for test, _ in self.tests if test.complete}
        return all(
            test.complete
            or kind in fates.HELD
            or (kind in fates.LASTING and fates.starts(test))
            or (kind is fates.DRAINED and not (test.path / fates.GO_FN).exists())
            for test, kind in self.tests
        ) and all(job.is_over for job_id, job in self.seen.items() if job_id in ended)

    # ----------------------------------------------------------------- what befalls the jobs

    def _waiting(self, *kinds: Kind) -> Iterator[tuple[TestRun, Kind]]:
        """Tests of these kinds that are there for something to happen to them."""
        for test, kind in list(self.tests):
            if kind in kinds and not test.complete and _job_id(test):
                held = kind in fates.HELD
                runs = test.status.current().state == STATES.RUNNING and fates.starts(test)
                if held or runs:
                    yield test, kind

    def _cancel_some(self) -> None:
        """What a user cancels.  Again, as long as that is said to have failed."""
        with self.acting:
            failed: list[TestRun] = [
                test for test, _ in self._waiting(fates.CANCELLED, fates.CANCELLED_HELD)
            ]
            while failed and time.monotonic() < self._deadline:
                outcomes = cancel_tests(self.pav_cfg, failed, "Cancelled by the soak.")
                failed = [outcome.test for outcome in outcomes if outcome.failed]
                if failed:
                    self.tell(
                        f"cancel failed for {len(failed)}: "
                        f"{next(o.text for o in outcomes if o.failed)[:100]}"
                    )

    def _be_nasty(self) -> None:
        """What Slurm's own commands do to jobs and nodes.  What fails is tried again later."""
        with self.acting:
            ids = [
                _job_id(test) for test, _ in self._waiting(fates.SCANCELLED, fates.SCANCELLED_HELD)
            ]
            if ids:
                self.cluster.run("scancel", *ids)
            if self.short_limit:
                for test, _ in self._waiting(fates.LIMIT):
                    # Its time has run out now; Slurm looks every half a minute.
                    self.cluster.run("scontrol", "update", f"jobid={_job_id(test)}", "endtime=now")
            self._drain_nodes()
            self._fail_nodes()

    def _drain_nodes(self) -> None:
        for test, _ in self._waiting(fates.DRAINED):
            go, node = test.path / fates.GO_FN, fates.starts(test)[0]
            if not go.exists():
                with contextlib.suppress(Exception):
                    self.cluster.drain(node, "soak State=IDLE")
                    go.touch()
        drained = {
            fates.starts(test)[0]: test.complete
            for test, kind in list(self.tests)
            if kind is fates.DRAINED and (test.path / fates.GO_FN).exists()
        }
        for node in [node for node, over in drained.items() if over]:
            if "DRAIN" in self.cluster.node_state(node):
                self.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    def _fail_nodes(self) -> None:
        for node in {fates.starts(test)[0] for test, _ in self._waiting(fates.NODE_DOWN)}:
            self.cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=soak")
        for node in self.cluster.node_names[-2:]:
            state = self.cluster.node_state(node)
            if "DOWN" in state and "COMPLETING" not in state:
                self.cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    # -------------------------------------------------------------------- what Slurm lists

    def _keep_list(self) -> None:
        """Keep what Slurm lists now; no matter when it forgets."""
        self._update_list()

    def _update_list(self) -> None:
        result = self.cluster.run(*queries.jobs(None))
        if result.returncode != 0:
            return
        try:
            rows, _ = parsing.parse_jobs(result.stdout)
        except parsing.UnreadableAnswer:
            return
        for job_id, row in rows.items():
            if row.data["name"].startswith("pav_soak"):
                self.seen[job_id] = SeenJob(
                    row.data["comment"],
                    row.data["name"],
                    row.state,
                    parse_job_state(row.state).is_over,
                    row.data["restarts"],
                )


def _job_id(test: TestRun) -> str:
    """The id of a test's job; '' while it is not known."""
    job = test.job
    return "" if job is None else str(job.info.get("id") or "")


def set_up(folder: Path) -> PavConfig:
    """A place for series and jobs, and the plugins."""
    pav_cfg = load_config(working_dir=folder)
    pav_cfg.make_working_dir()
    load_plugins(pav_cfg)
    return pav_cfg


def main() -> int:
    """Run a soak and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=500, help="default: 500")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--trouble",
        default="",
        metavar="KIND,...",
        help=("noisy, slow, unclear, shared: as in soak_kills.py"),
    )
    parser.add_argument("--keep", action="store_true", help="leave the directory behind")
    args = parser.parse_args()
    sys.path.append(str(REAL_SLURM))
    from real_slurm import RealSlurm, why_not_available

    reason = why_not_available()
    if reason:
        print(f"NOT RUN: a real Slurm cannot be started here: {reason}", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        # The last two nodes are those that fail; the partition 'main' has all others.
        with RealSlurm(folder, nodes=10, min_job_age=300) as cluster:
            os.environ.update(cluster.env())
            if args.trouble:
                wrappers(args.trouble.split(","), folder / "bin")
                os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
            began = time.monotonic()
            if "shared" in args.trouble:
                (folder / "work").mkdir()
                (folder / "work").chmod(0o2775)
            outcome = Soak(
                cluster,
                set_up(folder / "work"),
                args.jobs,
                seed=args.seed,
                tell=lambda line: print(line, file=sys.stderr, flush=True),
            ).run()
            plugin = schedulers.get_plugin("slurm")
            assert plugin is not None
            calls = plugin._client
            print(outcome.table)
            print(
                f"\n{outcome.tests} tests, {outcome.jobs} jobs that Slurm listed, "
                f"{time.monotonic() - began:.0f} s; commands of the plugin: "
                f"{dict(calls.submitting.calls)}, {dict(calls.querying.calls)}."
            )
            print(f"Wrong: {len(outcome.problems)}")
            for problem in outcome.problems:
                print(f"- {problem}")
    finally:
        if args.keep:
            print(folder, file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if outcome.ok else 1


if __name__ == "__main__":
    sys.exit(main())

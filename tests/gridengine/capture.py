"""Captures what a real Grid Engine prints, as the test data in tests/data/gridengine.

``capture.py DIRECTORY`` starts a private one and writes a file for each answer:
the command, its exit code, and what it printed.  The host's name is always 'localhost'.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from real_gridengine import RealGridEngine

# A user without privileges in Grid Engine.
OTHER = "daemon"
SOON = 6.0
JOBS = ("qstat", "-xml", "-r", "-s", "prs", "-u", "*")
HOSTS = ("qhost", "-xml", "-q")


class Capture:
    """Runs commands in a private Grid Engine and keeps what they print.

    :param target: The directory for the files.
    """

    def __init__(self, cluster: RealGridEngine, target: Path) -> None:
        self.cluster = cluster
        self.target = target
        self.scripts = cluster.folder / "jobs"
        self.scripts.mkdir(mode=0o777)
        self.scripts.chmod(0o777)
        for name, body in {
            "short": "true",
            "long": "sleep 600",
            "fails": "exit 3",
            "stubborn": "trap '' TERM USR1 USR2; while true; do sleep 1; done",
        }.items():
            (self.scripts / f"{name}.sh").write_text(f"#!/bin/bash\n{body}\n")

    def keep(self, name: str, *argv: str, user: str | None = None, seconds: float = 30.0) -> str:
        """Run a command and write what came of it to a file; its standard output."""
        try:
            done = self.cluster.run(*argv, user=user, cwd=self.scripts, timeout=seconds)
            ended, out, err = str(done.returncode), done.stdout, done.stderr
        except subprocess.TimeoutExpired:
            ended, out, err = "none: it did not end", "", ""
        words = " ".join(argv)
        text = f"$ {words}\nrc {ended}\n--- stdout\n{out}--- stderr\n{err}"
        text = text.replace(str(self.scripts), "/home/user").replace(
            str(self.cluster.root), "/var/lib/gridengine"
        )
        (self.target / f"{name}.txt").write_text(text)
        return out

    def submit(self, script: str, *options: str, user: str | None = None) -> str:
        """Submit a job, its name 'pav_' and a token; its id."""
        argv = [*"qsub -terse -j y -o /dev/null".split(), *options, f"{script}.sh"]
        done = self.cluster.run(*argv, user=user, cwd=self.scripts)
        assert done.returncode == 0, done
        return done.stdout.split(".")[0].strip()

    def wait(self, job_id: str, *states: str) -> None:
        """Wait until a job is in one of the states; '' is for one that is not listed."""
        self.cluster.wait_until(lambda: self.cluster.state(job_id) in states, f"{job_id} {states}")

    def wait_accounted(self, job_id: str) -> None:
        self.cluster.wait_until(
            lambda: self.cluster.run("qacct", "-j", job_id).returncode == 0, f"{job_id} accounted"
        )


def submissions(capture: Capture) -> None:
    """What qsub prints."""
    base = ["qsub", "-terse", "-j", "y", "-o", "/dev/null"]
    capture.keep("qacct_no_file", "qacct", "-j", "1")
    capture.keep("qsub_taken", *base, "short.sh")
    capture.keep("qsub_array", *base, "-t", "1-3", "short.sh")
    for name, options in {
        "unknown_pe": ["-pe", "nosuch", "2"],
        "unknown_queue": ["-q", "nosuch.q"],
        "unknown_resource": ["-l", "nosuch=1"],
        "bad_value": ["-l", "h_rt=soon"],
        "bad_number": ["-pe", "smp", "many"],
        "unknown_project": ["-P", "nosuch"],
        "unknown_option": ["-nosuch"],
        "bad_name": ["-N", "1st"],
        "blank_in_name": ["-N", "a b"],
        "bad_path": ["-o", "/tmp/a:b"],
        "never_fits": ["-w", "e", "-pe", "smp", "100"],
        "bad_priority": ["-p", "2000"],
        "denied_priority": ["-p", "10"],
    }.items():
        user = OTHER if name.startswith("denied") else None
        capture.keep(f"qsub_{name}", *base, *options, "short.sh", user=user)
    capture.keep("qsub_no_script", *base, "nosuch.sh")
    cluster = capture.cluster
    cluster.ok("qconf", "-au", "root", "deadlineusers")
    with (
        cluster.queue_setting("all.q", "user_lists", "deadlineusers"),
        cluster.queue_setting("small.q", "user_lists", "deadlineusers"),
    ):
        capture.keep("qsub_taken_with_warning", *base, "short.sh", user=OTHER)
        capture.keep("qsub_taken_with_two_warnings", *base, "-w", "w", "short.sh", user=OTHER)
        capture.keep("qstat_no_usable_queue", *JOBS)
        capture.keep("qstat_no_usable_queue_q", *JOBS, "-q", "*")
    cluster.clean()
    configured(capture, base)


def configured(capture: Capture, base: list[str]) -> None:
    """What qsub prints where there is a limit, and where it may not submit."""
    cluster = capture.cluster
    before = cluster.ok("qconf", "-sconf")
    for name, old, new in (
        ("user_limit", "max_u_jobs                   0", "max_u_jobs 1"),
        ("limit", "max_jobs                     0", "max_jobs 1"),
        ("denied_user", "xuser_lists                  none", "xuser_lists deadlineusers"),
    ):
        assert old in before, old
        change(cluster, before.replace(old, new))
        if "limit" in name:
            capture.submit("long")
        else:
            cluster.ok("qconf", "-au", OTHER, "deadlineusers")
        capture.keep(f"qsub_{name}", *base, "short.sh", user=None if "limit" in name else OTHER)
        cluster.clean()
    change(cluster, before)
    cluster.ok("qconf", "-du", OTHER, "deadlineusers")
    cluster.ok("qconf", "-ds", "localhost")
    capture.keep("qsub_no_submit_host", *base, "short.sh", user=OTHER)
    cluster.ok("qconf", "-as", "localhost")


def change(cluster: RealGridEngine, configuration: str) -> None:
    # The file's name is that of the configuration.
    file = cluster.folder / "global"
    file.write_text(configuration.replace("#global:\n", ""))
    cluster.ok("qconf", "-Mconf", str(file))


def jobs(capture: Capture) -> None:
    """What qstat, qdel and qacct print of jobs in all states."""
    cluster = capture.cluster
    capture.keep("qstat_no_jobs", *JOBS)
    running = capture.submit("long", "-N", "pav_a.0123456789abcdef0123456789abcdef")
    parallel = capture.submit("stubborn", "-pe", "smp", "2", "-l", "h_rt=600", "-q", "all.q")
    array = capture.submit("long", "-t", "1-2")
    suspended = capture.submit("long", user=OTHER)
    held = capture.submit("long", "-h")
    waiting = capture.submit("long", "-pe", "smp", "8", "-N", "pav_b<&>'.x")
    error = capture.submit("long", "-wd", "/nonexistent")
    fails = capture.submit("fails")
    limited = capture.submit("long", "-l", "h_rt=1")
    array_waiting = capture.submit("long", "-t", "1-20", "-h")
    capture.wait(error, "Eqw")
    capture.wait(suspended, "r")
    cluster.ok("qmod", "-sj", suspended)
    capture.wait(suspended, "s")
    capture.wait(fails, "")
    capture.wait(limited, "")
    capture.keep("qstat_jobs", *JOBS)
    capture.keep("qstat_jobs_ext", "qstat", "-ext", *JOBS[1:])
    capture.keep("qstat_jobs_plain", "qstat", "-u", "*")
    capture.keep("qstat_ended", "qstat", "-xml", "-r", "-s", "z", "-u", "*")
    capture.keep("qstat_unknown_user", *JOBS[:-1], "nosuchuser")
    capture.keep("qstat_job_error", "qstat", "-j", error)
    capture.keep("qstat_job_error_xml", "qstat", "-xml", "-j", error)
    capture.keep("qstat_job_waiting", "qstat", "-j", waiting)
    capture.keep("qstat_job_running", "qstat", "-j", running)
    capture.keep("qstat_job_unknown", "qstat", "-j", "9999")
    capture.keep("qstat_job_unknown_xml", "qstat", "-xml", "-j", "9999")
    capture.keep("qhost_jobs", *HOSTS)
    deletions(capture, held, error, running, suspended)
    cluster.kill_execd()
    capture.keep("qdel_running", "qdel", parallel)
    capture.keep("qdel_twice", "qdel", parallel)
    capture.wait(parallel, "dr")
    capture.keep("qstat_being_deleted", *JOBS)
    cluster.start_execd()
    for job in (fails, limited, running):
        capture.wait_accounted(job)
    for name, job in (
        ("failed", fails),
        ("time_limit", limited),
        ("deleted", running),
        ("deleted_before_it_ran", error),
        ("unknown", "9999"),
    ):
        capture.keep(f"qacct_{name}", "qacct", "-j", job)
    capture.keep("qdel_array", "qdel", array, array_waiting)
    cluster.clean()
    ok = capture.submit("short", "-t", "1-2", "-N", "pav_array")
    capture.keep("qacct_not_yet", "qacct", "-j", ok)
    capture.wait(ok, "")
    capture.wait_accounted(ok)
    capture.keep("qacct_array", "qacct", "-j", ok)
    capture.keep("qacct_by_name", "qacct", "-j", "pav_array")


def deletions(capture: Capture, held: str, error: str, running: str, other: str) -> None:
    """What qdel prints."""
    capture.keep("qdel_denied", "qdel", held, error, user=OTHER)
    capture.keep("qdel_waiting", "qdel", held, error)
    capture.keep("qdel_unknown", "qdel", "9999")
    capture.keep("qdel_mixed", "qdel", "9998", running, "9999", other)


def hosts(capture: Capture) -> None:
    """What qhost prints of queues in all states."""
    cluster = capture.cluster
    capture.keep("qhost_idle", *HOSTS)
    capture.keep("qhost_plain", "qhost", "-q")
    capture.keep("qhost_resources", *HOSTS, "-F")
    cluster.ok("qmod", "-d", "all.q")
    capture.keep("qhost_disabled", *HOSTS)
    cluster.ok("qmod", "-e", "all.q")
    capture.keep("qconf_pe_list", "qconf", "-spl")
    capture.keep("qconf_pe", "qconf", "-sp", "smp")
    capture.keep("qconf_pe_fixed", "qconf", "-sp", "pairs")
    capture.keep("qconf_pe_unknown", "qconf", "-sp", "nosuch")
    capture.keep("qconf_queues", "qconf", "-sql")
    capture.keep("qconf_queue", "qconf", "-sq", "all.q")
    capture.keep("qselect_pe", "qselect", "-pe", "smp")
    cluster.kill_execd()


def failures(capture: Capture) -> None:
    """What the commands print while the qmaster is frozen, or not there."""
    cluster = capture.cluster
    commands = {
        "qsub": ("qsub", "-terse", "-j", "y", "-o", "/dev/null", "short.sh"),
        "qstat": JOBS,
        "qdel": ("qdel", "1"),
        "qhost": HOSTS,
        "qconf": ("qconf", "-sql"),
        "qacct": ("qacct", "-j", "1"),
    }
    with cluster.frozen():
        for name, argv in commands.items():
            capture.keep(f"frozen_{name}", *argv, seconds=SOON)
    with cluster.down():
        for name, argv in commands.items():
            capture.keep(f"down_{name}", *argv)


def main(target: Path) -> None:
    os.environ["LC_ALL"] = "C"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="capture-gridengine-") as folder:
        Path(folder).chmod(0o755)
        with RealGridEngine(Path(folder), finished_jobs=100) as cluster:
            capture = Capture(cluster, target)
            for part in (submissions, jobs, hosts, failures):
                began = time.monotonic()
                part(capture)
                print(f"{part.__name__}: {time.monotonic() - began:.0f} seconds", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

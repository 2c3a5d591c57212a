"""Names, paths and values that users choose cannot change what is run, nor be lost on the way."""

from __future__ import annotations

import re

import pytest

from batch import faults
from batch.bench import Bench, bench_at, info, job_of
from batch.sites import BatchSite

# Of tests, which jobs are named after.
NAMES = {
    "blanks and quotes": 'it\'s  a "test"',
    "shell": "$(touch hacked); `touch hacked` & | > hacked",
    "option": "--hold -h",
    "backslash": "a\\nb\\",
    "percent": "%j %u %% 50%",
    "line ends": "a\nb\r\nc",
    "control": "a\x00\x1b[31mb",
    "letters": "ünï日本",
    "comma and colon": "a,b:c@d/e*?[x]",
    "like a token": "pav-0123456789abcdef",
    "long": "x" * 3000,
    "empty": " ",
}
# Of directories that jobs are in.
PATHS = {
    "blanks and quotes": 'it\'s  a "site"',
    "shell": "$(touch hacked); `touch hacked` & |",
    "option": "-h",
    "backslash": "a\\nb\\",
    "percent": "%j %u %%",
    "dollar": "$HOME $JOB_ID ${x}",
    "letters": "ünï日本",
    "comma and colon": "a,b:c@d#e*?[x]",
    "like a token": "pav-0123456789abcdef",
    "long": "x" * 200,
}


@pytest.mark.parametrize("what", NAMES)
def test_a_name_of_any_kind(bench: Bench, what: str) -> None:
    test = bench.start({}, "echo said", name=NAMES[what])
    [job] = bench.jobs_of(test) or [None]
    assert job is None or job.job_id == info(test)["id"]
    bench.wait_begun(test)
    bench.wait_no_jobs(test)
    assert bench.ran(test) == 1
    assert "said" in job_of(test).kickoff_log.read_text()
    assert not list(bench.host.folder.rglob("hacked"))
    bench.wait_status(test, "SCHED_ERROR")


@pytest.mark.parametrize("what", PATHS)
def test_a_directory_of_any_kind(
    site: BatchSite, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    with bench_at(site, monkeypatch, PATHS[what]) as bench:
        if any(re.search(pattern, PATHS[what]) for pattern in site.unusable_paths):
            message = bench.refused()
            assert PATHS[what] in message and bench.faults.count(site.submit) == 0
            return
        bench.faults.set(site.submit, faults.done_but("echo lost >&2; exit 1"))
        # Found by its token all the same, which is read from its log.
        test = bench.start({}, "echo said")
        bench.faults.clear()
        bench.wait_begun(test)
        bench.wait_no_jobs(test)
        assert bench.ran(test) == 1
        assert "said" in job_of(test).kickoff_log.read_text()
        # What the scheduler writes is in the job's directory, under the name that is shown.
        bench.wait_status(test, "SCHED_ERROR")
        assert job_of(test).sched_log.exists()
        assert not list(site.directory.rglob("hacked"))


@pytest.mark.parametrize("key", ["partition", "account", "qos", "reservation"])
@pytest.mark.parametrize(
    "value",
    ["a\nb", 'a" b', "a\\", "a\x1b[31m", "x" * 5000, "a' ;touch hacked;'"],
    ids=["line end", "quote", "backslash", "control", "long", "shell"],
)
def test_a_value_that_no_scheduler_may_get(bench: Bench, key: str, value: str) -> None:
    message = bench.refused({key: value})
    assert key in message
    assert bench.faults.count(bench.site.submit) == 0

"""The commands that are run: their arguments and their environment."""

from __future__ import annotations

import pytest

from pavilion.schedulers.plugins.slurm import queries
from pavilion.schedulers.plugins.slurm.queries import FIELD_END, ROW_END


def test_formats_end_every_field_and_row() -> None:
    assert queries.format_option(["A", "B", "C"]) == f"A:{FIELD_END},B:{FIELD_END},C:{ROW_END}"
    assert queries.format_option(["A"]) == f"A:{ROW_END}"


@pytest.mark.parametrize(
    "argv",
    [
        queries.inventory(),
        queries.jobs(1000),
    ],
)
def test_tables_keep_their_header_and_show_what_is_hidden(argv: list[str]) -> None:
    assert "-a" in argv
    assert "-h" not in argv and "--noheader" not in argv
    assert argv[argv.index("-O") + 1].endswith(ROW_END)


def test_jobs_are_those_of_one_user_in_all_states() -> None:
    argv = queries.jobs(1000)
    assert argv[:6] == ["squeue", "-a", "-t", "all", "-u", "1000"]


def test_free_text_comes_last() -> None:
    assert list(queries.NODE_FIELDS)[-1] == "reason"
    assert list(queries.JOB_FIELDS)[-2:] == ["name", "comment"]


def test_nodes_are_asked_for_in_groups() -> None:
    # With -N, sinfo takes minutes for tens of thousands of nodes.
    assert "-N" not in queries.inventory()


def test_scontrol_queries() -> None:
    assert queries.inventory_in_full() == ["scontrol", "-a", "-o", "show", "node"]
    assert queries.reservations() == ["scontrol", "-a", "-o", "show", "reservation"]
    assert queries.ping() == ["scontrol", "ping"]


def test_submit() -> None:
    assert queries.submit("/jobs/1/kickoff.sh", ["--hold"]) == [
        "sbatch",
        "--parsable",
        "--hold",
        "/jobs/1/kickoff.sh",
    ]
    assert queries.submit("-x.sh")[-1] == "./-x.sh"


def test_cancel_in_batches() -> None:
    ids = [str(number) for number in range(1, 1201)]
    commands = queries.cancel(ids)
    assert [len(argv) - 1 for argv in commands] == [500, 500, 200]
    assert [job_id for argv in commands for job_id in argv[1:]] == ids
    assert queries.cancel([]) == []
    assert queries.cancel(["17", "18_2"], "other") == [
        ["scancel", "--clusters=other", "17", "18_2"]
    ]


@pytest.mark.parametrize("bad", ["", "abc", "-u root", "17 18", "17;rm", "17\n", "1_2_3", "-1"])
def test_ids_are_checked(bad: str) -> None:
    assert not queries.is_job_id(bad)
    with pytest.raises(ValueError, match="Not a Slurm job id"):
        queries.cancel(["1", bad])


@pytest.mark.parametrize(
    "name",
    [
        "SQUEUE_STATES",
        "SQUEUE_USERS",
        "SQUEUE_PARTITION",
        "SBATCH_TIMELIMIT",
        "SBATCH_PARTITION",
        "SINFO_FORMAT",
        "SLURM_TIME_FORMAT",
        "SLURM_JOB_ID",
        "SLURM_CPU_BIND",
        "SLURM_CLUSTERS",
        "SCANCEL_STATE",
        "SACCT_FORMAT",
    ],
)
def test_variables_that_change_answers_are_dropped(name: str) -> None:
    assert name.startswith(queries.DROP_PREFIXES) and name not in queries.KEEP_NAMES


def test_variables_that_name_the_controller_are_kept() -> None:
    assert {"SLURM_CONF", "SLURM_JWT"} <= set(queries.KEEP_NAMES)
    assert all(name.startswith(queries.DROP_PREFIXES) for name in queries.KEEP_NAMES)


def test_jobs_do_not_inherit_the_locale_of_queries() -> None:
    assert queries.QUERY_SET["LC_ALL"] == "C"

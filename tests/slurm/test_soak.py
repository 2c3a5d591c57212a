"""A short soak: all kinds of fates, a frozen and a killed controller, on a real Slurm.

The long one is ``python benchmarks/soak_slurm.py``; what it came to is in docs/soak.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from clusters import Slurm as Cluster

from pavilion import schedulers
from pavilion.config import PavConfig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
JOBS = 30


def test_every_test_has_the_fate_that_was_meant(
    slurm: Cluster, pav_cfg: PavConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not slurm.is_real:
        pytest.skip("the soak is about the real Slurm; the fake has no state that survives a kill")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from soak_slurm import Soak

    for name, value in slurm.env().items():
        monkeypatch.setenv(name, value)
    plugin = schedulers.get_plugin("slurm")
    # Some of what takes minutes at a site takes seconds here.
    monkeypatch.setattr(plugin, "JOB_TABLE_AGE", 1.0, raising=False)
    monkeypatch.setattr(plugin, "JOB_END_GRACE", 2.0)
    told: list[str] = []
    outcome = Soak(
        slurm.cluster,
        pav_cfg,
        JOBS,
        freeze=5.0,
        down=2.0,
        short_limit=True,
        patience=120.0,
        tell=told.append,
    ).run()
    assert outcome.ok, "\n".join([outcome.table, *outcome.problems, *told])
    assert (outcome.tests, outcome.jobs) == (JOBS, JOBS)
    assert any("controller frozen" in line for line in told)
    assert any("controller killed" in line for line in told)

"""The base of all plugins knows no scheduler in particular: not even its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pavilion.schedulers

BASE = Path(pavilion.schedulers.__file__).parent
# Names of schedulers, of their commands, and words that only one of them has.
WORDS = """
    slurm slurmctld slurmd slurmdbd sbatch squeue scancel sinfo sacct sacctmgr scontrol srun salloc sdiag
    munge munged qos_limit nodelist_inx
    gridengine sge uge qsub qstat qdel qhost qacct qmod qconf qmaster execd eqw
    pbs openpbs torque moab maui pbsnodes qmgr qalter msub
    flux lsf bsub bjobs bkill bhosts htcondor condor condor_submit cobalt loadleveler llsubmit oar oarsub
    aprun alps jsrun minibatch mb-submit mb-jobs mb-cancel
""".split()
# Also within names: SLURM_JOB_ID, parse_sbatch.
_WORD = re.compile(
    rf"(?<![A-Za-z])(?:{'|'.join(map(re.escape, WORDS))}|grid[ _]engine)(?![A-Za-z])", re.IGNORECASE
)
# File -> the words that it has, and why.
ALLOWED = {
    "__init__.py": (
        {"slurm", "gridengine", "flux", "pbs"},
        "the classes of the bundled plugins are exported",
    ),
    "placement/hostlists.py": (
        {"slurm"},
        "the grammar of host lists is Slurm's, and so is the measured limit of a range",
    ),
    "vars.py": (
        {"srun"},
        "the variable srun_args, and the example of test_cmd, are the specification's",
    ),
}


def modules() -> list[str]:
    """All modules but those of plugins, relative to the directory."""
    paths = (path.relative_to(BASE) for path in BASE.rglob("*.py"))
    return sorted(str(path) for path in paths if path.parts[0] != "plugins")


def found(text: str) -> set[str]:
    return {match[0].lower() for match in _WORD.finditer(text)}


def test_there_are_modules() -> None:
    assert {"batch/plugin.py", "lifecycle/job_table.py", "talk/commands.py"} <= set(modules())


@pytest.mark.parametrize("module", modules())
def test_a_module_of_the_base(module: str) -> None:
    allowed, _ = ALLOWED.get(module, (set(), ""))
    lines = (BASE / module).read_text(encoding="utf-8").splitlines()
    wrong = [
        f"{module}:{number}: {', '.join(sorted(found(line) - allowed))}: {line.strip()}"
        for number, line in enumerate(lines, 1)
        if found(line) - allowed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ALLOWED)
def test_an_exception_is_needed(module: str) -> None:
    allowed, reason = ALLOWED[module]
    assert reason and found((BASE / module).read_text(encoding="utf-8")) == allowed


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("as Slurm does", {"slurm"}),
        ("SLURM_CONF", {"slurm"}),
        ("run qstat -f", {"qstat"}),
        ("'PBS -l'", {"pbs"}),
        ("a Grid Engine", {"grid engine"}),
        ("conflux, message, influx, messages, sgement", set()),
    ],
)
def test_what_counts_as_a_word(text: str, words: set[str]) -> None:
    assert found(text) == words


@pytest.mark.parametrize(("plugin", "most"), [("gridengine", 300), ("pbs", 350), ("flux", 350)])
def test_a_plugin_of_the_family_stays_small(plugin: str, most: int) -> None:
    """What it takes beyond that belongs to the family, where other plugins have it too."""
    assert len((BASE / "plugins" / f"{plugin}.py").read_text().splitlines()) <= most

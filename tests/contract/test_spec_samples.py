"""Every code sample of the specification (the guide for plugin authors), as it is written there.

A sample stands between two lines '# sample' and '# end of sample'.  What the guide leaves out is
outside of them.  Where a sample has a slip of the pen, a comment says which.
"""
# The samples' own style is theirs:
# ruff: noqa: B904, F401, I001, RET504, UP032

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pavilion.config import PavConfig
from pavilion.errors import PavilionError
from pavilion.plugins import load_plugins
from pavilion.resolve import resolve_test
from pavilion.series import Series
from pavilion.suites import select_tests

PATIENCE = 30.0


# ---------------------------------------------------------------------------- Handling Errors


def test_handling_errors() -> None:
    foo = "twelve"
    with pytest.raises(PavilionError) as caught:
        # sample
        from pavilion.schedulers import SchedulerPluginError

        try:
            int(foo)
        except ValueError as exc:
            raise SchedulerPluginError("Invalid value for foo.", exc)
        # end of sample
    error = caught.value
    assert isinstance(error, SchedulerPluginError)
    assert error.msg == "Invalid value for foo."
    assert isinstance(error.prior_error, ValueError)
    assert "twelve" in str(error)
    assert "twelve" in error.pformat()
    assert error.tests == []


# --------------------------------------------------------------------------------------- Init


def test_init() -> None:
    # sample
    from pavilion import schedulers

    class Slurm(schedulers.SchedulerPluginAdvanced):
        def __init__(self):
            super().__init__(name="slurm", description="Schedules tests via the Slurm scheduler.")

    # end of sample
    plugin = Slurm()
    assert plugin.name == "slurm"
    assert plugin.description == "Schedules tests via the Slurm scheduler."
    assert plugin.priority == schedulers.SchedulerPlugin.PRIO_COMMON


def test_both_spellings_of_the_base_classes() -> None:
    from pavilion import schedulers
    from pavilion.schedulers.advanced import SchedulerPluginAdvanced
    from pavilion.schedulers.basic import SchedulerPluginBasic
    from pavilion.schedulers.scheduler import KickoffScriptHeader, SchedulerPlugin

    assert schedulers.BasicSchedulerPlugin is schedulers.SchedulerPluginBasic
    assert schedulers.SchedulerPluginBasic is SchedulerPluginBasic
    assert schedulers.AdvancedSchedulerPlugin is schedulers.SchedulerPluginAdvanced
    assert schedulers.SchedulerPluginAdvanced is SchedulerPluginAdvanced
    assert schedulers.SchedulerPlugin is SchedulerPlugin
    assert schedulers.KickoffScriptHeader is KickoffScriptHeader
    assert schedulers.SchedulerError is schedulers.SchedulerPluginError


# ------------------------------------------------------------------------- Composing Commands


def _compose(config: dict[str, Any]) -> str:
    """The sample's body; the guide shows it without a function around it."""
    from pavilion.schedulers import SchedulerError

    # Slip in the guide: it catches CalledProcessError without importing that name.
    from subprocess import CalledProcessError

    # sample
    # These should be at the top of the file, as standard
    import subprocess
    import shutil

    # Use shutil.which to find the path to your executable, if needed
    srun_cmd = shutil.which("srun")
    if srun_cmd is None:
        raise SchedulerError("Could not find srun command path.")

    my_cmd = [srun_cmd]

    # Building your commands with a list is simple and flexible.
    if config["account"]:
        my_cmd.extend(["-A", config["account"]])

    # subprocess.check_output will run your command to completion and simultaniously redirect
    # and gather the output.
    try:
        # You should also redirect stderr, as is appropriate for your command.
        run_output = subprocess.check_output(my_cmd, stderr=subprocess.STDOUT)
    # A CalledProcessError will be raised if the command returns an error code.
    except CalledProcessError as err:
        # Slip in the guide: the last parenthesis, that of SchedulerError(, is missing there.
        raise SchedulerError(
            "Error calling srun. Return code '{}', msg:\n{}".format(err.returncode, err.output)
        )
    # The output will be binary, and will need to be decoded
    run_output = run_output.decode()
    # end of sample
    return run_output


def _fake_srun(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    if script:
        (folder / "srun").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.mark.parametrize("account, out", [("science", "args: -A science\n"), (None, "args: \n")])
def test_composing_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, account: Any, out: str
) -> None:
    _fake_srun(tmp_path / "bin", 'echo "args: $*"', monkeypatch)
    assert _compose({"account": account}) == out


@pytest.mark.parametrize(
    "script, parts",
    [
        ("", ["Could not find srun command path."]),
        (
            "echo no such account; exit 3",
            ["Error calling srun. Return code '3'", "no such account"],
        ),
    ],
)
def test_composing_commands_that_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, parts: list[str]
) -> None:
    from pavilion.schedulers import SchedulerError, SchedulerPluginError

    _fake_srun(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(SchedulerError) as caught:
        _compose({"account": "science"})
    assert isinstance(caught.value, SchedulerPluginError)
    for part in parts:
        assert part in str(caught.value)


def test_environment_variables(tmp_path: Path) -> None:
    out = tmp_path / "out"
    my_cmd = ["/bin/sh", "-c", f'echo "$MY_ENV_VAR $PATH" >{out}']
    # sample
    import os
    import subprocess

    myenv = dict(os.environ)

    myenv["MY_ENV_VAR"] = "Hiya!"
    myenv["PATH"] = "{}:/opt/share/something/bin".format(os.environ["PATH"])

    subprocess.run(my_cmd, env=myenv)
    # end of sample
    assert out.read_text() == f"Hiya! {os.environ['PATH']}:/opt/share/something/bin\n"


# ------------------------------------------------------------------------------------ Job Id's


def test_sys_name_for_the_job_info() -> None:
    from pavilion import sys_vars
    from pavilion.jobs import JobInfo

    # sample
    name = sys_vars.get_vars(True)["sys_name"]
    # end of sample
    assert isinstance(name, str)
    assert name
    # "a JobInfo object (which is really just a dict)"
    info = JobInfo({"id": "12", "sys_name": name})
    assert isinstance(info, dict)
    assert info["sys_name"] == name


# ---------------------------------------------------------------------------------- Job Status


def test_job_status() -> None:
    before = time.time()
    # sample
    # The STATES object has attributes for each valid Pavilion test state,
    # but you'll only be using those with the 'SCHED_' prefix.
    from pavilion.status_file import STATES
    from pavilion.status_file import TestStatusInfo

    my_status = TestStatusInfo(
        STATES.SCHED_ERROR,  # Simply pass one of the valid scheduler state constants.
        "Cthulhu at my test.",
    )  # Along with a longer message describing the state.
    # end of sample
    assert my_status.state == "SCHED_ERROR"
    assert my_status.note == "Cthulhu at my test."
    assert before <= my_status.when <= time.time()
    for state in ("SCHED_ERROR", "SCHED_CANCELLED", "SCHED_RUNNING", "SCHEDULED"):
        assert getattr(STATES, state) == state


# ------------------------------------------------------------------------- Scheduler Variables

# The guide's sample, character by character.
TEST_CMD_SUITE = """\
test_cmd_example:
  scheduler: slurm
  schedule:
    nodes: 32

  run:
    cmds:
      - '{{test_cmd}} ./my_mpi_cmd'
"""

# A scheduler of that name, made as the guide says: the spec's class names, its job_status() and
# available(), errors with the prior exception in second position, and test_cmd.
SLURM_PLUGIN = """
    import os
    import subprocess

    from pavilion import schedulers
    from pavilion import sys_vars
    from pavilion.jobs import JobInfo
    from pavilion.schedulers import SchedulerPluginError
    from pavilion.status_file import STATES
    from pavilion.status_file import TestStatusInfo


    class SlurmVars(schedulers.SchedulerVariables):
        def _test_cmd(self):
            return 'srun -N {}'.format(self._sched_config['nodes'])


    class SlurmHeader(schedulers.KickoffScriptHeader):
        def _kickoff_lines(self):
            return ['#SBATCH --nodes {}'.format(self._node_min)]


    class Slurm(schedulers.BasicSchedulerPlugin):

        VAR_CLASS = SlurmVars
        KICKOFF_SCRIPT_HEADER_CLASS = SlurmHeader

        def __init__(self):
            super().__init__(
                name='slurm',
                description='Schedules tests via the Slurm scheduler.',
                # Above the bundled plugin of that name.
                priority=schedulers.SchedulerPlugin.PRIO_USER,
            )

        def available(self):
            return True

        def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
            try:
                with open(job.sched_log, 'wb') as log:
                    self._proc = subprocess.Popen([str(job.kickoff_path)], stdout=log,
                                                  stderr=subprocess.STDOUT)
            except OSError as exc:
                raise SchedulerPluginError("Could not start the job.", exc)
            return JobInfo({'id': str(self._proc.pid),
                            'sys_name': sys_vars.get_vars(True) ["sys_name"]})

        def job_status(self, pav_cfg, job_info):
            if self._proc.poll() is None:
                return TestStatusInfo(STATES.SCHED_RUNNING, "It runs.")
            return TestStatusInfo(STATES.SCHED_ERROR, "It is over.")

        def cancel(self, job_info):
            self._proc.terminate()
            return None

        def _get_alloc_nodes(self, job):
            return ['node{:02}'.format(number) for number in range(1, 33)]
    """


@pytest.fixture
def slurm(pav_cfg: PavConfig, tmp_path: Path) -> Iterator[PavConfig]:
    """The plugin above, found as a site's plugins are."""
    folder = tmp_path / "config" / "plugins"
    (folder / "slurm.py").write_text(textwrap.dedent(SLURM_PLUGIN), encoding="utf-8")
    (folder / "slurm.yapsy-plugin").write_text("[Core]\nName = slurm\nModule = slurm\n")
    report = load_plugins(pav_cfg)
    assert report.refused == []
    yield pav_cfg


def test_the_test_cmd_example(
    slurm: PavConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The YAML sample is run: the suite is as written, 'srun' and './my_mpi_cmd' are ours."""
    from pavilion import schedulers

    suite = tmp_path / "mytests.yaml"
    suite.write_text(TEST_CMD_SUITE, encoding="utf-8")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    (bin_dir / "srun").write_text(
        '#!/bin/sh\necho "srun $1 $2"\nshift 2\nexec "$@"\n', encoding="utf-8"
    )
    (bin_dir / "srun").chmod(0o755)
    slurm.env_setup = [*slurm.env_setup, f"export PATH={bin_dir}:$PATH"]

    (test,) = select_tests(slurm, str(suite))
    series = Series.create(slurm, resolve_test(test))
    (run,) = series.tests
    assert run.name == "mytests.test_cmd_example"
    assert run.config["run"]["cmds"] == ["srun -N 32 ./my_mpi_cmd"]
    # The test's own program, where its script will run.
    (run.path / "work").mkdir()
    (run.path / "work" / "my_mpi_cmd").write_text("#!/bin/sh\necho ran\n")
    (run.path / "work" / "my_mpi_cmd").chmod(0o755)

    assert series.kick_off() == []
    assert series.wait(timeout=PATIENCE)
    assert run.result == "PASS", run.status.history()
    assert run.run_log.read_text() == "srun -N 32\nran\n"
    assert run.job is not None
    assert run.job.info["sys_name"]
    script = run.job.kickoff_path.read_text().splitlines()
    assert script[:2] == ["#!/bin/bash", "#SBATCH --nodes 32"]
    assert f"pav _run {run.id}" in script
    plugin: Any = schedulers.get_plugin("slurm")
    assert plugin._proc.wait(PATIENCE) == 0


def test_a_job_that_ends_without_a_word_is_found_out(slurm: PavConfig, tmp_path: Path) -> None:
    """The guide's job_status(pav_cfg, job_info) is asked, and its answer ends the test."""
    from pavilion import schedulers

    plugin: Any = schedulers.get_plugin("slurm")
    plugin.JOB_STATUS_TIMEOUT = plugin.JOB_END_GRACE = 0.1
    slurm.env_setup = ["exit 1"]
    suite = tmp_path / "mytests.yaml"
    suite.write_text(TEST_CMD_SUITE, encoding="utf-8")
    (test,) = select_tests(slurm, str(suite))
    series = Series.create(slurm, resolve_test(test))
    assert series.kick_off() == []
    assert series.wait(timeout=PATIENCE)
    assert series.tests[0].status.current().state == "SCHED_ERROR"
    assert "It is over." in series.tests[0].status.current().note


# ---------------------------------------- Adding the Scheduler Vars to the Scheduler Plugin


def test_a_plugin_with_a_variable_class_activates(pav_cfg: PavConfig) -> None:
    # sample
    from pavilion import schedulers

    class MyVarClass(schedulers.SchedulerVariables):
        # Your scheduler variable class
        # Left out in the guide: a class needs a body.
        pass

    class MySchedPlugin(schedulers.SchedulerPlugin):
        VAR_CLASS = MyVarClass

        # end of sample
        # Left out in the guide: its name.
        def __init__(self) -> None:
            super().__init__(name="mine", description="Mine.")

    plugin = MySchedPlugin()
    plugin.activate()
    assert schedulers.get_plugin("mine") is plugin
    assert "mine" in schedulers.list_plugins()
    assert schedulers.get_plugin("mine").VAR_CLASS is MyVarClass
    plugin.deactivate()
    assert "mine" not in schedulers.list_plugins()


def test_that_plugin_is_found_in_a_file_too(pav_cfg: PavConfig, tmp_path: Path) -> None:
    """The module's namespace holds the base classes as well; the plugin is found nevertheless."""
    from pavilion import schedulers

    folder = tmp_path / "config" / "plugins"
    (folder / "mine.py").write_text(
        textwrap.dedent("""
        from pavilion import schedulers
        from pavilion.schedulers import SchedulerPlugin, SchedulerPluginBasic

        class MyVarClass(schedulers.SchedulerVariables):
            # Your scheduler variable class
            pass

        class MySchedPlugin(schedulers.SchedulerPlugin):
            VAR_CLASS = MyVarClass

            def __init__(self):
                super().__init__('mine', 'Mine.')
        """),
        encoding="utf-8",
    )
    (folder / "mine.yapsy-plugin").write_text("[Core]\nName = mine\nModule = mine\n")
    assert load_plugins(pav_cfg).refused == []
    plugin = schedulers.get_plugin("mine")
    assert type(plugin).__name__ == "MySchedPlugin"
    assert plugin.path == folder / "mine.py"
    # It can do nothing yet, and says what is missing.
    assert not plugin.available()
    assert "_available" in str(plugin.unavailable_reason)

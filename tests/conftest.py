"""What all tests share: nothing of the user's environment gets in, and a host to test with."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from pavilion.config import PavConfig, load_config
from pavilion.plugins import load_plugins, reset_plugins

# --slurm=fake|real|both, --batch=KIND, --quick; and what says which real schedulers are missing.
pytest_plugins = [
    "slurm_option",
    "real_schedulers",
    "batch_option",
    "quick_option",
]


# How fast a machine is does not decide whether the code is right.
settings.register_profile(
    "any-machine",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("any-machine")

# A shell that starts this in the background has it ignore Ctrl-C, and so would all that the tests
# start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# So does nohup with the signal of a closed terminal. These processes go on to ignore it, but those
# that they start do not: with a handler, a signal has its default again in another program.
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture(scope="session")
def _empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def _isolated_environment(monkeypatch: pytest.MonkeyPatch, _empty_home: Path) -> None:
    """No settings of the user, and no queue that other processes use."""
    for name in [name for name in os.environ if name.startswith("PAV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(_empty_home))
    monkeypatch.setenv("PAV_RAW_QUEUE_DIR", str(_empty_home / "raw_queue"))


@pytest.fixture(scope="module", autouse=True)
def _no_plugins_of_other_files() -> Iterator[None]:
    """Which files one process runs, and in which order, is not always the same."""
    reset_plugins()
    yield
    reset_plugins()


@pytest.fixture
def pav_cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PavConfig]:
    """Settings with folders of their own, and the plugins loaded.

    ``tmp_path / 'config'`` is the one config folder besides that of the (empty) home.
    """
    home = tmp_path / "home"
    for folder in (home, tmp_path / "config" / "suites", tmp_path / "config" / "plugins"):
        folder.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PAV_RAW_QUEUE_DIR", str(tmp_path / "raw_queue"))
    config = load_config(working_dir=tmp_path / "working_dir", config_dirs=[tmp_path / "config"])
    config.make_working_dir()
    load_plugins(config)
    yield config
    reset_plugins()

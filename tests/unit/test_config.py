"""The host's settings: where they are found, what they may hold, and that they survive a copy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pavilion.config import PYTHON_VARIABLE, PavConfig, load_config
from pavilion.errors import ConfigError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    (folder / ".pavilion").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(folder))
    return folder


def _file(folder: Path, text: str, name: str = "pavilion.yaml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_without_a_file_the_defaults_apply(home: Path) -> None:
    cfg = load_config()
    assert cfg.pav_cfg_file is None
    assert cfg.working_dir == home / ".pavilion" / "working_dir"
    assert [item["path"] for item in cfg.configs.values()] == [home / ".pavilion"]
    assert cfg.disable_plugins == []
    assert (cfg.pav_root / "bin" / "pav").is_file()


def test_the_first_file_of_this_order_is_used(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_home = _file(home / ".pavilion", "")
    assert load_config().pav_cfg_file == in_home
    in_dir = _file(tmp_path / "dir", "")
    monkeypatch.setenv("PAV_CONFIG_DIR", str(tmp_path / "dir"))
    assert load_config().pav_cfg_file == in_dir
    by_env = _file(tmp_path / "env", "", "any.yaml")
    monkeypatch.setenv("PAV_CONFIG_FILE", str(by_env))
    assert load_config().pav_cfg_file == by_env
    by_option = _file(tmp_path / "option", "", "other.yaml")
    assert load_config(by_option).pav_cfg_file == by_option


def test_the_environment_may_be_given(home: Path, tmp_path: Path) -> None:
    path = _file(tmp_path / "env", "working_dir: there")
    cfg = load_config(environ={"PAV_CONFIG_FILE": str(path)})
    assert cfg.working_dir == tmp_path / "env" / "there"
    assert load_config(environ={"HOME": str(tmp_path)}).working_dir == (
        tmp_path / ".pavilion" / "working_dir"
    )


def test_a_config_folder_without_a_file_is_used_for_suites(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAV_CONFIG_DIR", str(tmp_path / "dir"))
    in_home = _file(home / ".pavilion", "")
    (tmp_path / "dir").mkdir()
    (tmp_path / "option").mkdir()
    cfg = load_config(config_dirs=[tmp_path / "option"])
    assert cfg.pav_cfg_file == in_home
    assert [item["path"] for item in cfg.configs.values()] == [
        tmp_path / "option",
        tmp_path / "dir",
        home / ".pavilion",
    ]


@pytest.mark.parametrize("source", ["--config-file", "$PAV_CONFIG_FILE"])
def test_a_file_that_was_named_must_be_there(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "gone.yaml"
    if source.startswith("$"):
        monkeypatch.setenv(source[1:], str(path))
    with pytest.raises(ConfigError) as caught:
        load_config(None if source.startswith("$") else path)
    assert str(path) in str(caught.value)
    assert source in str(caught.value)


def test_paths_are_relative_to_the_file(home: Path, tmp_path: Path) -> None:
    path = _file(
        tmp_path / "site",
        """
        working_dir: ../scratch/pav
        config_dirs: [more, /opt/pav, ~/mine]
        """,
    )
    cfg = load_config(path, check_dirs=False)
    assert cfg.working_dir == tmp_path / "scratch" / "pav"
    assert [item["path"] for item in cfg.configs.values()] == [
        tmp_path / "site" / "more",
        Path("/opt/pav"),
        home / "mine",
        tmp_path / "site",
    ]


def test_a_tilde_is_the_home_folder(home: Path, tmp_path: Path) -> None:
    path = _file(tmp_path, "working_dir: ~/work")
    assert load_config(path).working_dir == home / "work"
    assert load_config(path, working_dir=Path("~/other")).working_dir == home / "other"


def test_the_option_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path / "site", "working_dir: there")
    monkeypatch.chdir(tmp_path)
    assert load_config(path, working_dir=Path("here")).working_dir == tmp_path / "here"


def test_each_folder_has_a_label_and_is_there_once(tmp_path: Path) -> None:
    folders = [tmp_path / "a" / "pav", tmp_path / "b" / "pav", tmp_path / "a" / "pav", Path("/")]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    cfg = load_config(_file(tmp_path / "c" / "pav", ""), config_dirs=folders)
    assert {label: item["path"] for label, item in cfg.configs.items()} == {
        "pav": tmp_path / "a" / "pav",
        "pav-2": tmp_path / "b" / "pav",
        "root": Path("/"),
        "pav-3": tmp_path / "c" / "pav",
    }
    assert all(item["label"] == label for label, item in cfg.configs.items())


def test_settings_are_items_and_attributes(home: Path) -> None:
    cfg = load_config()
    assert cfg["working_dir"] is cfg.working_dir
    cfg.working_dir = Path("/x")
    assert cfg["working_dir"] == Path("/x")
    with pytest.raises(AttributeError, match=r"'work_dir'.*working_dir"):
        cfg.work_dir  # noqa: B018


@pytest.mark.parametrize(
    "text, parts",
    [
        ("wroking_dir: x", [":1", "wroking_dir", "working_dir"]),
        ("env_setup: []\nworking_dir: [a, b]", [":2", "working_dir"]),
        ("env_setup: []\nenv_setup: []", [":2", "env_setup"]),
        ("working_dir: 'a", [":1"]),
        ("- a\n- b", []),
        ("env_setup: {a: b}", ["env_setup"]),
    ],
)
def test_mistakes_name_file_line_and_key(tmp_path: Path, text: str, parts: list[str]) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    message = caught.value.pformat()
    for part in [str(path), *parts]:
        assert part in message


def test_a_file_that_is_no_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "pavilion.yaml"
    path.write_bytes(b"working_dir: caf\xe9\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "UTF-8" in caught.value.pformat()
    assert f"{path}:1" in caught.value.pformat()


def test_a_folder_in_place_of_the_file_is_an_error(home: Path) -> None:
    (home / ".pavilion" / "pavilion.yaml").mkdir()
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert "pavilion.yaml" in caught.value.pformat()


def test_an_unknown_home_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    # As in a container: no $HOME, and a user id without an entry.
    code = (
        "from pavilion.config import load_config\n"
        "from pavilion.errors import ConfigError\n"
        "import os, pathlib\n"
        "os.environ.pop('HOME', None)\n"
        "def no_entry(self):\n"
        "    raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.expanduser = no_entry\n"
        "try:\n    load_config()\n"
        "except ConfigError as exc:\n    print(exc.msg)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "$HOME" in done.stdout
    assert "--config-file" in done.stdout


def test_an_unknown_user_in_a_path_is_an_error(tmp_path: Path) -> None:
    path = _file(tmp_path, "working_dir: ~no_such_user_here/x")
    with pytest.raises(ConfigError, match="no_such_user_here"):
        load_config(path)


# --------------------------------------------------------------------------- the working folder


def test_the_working_folder_is_made(tmp_path: Path) -> None:
    cfg = load_config(working_dir=tmp_path / "a b" / "c")
    cfg.make_working_dir()
    cfg.make_working_dir()
    assert (cfg.working_dir / "jobs").is_dir()
    assert (cfg.working_dir / "series").is_dir()


def test_a_working_folder_below_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_config(working_dir=tmp_path / "file" / "work").make_working_dir()
    assert str(tmp_path / "file" / "work") in caught.value.pformat()


def test_a_working_folder_that_is_read_only_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = load_config(working_dir=tmp_path / "work")
    # Root may write everywhere, so the answer of the system is what is changed here.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ConfigError, match=r"cannot be written to.*--working-dir"):
        cfg.make_working_dir()


# ------------------------------------------------------------------------------------ round trip


def _settings(cfg: PavConfig) -> dict[str, object]:
    kept = dict(cfg, pav_cfg_file=None)
    kept["configs"] = [item["path"] for item in cfg.configs.values()]
    return kept


@pytest.mark.parametrize(
    "name",
    [
        "plain",
        "with blanks",
        "ünïcödé €",
        'it\'s: #odd "{x}" [y]',
        "*star",
        "123",
        "true",
        "a\nb",
        "\x85",
        "-",
    ],
)
def test_saved_settings_load_to_the_same(tmp_path: Path, name: str) -> None:
    site = _file(
        tmp_path / "site",
        "env_setup: ['module load gcc', \"echo '{{x}}' # $A\"]\ndisable_plugins: [sched.slurm]",
    )
    (tmp_path / "more" / name).mkdir(parents=True)
    cfg = load_config(site, working_dir=tmp_path / name, config_dirs=[tmp_path / "more" / name])
    copy = tmp_path / "series" / "pavilion.yaml"
    copy.parent.mkdir()
    cfg.save(copy)
    loaded = load_config(copy)
    expected, got = _settings(cfg), _settings(loaded)
    # The folder that the copy is in comes last: it hides nothing.
    assert got.pop("configs") == [*expected.pop("configs"), copy.parent]  # type: ignore[misc]
    assert got == expected
    assert loaded.pav_cfg_file == copy


def test_saving_again_and_again_does_not_grow(tmp_path: Path) -> None:
    cfg = load_config(working_dir=tmp_path / "work")
    path = tmp_path / "pavilion.yaml"
    cfg.save(path)
    once = path.read_text()
    load_config(path).save(path)
    load_config(path).save(path)
    assert path.read_text().count("env_setup") == once.count("env_setup") == 1
    assert PYTHON_VARIABLE not in path.read_text()


def test_jobs_are_told_which_python_to_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/it's $HOME/bin/python")
    lines = load_config(working_dir=tmp_path).env_setup
    out = subprocess.run(
        ["bash", "-c", "\n".join([*lines, f'printf %s "${PYTHON_VARIABLE}"'])],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert out == "/opt/it's $HOME/bin/python"


def test_settings_that_cannot_be_saved_leave_the_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = load_config(working_dir=tmp_path / "work")
    path = tmp_path / "pavilion.yaml"
    cfg.save(path)
    before = path.read_text()

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    cfg.working_dir = tmp_path / "other"
    with monkeypatch.context() as context:
        context.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            cfg.save(path)
    assert path.read_text() == before
    assert [file.name for file in tmp_path.iterdir()] == ["pavilion.yaml"]

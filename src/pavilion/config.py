"""The configuration of the embedded host: where it works and where it looks for things."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml_config as yc
from pavilion.errors import ConfigError, quoted
from pavilion.files import open_user_file, write_own
from pavilion.scriptcomposer import quote

CONFIG_NAME = "pavilion.yaml"
# Tells bin/pav which Python to use; that of a virtual environment is found by nobody otherwise.
PYTHON_VARIABLE = "PAV_SCHED_PYTHON"


class PavConfigLoader(yc.YamlConfigLoader):
    """Reads ``pavilion.yaml``."""

    ELEMENTS = [
        yc.PathElem(
            "working_dir",
            help_text=(
                "Where test runs, jobs and their logs are kept. It must be on a file system that "
                "the nodes of the cluster share. Default: working_dir beside this file, or "
                "~/.pavilion/working_dir without such a file."
            ),
        ),
        yc.ListElem(
            "config_dirs",
            sub_elem=yc.PathElem(),
            help_text=(
                "Folders with suites/ and plugins/ of your own. The folder of this file is always "
                "one of them."
            ),
        ),
        yc.ListElem(
            "env_setup",
            sub_elem=yc.StrElem(),
            help_text=("Shell lines to run at the start of every kickoff script."),
        ),
        yc.ListElem(
            "disable_plugins",
            sub_elem=yc.StrElem(),
            help_text=("Plugins not to load, as '<category>.<name>': sched.raw, say."),
        ),
        yc.StrElem(
            "trusted_group",
            help_text=(
                "A group of users who are trusted with the plugins: files and directories that its "
                "members may write to are loaded all the same."
            ),
        ),
    ]


class PavConfig(dict[str, Any]):
    """The settings, as items and as attributes.

    - ``pav_root``: the folder with ``bin/pav``
    - ``pav_cfg_file``: the file the settings came from; None when there is none
    - ``working_dir``: a Path
    - ``configs``: label -> {'label', 'path'} of each config folder, highest precedence first
    - ``env_setup``, ``disable_plugins``: lists of text
    - ``trusted_group``: the name of a group, or None
    - ``settings_access``: mode and group id of the settings file; None when there is none
    """

    pav_root: Path
    pav_cfg_file: Path | None
    working_dir: Path
    configs: dict[str, dict[str, Any]]
    env_setup: list[str]
    disable_plugins: list[str]
    trusted_group: str | None
    settings_access: tuple[int, int] | None

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(
                f"There is no setting {name!r}. Settings: {', '.join(self)}."
            ) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def make_working_dir(self) -> None:
        """Make the working folder and what belongs into it.

        :raises ConfigError: When it cannot be made or written to.
        """
        self._check_path()
        for folder in (self.working_dir / "jobs", self.working_dir / "series"):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise ConfigError(
                    f"The working folder {self.working_dir} cannot be used", prior_error=exc
                ) from exc
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ConfigError(
                    f"The working folder {self.working_dir} cannot be written to. "
                    "Choose another with --working-dir, or with working_dir in "
                    f"{self.pav_cfg_file or CONFIG_NAME}."
                )
        for folder in (self.working_dir, self.working_dir / "jobs", self.working_dir / "series"):
            mode = folder.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise ConfigError(
                    f"Everyone may move what is in the directory {folder}, and put "
                    "other scripts in the place of yours. 'chmod +t' lets users "
                    "move their own only; 'chmod o-w' shuts other users out."
                )

    def _check_path(self) -> None:
        """Find a working folder whose path no record could hold.

        :raises ConfigError: Naming the folder.
        """
        for path in (
            self.working_dir,
            *(item["path"] for item in (self.get("configs") or {}).values()),
        ):
            try:
                os.fspath(path).encode()
            except UnicodeEncodeError as exc:
                raise ConfigError(
                    f"The path {os.fsencode(path)!r} is not UTF-8, and the settings "
                    "of a series, which hold it, are. Choose another working_dir "
                    "(--working-dir) or config folder, or rename it."
                ) from exc

    def settings_mode(self, folder: Path) -> int | None:
        """The mode for a file in this folder that holds a part of the settings file.

        Whoever may not read that may not read the other.  None when everyone may.
        """
        access = self.get("settings_access")
        if access is None or access[0] & 0o444 == 0o444:
            return None
        mode: int = access[0]
        info = folder.stat()
        if access[1] != (info.st_gid if info.st_mode & stat.S_ISGID else os.getegid()):
            # The file will be of another group.
            mode &= ~0o070
        return mode & 0o644 | 0o600

    def save(self, path: Path) -> None:
        """Write the settings to a file that :func:`load_config` reads, with absolute paths.

        :raises OSError: When it cannot be written.
        """
        import yaml

        data = {
            "working_dir": os.fspath(self.working_dir),
            "config_dirs": [os.fspath(item["path"]) for item in self.configs.values()],
            "env_setup": [
                line for line in self.env_setup if not line.startswith(f"export {PYTHON_VARIABLE}=")
            ],
            "disable_plugins": list(self.disable_plugins),
            "trusted_group": self.get("trusted_group"),
        }
        write_own(path, yaml.safe_dump(data, sort_keys=False), mode=self.settings_mode(path.parent))


def load_config(
    config_file: Path | None = None,
    working_dir: Path | None = None,
    config_dirs: Iterable[Path] = (),
    environ: Mapping[str, str] | None = None,
) -> PavConfig:
    """Find and read the settings.

    The file is, in this order: ``config_file``; $PAV_CONFIG_FILE; pavilion.yaml in
    $PAV_CONFIG_DIR; ~/.pavilion/pavilion.yaml.  Without any, the defaults apply.

    :param working_dir: Goes before the one in the file.
    :param config_dirs: Folders to use besides those of the file.
    :raises ConfigError: When a file that was asked for cannot be read, or holds mistakes.
    """
    environ = os.environ if environ is None else environ
    path = _find_file(config_file, environ)
    access = None if path is None else _access(path)
    loaded: dict[str, Any] = dict(_read(path))
    base = path.parent if path is not None else _user_dir(environ)
    chosen = working_dir or loaded["working_dir"] or base / "working_dir"
    folders = [*config_dirs, *(_below(base, folder) for folder in loaded["config_dirs"] or [])]
    if "PAV_CONFIG_DIR" in environ:
        folders.append(Path(environ["PAV_CONFIG_DIR"]))
    folders.append(base)
    setup = [f"export {PYTHON_VARIABLE}={quote(sys.executable)}"] if sys.executable else []
    return PavConfig(
        pav_root=Path(__file__).resolve().parent,
        pav_cfg_file=path,
        working_dir=_absolute(_below(base, chosen) if working_dir is None else chosen),
        configs=_labelled(folders),
        env_setup=[*setup, *(loaded["env_setup"] or [])],
        disable_plugins=list(loaded["disable_plugins"] or []),
        trusted_group=loaded["trusted_group"],
        settings_access=access,
    )


def _find_file(config_file: Path | None, environ: Mapping[str, str]) -> Path | None:
    for source, named in (
        ("--config-file", config_file),
        ("$PAV_CONFIG_FILE", environ.get("PAV_CONFIG_FILE")),
    ):
        if named:
            path = _absolute(Path(named))
            if not path.is_file():
                raise ConfigError(f"There is no file {path}, which {source} names.")
            return path
    for folder in (environ.get("PAV_CONFIG_DIR"), _user_dir(environ)):
        if folder and (Path(folder) / CONFIG_NAME).exists():
            return _absolute(Path(folder) / CONFIG_NAME)
    return None


def _user_dir(environ: Mapping[str, str]) -> Path:
    home = environ.get("HOME")
    return (Path(home) if home else _expanded(Path("~"))) / ".pavilion"


def _below(base: Path, path: Path) -> Path:
    """A path as a settings file means it: relative to that file, or with '~' for the home."""
    return base / _expanded(path)


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as exc:
        # A container may run as a user id that has no entry and no $HOME.
        raise ConfigError(
            f"The home folder that {str(path)!r} means is not known. Set $HOME, or "
            "name the settings file with --config-file or $PAV_CONFIG_FILE and "
            "use absolute paths in it."
        ) from exc


def _access(path: Path) -> tuple[int, int]:
    """Mode and group of the settings file.

    :raises ConfigError: When everyone may write to it: lines of it are run as commands.
    """
    try:
        info = path.stat()
    except OSError as exc:
        raise ConfigError("The configuration cannot be used", prior_error=exc) from exc
    if info.st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"Everyone may write to the settings file {path}, and lines of it are "
            "run as your commands. 'chmod o-w' changes that."
        )
    return stat.S_IMODE(info.st_mode), info.st_gid


def _read(path: Path | None) -> Mapping[str, Any]:
    loader = PavConfigLoader()
    try:
        found: Mapping[str, Any] = (
            loader.load_empty() if path is None else loader.load(open_user_file(path))
        )
        for line in found["env_setup"] or []:
            if "\0" in line:
                raise ValueError(f"env_setup: a null character in {quoted(line)}")
        return found
    except (OSError, ValueError) as exc:
        raise ConfigError("The configuration cannot be used", prior_error=exc) from exc


def _labelled(folders: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Each folder once, under a label of its own."""
    configs: dict[str, dict[str, Any]] = {}
    for folder in dict.fromkeys(map(_absolute, folders)):
        label, number = folder.name or "root", 1
        while label in configs:
            number += 1
            label = f"{folder.name}-{number}"
        configs[label] = {"label": label, "path": folder}
    return configs


def _absolute(path: Path) -> Path:
    # Links are kept as they are: automounters' paths only work through them.
    return Path(os.path.abspath(_expanded(path)))  # noqa: PTH100 (resolve() follows links)

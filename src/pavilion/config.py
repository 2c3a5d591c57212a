"""The configuration of the embedded host: where it works and where it looks for things."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml_config as yc
from pavilion.errors import ConfigError, quoted
from pavilion.files import MISSING, directory_problem, open_user_file, write_own
from pavilion.log_limit import DEFAULT as DEFAULT_LOG_LIMIT
from pavilion.log_limit import parse_size
from pavilion.near import near_matches
from pavilion.problems import Problems
from pavilion.scriptcomposer import quote
from yaml_config.soundness import sound_part
from yaml_config.source import item_place, key_place

CONFIG_NAME = "pavilion.yaml"
# Tells bin/pav which Python to use; nothing else leads to that of a virtual environment.
PYTHON_VARIABLE = "PAV_SCHED_PYTHON"
# What the author of a path took for a variable.
_UNFILLED = re.compile(r"\$\w|\$\{|\{\{")


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
                "Directories with suites/ and plugins/ of your own. The directory of this file is "
                "always one of them."
            ),
        ),
        yc.ListElem(
            "env_setup",
            sub_elem=yc.StrElem(),
            help_text=("Shell lines to run at the start of every kickoff script."),
        ),
        yc.StrElem(
            "log_limit",
            help_text=(
                "How large the log of a test or of a job may grow: '100M', '2G', or 'none'. "
                "Of a larger one the beginning and the end are kept. Default: 100M."
            ),
        ),
        yc.ListElem(
            "disable_plugins",
            sub_elem=yc.StrElem(),
            help_text=("Plugins not to load, as '<category>.<name>', for example sched.raw."),
        ),
        yc.StrElem(
            "trusted_group",
            help_text=(
                "A group whose members are trusted to write plugins: files and directories that "
                "they may write to are loaded all the same."
            ),
        ),
    ]


class PavConfig(dict[str, Any]):
    """The settings, as items and as attributes.

    - ``pav_root``: the directory with ``bin/pav``
    - ``pav_cfg_file``: the file the settings came from; None when there is none
    - ``working_dir``: a Path
    - ``configs``: label -> {'label', 'path'} of each config directory, highest precedence first
    - ``env_setup``, ``disable_plugins``: lists of strings
    - ``log_limit``: how large a log may grow, as a string
    - ``trusted_group``: the name of a group, or None
    - ``warnings``: what is doubtful about the settings
    - ``settings_access``: mode and group id of the settings file; None when there is none
    """

    pav_root: Path
    pav_cfg_file: Path | None
    working_dir: Path
    configs: dict[str, dict[str, Any]]
    env_setup: list[str]
    disable_plugins: list[str]
    log_limit: str
    trusted_group: str | None
    warnings: list[str]
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
        """Make the working directory and what belongs in it.

        :raises ConfigError: When it cannot be made or written to.
        """
        self._check_path()
        for folder in (self.working_dir / "jobs", self.working_dir / "series"):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as exc:
                raise ConfigError(
                    f"The working directory {self.working_dir} cannot be used", prior_error=exc
                ) from exc
            if not os.access(folder, os.W_OK | os.X_OK):
                raise ConfigError(
                    f"The working directory {self.working_dir} cannot be written to. "
                    "Choose another with --working-dir, or with working_dir in "
                    f"{self.pav_cfg_file or CONFIG_NAME}."
                )
        for folder in (self.working_dir, self.working_dir / "jobs", self.working_dir / "series"):
            mode = folder.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise ConfigError(
                    f"Everyone may move what is in the directory {folder}, and put "
                    "other scripts in the place of yours. 'chmod +t' lets users "
                    "move only their own files; 'chmod o-w' shuts other users out."
                )

    def _check_path(self) -> None:
        """Find a working directory whose path no record could hold.

        :raises ConfigError: Naming the directory.
        """
        for path in (
            self.working_dir,
            *(item["path"] for item in (self.get("configs") or {}).values()),
        ):
            try:
                os.fspath(path).encode()
            except UnicodeEncodeError as exc:
                raise ConfigError(
                    f"The path {os.fsencode(path)!r} is not UTF-8, but the settings "
                    "of a series, which hold it, must be. Choose another working_dir "
                    "(--working-dir) or config directory, or rename it."
                ) from exc

    def settings_mode(self, folder: Path) -> int | None:
        """The mode for a file in this directory that holds a part of the settings file.

        Whoever may not read the settings may not read that file either.  None when everyone may.
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
            # The one that does not exist is the default: the home directory need not have any.
            "config_dirs": [
                os.fspath(item["path"]) for item in self.configs.values() if item["path"].is_dir()
            ],
            "env_setup": [
                line for line in self.env_setup if not line.startswith(f"export {PYTHON_VARIABLE}=")
            ],
            "log_limit": self.get("log_limit"),
            "disable_plugins": list(self.disable_plugins),
            "trusted_group": self.get("trusted_group"),
        }
        write_own(path, yaml.safe_dump(data, sort_keys=False), mode=self.settings_mode(path.parent))


def load_config(
    config_file: Path | None = None,
    working_dir: Path | None = None,
    config_dirs: Iterable[Path] = (),
    environ: Mapping[str, str] | None = None,
    check_dirs: bool = True,
) -> PavConfig:
    """Find and read the settings.

    The file is, in this order: ``config_file``; $PAV_CONFIG_FILE; pavilion.yaml in
    $PAV_CONFIG_DIR; ~/.pavilion/pavilion.yaml.  Without any, the defaults apply.

    :param working_dir: Takes precedence over the one in the file.
    :param config_dirs: Directories to use in addition to those of the file.
    :param check_dirs: Whether config directories that are named must exist.
    :raises ConfigError: When a file or directory that was named cannot be read, or the file has
        mistakes: all of them, each with its line.
    """
    environ = os.environ if environ is None else environ
    named = [(Path(folder), "--config-dir") for folder in config_dirs]
    if environ.get("PAV_CONFIG_DIR"):
        named.append((Path(environ["PAV_CONFIG_DIR"]), "$PAV_CONFIG_DIR"))
    for folder, source in named if check_dirs else ():
        _check_named(folder, source)
    path = _find_file(config_file, environ)
    access = None if path is None else _access(path)
    base = path.parent if path is not None else _user_dir(environ)
    loaded = _read(path, base, check_dirs)
    chosen = working_dir or loaded["working_dir"] or base / "working_dir"
    folders = [Path(folder) for folder in config_dirs]
    folders += [_below(base, folder) for folder in loaded["config_dirs"] or []]
    doubtful = [*folders]
    if environ.get("PAV_CONFIG_DIR"):
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
        log_limit=loaded["log_limit"] or DEFAULT_LOG_LIMIT,
        trusted_group=loaded["trusted_group"],
        settings_access=access,
        warnings=[text for folder in doubtful if check_dirs and (text := _doubt(folder))],
    )


def _find_file(config_file: Path | None, environ: Mapping[str, str]) -> Path | None:
    for source, named in (
        ("--config-file", config_file),
        ("$PAV_CONFIG_FILE", environ.get("PAV_CONFIG_FILE")),
    ):
        if named:
            path = _absolute(Path(named))
            _check_file(path, source)
            return path
    for folder in (environ.get("PAV_CONFIG_DIR"), _user_dir(environ)):
        if folder and (Path(folder) / CONFIG_NAME).exists():
            return _absolute(Path(folder) / CONFIG_NAME)
    return None


def _check_file(path: Path, source: str) -> None:
    """:raises ConfigError: When the settings file that a user named cannot be one."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ConfigError(f"The file {path}, which {source} names, does not exist.") from None
    except OSError as exc:
        raise ConfigError(
            f"The file {path}, which {source} names, cannot be read", prior_error=exc
        ) from exc
    if not is_file:
        raise ConfigError(f"{path}, which {source} names, is not a regular file.")


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
            f"The home directory that {str(path)!r} means is not known. Set $HOME, or "
            "name the settings file with --config-file or $PAV_CONFIG_FILE and "
            "use absolute paths in it."
        ) from exc


def _access(path: Path) -> tuple[int, int]:
    """Mode and group of the settings file.

    :raises ConfigError: When everyone may write to it: lines in it are run as commands.
    """
    try:
        info = path.stat()
    except OSError as exc:
        raise ConfigError("The settings cannot be used", prior_error=exc) from exc
    if info.st_mode & stat.S_IWOTH:
        raise ConfigError(
            f"Everyone may write to the settings file {path}, and lines in it are "
            "run as commands of yours. 'chmod o-w' changes that."
        )
    return stat.S_IMODE(info.st_mode), info.st_gid


def _check_named(folder: Path, source: str) -> None:
    """Check a config directory that the user named.  :raises ConfigError: When it is not one."""
    path = _absolute(folder)
    problem = _dir_problem(path)
    if problem:
        end = "" if problem.endswith("?") else "."
        raise ConfigError(f"{source} names {path}, {problem}{end}")


def _dir_problem(path: Path) -> str:
    """Why a path cannot be a config directory: 'which ...'; '' when it can."""
    problem = directory_problem(path)
    if problem == MISSING and path.parent.is_dir():
        names = [item.name for item in path.parent.iterdir() if item.is_dir()]
        close = near_matches(path.name, names)
        problem += f"; did you mean {str(path.parent / close[0])!r}?" if close else ""
    return f"which {problem}" if problem else ""


def _doubt(folder: Path) -> str:
    """What is doubtful about a config directory; '' when nothing is."""
    path = _absolute(folder)
    if any((path / name).exists() for name in ("suites", "plugins", CONFIG_NAME)):
        return ""
    hint = ""
    if path.name in ("suites", "plugins"):
        hint = f" Did you mean {path.parent}?"
    elif any(item.suffix in (".yaml", ".yml") for item in path.iterdir()):
        hint = " The suites of a config directory are the YAML files in its directory suites/."
    return f"The config directory {path} has neither suites/ nor plugins/.{hint}"


def _read(path: Path | None, base: Path, check_dirs: bool) -> Mapping[str, Any]:
    """The settings in a file; the defaults without one.

    :raises ConfigError: With everything that is wrong in it.
    """
    loader = PavConfigLoader()
    if path is None:
        empty: Mapping[str, Any] = loader.load_empty()
        return empty
    problems, found = Problems(), list[yc.ConfigError]()
    settings: Any = {}
    try:
        raw = loader.load_raw(open_user_file(path), found)
        settings = loader.validate(sound_part(loader, raw, found), partial=True)
        found += _mistakes(raw, settings, base, check_dirs)
    except yc.ConfigError as exc:
        found.append(exc)
    except (OSError, ValueError) as exc:
        raise ConfigError("The settings cannot be used", prior_error=exc) from exc
    for error in found:
        problems.add_error(error, str(path))
    problems.raise_any(f"The settings in {path} cannot be used")
    checked: Mapping[str, Any] = settings
    return checked


def _mistakes(
    raw: Any, settings: Mapping[str, Any], base: Path, check_dirs: bool
) -> Iterator[yc.ConfigError]:
    """What is wrong with settings of the right types."""

    def mistake(message: str, key: str, index: int | None = None) -> yc.ConfigError:
        place = key_place(raw, key)
        path: tuple[str | int, ...] = (key,)
        if index is not None and isinstance(raw.get(key), list):
            place = item_place(raw[key], index) or place
            path = (key, index)
        return yc.ConfigError(message, path=path, place=place and place.of_value)

    folder = settings["working_dir"]
    if folder and _UNFILLED.search(str(folder)) and not _below(base, folder).exists():
        yield mistake(
            f"{quoted(str(folder))} does not exist, and variables are not filled in here. Write the "
            "whole path; '~' is the home directory",
            "working_dir",
        )
    for index, line in enumerate(settings["env_setup"] or []):
        if "\0" in line:
            yield mistake(f"a null character in {quoted(line)}", "env_setup", index)
    for index, folder in enumerate(settings["config_dirs"] or []):
        problem = _dir_problem(_absolute(_below(base, folder))) if check_dirs else ""
        if problem:
            path = _absolute(_below(base, folder))
            yield mistake(f"{path} {problem.removeprefix('which ')}", "config_dirs", index)
    for index, name in enumerate(settings["disable_plugins"] or []):
        if "." not in name.strip("."):
            yield mistake(
                f"{quoted(name)} names no category; expected '<category>.<name>', like 'sched.{name}'",
                "disable_plugins",
                index,
            )
    try:
        parse_size(settings["log_limit"])
    except ConfigError as exc:
        yield mistake(str(exc).rstrip("."), "log_limit")


def _labelled(folders: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Each directory once, under a label of its own."""
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

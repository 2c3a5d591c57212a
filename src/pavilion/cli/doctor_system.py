"""The part of 'doctor' about the program, Python and its modules, and the system.

It needs nothing but the standard library."""

from __future__ import annotations

import difflib
import importlib
import locale
import os
import platform
import re
import resource
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .base import PROGRAM, Session
from .findings import OK, WARNING, Section, is_secret

DISTRIBUTION = "pavilion-schedulers"
# What this program needs: the distribution, the module, the oldest version.  As in pyproject.toml,
# which is not there when the program is installed, or was copied.
DEPENDENCIES = (
    ("PyYAML", "yaml", "5.4"),
    ("Yapsy", "yapsy", "1.12.2"),
    ("rich", "rich", "12"),
)
OLDEST_PYTHON = (3, 9)
INSTALL = f"Install it for this Python: {sys.executable} -m pip install {{}}"

# The variables that this program reads or sets; see docs/host.md.
OWN_VARIABLES = (
    "PAV_CONFIG_FILE",
    "PAV_CONFIG_DIR",
    "PAV_SYS_NAME",
    "PAV_RAW_QUEUE_DIR",
    "PAV_SCHED_PYTHON",
    "PAV_RAW_JOB",
    "PAV_TOKEN",
    "PAV_TEST_ID",
    "PAV_ENV_SETUP_FAILED",
)
_SLURM = re.compile(r"(?:SLURM|SBATCH|SRUN|SALLOC|SQUEUE|SINFO|SCONTROL|SCANCEL|SACCT)_")
# Variables that change how Slurm's commands find their controller: these are passed on.
_SLURM_KEPT = re.compile(r"SLURM_(?:CONF|CONF_SERVER|JWT|SACK_KEY|SACK_SOCKET)\Z")
_OTHERS = re.compile(
    r"(?:PYTHON\w*|LD_\w*|PATH|TMPDIR|SHELL|COLUMNS|NO_COLOR|VIRTUAL_ENV|CONDA_PREFIX|"
    r"LOADEDMODULES)\Z"
)


def program(section: Section, session: Session) -> None:
    """Which version this is, and where it comes from."""
    import pavilion

    here = Path(pavilion.__file__ or "").parent
    with section.attempt("version"):
        try:
            section.ok("version", version(DISTRIBUTION))
        except PackageNotFoundError:
            section.ok("version", "not installed: run from its source")
    section.ok("imported from", here)
    with section.attempt("other copies"):
        for folder in dict.fromkeys(sys.path):
            other = Path(folder) / "pavilion"
            if other.is_dir() and not other.samefile(here):
                section.warn(
                    "other copies",
                    f"there is another package 'pavilion' in {folder}",
                    "Which of them Python uses depends on the order of sys.path. Remove it from "
                    "PYTHONPATH, or use another virtual environment.",
                )
    with section.attempt("command"):
        ours, found = Path(sys.argv[0]).absolute(), shutil.which(PROGRAM)
        if found is not None and ours.name == PROGRAM and not ours.samefile(found):
            section.warn("command", f"{ours}; PATH has {found}", "Two installations are mixed.")
        else:
            section.ok("command", ours if found is None else found)
    with section.attempt("bin/pav"):
        pav = here / "bin" / "pav"
        if os.access(pav, os.X_OK):
            section.ok("bin/pav", pav)
        else:
            missing = "cannot be executed" if pav.exists() else "is missing"
            section.problem(
                "bin/pav", f"{pav} {missing}", "Jobs run it. Install this package again."
            )


def python(section: Section, session: Session) -> None:
    """Python and the modules that are needed."""
    implementation = platform.python_implementation()
    if sys.version_info >= OLDEST_PYTHON:
        section.ok("Python", f"{platform.python_version()} ({implementation})")
    else:
        section.problem("Python", platform.python_version(), "Python 3.9 or newer is needed.")
    section.ok("executable", sys.executable or "unknown")
    section.ok(
        "virtual environment",
        f"{sys.prefix} (of {sys.base_prefix})" if sys.prefix != sys.base_prefix else "none",
    )
    for distribution, module, oldest in DEPENDENCIES:
        with section.attempt(distribution, INSTALL.format(f"'{distribution}>={oldest}'")):
            importlib.import_module(module)
            try:
                found = version(distribution)
            except PackageNotFoundError:
                section.ok(distribution, "installed, version unknown")
                continue
            if _numbers(found) < _numbers(oldest):
                raise ImportError(f"version {found} is too old; {oldest} is the oldest that works")
            section.ok(distribution, found)


def _numbers(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", text)[:3]]


def system(section: Section, session: Session) -> None:
    """The operating system, the user and the terminal."""
    section.ok("host", os.uname().nodename)
    with section.attempt("system"):
        section.ok(
            "system",
            f"{_release()}, {platform.system()} {platform.release()}, {platform.machine()}",
        )
    with section.attempt("user"):
        _user(section)
    with section.attempt("bash"):
        bash = Path("/bin/bash")
        if os.access(bash, os.X_OK):
            section.ok("bash", bash)
        else:
            section.problem("bash", "there is no /bin/bash", "Kickoff scripts are run by it.")
    with section.attempt("locale"):
        _locale(section)
    size = shutil.get_terminal_size()
    streams = [
        f"{name} {'a terminal' if getattr(sys, name).isatty() else 'not a terminal'}"
        for name in ("stdin", "stdout", "stderr")
        if getattr(sys, name) is not None
    ]
    section.ok(
        "terminal",
        f"TERM={os.environ.get('TERM', '')}, {size.columns}x{size.lines}, {', '.join(streams)}",
    )


def _release() -> str:
    """The name of the distribution."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "unknown distribution"
    found = re.search(r"^PRETTY_NAME=\"?(.*?)\"?$", text, re.MULTILINE)
    inside = [
        str(path) for path in (Path("/.dockerenv"), Path("/run/.containerenv")) if path.exists()
    ]
    name = found[1] if found else "unknown distribution"
    return f"{name}, in a container ({inside[0]})" if inside else name


def _user(section: Section) -> None:
    import grp
    import pwd

    uid = os.getuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        section.warn("user", f"number {uid}, without a name", "Some schedulers need a name.")
    else:
        groups = []
        for gid in os.getgroups():
            try:
                groups.append(grp.getgrgid(gid).gr_name)
            except KeyError:
                groups.append(str(gid))
        section.ok("user", f"{name} ({uid}), groups {', '.join(groups) or 'none'}")
    home = os.environ.get("HOME")
    if not home:
        section.warn("home", "$HOME is not set", "Settings in ~/.pavilion may not be found.")
    elif not Path(home).is_dir():
        section.warn("home", f"{home} does not exist", "Settings in ~/.pavilion are not found.")
    else:
        section.ok("home", home)


def _locale(section: Section) -> None:
    named = {
        name: os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)
    }
    output = getattr(sys.stdout, "encoding", None) or "unknown"
    text = (
        f"{', '.join(f'{name}={value}' for name, value in named.items()) or 'none is set'}; files "
        f"{sys.getfilesystemencoding()}, text {locale.getpreferredencoding(False)}, "
        f"stdout {output}"
    )
    encodings = {sys.getfilesystemencoding(), output}
    if all(name.lower().replace("-", "") == "utf8" for name in encodings):
        section.ok("locale", text)
    else:
        section.warn(
            "locale",
            text,
            "Characters beyond ASCII are shown as escapes. 'export LC_ALL=C.UTF-8' changes that.",
        )


def limits(section: Section, session: Session) -> None:
    """The system's limits for each process, and for all processes of this user."""
    for name, number, least, why in (
        ("open files", resource.RLIMIT_NOFILE, 256, "Each command that is running needs several."),
        ("processes", resource.RLIMIT_NPROC, 200, "Threads count, too, and tests start processes."),
        ("file size", resource.RLIMIT_FSIZE, 1 << 30, "Logs of tests are cut there."),
        ("memory", resource.RLIMIT_AS, 1 << 30, "Python may need more for a large machine."),
    ):
        soft, hard = resource.getrlimit(number)
        text = _limit(soft) if soft == hard else f"{_limit(soft)} (at most {_limit(hard)})"
        if soft != resource.RLIM_INFINITY and soft < least:
            section.warn(name, text, f"{why} 'ulimit -a' shows the limits of a shell.")
        else:
            section.ok(name, text)
    mask = os.umask(0o077)
    os.umask(mask)
    if mask & 0o700:
        section.problem(
            "umask", f"{mask:04o}", "You cannot use the files that you make. 'umask 022' is usual."
        )
    else:
        section.ok("umask", f"{mask:04o}")


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def environment(section: Section, session: Session) -> None:
    """The variables that change what this program or a scheduler's commands do."""
    slurm = []
    for name, value in sorted(os.environ.items()):
        shown = "(set; not shown)" if is_secret(name) else value
        if name.startswith("PAV_"):
            _own(section, name, shown)
        elif _SLURM.match(name) and not _SLURM_KEPT.match(name):
            slurm.append(f"{name}={shown}")
        elif _SLURM_KEPT.match(name) or (_OTHERS.match(name) and name != "PATH"):
            section.ok(name, shown)
    if slurm:
        inside = any(item.startswith("SLURM_JOB_ID=") for item in slurm)
        section.add(
            WARNING if inside else OK,
            "Slurm",
            ", ".join(slurm),
            "This shell runs inside a Slurm job. Slurm's commands do not get these variables "
            "from this program, but tests of the raw scheduler inherit them: 'srun' in such a "
            "test uses this job."
            if inside
            else "",
        )
    _path(section)


def _own(section: Section, name: str, shown: str) -> None:
    if name in OWN_VARIABLES:
        section.ok(name, shown)
        return
    near = difflib.get_close_matches(name, OWN_VARIABLES, n=1)
    section.warn(
        name,
        shown,
        f"This program does not read it.{f' Did you mean {near[0]}?' if near else ''}",
    )


def _path(section: Section) -> None:
    path = os.environ.get("PATH")
    if path is None:
        section.problem("PATH", "is not set", "Commands are not found without it.")
        return
    relative = [item or "(empty)" for item in path.split(":") if not item.startswith("/")]
    if relative:
        section.warn(
            "PATH",
            path,
            f"{', '.join(relative)}: commands are looked up in whatever directory you are in.",
        )
    else:
        section.ok("PATH", path)

"""A process per running job: it starts the batch script and records its end.

It outlives the controller, so that a job that ends meanwhile is not lost.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH101, PTH103, PTH105, PTH108, PTH118, PTH120, PTH123

from __future__ import annotations

import json
import os
import signal
import time
from typing import NamedTuple

from . import wakeup
from .store import Row

RUN_FOLDER = "run"


class Exit(NamedTuple):
    """How a batch script ended."""

    code: int
    signal: int
    when: float


class Style(NamedTuple):
    """What differs between schedulers when they start a script."""

    # The variable that has the script's process id; '' for none.
    pid_variable: str = ""
    # What is written into the job's output when the script cannot be executed, with the fields
    # 'path' and 'reason'.
    not_executed: str = "{path}: {reason}"
    # Exit code and signal of a job whose output file cannot be opened; None: it runs, and its
    # output is lost.
    no_output: tuple[int, int] | None = (1, 0)


def _path(folder: str, job: Row, kind: str) -> str:
    return os.path.join(folder, RUN_FOLDER, f"{job['id']}.{job['restarts']}.{kind}")


def _write(path: str, text: str) -> None:
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)


# -- the process ---------------------------------------------------------------------------------


def launch(
    folder: str,
    job: Row,
    script: bytes,
    environment: dict[str, str],
    arguments: list[str],
    style: Style,
) -> int:
    """Fork the manager of a job; its process id."""
    pid = os.fork()
    if pid:
        return pid
    try:
        _manage(folder, job, script, environment, arguments, style)
    except BaseException as error:
        os.write(2, f"job {job['id']}: {error!r}\n".encode())
    finally:
        os._exit(0)


def _manage(
    folder: str,
    job: Row,
    script: bytes,
    environment: dict[str, str],
    arguments: list[str],
    style: Style,
) -> None:
    os.setsid()
    os.closerange(3, 256)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    path = _path(folder, job, "script")
    with open(path, "wb") as file:
        file.write(script)
    os.chmod(path, 0o700)
    ended = _run(folder, job, path, environment, arguments, style)
    record_exit(folder, job, ended)
    wakeup.wake(folder)


def _run(
    folder: str,
    job: Row,
    path: str,
    environment: dict[str, str],
    arguments: list[str],
    style: Style,
) -> Exit:
    os.umask(job["umask"])
    try:
        os.chdir(job["workdir"])
    except OSError:
        os.chdir("/tmp")
    try:
        files = _open_files(job)
    except OSError:
        if style.no_output is not None:
            return Exit(*style.no_output, time.time())
        files = (os.open(os.devnull, os.O_RDONLY), *2 * (os.open(os.devnull, os.O_WRONLY),))
    pid = os.fork()
    if pid == 0:
        _become_script(path, environment, arguments, files, style)
    # The controller's way to end a job when the records are gone.
    signal.signal(signal.SIGTERM, lambda *_: _kill_group(pid, signal.SIGKILL))
    record_pid(folder, job, pid)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    # While the leader is not reaped its group id can not be anyone else's.
    _kill_group(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return Exit(0, os.WTERMSIG(status), time.time())
    return Exit(os.WEXITSTATUS(status), 0, time.time())


def _open_files(job: Row) -> tuple[int, int, int]:
    how = (
        os.O_WRONLY | os.O_CREAT | (os.O_APPEND if job["append"] or job["restarts"] else os.O_TRUNC)
    )
    paths = job["paths"]
    if job["make_directories"]:
        for kind in ("std_out", "std_err"):
            os.makedirs(os.path.dirname(paths[kind]), exist_ok=True)
    out = os.open(paths["std_out"], how | os.O_APPEND, 0o666)
    err = (
        out
        if paths["std_err"] == paths["std_out"]
        else os.open(paths["std_err"], how | os.O_APPEND, 0o666)
    )
    return os.open(paths["std_in"], os.O_RDONLY), out, err


def _become_script(
    path: str,
    environment: dict[str, str],
    arguments: list[str],
    files: tuple[int, int, int],
    style: Style,
) -> None:
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        for target, source in enumerate(files):
            os.dup2(source, target)
        os.closerange(3, 256)
        if style.pid_variable:
            environment[style.pid_variable] = str(os.getpid())
        os.execve(path, [path, *arguments], environment)
    except OSError as error:
        text = style.not_executed.format(path=path, reason=error.strerror)
        os.write(2, f"{text}\n".encode())
        os._exit(error.errno or 1)
    finally:
        os._exit(1)


# -- what the controller, and commands that run tasks, use -----------------------------------------


def record_pid(folder: str, job: Row, pid: int) -> None:
    """Note the leader of the job's process group."""
    _write(_path(folder, job, "pid"), str(pid))


def record_exit(folder: str, job: Row, ended: Exit) -> None:
    """Note how the job ended; the controller finds it."""
    _write(_path(folder, job, "exit"), json.dumps(ended))


def read_exit(folder: str, job: Row) -> Exit | None:
    """How the job ended, None while it has not."""
    try:
        with open(_path(folder, job, "exit"), encoding="utf-8") as file:
            return Exit(*json.load(file))
    except FileNotFoundError:
        return None


def leader(folder: str, job: Row) -> int | None:
    """The process id of the job's leader, None before it is started."""
    try:
        with open(_path(folder, job, "pid"), encoding="utf-8") as file:
            return int(file.read())
    except (FileNotFoundError, ValueError):
        return None


def log(job: Row, leader: int | None) -> str:
    """A path of the file that the job's errors go to: its manager has it open, under whatever
    name it is now."""
    try:
        with open(f"/proc/{leader}/stat", encoding="utf-8") as file:
            manager = file.read().rpartition(")")[2].split()[1]
    except OSError:
        return str(job["paths"]["std_err"])
    # The manager's first files: see _open_files.
    paths = job["paths"]
    return f"/proc/{manager}/fd/{3 if paths['std_err'] == paths['std_out'] else 4}"


def forget(folder: str, job: Row) -> None:
    """Remove the records of a run."""
    for kind in ("pid", "exit", "script"):
        try:
            os.unlink(_path(folder, job, kind))
        except FileNotFoundError:
            pass


def is_alive(pid: int) -> bool:
    """Whether there is a process with this id."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def terminate(pid: int) -> None:
    """SIGTERM for all processes of a job."""
    _kill_group(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    """SIGKILL for all processes of a job."""
    _kill_group(pid, signal.SIGKILL)


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        pass

"""What is known about nodes, stored with jobs so that it can be read by name.

A job whose nodes the scheduler picks may get any of the nodes that its tests may use, and a machine
may have a hundred thousand.  Inside the allocation only those of the job matter.  So there is a file
of our own, NODES_FN, beside the one that the host writes.  It consists of lines of ASCII text:

- The first is ``pavilion-nodes``, the number of the format, the number of nodes, and the offset at
  which the index starts, separated by blanks.
- Then one line for each node, sorted by its first field: the name as a JSON string, the data as a
  JSON object, and the CRC-32 of all before it as 8 hexadecimal digits, separated by tabs.  JSON on
  one line contains neither tabs nor line breaks.
- The index has one line for each of these lines, with its offset in the file as 12 digits.  One more
  has the offset at which the lines end.

A name is looked up by binary search in the index, which reads a few lines of the file.

The host's own file (``Job.save_node_data``) is written as well: existing plugins call
``Job.load_sched_data`` in their ``_get_alloc_nodes``, and other tools of the host may read it.  It is
also what is read if there is no file of ours: where an earlier version wrote the job's directory, or
where JSON does not return what a plugin said about the nodes (a tuple, a number as a key).  It takes
precedence if it is newer, because then something replaced it.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, compress, islice, repeat
from typing import Any, Callable, NamedTuple

from pavilion.jobs import Job
from pavilion.types import NodeInfo

from ..talk import safe_files

NODES_FN = "nodes.tsv"
_MAGIC = "pavilion-nodes"
_FORMAT = 1
# No header has more bytes.
_MOST_HEADER = 80
# The most bytes of a line that are read, far more than what is known about a node has.
_MOST_LINE = 1024 * 1024
# Of an offset in the index, with the end of its line.
_OFFSET = 13
# A search costs as much as reading the data of this many nodes in one go.
_SEARCH = 20
# The most digits of a number: the time that int() takes grows with their square.
_MOST_DIGITS = 100
# Nodes whose data is converted to JSON together, and how deeply it may be nested.
_TOGETHER = 2000
_DEEPEST = 20
_SCALARS = frozenset({str, int, float, bool, type(None)})
_NESTED = frozenset({list, dict})
_PLAIN = _SCALARS | _NESTED


class NodeData:
    """Stores with each job of a plan what is known about the nodes that it may get.

    Jobs whose nodes were already picked store the data of these nodes.  Jobs whose nodes the
    scheduler picks may get any, and share the files: the first job writes them, the others link to
    them.

    :param nodes: What is known about all of these nodes.
    """

    def __init__(self, nodes: Mapping[str, NodeInfo]) -> None:
        self._nodes = nodes
        # The files of the job that wrote them last; the second is '' if there cannot be one.
        self._of_host: str | None = None
        self._by_name: str | None = None
        self._lock = threading.Lock()

    def saver(self, names: Sequence[str] | None) -> Callable[[Job], None]:
        """The function that stores the data with a job.

        :param names: The nodes that were picked; None if the scheduler picks them.
        """
        return self._share if names is None else lambda job: self._save(job, names)

    def _save(self, job: Job, names: Sequence[str]) -> None:
        # As many as the allocation has, and all of them are read there.
        job.save_node_data({name: self._nodes[name] for name in names})

    def _share(self, job: Job) -> None:
        folder = os.fspath(job.path)
        of_host = f"{folder}/{job.NODE_INFO_FN}"
        by_name = f"{folder}/{NODES_FN}"
        with self._lock:
            linked = _link(self._of_host, of_host)
            if not linked:
                # Hosts pickle it, or write it as JSON.
                job.save_node_data(dict(self._nodes))
                self._of_host = of_host
            if linked and (self._by_name == "" or _link(self._by_name, by_name)):
                return
            # After the host's file, because the newer one is used.
            self._by_name = by_name if save(by_name, self._nodes) else ""


def _link(known: str | None, path: str) -> bool:
    """Give a file another name; whether that succeeded."""
    if not known:
        return False
    try:
        os.link(known, path)
    except OSError:
        # A file system without hard links, or the directory of the other job is gone.
        return False
    return True


def load(job: Job, names: Sequence[str]) -> Mapping[str, NodeInfo]:
    """What was stored with a job about these nodes, and maybe others.

    The cost is logarithmic in the number of nodes that were stored, for each name.

    :returns: Name -> NodeInfo.  Nodes that are not in it were not stored.
    :raises Exception: What the host raises if its own file is needed and cannot be read.
    """
    folder = os.fspath(job.path)
    try:
        found = _find(f"{folder}/{NODES_FN}", f"{folder}/{job.NODE_INFO_FN}", names)
    except (OSError, ValueError):
        # There is none, it must not be read, or it is damaged.  The host has the same data.
        found = None
    return job.load_sched_data() if found is None else found


# --- Writing ---


def save(path: str, nodes: Mapping[str, NodeInfo]) -> bool:
    """Write the file from which nodes can be read by name, in one step.

    :returns: Whether it was written.  If it was not, the host's file has the data.
    """
    try:
        data = _content(nodes)
        if data is not None:
            safe_files.write_atomic(path, data)
        return data is not None
    except (OSError, TypeError, ValueError, RecursionError):
        # For example a full disk, or a value that is not JSON.
        return False


def _content(nodes: Mapping[str, NodeInfo]) -> bytes | None:
    """The content of a file; None where JSON would not return the same data."""
    lines: list[str] = []
    items = iter(nodes.items())
    while True:
        batch = dict(islice(items, _TOGETHER))
        if not batch:
            break
        if set(map(type, batch)) != {str}:
            return None
        lines += _lines(batch)
        # Afterwards, because what contains itself is refused there.
        if not _is_exact(list(batch.values())):
            return None
    # As their first fields: none of them is the start of another, because of its quotation marks.
    lines.sort()
    if max(map(len, lines), default=0) > _MOST_LINE:
        return None
    # It is ASCII, so lengths are numbers of bytes.
    start = len(_header(0, 0))
    offsets = list(accumulate(map(len, lines), initial=start))
    index = "%012d\n" * len(offsets) % tuple(offsets)
    return "".join((_header(len(lines), offsets[-1]), *lines, index)).encode("ascii")


def _header(count: int, index: int) -> str:
    return f"{_MAGIC} {_FORMAT} {count:012d} {index:012d}\n"


def _lines(nodes: Mapping[str, NodeInfo]) -> Iterator[str]:
    """The lines of nodes.

    :raises TypeError, ValueError, RecursionError: When a value is not JSON.
    """
    from zlib import crc32

    encode = json.JSONEncoder(separators=(",", ":")).encode
    # One call for all nodes takes half of the time of one for each.  Nothing else is like the mark.
    mark = os.urandom(16).hex()
    text = encode(list(chain.from_iterable(zip(repeat(mark), nodes.values()))))
    texts = text[1:-1].split(f'"{mark}",')[1:]
    for name, data in zip(map(encode, nodes), texts):
        line = f"{name}\t{data.rstrip(',')}\t"
        yield f"{line}{crc32(line.encode()):08x}\n"


def _is_exact(values: list[Any]) -> bool:
    """Whether reading these values as JSON gives the same values, of the same types.

    It looks at all values of one depth at a time, which is several times as fast as one by one.
    """
    for _ in range(_DEEPEST):
        kinds = set(map(type, values))
        if kinds <= _SCALARS:
            return True
        if not kinds <= _PLAIN:
            return False
        nested = list(compress(values, map(_NESTED.__contains__, map(type, values))))
        dicts = [item for item in nested if type(item) is dict]
        if not set(map(type, chain.from_iterable(dicts))) <= {str}:
            return False
        lists = (item for item in nested if type(item) is list)
        values = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
    return False


# --- Reading ---


class _DamagedError(ValueError):
    """A file that was not written by this module, or was changed afterwards."""


class _Line(NamedTuple):
    """A node's line: its first two fields."""

    name: bytes
    data: bytes


def _find(path: str, of_host: str, names: Sequence[str]) -> dict[str, NodeInfo] | None:
    """What a file has about these nodes; None if the host's file is to be read instead.

    :raises OSError: When it does not exist, or must not be read.
    :raises ValueError: When it is damaged.
    """
    fd, info = safe_files.open_to_read(path)
    try:
        if _changed(of_host) > info.st_mtime_ns:
            return None
        table = _Table(fd, info.st_size)
        # Reading everything is faster then.
        return None if len(names) * _SEARCH > table.count + _SEARCH * 8 else table.find(names)
    finally:
        os.close(fd)


def _changed(path: str) -> int:
    """When a file was last changed, in nanoseconds; 0 if there is none."""
    try:
        return os.lstat(path).st_mtime_ns
    except OSError:
        return 0


class _Table:
    """An open file with the data of nodes.

    :ivar count: The number of nodes.
    :raises _DamagedError: When it is not one, or a part of it is missing.
    """

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        header, end, _ = self._read(min(size, _MOST_HEADER), 0).partition(b"\n")
        fields = header.split(b" ")
        if not end or len(fields) != 4 or b" ".join(fields[:2]).decode() != f"{_MAGIC} {_FORMAT}":
            raise _DamagedError("it has no header of this format")
        self.count, self._index = map(_number, fields[2:])
        self._start = len(header) + 1
        if self._index + (self.count + 1) * _OFFSET != size:
            raise _DamagedError("it has another size")

    def find(self, names: Iterable[str]) -> dict[str, NodeInfo]:
        """The data of those nodes that are listed."""
        found: dict[str, NodeInfo] = {}
        decode = json.JSONDecoder(parse_int=_parse_int).decode
        after = 0
        for key, name in sorted((json.dumps(name).encode(), name) for name in set(names)):
            after, data = self._search(key, after)
            if data is not None:
                try:
                    node = decode(data.decode("ascii"))
                except RecursionError as exc:
                    raise _DamagedError("it is nested too deeply") from exc
                if not isinstance(node, dict):
                    raise _DamagedError("it has no object for a node")
                found[name] = node
        return found

    def _search(self, key: bytes, low: int) -> tuple[int, bytes | None]:
        """Search from a line on.

        :returns: (the number of the first line after the one searched for, its data or None).
        """
        high = self.count
        # Nodes of a job are often neighbours.
        middle = low
        while low < high:
            line = self._line(middle)
            if line.name == key:
                return middle + 1, line.data
            if line.name < key:
                low = middle + 1
            else:
                high = middle
            middle = (low + high) // 2
        return low, None

    def _line(self, number: int) -> _Line:
        from zlib import crc32

        offsets = self._read(2 * _OFFSET, self._index + number * _OFFSET)
        start, end = map(_number, offsets[:-1].split(b"\n"))
        if not self._start <= start < end <= min(self._index, start + _MOST_LINE):
            raise _DamagedError("its index leads to no line")
        content = self._read(end - start, start)
        # The last field, of 8 digits, is the checksum of what is before it.
        if content[-9:] != b"%08x\n" % crc32(content[:-9]):
            raise _DamagedError("a line does not have its checksum")
        name, _, data = content[:-10].partition(b"\t")
        return _Line(name, data)

    def _read(self, size: int, offset: int) -> bytes:
        data = os.pread(self._fd, size, offset)
        if len(data) != size:
            raise _DamagedError("a part of it is missing")
        return data


def _number(text: bytes) -> int:
    if len(text) != 12 or not text.isdigit():
        raise _DamagedError("it has something else instead of a number")
    return int(text)


def _parse_int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise _DamagedError(f"it has a number of {len(text)} digits")
    return int(text)

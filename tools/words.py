#!/usr/bin/env python3
"""Hold what people read to the list of words in tools/word_list.py; part of 'make lint'.

    tools/words.py          all of it
    tools/words.py PATH...  these files, and those in these directories

Read are string literals, docstrings and comments of Python files, Markdown without code, and YAML.
Identifiers, keys of dictionaries and `code spans` are not. A line that needs the word has a marker,
with a reason if you like: ``# words: ok``, in Markdown ``<!-- words: ok -->``. It counts for its own
line or statement and, when it is alone on its line, for the next one. A marker that nothing needs is
an error, too.

Exit codes: 0 when nothing was found, 1 when something was, 2 for a path that does not exist.
"""

from __future__ import annotations

import ast
import bisect
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from word_list import WORDS

ROOT = Path(__file__).resolve().parent.parent
CHECKED = ("*.md", "docs", "src", "examples", "benchmarks")

# Files that are read line by line, comments and values alike.
LINES = (".yaml", ".yml")
MARKER = re.compile(r"(?:#+|<!--)\s*words: ok\b")
# What is not prose: code spans, the names of parameters, roles of reStructuredText.
CODE_SPAN = re.compile(r"(`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
FIELD = re.compile(
    r":(?:param|ivar|cvar|raises|var|type)(?: [\w.*, ]+)?:|:(?:meth|func|class|data|mod|attr|exc):"
)
FENCE = re.compile(r"^ {0,3}(?:[-*>] +|\d+\. +)*(`{3,}|~{3,})")


@dataclass
class Prose:
    """A piece of prose, as one line.

    :ivar text: With one blank for each run of blanks; a paragraph ends with a line end.
    :ivar last: The last line of the statement or comment, whose marker counts for all of it.
    """

    text: str = ""
    last: int = 0
    # (offset into the text, line) of each line's beginning.
    _starts: list[tuple[int, int]] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        text = " ".join(text.split())
        if not text:
            if self.text and not self.text.endswith("\n"):
                self.text += "\n"
            return
        if self.text and not self.text.endswith("\n"):
            self.text += " "
        self._starts.append((len(self.text), line))
        self.text += text
        self.last = max(self.last, line)

    def line_of(self, offset: int) -> int:
        return self._starts[bisect.bisect_right(self._starts, (offset, sys.maxsize)) - 1][1]


@dataclass(frozen=True)
class Hit:
    path: Path
    line: int
    found: str
    advice: str

    def __str__(self) -> str:
        return f"{_shown(self.path)}:{self.line}: {self.advice.format(found=self.found)}"


def check_file(path: Path) -> list[Hit]:
    """What one file says that it should not, and markers in it that nothing needs.

    :raises SyntaxError: When it is a Python file and no Python.
    """
    source = path.read_text(encoding="utf-8")
    lines = source.split("\n")
    markers = _markers(path, source)
    used: set[int] = set()
    hits = []
    for prose in _prose(path, source):
        for paragraph in re.finditer(r"[^\n]+", prose.text):
            for word in WORDS:
                for match in word.regex.finditer(paragraph.group()):
                    line = prose.line_of(paragraph.start() + match.end() - 1)
                    marker = _marker(markers, lines, line, prose.last)
                    if marker:
                        used.add(marker)
                        continue
                    found = match.group().strip(" ,;:(.")
                    hits.append(Hit(path, line, found, f"'{{found}}': write '{word.instead}'"))
    for unused in markers - used:
        hits.append(Hit(path, unused, "", "this 'words: ok' is not needed (any more)"))
    return sorted(hits, key=lambda hit: hit.line)


def _markers(path: Path, source: str) -> set[int]:
    """The lines of markers. What only quotes one is none: a string, a code span."""
    if path.suffix == ".md":
        source = _blank(CODE_SPAN, source)
    elif path.suffix not in LINES:
        return {token.start[0] for token in _comment_tokens(source) if MARKER.match(token.string)}
    return {number for number, line in enumerate(source.split("\n"), 1) if MARKER.search(line)}


def _marker(markers: set[int], lines: list[str], line: int, last: int) -> int:
    """The line of the marker that counts for a line; 0 without."""
    for candidate in (line, last):
        if candidate in markers:
            return candidate
    alone = line - 1 in markers and lines[line - 2].lstrip().startswith(("#", "<!--"))
    return line - 1 if alone else 0


def _prose(path: Path, source: str) -> Iterator[Prose]:
    if path.suffix == ".md":
        return _of_markdown(source)
    if path.suffix in LINES:
        return _of_lines(source)
    return _of_python(source)


def _of_lines(source: str) -> Iterator[Prose]:
    """Of a file that is all read: comments and values, each paragraph for itself."""
    prose = Prose()
    for number, line in enumerate(source.split("\n"), 1):
        prose.add(number, line.replace("#", " "))
    yield prose


def _of_markdown(source: str) -> Iterator[Prose]:
    """Of Markdown: without fenced code, code spans, comments and the targets of links."""
    fence = ""
    kept = []
    for line in source.split("\n"):
        match = FENCE.match(line)
        if fence:
            if match and match[1].startswith(fence):
                fence = ""
            line = ""
        elif match:
            fence, line = match[1], ""
        kept.append(line)
    text = _blank(CODE_SPAN, "\n".join(kept))
    text = re.sub(
        r"<!--.*?-->", lambda match: "\n" * match.group().count("\n"), text, flags=re.DOTALL
    )
    text = re.sub(r"\]\([^)\s]*\)", "]", text)
    prose = Prose()
    for number, line in enumerate(text.split("\n"), 1):
        if re.match(r"\s*(?:[-*+]|\d+\.|#+|\||>) ?", line):
            prose.add(number, "")
        prose.add(number, line.replace("**", "").replace("*", ""))
    yield prose


def _of_python(source: str) -> Iterator[Prose]:
    yield from _comments(source)
    nodes = list(ast.walk(ast.parse(source)))
    inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
    inside |= _keys(nodes)
    lines = source.split("\n")
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in inside:
                continue
            text = node.value
        else:
            continue
        yield _of_string(text, node, lines)


def _keys(nodes: list[ast.AST]) -> set[int]:
    """The strings that are keys of dictionaries: names, as identifiers are."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, ast.Subscript):
            found.add(id(node.slice))
        elif isinstance(node, ast.Dict):
            found.update(id(key) for key in node.keys)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("get", "pop", "setdefault")
        ):
            found.update(id(key) for key in node.args[:1])
    return found


def _comment_tokens(source: str) -> Iterator[tokenize.TokenInfo]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return (token for token in tokens if token.type == tokenize.COMMENT)


def _comments(source: str) -> Iterator[Prose]:
    """A comment; those of lines that follow each other are one."""
    prose = Prose()
    for token in _comment_tokens(source):
        line = token.start[0]
        if prose.last and line != prose.last + 1:
            yield prose
            prose = Prose()
        prose.add(line, _blank(CODE_SPAN, token.string.lstrip("#: ")))
        prose.last = line
    if prose.last:
        yield prose


def _of_string(text: str, node: ast.expr, lines: list[str]) -> Prose:
    """A string. Its lines are those of the source where it is one literal with line ends in it;
    otherwise the words are looked for in the lines of the literals that it was put together from."""
    text = _blank(FIELD, _blank(CODE_SPAN, text))
    last = node.end_lineno or node.lineno
    prose = Prose(last=last)
    parts = text.split("\n")
    if len(parts) == last - node.lineno + 1:
        for number, part in enumerate(parts, node.lineno):
            prose.add(number, part)
    else:
        line = node.lineno
        for word in text.split(" "):
            for paragraph in re.split(r"(\n)\s*\n", word):
                if paragraph == "\n":
                    prose.add(line, "")
                    continue
                line = next(
                    (at for at in range(line, last + 1) if paragraph in lines[at - 1]), line
                )
                prose.add(line, paragraph)
    prose.last = last
    return prose


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """Put '~' in the place of what matches; line ends stay."""
    return pattern.sub(lambda match: "~" + "\n" * match.group().count("\n"), text)


def files_below(path: Path) -> Iterator[Path]:
    """The files of a directory, or the file itself, that hold prose."""
    if path.is_dir():
        for file in sorted(path.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts and _has_prose(file):
                yield file
    else:
        yield path


def _has_prose(file: Path) -> bool:
    if file.suffix:
        return file.suffix in (".py", ".md", *LINES)
    with file.open("rb") as opened:
        return re.match(rb"#!.*\bpython", opened.readline()) is not None


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(ROOT))
    except ValueError:
        return str(path)


def main(args: list[str]) -> int:
    missing = [arg for arg in args if not Path(arg).exists()]
    if missing:
        print(f"words: there is no {', '.join(missing)}", file=sys.stderr)
        return 2
    hits = []
    if args:
        files = [file for arg in args for file in files_below(Path(arg))]
    else:
        files = [
            file
            for pattern in CHECKED
            for path in sorted(ROOT.glob(pattern))
            for file in files_below(path)
        ]
    for file in files:
        hits += check_file(file)
    for hit in hits:
        print(hit)
    if hits:
        print(
            f"words: {len(hits)} found in {len(files)} files. "
            "The list is in CONTRIBUTING.md; for a line that needs the word see tools/words.py.",
            file=sys.stderr,
        )
    return 1 if hits else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Loaders: the top level of a configuration file, with reading, merging and writing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar

from yaml_config.elements import ConfigElement
from yaml_config.errors import ConfigError, UnknownKeyError
from yaml_config.scalars import StrElem
from yaml_config.source import SourceDict, SourceList
from yaml_config.structures import CategoryElem, KeyedElem, ListElem
from yaml_config.yaml_source import ConfigSource, load_yaml


@contextmanager
def _errors_name(file: str | None) -> Iterator[None]:
    """Give the file's name to errors that know no place of their own."""
    try:
        yield
    except ConfigError as error:
        error.name_file(file)
        raise


def _with_default(elem: ConfigElement, dotted: str, value: Any) -> ConfigElement:
    """Return a copy of an element tree, new along the path only, with another default."""
    changed = copy.copy(elem)
    if not dotted:
        changed.default = value
        changed.check_definition()
        return changed
    name, _, rest = dotted.partition(".")
    if isinstance(changed, KeyedElem):
        child = _with_default(changed.child(name), rest, value)
        changed.config_elems = {**changed.config_elems, name: child}
    elif isinstance(changed, (CategoryElem, ListElem)) and name == "*":
        changed._sub_elem = _with_default(changed._sub_elem, rest, value)
    else:
        raise UnknownKeyError(f"there is no key '{name}' below {elem.describe()}")
    return changed


class YamlConfigLoaderMixin(ConfigElement):
    """What all loaders do. A file argument is a path (as text too) or an open file."""

    def _check_name(self, name: str) -> None:
        """Allow any name, like '<test_config>': a loader's name is never a key."""

    def normalize(self, value: Any, root_name: str | None = None) -> Any:
        """Normalize as the element does that the loader is.

        :param root_name: what the data is, for errors that know no place: 'the overrides'.
        :raises ConfigError: the value is not of this type.
        """
        with _errors_name(root_name):
            return super().normalize(value)

    def load_raw(self, file: ConfigSource, problems: list[ConfigError] | None = None) -> Any:
        """Read a file and return its data as it is written, not checked against the elements.

        The values are plain, or act like plain ones while they keep their text and place
        (`yaml_config.plain` strips that). An empty file is an empty mapping or list.

        :param problems: takes the errors about duplicate keys, of which the first counts then.
        :raises OSError: the file cannot be read.
        :raises ConfigError: it is not UTF-8. `YamlError`: it is not good YAML.
        """
        return self._load_named(file, problems)[0]

    def _load_named(
        self, file: ConfigSource, problems: list[ConfigError] | None = None
    ) -> tuple[Any, str | None]:
        data, name = load_yaml(file, problems)
        if data is None:
            data = SourceList() if isinstance(self, ListElem) else SourceDict()
        return data, name

    def load(self, file: ConfigSource, partial: bool = False) -> Any:
        """Read a file and return the validated configuration, with defaults filled in.

        :param partial: as for `validate`.
        :raises OSError: the file cannot be read.
        :raises ConfigError: its content is wrong; the error names file, line and key.
        """
        data, name = self._load_named(file)
        with _errors_name(name):
            return self.validate(self.normalize(data), partial)

    def load_empty(self, partial: bool = False) -> Any:
        """Return the configuration of an empty file: the defaults.

        :param partial: as for `validate`.
        :raises RequiredError: a required value has no default.
        """
        return self.validate([] if isinstance(self, ListElem) else {}, partial)

    def load_merge(self, base_data: Any, file: ConfigSource, partial: bool = False) -> Any:
        """Read a file, merge it onto `base_data`, and return the validated result.

        :param partial: as for `validate`.
        :raises OSError: the file cannot be read.
        :raises ConfigError: the content is wrong, or what the merge makes of it.
        """
        data, name = self._load_named(file)
        with _errors_name(name):
            merged = self.merge(base_data, self.normalize(data))
            return self.validate(merged, partial)

    def derive(self, value: Any, root: Any) -> None:
        """Compute derived values; a loader is a whole configuration, even inside of another."""
        super().derive(value, value)

    def set_default(self, dotted: str, value: Any) -> None:
        """Set the default of the element at a dotted key ('*': every key, every item).

        It is set for this loader only, even where it shares its elements with others.

        :raises UnknownKeyError: there is no such element.
        :raises ConfigError: the element does not allow the value.
        """
        self.__dict__.update(_with_default(self, dotted, value).__dict__)

    def dump(
        self,
        file: str | Path | IO[str],
        values: Any = None,
        show_comments: bool = True,
        show_choices: bool = True,
    ) -> None:
        """Write a configuration file that loads to `values`, with help as comments.

        Keys without a value get their default, or stand there commented out. Hidden elements
        are left out, unless `values` sets them.

        :param file: a path, or a file that is open for text.
        :param values: the data; None writes an example with the defaults. Of an object that is not
            a mapping (see the elements' `type`) only the keys are written that are not hidden.
        :param show_comments: write help texts, marks of required keys, and unset keys.
        :param show_choices: write the allowed values, where comments are written.
        :raises ConfigError: the values do not fit the elements, or cannot be written as YAML.
        :raises OSError: the file cannot be written.
        """
        # Few who read a configuration write one.
        from yaml_config.dump import render

        text = render(self, values, show_comments=show_comments, show_choices=show_choices)
        if isinstance(file, (str, Path)):
            Path(file).write_text(text, encoding="utf-8")
        else:
            file.write(text)


class YamlConfigLoader(YamlConfigLoaderMixin, KeyedElem):
    """A file whose top level is a section. Subclasses list its elements in `ELEMENTS`.

    `load` returns a `ConfigDict`.
    """


class CatYamlConfigLoader(YamlConfigLoaderMixin, CategoryElem):
    """A file whose top level has free keys; all values have the element `BASE`.

    `load` returns a `ConfigDict` of key -> value.
    """

    BASE: ClassVar[ConfigElement] = StrElem()

    def __init__(self, base: ConfigElement | None = None, **kwargs: Any) -> None:
        super().__init__(None, self.BASE if base is None else base, **kwargs)


class ListYamlConfigLoader(YamlConfigLoaderMixin, ListElem):
    """A file whose top level is a list; all items have the element `BASE`.

    `load` returns a list.
    """

    BASE: ClassVar[ConfigElement] = StrElem()

    def __init__(self, base: ConfigElement | None = None, **kwargs: Any) -> None:
        super().__init__(None, self.BASE if base is None else base, **kwargs)

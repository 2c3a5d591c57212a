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
    """Add the file's name to errors that have no place of their own."""
    try:
        yield
    except ConfigError as error:
        error.name_file(file)
        raise


def _with_default(elem: ConfigElement, dotted: str, value: Any) -> ConfigElement:
    """Return a copy of an element tree with another default; only elements along the path are
    copied."""
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
    """What all loaders have in common. A file argument is a path, as a `Path` or a string, or an
    open file."""

    def _check_name(self, name: str) -> None:
        """Allow any name, such as '<test_config>': a loader's name is never a key."""

    def normalize(self, value: Any, root_name: str | None = None) -> Any:
        """Normalize a value, as the element class of this loader does.

        :param root_name: what the data is, for errors without a place, such as 'the overrides'.
        :raises ConfigError: the value is not of this type.
        """
        with _errors_name(root_name):
            return super().normalize(value)

    def load_raw(self, file: ConfigSource, problems: list[ConfigError] | None = None) -> Any:
        """Read a file and return its data as it is written, not checked against the elements.

        The values are plain, or behave like plain values but remember their text and place
        (`yaml_config.plain` converts them). An empty file is an empty mapping or list.

        :param problems: if given, errors about duplicate keys are added to this list instead of
            being raised, and the first of the keys is used.
        :raises OSError: the file cannot be read.
        :raises ConfigError: it is not UTF-8.
        :raises YamlError: it is not valid YAML.
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
        """Read a file, merge it into a copy of `base_data`, and return the validated result.

        :param partial: as for `validate`.
        :raises OSError: the file cannot be read.
        :raises ConfigError: its content, or the merged configuration, is wrong.
        """
        data, name = self._load_named(file)
        with _errors_name(name):
            merged = self.merge(base_data, self.normalize(data))
            return self.validate(merged, partial)

    def derive(self, value: Any, root: Any) -> None:
        """Compute derived values; a loader is a complete configuration, even inside another one."""
        super().derive(value, value)

    def set_default(self, dotted: str, value: Any) -> None:
        """Set the default of the element at a dotted key ('*': every key, every item).

        It is only set for this loader, even if it shares its elements with others.

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
        """Write a configuration file from which `values` can be loaded, with help as comments.

        Keys without a value are written with their default, or commented out. Hidden elements are
        left out, unless `values` sets them.

        :param file: a path, or a file that is open in text mode.
        :param values: the data; None writes an example with the defaults. If it is an object that
            is not a mapping (see the elements' `type`), hidden keys are not written.
        :param show_comments: write comments: the help of each key, 'Required.', and unset keys.
        :param show_choices: also write the allowed values, if comments are written.
        :raises ConfigError: the values do not fit the elements, or cannot be written as YAML.
        :raises OSError: the file cannot be written.
        """
        # Imported here, because most programs only read configurations.
        from yaml_config.dump import render

        text = render(self, values, show_comments=show_comments, show_choices=show_choices)
        if isinstance(file, (str, Path)):
            Path(file).write_text(text, encoding="utf-8")
        else:
            file.write(text)


class YamlConfigLoader(YamlConfigLoaderMixin, KeyedElem):
    """A loader of files whose top level is a section. Subclasses list its elements in `ELEMENTS`.

    `load` returns a `ConfigDict`.
    """


class CatYamlConfigLoader(YamlConfigLoaderMixin, CategoryElem):
    """A loader of files whose top level may have any keys; all values have the element `BASE`.

    `load` returns a `ConfigDict` of key -> value.
    """

    BASE: ClassVar[ConfigElement] = StrElem()

    def __init__(self, base: ConfigElement | None = None, **kwargs: Any) -> None:
        super().__init__(None, self.BASE if base is None else base, **kwargs)


class ListYamlConfigLoader(YamlConfigLoaderMixin, ListElem):
    """A loader of files whose top level is a list; all items have the element `BASE`.

    `load` returns a list.
    """

    BASE: ClassVar[ConfigElement] = StrElem()

    def __init__(self, base: ConfigElement | None = None, **kwargs: Any) -> None:
        super().__init__(None, self.BASE if base is None else base, **kwargs)

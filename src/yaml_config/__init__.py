"""Declarative configuration: elements say what a YAML file may hold, loaders read and check it.

    import yaml_config as yc

    class Loader(yc.YamlConfigLoader):
        ELEMENTS = [
            yc.StrElem('working_dir', default='/tmp', help_text="Where runs are kept."),
            yc.ListElem('config_dirs', sub_elem=yc.PathElem()),
        ]

    config = Loader().load('settings.yaml')
    config.working_dir

All errors are `ConfigError`, a `ValueError`, and name the file, the line and the key.

A Pavilion starts with this package in place of its own `yaml_config`. Differences from the original
that are on purpose:

- Bad YAML, duplicate keys among it, is a `YamlError` (also named `YAMLError`) with the place and
  the remedy. It is not the error of a YAML library, which the original lets through.
- What is not a mapping where one belongs is a `ConfigError`, not a `TypeError`. A key that is
  not known is a `ValueError` as well as a `KeyError`.
- Text stays as it was typed: `007`, `1:30`, `yes`, a date. The original makes `7`, `90`, `True` of
  them, or refuses them. Only words for true and false are values of a `BoolElem`, and only whole
  numbers those of an `IntElem`.
- `validate` does not change the data that it is given.
- `merge` fills in defaults only between two mappings that `normalize` made.
- `load_empty` requires the required values, unless it is told `partial=True`.
- `add_element`, and `elements=`, refuse a name that is taken.
- A `ListElem` may be `required`, or have a `min_length`, without a default.
- Category keys may be of any characters but blanks and dots, unless a subclass says otherwise.
- `dump` writes help texts without names and types, and unset keys as comments.
"""

from __future__ import annotations

from yaml_config import elements, loaders, scalars, structures
from yaml_config.config_dict import ConfigDict
from yaml_config.elements import ConfigElement, DiscontinuedElem
from yaml_config.errors import (
    ConfigError,
    DiscontinuedError,
    RequiredError,
    UnknownKeyError,
    YamlError,
)
from yaml_config.loaders import (
    CatYamlConfigLoader,
    ListYamlConfigLoader,
    YamlConfigLoader,
    YamlConfigLoaderMixin,
)
from yaml_config.scalars import (
    BoolElem,
    FloatElem,
    FloatRangeElem,
    IntElem,
    IntRangeElem,
    PathElem,
    RangeElem,
    RegexElem,
    ScalarElem,
    StrElem,
)
from yaml_config.source import plain
from yaml_config.structures import (
    AnyElem,
    CategoryElem,
    DefaultedCategoryElem,
    DerivedElem,
    KeyedElem,
    ListElem,
)

# The original's name.
YAMLError = YamlError

__all__ = [
    # Elements with a single value
    "ConfigElement",
    "ScalarElem",
    "StrElem",
    "IntElem",
    "FloatElem",
    "BoolElem",
    "PathElem",
    "RegexElem",
    "RangeElem",
    "IntRangeElem",
    "FloatRangeElem",
    "AnyElem",
    "DerivedElem",
    "DiscontinuedElem",
    # Elements that hold others
    "ListElem",
    "KeyedElem",
    "CategoryElem",
    "DefaultedCategoryElem",
    # Files
    "YamlConfigLoader",
    "CatYamlConfigLoader",
    "ListYamlConfigLoader",
    "YamlConfigLoaderMixin",
    # Data
    "ConfigDict",
    "plain",
    # Errors
    "ConfigError",
    "RequiredError",
    "UnknownKeyError",
    "DiscontinuedError",
    "YamlError",
    "YAMLError",
    # Modules
    "elements",
    "loaders",
    "scalars",
    "structures",
]

"""Declarative configuration: elements say what a YAML file may contain; loaders read and check it.

    import yaml_config as yc

    class Loader(yc.YamlConfigLoader):
        ELEMENTS = [
            yc.StrElem('working_dir', default='/tmp', help_text="Where runs are kept."),
            yc.ListElem('config_dirs', sub_elem=yc.PathElem()),
        ]

    config = Loader().load('settings.yaml')
    config.working_dir

All errors are `ConfigError`, a `ValueError`, and name the file, the line and the key.

Pavilion can run with this package in place of its own `yaml_config`. Intended differences from the
original:

- Bad YAML, including duplicate keys, is a `YamlError` (also called `YAMLError`) that names the place
  and the remedy. The original passes on the errors of a YAML library.
- A value that should be a mapping, but is not, is a `ConfigError`, not a `TypeError`. An unknown key
  is a `ValueError` as well as a `KeyError`.
- Text is kept as it was typed: `007`, `1:30`, `yes`, a date. The original converts these to `7`, `90`
  and `True`, or refuses them. A `BoolElem` only accepts words for true and false, and an `IntElem`
  only whole numbers.
- `validate` does not change its argument.
- `merge` fills in defaults only when both mappings were returned by `normalize`.
- `load_empty` requires the required values, unless it is called with `partial=True`.
- `add_element`, and `elements=`, refuse a name that is taken.
- A `ListElem` may be `required`, or have a `min_length`, without a default.
- Category keys may contain any characters except blanks and dots, unless a subclass says otherwise.
- `dump` writes the help of elements without names and types, and unset keys as comments.
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

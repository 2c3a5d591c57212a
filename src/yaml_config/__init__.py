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
"""

from __future__ import annotations

from yaml_config.config_dict import ConfigDict
from yaml_config.elements import (
    BoolElem,
    ConfigElement,
    DerivedElem,
    FloatElem,
    FloatRangeElem,
    IntElem,
    IntRangeElem,
    PathElem,
    RegexElem,
    ScalarElem,
    StrElem,
)
from yaml_config.errors import ConfigError, RequiredError, UnknownKeyError, YamlError
from yaml_config.lists import ListElem
from yaml_config.loader import CatYamlConfigLoader, ListYamlConfigLoader, YamlConfigLoader
from yaml_config.source import plain
from yaml_config.structures import CategoryElem, DefaultedCategoryElem, KeyedElem

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
    "IntRangeElem",
    "FloatRangeElem",
    "DerivedElem",
    # Elements that hold others
    "ListElem",
    "KeyedElem",
    "CategoryElem",
    "DefaultedCategoryElem",
    # Files
    "YamlConfigLoader",
    "CatYamlConfigLoader",
    "ListYamlConfigLoader",
    # Data
    "ConfigDict",
    "plain",
    # Errors
    "ConfigError",
    "RequiredError",
    "UnknownKeyError",
    "YamlError",
]

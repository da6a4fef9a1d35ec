"""Finds configs by name or file; mistakes name the nearest name."""

import functools
import importlib.util
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

from ml_collections import ConfigDict

from amf_jax import errors, files
from experiments.builders.registry import POLICIES, choose
from experiments.configs import fields, sweeps
from experiments.suites.registry import SUITES

#: `(string) -> config`, of a suite, of sweeps, or of a user's file.
GetConfig = Callable[[str], ConfigDict]

#: Fields of a sweep that stand for fields of its runs.
OVERRIDES = "overrides."

_FOLDER = Path(__file__).parent
#: Fields by the names that they had before.
_RENAMED = {"cells": "settings"}


def known_configs() -> dict[str, GetConfig]:
    """What makes the configs of each suite, and of sweeps, by name."""
    suites = {name: suite.get_config for name, suite in SUITES.items()}
    return {**suites, "sweeps": sweeps.get_config}


def load(
    spec: str, overrides: Mapping[str, object] = MappingProxyType({})
) -> ConfigDict:
    """The locked config that `spec` names, with some fields replaced.

    Args:
      spec: `<name>:<string>` of a suite or of sweeps, or `<file>.py:<string>` of a file
        that defines `get_config(string)`, which is given the string.
      overrides: new values by field; nested fields are written `outer.inner`.

    Raises:
      UnknownNameError: no such file, setting or field; names the nearest one.
      InvalidArgumentError: a value does not have its field's type.
    """
    name, _, string = spec.partition(":")
    get_config = _find(name)
    if not string:
        raise errors.InvalidArgumentError(
            f"config {spec!r} names no setting; write {name}:<setting>"
        )
    config = get_config(string)
    config.lock()
    override(config, overrides)
    return config


def override(config: ConfigDict, values: Mapping[str, object]) -> None:
    """Replaces fields of a config, nested ones as `outer.inner`.

    Raises:
      UnknownNameError: for a field that there is not; names the nearest one.
      InvalidArgumentError: a value does not have its field's type, or is that of a
        field that goes with the setting.
    """
    derived = _derived(config)
    if config.get("suite") in SUITES and values.get("policy.name") in POLICIES:
        choose(config, str(values["policy.name"]))
    for field, value in values.items():
        if field.startswith(OVERRIDES) and "overrides" in config:
            _set_nested(config.overrides, field.removeprefix(OVERRIDES), value)
            continue
        check_field(config, field)
        try:
            config.update_from_flattened_dict({field: value})
        except (TypeError, ValueError) as error:
            raise errors.InvalidArgumentError(
                f"config field {field!r} cannot be {value!r}: {error}"
            ) from error
    _check_derived(config, derived)
    if isinstance(config.results_dir, str):
        folder = files.local_path("results_dir", config.results_dir)
        config.results_dir = str(folder)


def _set_nested(config: ConfigDict, field: str, value: object) -> None:
    """Sets a field that there need not be yet."""
    *outer, name = field.split(".")
    with config.unlocked():
        for part in outer:
            if part not in config:
                config[part] = ConfigDict()
            config = config[part]
        config[name] = value


def check_field(config: ConfigDict, field: str) -> None:
    """Refuses a (possibly nested) field that `config` has not.

    Raises:
      UnknownNameError: naming the nearest one.
      InvalidArgumentError: it has another name now.
    """
    known = field_names(config)
    if field in _RENAMED and _RENAMED[field] in known:
        raise errors.InvalidArgumentError(
            f"config field {field!r} is called {_RENAMED[field]!r}"
        )
    errors.check_name("config field", field, known)


def field_names(config: ConfigDict, prefix: str = "") -> list[str]:
    """All fields of a config, nested ones as `outer.inner`."""
    names = []
    for name, value in config.items():
        names.append(prefix + name)
        if isinstance(value, ConfigDict):
            names += field_names(value, f"{prefix}{name}.")
    return names


def _derived(config: ConfigDict) -> dict[str, object]:
    """The values of a run's fields that follow from its setting, or others from them.

    Results are filed under the setting: another value would be filed under a wrong one.
    """
    if "suite" not in config:
        return {}
    return fields.of_setting(config)


def _check_derived(config: ConfigDict, before: Mapping[str, object]) -> None:
    for name, value in before.items():
        if config[name] != value:
            raise errors.InvalidArgumentError(
                f"{name} cannot be overridden, since it goes with the setting;"
                " choose it in --config=<suite>:<setting>[,paper]"
            )


def _find(name: str) -> GetConfig:
    """What makes the configs of this name, or of this file.

    A file of the folder of configs, whether it exists or not, goes by its name alone:
    `experiments/configs/metaworld.py` is `metaworld`.
    """
    known = known_configs()
    path = files.local_path("config file", name)
    if path.parent.resolve() == _FOLDER and path.suffix == ".py":
        name = path.stem
    if name in known:
        return known[name]
    if os.path.isfile(path) and path.suffix == ".py":
        return _module(path).get_config
    more = "; or the path of a file, as the suite of a plugin has: --config=<path>.py"
    raise errors.UnknownNameError("config", name, known, more)


@functools.cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise errors.InvalidArgumentError(f"{path} defines no get_config(string)")
    return module

"""Reads configs from files and command lines; mistakes name the nearest name."""

import ast
import functools
import importlib.util
import inspect
import io
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_path
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from amf_jax import errors, files
from experiments.configs import fields, sweeps
from experiments.suites.registry import SUITES

#: `(string) -> config`, of a suite, of sweeps, or of a user's file.
GetConfig = Callable[[str], ConfigDict]

_FOLDER = Path(__file__).parent
_OVERRIDE = re.compile(
    r"--?(?P<no>no)?config\.(?P<field>[^=]+)(?:=(?P<text>.*))?", re.DOTALL
)
#: Fields of a sweep that stand for fields of its runs.
_OVERRIDES = "overrides."
#: Fields by the names that they had before.
_RENAMED = {"cells": "settings"}
#: By a field's type; all others are Python literals.
_PARSERS: Mapping[type, flags.ArgumentParser] = {
    int: flags.IntegerParser(),
    float: flags.FloatParser(),
    bool: flags.BooleanParser(),
    str: flags.ArgumentParser(),
}
_WIDEST_HELP = 100


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
    for field, value in values.items():
        if field.startswith(_OVERRIDES) and "overrides" in config:
            _set_nested(config.overrides, field.removeprefix(_OVERRIDES), value)
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


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help rather than for work."""
    return any(re.fullmatch(r"-h|--?help(short|full)?", word) for word in argv[1:])


def help_text(about: str, argv: Sequence[str]) -> str:
    """`about`, then the fields of the config that is named, or all configs."""
    try:
        spec, _ = _take_config(argv)
    except errors.InvalidArgumentError:
        configs = [
            f"{name}\n{textwrap.indent(str(inspect.getmodule(make).__doc__), '  ')}"
            for name, make in known_configs().items()
        ]
        return "\n".join([about, "Configs:\n", *configs])
    config = load(spec)
    return "\n".join([about, f"Fields of {spec}:\n", _field_table(config)])


def _field_table(config: ConfigDict) -> str:
    """Fields with their values, meanings and ranges, no wider than the terminal."""
    known = fields.SWEEP if "settings" in config else fields.of(config)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("field", no_wrap=True)
    table.add_column("value", max_width=14, overflow="fold")
    table.add_column("meaning and range")
    for name, value in fields.flat(config).items():
        about = f"{known[name].about}\n{known[name].words()}" if name in known else ""
        table.add_row(escape(name), escape(repr(value)), escape(about))
    width = min(shutil.get_terminal_size().columns, _WIDEST_HELP)
    text = io.StringIO()
    Console(file=text, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def parse(
    argv: Sequence[str], flag_values: flags.FlagValues, command: str
) -> ConfigDict:
    """The config that a command line names, `--config.<field>=…` overrides applied.

    Args:
      argv: program name and arguments, as in `sys.argv`.
      flag_values: flags of the command besides `--config`; their values are filled in.
      command: `run` for configs of one run, `sweep` for configs of many.

    Raises:
      AmfError: in one line, what is wrong with the command line.
    """
    spec, rest = _take_config(argv)
    config = load(spec)
    fitting = "sweep" if "settings" in config else "run"
    if fitting != command:
        raise errors.InvalidArgumentError(
            f"{spec} is for another command: python -m experiments.{fitting}"
        )
    rest, overrides = _take_overrides(config, rest)
    try:
        extra = flag_values(rest)[1:]
    except flags.Error as error:
        message = " ".join(str(error).split())
        raise errors.InvalidArgumentError(message) from error
    if extra:
        raise errors.InvalidArgumentError(
            f"unexpected argument {extra[0]!r}; fields are set by"
            " --config.<field>=<value>"
        )
    override(config, overrides)
    return config


def _take_overrides(
    config: ConfigDict, argv: Iterable[str]
) -> tuple[list[str], dict[str, Any]]:
    """Splits `--config.<field>=<value>`, also in two words, from the other arguments.

    Returns:
      The others, and values by field. A tuple that is given twice is both together.
    """
    rest: list[str] = []
    values: dict[str, Any] = {}
    words = iter(argv)
    for word in words:
        match = _OVERRIDE.fullmatch(word)
        if not match:
            rest.append(word)
            continue
        field, text = match["field"], match["text"]
        kind = _type_of(config, field)
        if text is None and kind is bool:
            text = "false" if match["no"] else "true"
        elif text is None:
            text = next(words, None)
        if text is None or (match["no"] and kind is not bool):
            raise errors.InvalidArgumentError(f"{word} needs a value")
        try:
            value = _parsed(text, kind)
        except (TypeError, ValueError) as error:
            raise errors.InvalidArgumentError(
                f"--config.{field}={text}: {error}"
            ) from error
        if isinstance(value, dict):
            values |= _flatten(value, f"{field}.")
        elif kind is tuple and values.get(field) and value is not None:
            values[field] += value
        else:
            values[field] = value
    return rest, values


def _type_of(config: ConfigDict, field: str) -> type:
    """The type of a field; `object` below `overrides`, where any field may be."""
    if field.startswith(_OVERRIDES) and "overrides" in config:
        return object
    check_field(config, field)
    return config_path.get_type(field, config)


def _parsed(text: str, kind: type) -> Any:
    """A value as on the command line: of its field's type, or None."""
    if text == "None":
        return None
    if kind in _PARSERS:
        return _PARSERS[kind].parse(text)
    value = _literal(text)
    if kind is not tuple:
        return value
    if isinstance(value, str):  # names, without quotes
        value = [part.strip() for part in text.split(",") if part]
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _literal(text: str) -> object:
    """A Python literal, true, false, or a string."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (SyntaxError, ValueError):
        return text


def _flatten(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


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
    if field not in known:
        raise errors.UnknownNameError("config field", field, known)


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


def _take_config(argv: Sequence[str]) -> tuple[str, list[str]]:
    """Splits `--config=<spec>` (or `--config <spec>`) from the other arguments."""
    spec, rest, arguments = None, [], iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name in ("--config", "-config"):
            spec = value if equals else next(arguments, "")
        else:
            rest.append(argument)
    if not spec:
        raise errors.InvalidArgumentError(
            "--config=<name>:<setting> is missing; the names are "
            + ", ".join(known_configs())
        )
    return spec, rest


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
    raise errors.UnknownNameError("config", name, known)


@functools.cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise errors.InvalidArgumentError(f"{path} defines no get_config(string)")
    return module

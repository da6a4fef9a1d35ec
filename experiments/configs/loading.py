"""Reads configs from files and command lines; mistakes name the nearest name."""

import ast
import functools
import importlib.util
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType

from absl import flags
from ml_collections import ConfigDict, config_flags

from amf_jax import errors

_FOLDER = Path(__file__).parent
#: Fields of a run that go with its setting.
_SETTING_FIELDS = (
    "suite",
    "setting",
    "preset",
    "allocation",
    "demonstrated_tasks",
    "task_names",
)
_OVERRIDE = re.compile(r"--?(?:no)?config\.(?P<field>[^=]+)(?:=.*)?", re.DOTALL)


def config_files() -> dict[str, Path]:
    """The project's config files by short name: those that define `get_config`."""
    return {
        path.stem: path
        for path in sorted(_FOLDER.glob("*.py"))
        if re.search(r"^def get_config\(", path.read_text(), re.MULTILINE)
    }


def describe(path: Path) -> str:
    """The docstring of a config file, without running the file."""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def load(
    spec: str, overrides: Mapping[str, object] = MappingProxyType({})
) -> ConfigDict:
    """The locked config that `spec` names, with some fields replaced.

    Args:
      spec: `<file>.py:<string>`, or `<name>:<string>` for a file of this folder; the
        string is what the file's `get_config` takes.
      overrides: new values by field; nested fields are written `outer.inner`.

    Raises:
      UnknownNameError: no such file, setting or field; names the nearest one.
      InvalidArgumentError: a value does not have its field's type.
    """
    file, _, string = spec.partition(":")
    module = _module(_find(file))
    if not string:
        raise errors.InvalidArgumentError(
            f"config {spec!r} names no setting; write {file}:<setting>"
        )
    config = module.get_config(string)
    config.lock()
    derived = _derived(config)
    for field, value in overrides.items():
        check_field(config, field)
        try:
            config.update_from_flattened_dict({field: value})
        except (TypeError, ValueError) as error:
            raise errors.InvalidArgumentError(
                f"config field {field!r} cannot be {value!r}: {error}"
            ) from error
    _check_derived(config, derived)
    return config


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether a command line asks for help rather than for work."""
    return any(re.fullmatch(r"-h|--?help(short|full)?", word) for word in argv[1:])


def help_text(about: str, argv: Sequence[str]) -> str:
    """`about`, then the fields of the config that is named, or all config files."""
    try:
        spec, _ = _take_config(argv)
    except errors.InvalidArgumentError:
        files = [
            f"{_display(path)}\n{textwrap.indent(describe(path), '  ')}\n"
            for path in config_files().values()
        ]
        return "\n".join([about, "Config files:\n", *files])
    fields = [f"  {name} = {value!r}" for name, value in _fields(load(spec))]
    return "\n".join([about, f"Fields of {spec}:", *fields])


def _fields(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Names as on the command line, and values, of all fields and those within them."""
    for name in config:
        value = config[name]
        if isinstance(value, ConfigDict):
            yield from _fields(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


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
    derived = _derived(config)
    fitting = "sweep" if "cells" in config else "run"
    if fitting != command:
        raise errors.InvalidArgumentError(
            f"{spec} is for another command: python -m experiments.{fitting}"
        )
    for argument in rest[1:]:
        if match := _OVERRIDE.fullmatch(argument):
            check_field(config, match["field"])
    config_flags.DEFINE_config_dict(
        "config", config, flag_values=flag_values, sys_argv=list(rest)
    )
    try:
        extra = flag_values(rest)[1:]
    except (flags.Error, TypeError, ValueError) as error:
        message = " ".join(str(error).split())
        raise errors.InvalidArgumentError(message) from error
    if extra:
        raise errors.InvalidArgumentError(
            f"unexpected argument {extra[0]!r}; fields are set by"
            " --config.<field>=<value>"
        )
    config = flag_values["config"].value
    _check_derived(config, derived)
    return config


def check_field(config: ConfigDict, field: str) -> None:
    """Raises `UnknownNameError` if `config` has no such (possibly nested) field."""
    known = field_names(config)
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
    return {name: config[name] for name in _SETTING_FIELDS if name in config}


def _check_derived(config: ConfigDict, before: Mapping[str, object]) -> None:
    for name, value in before.items():
        if config[name] != value:
            raise errors.InvalidArgumentError(
                f"{name} cannot be overridden, since it goes with the setting;"
                " choose it in --config=<file>.py:<setting>[,paper]"
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
            "--config=<file>:<setting> is missing; the files are "
            + ", ".join(_display(path) for path in config_files().values())
        )
    return spec, rest


def _find(file: str) -> Path:
    known = config_files()
    if file in known:
        return known[file]
    if Path(file).is_file() and file.endswith(".py"):
        return Path(file)
    if not file.endswith(".py"):
        raise errors.UnknownNameError("config", file, known)
    names = [_display(path) for path in known.values()]
    raise errors.UnknownNameError("config file", file, names)


def _display(path: Path) -> str:
    """A path as one would type it."""
    folder = Path.cwd()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


@functools.cache
def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise errors.InvalidArgumentError(f"{path} defines no get_config(string)")
    return module

"""Configs from command lines, and what their help says."""

import ast
import inspect
import io
import re
import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_path
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from amf_jax import errors
from amf_jax.session.fingerprint import flatten
from experiments.configs import fields, loading

_OVERRIDE = re.compile(
    r"--?(?P<no>no)?config\.(?P<field>[^=]+)(?:=(?P<text>.*))?", re.DOTALL
)
#: By a field's type; all others are Python literals.
_PARSERS: Mapping[type, flags.ArgumentParser] = {
    int: flags.IntegerParser(),
    float: flags.FloatParser(),
    bool: flags.BooleanParser(),
    str: flags.ArgumentParser(),
}
_WIDEST_HELP = 100


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
            for name, make in loading.known_configs().items()
        ]
        return "\n".join([about, "Configs:\n", *configs])
    config = loading.load(spec)
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
    config = loading.load(spec)
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
    loading.override(config, overrides)
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
            values |= flatten({field: value})
        elif kind is tuple and values.get(field) and value is not None:
            values[field] += value
        else:
            values[field] = value
        if field == "policy.name":  # which brings fields of its own
            loading.override(config, {field: value})
    return rest, values


def _type_of(config: ConfigDict, field: str) -> type:
    """The type of a field; `object` below `overrides`, where any field may be."""
    if field.startswith(loading.OVERRIDES) and "overrides" in config:
        return object
    loading.check_field(config, field)
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
            + ", ".join(loading.known_configs())
        )
    return spec, rest

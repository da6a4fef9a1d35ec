"""Modules outside the repository that add methods, selectors or suites.

One adds them to the registries when it is imported, which every process of a sweep
does before it runs anything.
"""

import importlib
from collections.abc import Iterable

from absl import flags

from amf_jax import errors


def load(names: Iterable[str]) -> None:
    """Imports plugins, each once in a process.

    Raises:
      InvalidArgumentError: there is no such module.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            raise errors.InvalidArgumentError(
                f"plugin {name!r} is no module that Python finds; name it without .py,"
                " and put its folder into PYTHONPATH"
            ) from error


def define_flag(flag_values: flags.FlagValues) -> flags.FlagHolder:
    """The flag `--plugin=<module>`, which can be given several times."""
    return flags.DEFINE_multi_string(
        "plugin", [], "module to import first", flag_values=flag_values
    )

"""Packages that only some commands need, and the extra of setup.cfg that has them."""

import importlib
from types import ModuleType

from amf_jax import errors

#: Extra by package.
EXTRAS = {
    "PIL": "experiments",  # with matplotlib
    "matplotlib": "experiments",
    "threadpoolctl": "experiments",
    "av": "demos",
    "h5py": "demos",
    "ray": "ray",
}


def load(module: str) -> ModuleType:
    """Imports a module, be it a package of an extra or one of ours that needs it.

    Raises:
      MissingDependencyError: such a package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise errors.MissingDependencyError(
            f"the package {package} is needed and not installed: python -m pip install"
            f" 'amf_jax[{EXTRAS[package]}]'"
        ) from error

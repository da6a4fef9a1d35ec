"""The packages that suites take their models from: damaged, and in odd places."""

import importlib.util
import pathlib
import types

import pytest

from amf_jax import errors
from experiments.suites import kitchen, metaworld, models
from experiments.suites.metaworld import scene


@pytest.fixture
def installed_in(monkeypatch):
    """Makes a folder the place of every package."""

    def move(folder):
        spec = types.SimpleNamespace(submodule_search_locations=[str(folder)])
        monkeypatch.setattr(models.importlib.util, "find_spec", lambda name: spec)

    return move


@pytest.mark.parametrize("suite", [kitchen, metaworld])
def test_a_package_without_its_models_is_named(tmp_path, installed_in, suite):
    installed_in(tmp_path)
    with pytest.raises(errors.MissingDependencyError, match=f"{tmp_path}.*reinstall"):
        suite.world()


@pytest.fixture
def odd_place(tmp_path):
    """All models but the textures, which are returned beside, in a folder with
    everything in its name that XML has to escape."""
    package = importlib.util.find_spec("metaworld").submodule_search_locations[0]
    assets = tmp_path / "a & \"b\" <c> 'd'" / "assets"
    assets.mkdir(parents=True)
    for folder in pathlib.Path(package, "assets").iterdir():
        if folder.name != "textures":
            (assets / folder.name).symlink_to(folder)
    return assets, pathlib.Path(package, "assets", "textures")


def test_a_package_may_be_anywhere(installed_in, odd_place):
    assets, textures = odd_place
    (assets / "textures").symlink_to(textures)
    installed_in(assets.parent)
    assert scene.build().nmesh > 0


def test_a_package_without_its_textures_is_named(installed_in, odd_place):
    assets, _ = odd_place
    installed_in(assets.parent)
    with pytest.raises(errors.MissingDependencyError, match=r"png.*amf_jax\[metaworld"):
        scene.build()

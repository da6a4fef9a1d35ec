"""The package itself: what it offers, and what importing it costs."""

import subprocess
import sys

import pytest

import amf_jax


@pytest.mark.parametrize("name", amf_jax.__all__)
def test_every_name_is_found_when_it_is_asked_for(name):
    assert getattr(amf_jax, name).__name__.split(".")[-1] == name
    assert name in dir(amf_jax)


def test_a_name_that_there_is_not_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'selector'"):
        amf_jax.selector  # noqa: B018


def test_importing_the_package_imports_neither_jax_nor_numpy():
    code = "import amf_jax, sys; print({'jax', 'numpy'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == "set()\n"

"""Command lines at random: a config that can be built, or an error that says why."""

import functools

import pytest
from absl import flags
from hypothesis import given
from hypothesis import strategies as st

from amf_jax import errors
from experiments import build
from experiments.configs import arguments, fields, loading
from experiments.execution import planning
from tests.fuzzing import budget

SPECS = {
    "run": ["integrator:6", "metaworld:8-8-0-0", "kitchen:3-3-3-3-3,paper"],
    "sweep": ["sweeps:main", "sweeps:figure18"],
}
TEXTS = st.sampled_from(
    ["", "None", "true", "false", "0", "1", "2", "-1", "0.5", "-0.0", "1e-30", "1e30"]
    + ["nan", "-inf", "1e999", "9" * 5000, "2147483648", "amf", "uniform", "a", "é"]
    + ["1,2", "(0, -1)", "[]", "[1, 2", "(" * 3000, "[" * 500 + "]" * 500, "x" * 5000]
    + ["{'a': 1}", "{}", "'", "\0", "\ud800", "a=b", "1j", "b'1'", "int", "..", "%s"]
)


def words(known):
    """One of those that are known, or nearly."""
    near = st.builds(
        lambda word, at, text: word[:at] + text + word[at + 1 :],
        st.sampled_from(known),
        st.integers(0, 12),
        TEXTS,
    )
    return st.one_of(st.sampled_from(known), st.sampled_from(known), near)


def flat(spec):
    return fields.flat(loading.load(spec))


@functools.cache
def names(command):
    return list({name for spec in SPECS[command] for name in flat(spec)})


@pytest.mark.parametrize("examples", [50, pytest.param(1000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("command", SPECS)
def test_a_command_line_gives_a_config_or_a_named_error(
    command, examples, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # where there are no results
    overrides = st.lists(st.tuples(words(names(command)), TEXTS), max_size=3)

    @budget(examples)
    @given(words(SPECS[command]), overrides)
    def check(spec, given):
        line = [f"--config={spec}"]
        line += [f"--config.{field}={text}" for field, text in given]
        try:
            config = arguments.parse(["amf", *line], flags.FlagValues(), command)
            if command == "run":
                build.check(config)
            else:
                planning.plan(config)
        except errors.AmfError as error:
            assert 0 < len(str(error).splitlines()) < 20

    check()

"""What every registered suite promises, and what one registry line gives a new one."""

import io

import numpy as np
import pytest
from absl import flags
from rich.console import Console

from amf_jax import errors
from amf_jax.ranges import COUNT
from experiments import build, demos
from experiments.builders import neural
from experiments.builders.registry import POLICIES
from experiments.configs import arguments, common, field, fields, loading
from experiments.demos.__main__ import main
from experiments.encoders import minilm
from experiments.execution import vmap
from experiments.execution.worker import Job
from experiments.suites import simulation
from experiments.suites.base import Suite
from experiments.suites.registry import SUITES
from tests.experiments.cart_world import WORLD

EACH = pytest.mark.parametrize("suite", SUITES.values(), ids=SUITES)


@EACH
def test_the_record_and_the_configs_of_a_suite_agree(suite):
    assert suite.policy in POLICIES
    assert suite.settings and {*suite.mismatch, *suite.even} <= {*suite.settings}
    for setting in suite.settings:
        config = loading.load(f"{suite.name}:{setting}")
        assert (config.suite, config.setting) == (suite.name, setting)
        assert config.task_names == suite.task_names
        counts = np.array(suite.counts(config))
        assert counts.shape == (len(suite.task_names),)
        assert (counts == 0).any() == (setting not in suite.even)
        assert suite.setting_title(setting)
        assert {"suite", "setting", "preset"} <= fields.of_setting(config).keys()


@EACH
def test_the_prompts_of_a_suite_are_stored(suite):
    assert len(suite.prompts) in (0, len(suite.task_names))
    assert minilm.stored().keys() >= {*suite.prompts}


@pytest.mark.parametrize("name", demos.worlds())
def test_the_world_of_a_suite_is_its_own(name):
    world, suite = SUITES[name].world(), SUITES[name]
    assert (world.name, world.task_names) == (name, suite.task_names)
    assert world.prompts == suite.prompts


@pytest.fixture
def cart():
    """A suite that one line registers."""

    def get_config(string):
        return common.neural("cart", string, ("1-0",), WORLD.task_names).lock()

    SUITES["cart"] = Suite(
        name="cart",
        title="Cart",
        task_names=WORLD.task_names,
        settings=("1-0",),
        get_config=get_config,
        make=lambda config: simulation.make(WORLD, num_threads=1),
        world=lambda: WORLD,
    )
    yield
    del SUITES["cart"]


def test_a_new_suite_is_known_by_its_name(cart):
    config = loading.load("cart:1-0")
    build.check(config)
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'cart'"):
        loading.load("crat:1-0")
    assert "`--config" in arguments.help_text("", ["run"])
    job = Job(config, None, None)
    with pytest.raises(errors.InvalidArgumentError, match="cannot run cart 1-0 amf"):
        vmap.check([job])


def test_a_new_suite_is_built(cart):
    built = build.build(loading.load("cart:1-0", {"method": "rebalancing"}))
    assert built.environment.task_names == WORLD.task_names
    built.environment.close()


def test_two_numbers_of_the_config_make_a_policy_of_windows_and_chunks(cart):
    windows = {"policy.observation_horizon": 2, "policy.action_chunk": 4}
    budget = {
        "rounds": 1,
        "attempts": 2,
        "training.pretraining_steps": 3,
        "training.finetuning_steps": 3,
    }
    config = loading.load("cart:1-0", {**windows, **budget, "method": "amf"})
    built = build.build(config)
    record = built.tuner.run()[-1]
    built.environment.close()
    assert record["demos_per_task"] in ([1, 0], [0, 1])
    # Two observations of 2, a task of 2, and 4 actions of 1.
    layers = built.tuner.learner_state.params["params"]
    assert layers["hidden_0"]["kernel"].shape[0] == 2 * 2 + 2
    assert layers["head"]["bias"].shape == (4,)


@pytest.mark.parametrize(
    ("spec", "field", "value", "message"),
    [
        ("metaworld:8-8-0-0", "action_chunk", 0, "policy.action_chunk must be a whole"),
        ("metaworld:8-8-0-0", "executed_steps", 2, "at most action_chunk=1, got 2"),
        ("integrator:6", "action_chunk", 2, "policy.action_chunk"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(spec, field, value, message):
    with pytest.raises(errors.AmfError, match=message):
        build.check(loading.load(spec, {f"policy.{field}": value}))


def test_a_new_suite_is_recorded(cart, tmp_path):
    console = Console(file=io.StringIO(), width=100)
    arguments = ["--suite=cart", "--episodes=4", f"--output={tmp_path}"]
    assert main(arguments, console) in (0, 1)  # an expert may fail here
    assert list(tmp_path.glob("cart/*.hdf5"))


@pytest.fixture
def narrow():
    """A policy that one line registers; the widths that it was built with."""
    widths = []

    def make_policy(config, *sizes):
        widths.append(config.policy.width)
        return neural.mlp_policy(config, *sizes)

    width = field.number("of each layer", COUNT)
    POLICIES["narrow"] = neural.builder(make_policy, {"width": (8, width)})
    yield widths
    del POLICIES["narrow"]


def test_a_new_policy_is_chosen_by_its_name_and_brings_its_fields(narrow):
    def check(*words):
        argv = ["run", "--config=metaworld:8-8-0-0", *words]
        config = arguments.parse(argv, flags.FlagValues(), "run")
        build.check(config)
        return config

    assert check("--config.policy.name=narrow").policy.width == 8
    check("--config.policy.name=narrow", "--config.policy.width=4")
    assert narrow == [8, 4]
    with pytest.raises(errors.InvalidArgumentError, match="policy.width must be a wh"):
        check("--config.policy.name=narrow", "--config.policy.width=0")
    with pytest.raises(errors.UnknownNameError, match="'policy.width'"):
        check("--config.policy.width=4")
    overrides = {"policy.width": 5, "policy.name": "narrow"}
    assert loading.load("kitchen:8-8-0-0-0", overrides).policy.width == 5

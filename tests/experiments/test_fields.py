"""The table of fields: it is complete, and what it refuses nothing else sees."""

import math

import pytest
from absl import flags
from ml_collections import ConfigDict

from amf_jax import errors
from experiments import build
from experiments.configs import arguments, fields, loading, sweeps
from experiments.execution import planning

SPECS = [
    f"{name}:{setting}{preset}"
    for name, setting in (
        ("integrator", "6"),
        ("metaworld", "8-8-0-0"),
        ("kitchen", "8-8-0-0-0"),
    )
    for preset in ("", ",paper")
]


def test_every_config_file_is_looked_at():
    names = {spec.partition(":")[0] for spec in SPECS}
    assert names | {"sweeps"} == loading.known_configs().keys()


@pytest.mark.parametrize("spec", SPECS)
def test_every_field_of_every_config_is_in_the_table_and_in_its_range(spec):
    config = loading.load(spec)
    assert not fields.flat(config).keys() - fields.of(config).keys()
    fields.check(config, fields.of(config))


def test_the_table_has_no_fields_that_no_config_has():
    used, known = set(), set()
    for spec in SPECS:
        config = loading.load(spec)
        used |= fields.flat(config).keys()
        known |= fields.of(config).keys()
    assert used == known
    assert fields.flat(sweeps.get_config("main")).keys() == fields.SWEEP.keys()


@pytest.mark.parametrize("name", sweeps.SWEEPS)
def test_every_sweep_is_in_its_ranges(name):
    fields.check(sweeps.get_config(name), fields.SWEEP)


@pytest.mark.parametrize("spec", [*SPECS, "sweeps:main"])
def test_help_has_words_for_every_field(spec):
    config = loading.load(spec)
    table = fields.SWEEP if spec.startswith("sweeps") else fields.of(config)
    for name, field in table.items():
        assert field.about and field.words(), name


NUMBERS = {
    "training.batch_size": (0, -1),
    "training.pretraining_steps": (-1,),
    "training.finetuning_steps": (-1, 2**31),
    "training.learning_rate": (-1.0, 0.0, math.nan, math.inf),
    "training.weight_decay": (-1.0, math.inf),
    "selection.noise_variance": (0.0, -1.0, math.inf, math.nan),
    "selection.likelihood_std": (0.0, math.inf),
    "selection.dropout_rate": (0.0, 1.0, -0.1, math.nan),
    "selection.dropout_passes": (1,),
    "selection.projection_rank": (0,),
    "selection.exploration": (-0.1, 1.1),
    "selection.trajectory_samples": (0, 2**31),
    "forgetting.conservatism": (-1.0, math.inf, math.nan),
    "forgetting.learning_rate": (0.0, math.nan),
    "forgetting.steps": (-1,),
    "forgetting.fisher_samples": (0,),
    "forgetting.strength": (-1.0, math.inf),
    "checkpoint_every": (0, -1),
    "warm_start_rounds": (-1,),
    "seed": (-1, 2**32, 7 + 2**32, 2**63),
    "threads": (0, -1, None),
    "rounds": (0, -1, 10**9),
    "batch": (0, 10**9),
    "demos_per_round": (0,),
    "attempts": (-1, 10**9),
}
PAIRS = ((0, -12), ("ab",), (1, 2, 3), (math.nan, 0.0), (0, 0))


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field, values in NUMBERS.items() for value in values]
    + [("selection.likelihood_clip", value) for value in PAIRS],
)
def test_numbers_out_of_range_are_refused_by_name(field, value):
    config = loading.load("metaworld:8-8-0-0", {field: value})
    with pytest.raises(errors.InvalidArgumentError, match=f"^{field} must be .*, "):
        build.check(config)


@pytest.mark.parametrize("field", ["state_lengthscale", "task_lengthscale", "signal"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_hyperparameters_out_of_range_are_refused_by_name(field, value):
    config = loading.load("integrator:6", {f"policy.{field}": value})
    with pytest.raises(errors.InvalidArgumentError, match=f"^policy.{field} must be p"):
        build.check(config)


def test_a_budget_that_no_buffer_holds_is_refused():
    overrides = {"rounds": 1000, "batch": 10, "demos_per_round": 11}
    with pytest.raises(errors.InvalidArgumentError, match="at most 100000, got 110000"):
        build.check(loading.load("metaworld:8-8-0-0", overrides))


def parsed(spec, *words, command="run"):
    argv = [command, f"--config={spec}", *words]
    return arguments.parse(argv, flags.FlagValues(), command)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (spec, field)
        for spec in ("integrator:6", "kitchen:8-8-0-0-0")
        for field in fields.flat(loading.load(spec))
    ],
)
def test_none_is_for_optional_fields_and_refused_for_others(spec, field):
    optional = fields.of(loading.load(spec))[field].words().endswith("or None")
    try:
        config = parsed(spec, f"--config.{field}=None")
        build.check(config)
        accepted = True
        assert fields.flat(config)[field] is None
    except errors.InvalidArgumentError:
        accepted = False
    assert accepted == optional


@pytest.mark.parametrize("spec", ["integrator:6", "metaworld:8-8-0-0"])
@pytest.mark.parametrize(
    ("argument", "field", "value"),
    [
        ("--config.selection.likelihood_clip=(-12,0)", "likelihood_clip", (-12, 0)),
        ("--config.selection.likelihood_clip=-12,0", "likelihood_clip", (-12, 0)),
        ("--config.selection.likelihood_clip=None", "likelihood_clip", None),
        ("--config.selection.trajectory_samples=3", "trajectory_samples", 3),
        ("--config.selection.trajectory_samples=None", "trajectory_samples", None),
        ("--config.selection.weights=None", "weights", None),
        (
            "--config.selection.condition_on_history=false",
            "condition_on_history",
            False,
        ),
        ("--noconfig.selection.condition_on_history", "condition_on_history", False),
        ("--config.selection.normalise_kernel", "normalise_kernel", True),
    ],
)
def test_values_are_read_as_their_fields_need_them(spec, argument, field, value):
    config = parsed(spec, argument)
    build.check(config)
    assert config.selection[field] == value
    assert type(config.selection[field]) is type(value)


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (["--config.settings=a:1"], ("a:1",)),
        (["--config.settings=a:1,a:2"], ("a:1", "a:2")),
        (["--config.settings=a:1, a:2"], ("a:1", "a:2")),
        (["--config.settings=('a:1','a:2')"], ("a:1", "a:2")),
        (["--config.settings", "a:1", "--config.settings", "a:2"], ("a:1", "a:2")),
        (["--config.settings=()"], ()),
        (["--config.settings="], ()),
    ],
)
def test_names_need_no_quotes(words, value):
    assert parsed("sweeps:main", *words, command="sweep").settings == value


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.seed", "--config.seed needs a value"),
        ("--noconfig.seed", "--noconfig.seed needs a value"),
        ("--config.seed=1.5", "--config.seed=1.5: invalid literal"),
        ("--config.training=5", "cannot be"),
        ("--config.selection.normalise_kernel=maybe", "normalise_kernel=maybe: "),
    ],
)
def test_values_that_cannot_be_read_are_refused(argument, message):
    with pytest.raises(errors.InvalidArgumentError, match=message):
        parsed("metaworld:8-8-0-0", argument)


def test_sections_are_overridden_field_by_field():
    config = parsed("metaworld:8-8-0-0", "--config.training={'batch_size': 4}")
    assert config.training.batch_size == 4
    assert config.training.finetuning_steps == 300
    with pytest.raises(errors.UnknownNameError, match="'training.batch_size'"):
        parsed("metaworld:8-8-0-0", "--config.training={'batchsize': 4}")


SECTIONS = [
    (spec, section)
    for spec in SPECS
    for section, value in loading.load(spec).items()
    if isinstance(value, ConfigDict)
] + [("integrator:6", "selection.search")]


@pytest.mark.parametrize("value", [None, 5, "x", (1,)], ids=repr)
@pytest.mark.parametrize(("spec", "section"), SECTIONS)
def test_a_section_stays_a_section(spec, section, value):
    config = loading.load(spec).copy_and_resolve_references().unlock()
    *outer, name = section.split(".")
    parent = config[outer[0]] if outer else config
    del parent[name]
    parent[name] = value
    with pytest.raises(
        errors.InvalidArgumentError, match=f"^{section} must be a section of fields"
    ):
        build.check(config)


@pytest.mark.parametrize("value", ["None", "5", "x"])
@pytest.mark.parametrize("field", ["training", "overrides", "overrides.training"])
def test_a_section_on_a_command_line_is_overridden_by_fields_alone(field, value):
    command = "sweep" if field.startswith("overrides") else "run"
    spec = "sweeps:main" if command == "sweep" else "metaworld:8-8-0-0"
    with pytest.raises(errors.InvalidArgumentError, match=field.rpartition(".")[2]):
        config = parsed(spec, f"--config.{field}={value}", command=command)
        build.check(config) if command == "run" else planning.plan(config)


def test_results_are_kept_in_folders_of_this_machine(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = parsed("integrator:6", "--config.results_dir=~/runs")
    assert config.results_dir == f"{tmp_path}/runs"
    for folder in ("", "gs://bucket/run"):
        with pytest.raises(errors.InvalidArgumentError, match="^results_dir "):
            parsed("integrator:6", f"--config.results_dir={folder}")

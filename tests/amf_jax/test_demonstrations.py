"""Demonstrations: buffers that never change shape, and what they refuse."""

import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from amf_jax import demonstrations, errors, validation
from tests import problems

WIDTHS = dict(
    observation_size=problems.OBSERVATION_SIZE,
    action_size=problems.ACTION_SIZE,
    task_size=problems.TASK_SIZE,
)


def rejects(demos, *words, **options):
    """Asserts that `validate` refuses, and that its message names all of `words`."""
    with pytest.raises(errors.DemonstrationError) as caught:
        validation.validate(demos, **{**WIDTHS, **options})
    for word in words:
        assert re.search(word, str(caught.value)), (word, str(caught.value))


def test_append_fills_from_the_front():
    first = problems.tiny_demos(0, (2, 0))
    second = problems.tiny_demos(1, (1,))
    buffer = demonstrations.empty(5, 3, **WIDTHS)
    buffer = demonstrations.append(buffer, first)
    buffer = demonstrations.append(buffer, second)

    np.testing.assert_array_equal(buffer.demo_mask, [True, True, True, False, False])
    np.testing.assert_array_equal(buffer.task_ids, [2, 0, 1, -1, -1])
    assert int(demonstrations.count(buffer)) == 3
    for name in ("observations", "actions", "step_mask", "tasks"):
        rows = np.asarray(getattr(buffer, name))
        np.testing.assert_array_equal(rows[:2], getattr(first, name))
        np.testing.assert_array_equal(rows[2:3], getattr(second, name))
        np.testing.assert_array_equal(rows[3:], np.zeros_like(rows[3:]))


def test_successive_appends_share_one_compilation():
    traces = []

    @jax.jit
    def append(buffer, new):
        traces.append(None)
        return demonstrations.append(buffer, new)

    buffer = demonstrations.empty(4, 3, **WIDTHS)
    for task in (0, 2, 1):
        buffer = append(buffer, problems.tiny_demos(task, (task,)))
    assert len(traces) == 1
    np.testing.assert_array_equal(buffer.task_ids, [0, 2, 1, -1])


def test_append_keeps_the_dtype_of_the_buffer():
    new = problems.tiny_demos(0, (0,))
    new = new._replace(observations=new.observations.astype(jnp.float16))
    buffer = demonstrations.append(demonstrations.empty(2, 3, **WIDTHS), new)
    assert buffer.observations.dtype == jnp.float32


@pytest.mark.parametrize(
    ("given", "floating"),
    [("uint8", "float32"), ("float16", "float32"), ("float32", "float32")],
)
def test_actions_and_tasks_are_real_numbers_whatever_observations_are(given, floating):
    new = problems.tiny_demos(0, (0,))
    new = new._replace(observations=jnp.full_like(new.observations, 200.0, given))
    sizes = {"capacity": 2, "horizon": 3, **WIDTHS}
    for buffer in (
        demonstrations.empty(**sizes, dtype=given),
        demonstrations.empty_like(new, 2),
        demonstrations.reserve(new._replace(demo_mask=jnp.zeros(1, bool)), 2),
    ):
        held = demonstrations.append(buffer, new)
        assert held.observations.dtype == given
        assert held.actions.dtype == held.tasks.dtype == floating
        for name in ("observations", "actions", "tasks", "task_ids"):
            row = getattr(held, name)[0]
            np.testing.assert_array_equal(row, getattr(new, name)[0])


def test_whole_actions_and_tasks_become_real_numbers():
    demos = jax.tree.map(np.asarray, problems.tiny_demos())
    whole = demos._replace(
        actions=np.round(demos.actions).astype(int),
        tasks=np.round(demos.tasks).astype(np.int8),
    )
    arrays = demonstrations.as_arrays(whole)
    assert all(isinstance(leaf, jax.Array) for leaf in arrays)
    for found, name in ((arrays, "actions"), (arrays, "tasks")):
        assert getattr(found, name).dtype == jnp.float32
        np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    filled = demonstrations.fill_padding(whole)
    assert filled.actions.dtype == filled.tasks.dtype == jnp.float32
    assert demonstrations.empty_like(whole, 3).actions.dtype == jnp.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(observations=jnp.full((1, 3, 3), 0.63)),
            "observations is of float32 and",
        ),
        (dict(observations=jnp.zeros((1, 3, 2), jnp.uint8)), "observations is 2 wide"),
        (dict(actions=jnp.zeros((1, 3, 1))), "actions is 1 wide, and the buffer's 2"),
    ],
)
def test_what_a_buffer_cannot_hold_is_not_written_to_it(change, message):
    new = problems.tiny_demos(0, (0,))
    new = new._replace(observations=new.observations.astype(jnp.uint8))
    buffer = demonstrations.empty_like(new, 2)
    with pytest.raises(errors.DemonstrationError, match=message):
        jax.jit(demonstrations.append)(buffer, new._replace(**change))


def test_more_than_a_buffer_has_room_for_is_not_written_to_it():
    buffer = demonstrations.empty(2, 2, **WIDTHS)
    with pytest.raises(errors.DemonstrationError, match="3 steps, .* room for 2"):
        demonstrations.append(buffer, problems.tiny_demos(0, (0,), horizon=3))
    with pytest.raises(errors.CapacityError, match="3 demonstrations do not fit"):
        demonstrations.append(buffer, problems.tiny_demos(0, (0, 1, 0), horizon=2))


def test_buffers_beyond_memory_or_32_bits_are_refused_before_they_are_allocated():
    million = 10**6  # a million demonstrations of 2147 steps are below 2^31 steps
    with pytest.raises(errors.MemoryBudgetError, match="2147 steps would take .* TiB"):
        demonstrations.empty(million, 2147, 10**5, 1, 1)
    for build in (
        lambda: demonstrations.empty(million, 2148, 1, 1, 1),
        lambda: demonstrations.empty_like(problems.tiny_demos(), 2**31 - 1),
        lambda: demonstrations.reserve(problems.tiny_demos(), 10**9),
    ):
        with pytest.raises(errors.CapacityError, match="2147483647 that 32 bits count"):
            build()
    with pytest.raises(errors.InvalidArgumentError, match="capacity must be a whole"):
        demonstrations.empty(2**31, 1, 1, 1, 1)


def test_check_room():
    buffer = problems.tiny_demos(0, (0, 1), capacity=3)
    demonstrations.check_room(buffer, 1)
    with pytest.raises(errors.CapacityError, match=r"2 of 3 .* capacity >= 4"):
        demonstrations.check_room(buffer, 2)


def test_valid_steps_need_both_masks():
    demos = demonstrations.empty(2, 2, 1, 1, 1)._replace(
        step_mask=jnp.array([[True, False], [True, True]]),
        demo_mask=jnp.array([True, False]),
    )
    np.testing.assert_array_equal(
        demonstrations.valid_steps(demos), [[True, False], [False, False]]
    )


def test_stack():
    first, second = problems.tiny_demos(0, (2, 0)), problems.tiny_demos(1, (1,))
    both = demonstrations.stack([first, second])
    np.testing.assert_array_equal(both.task_ids, [2, 0, 1])
    np.testing.assert_array_equal(both.actions[2], second.actions[0])


@pytest.mark.parametrize(
    "name", ["capacity", "horizon", "observation_size", "action_size", "task_size"]
)
def test_empty_rejects_sizes_below_one(name):
    sizes = {"capacity": 2, "horizon": 2, **WIDTHS, name: 0}
    with pytest.raises(errors.InvalidArgumentError, match=f"{name} .* got 0"):
        demonstrations.empty(**sizes)


def test_validate_accepts_ragged_padded_demonstrations():
    demos = problems.tiny_demos(capacity=6)
    validation.validate(demos, num_tasks=3, **WIDTHS)
    validation.validate(demos)  # nothing is known of the widths


def test_validate_accepts_tasks_outside_the_evaluation_set():
    demos = problems.tiny_demos()._replace(task_ids=jnp.full((4,), -1))
    validation.validate(demos, **WIDTHS)


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ("observation_size", "observations"),
        ("action_size", "actions"),
        ("task_size", "tasks"),
    ],
)
def test_validate_names_a_wrong_width(size, name):
    have = WIDTHS[size]
    rejects(
        problems.tiny_demos(),
        rf"demonstrations\.{name}",
        rf"\b{have}\)",
        rf"\b{have + 1}\)",
        **{size: have + 1},
    )


@pytest.mark.parametrize(
    "name", ["observations", "actions", "tasks", "task_ids", "demo_mask"]
)
def test_validate_names_mismatched_rows(name):
    demos = problems.tiny_demos()
    short = demos._replace(**{name: getattr(demos, name)[:-1]})
    rejects(short, rf"demonstrations\.{name}", r"\(3\b", r"\(4\b")


def test_validate_names_a_mismatched_horizon():
    demos = problems.tiny_demos()
    rejects(
        demos._replace(actions=demos.actions[:, :-1]),
        r"demonstrations\.actions has shape \(4, 2, 2\), expected \(4, 3, 2\)",
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["observations", "actions"])
def test_validate_names_demonstration_and_step_of_what_is_not_finite(name, value):
    demos = problems.tiny_demos()
    wrong = getattr(demos, name).at[2, 1, 0].set(value)
    rejects(
        demos._replace(**{name: wrong}),
        rf"demonstrations\.{name}",
        "demonstration 2, step 1",
    )


def test_validate_names_the_demonstration_of_a_task_that_is_not_finite():
    demos = problems.tiny_demos()
    rejects(
        demos._replace(tasks=demos.tasks.at[3, 1].set(jnp.nan)),
        r"demonstrations\.tasks",
        "demonstration 3",
    )


def test_validate_ignores_what_is_masked():
    demos = problems.tiny_demos(capacity=6)
    masked = ~np.asarray(demonstrations.valid_steps(demos))
    unused = ~np.asarray(demos.demo_mask)
    demos = demos._replace(
        observations=jnp.where(masked[..., None], jnp.nan, demos.observations),
        actions=jnp.where(masked[..., None], jnp.inf, demos.actions),
        tasks=jnp.where(unused[:, None], jnp.nan, demos.tasks),
        task_ids=jnp.where(unused, 99, demos.task_ids),
    )
    validation.validate(demos, num_tasks=3, **WIDTHS)


def test_validate_rejects_all_masked():
    demos = problems.tiny_demos()
    masked = demos._replace(demo_mask=jnp.zeros(4, bool))
    rejects(masked, "every demonstration is masked", "demo_mask")


def test_validate_names_a_blank_demonstration():
    demos = problems.tiny_demos()
    blank = demos._replace(step_mask=demos.step_mask.at[1].set(False))
    rejects(blank, "demonstration 1 has no recorded step", "step_mask")


def test_validate_names_a_task_id_out_of_range():
    demos = problems.tiny_demos()
    wrong = demos._replace(task_ids=demos.task_ids.at[2].set(3))
    rejects(wrong, "demonstration 2 has task id 3", r"0\.\.2", num_tasks=3)


def test_subsample_is_without_replacement_and_copies_whole_rows():
    demos = problems.tiny_demos(0, (0, 1, 2, 0, 1), capacity=8)
    sample, rows = demonstrations.subsample(jax.random.key(0), demos, 3)
    assert len(set(np.asarray(rows).tolist())) == 3
    assert sample.demo_mask.all()
    for taken, whole in zip(sample, demos, strict=True):
        np.testing.assert_array_equal(taken, np.asarray(whole)[np.asarray(rows)])


def test_subsample_masks_the_surplus():
    demos = problems.tiny_demos(0, (0, 1), capacity=8)
    sample, rows = demonstrations.subsample(jax.random.key(0), demos, 5)
    assert sample.demo_mask.shape == (5,)
    held = np.asarray(rows)[np.asarray(sample.demo_mask)]
    assert sorted(held.tolist()) == [0, 1]


@pytest.mark.parametrize("size", [None, 6, 7])
def test_subsample_of_everything_is_everything(size):
    demos = problems.tiny_demos(capacity=6)
    sample, rows = demonstrations.subsample(jax.random.key(0), demos, size)
    np.testing.assert_array_equal(rows, np.arange(6))
    for taken, whole in zip(sample, demos, strict=True):
        np.testing.assert_array_equal(taken, whole)


def test_subsample_is_uniform_over_the_demonstrations_at_hand():
    demos = problems.tiny_demos(0, (0, 1, 2, 0), capacity=9)
    keys = jax.random.split(jax.random.key(1), 3000)
    rows = jax.vmap(lambda key: demonstrations.subsample(key, demos, 2)[1])(keys)
    counts = np.bincount(np.asarray(rows).ravel(), minlength=9)
    np.testing.assert_array_equal(counts[4:], 0)
    # each of 4 is in a sample of 2 half of the time: 1500 of 3000, deviation 27
    np.testing.assert_allclose(counts[:4], 1500, atol=120)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int32])
def test_masks_of_numbers_are_those_of_booleans(kind):
    known = problems.tiny_demos(0, (0, 1), capacity=300)
    whole = known._replace(
        step_mask=known.step_mask.astype(kind),
        demo_mask=known.demo_mask.astype(kind),
    )
    blank = demonstrations.empty_like(whole, 4)
    assert blank.step_mask.dtype == blank.demo_mask.dtype == bool
    one = jax.tree.map(lambda leaf: leaf[:1], whole)
    start = jax.tree.map(lambda leaf: leaf[2:], whole)
    for made, expected in (
        (demonstrations.valid_steps(whole), demonstrations.valid_steps(known)),
        (demonstrations.as_arrays(whole).step_mask, known.step_mask),
        (demonstrations.append(start, one).demo_mask, np.arange(298) < 1),
        (validation.typed(whole).step_mask, known.step_mask),
    ):
        assert made.dtype == bool
        np.testing.assert_array_equal(made, expected)


def test_ids_of_bytes_leave_room_for_none():
    new = problems.tiny_demos(0, (0,))
    new = new._replace(task_ids=new.task_ids.astype(jnp.uint8))
    np.testing.assert_array_equal(demonstrations.empty_like(new, 2).task_ids, [-1, -1])


@pytest.mark.parametrize("dtype", ["x", complex, object, "U3", "V4"])
def test_a_buffer_of_no_numbers_is_refused(dtype):
    with pytest.raises(errors.InvalidArgumentError, match="dtype must be a type of r"):
        demonstrations.empty(2, 3, **WIDTHS, dtype=dtype)


MALFORMED = {
    "step_mask": [
        lambda x: x.astype(float),
        lambda x: x * 2,
        lambda x: x[0],
        lambda x: x.astype(str),
        lambda x: x.tolist(),
    ],
    "demo_mask": [lambda x: x.astype(float), lambda x: x * -1, lambda x: None],
    "task_ids": [
        lambda x: x + 0.9,
        lambda x: x + 2**32,
        lambda x: x.astype(object),
        lambda x: x[None],
    ],
    "observations": [lambda x: x + 1j, lambda x: x.astype(str), lambda x: x[0]],
    "actions": [
        lambda x: x + 1j,
        lambda x: x.astype(object),
        lambda x: "abc",
        lambda x: np.ma.array(x, mask=x == x.max()),
    ],
    "tasks": [lambda x: x + 1j, lambda x: x.astype(bytes), lambda x: {"a": 1}],
}


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, change) for name, changes in MALFORMED.items() for change in changes],
)
def test_a_field_of_another_type_is_named(name, change):
    demos = jax.tree.map(np.asarray, problems.tiny_demos(0, (0, 1)))
    demos = demos._replace(task_ids=demos.task_ids.astype(np.int64))
    wrong = demos._replace(**{name: change(getattr(demos, name))})
    rejects(wrong, f"demonstrations.{name} must be an array of")


@pytest.mark.parametrize("demos", [None, {}, (), tuple(range(6)), "demos"])
def test_what_is_no_demonstrations_is_refused(demos):
    rejects(demos, "demonstrations must be amf_jax.Demonstrations")


@pytest.mark.parametrize("name", ["observations", "actions", "tasks"])
def test_what_is_infinite_once_it_is_rounded_is_refused(name):
    demos = jax.tree.map(np.asarray, problems.tiny_demos(0, (0, 1)))
    large = getattr(demos, name).astype(np.float64)
    large[1] = 1e39
    wrong = demos._replace(**{name: large})
    rejects(wrong, f"demonstrations.{name}", "infinite in demonstration 1")
    with jax.enable_x64(True):
        validation.validate(wrong)


def observed(demos):
    """The same demonstrations, of which a vector and bytes are observed."""
    image = np.asarray(demos.observations[..., :1, None] > 0, np.uint8) * 200
    return demos._replace(
        observations={"state": demos.observations, "image": jnp.asarray(image)}
    )


def test_whatever_is_observed_is_written_filled_and_chosen_leaf_by_leaf():
    new = observed(problems.tiny_demos(0, (0, 1)))
    spec = demonstrations.observation_spec(new)
    assert spec["image"] == jax.ShapeDtypeStruct((1, 1), jnp.uint8)
    buffer = demonstrations.empty(3, 3, spec, action_size=2, task_size=2)
    for blank in (buffer, demonstrations.empty_like(new, 3)):
        held = demonstrations.append(blank, new)
        assert held.observations["image"].dtype == jnp.uint8
        validation.validate(held, observation_size=spec)
        filled = demonstrations.fill_padding(held).observations
        # Row 1 lacks its last step, and row 2 is none.
        for name, leaf in new.observations.items():
            np.testing.assert_array_equal(filled[name][:2, :2], leaf[:, :2])
            np.testing.assert_array_equal(filled[name][1, 2], leaf[1, 0])
            np.testing.assert_array_equal(filled[name][2, 1], leaf[0, 0])
    room = demonstrations.reserve(new, 1).observations
    assert {name: leaf.shape[0] for name, leaf in room.items()} == dict(
        state=4, image=4
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x | {"image": x["image"][:1]}, r"observations\['image'\] has shape"),
        (
            lambda x: x | {"image": x["image"] + 1j},
            r"observations\['image'\] must be an",
        ),
        (
            lambda x: x | {"state": x["state"].at[1, 0, 2].set(jnp.nan)},
            r"observations\['state'\] is NaN or infinite in demonstration 1, step 0",
        ),
        (lambda x: {"state": x["state"]}, "'state'.*, and those of the buffer .*image"),
        (lambda x: {}, "observations must be an array"),
        (lambda x: x["state"], "observations hold observations, and those of"),
    ],
)
def test_a_leaf_that_is_wrong_is_named(change, words):
    demos = observed(problems.tiny_demos(0, (0, 1)))
    wrong = demos._replace(observations=change(demos.observations))
    spec = demonstrations.observation_spec(demos)
    rejects(wrong, words, observation_size=spec)


def test_a_buffer_takes_no_other_leaves_than_it_has():
    demos = observed(problems.tiny_demos(0, (0, 1)))
    buffer = demonstrations.empty_like(demos, 3)
    flat = demos._replace(observations=demos.observations["state"])
    with pytest.raises(errors.DemonstrationError, match="must observe the same"):
        demonstrations.append(buffer, flat)
    image = demos.observations["image"].astype(jnp.float32)
    real = demos._replace(observations=demos.observations | {"image": image})
    with pytest.raises(errors.DemonstrationError, match=r"\['image'\] is of float32"):
        demonstrations.append(buffer, real)


def episodes():
    """Two of different lengths, whose values tell them apart."""
    return [
        demonstrations.Episode(
            observations={"state": 10.0 * i + np.ones((steps, 3)), "image": image},
            actions=10 * i + np.arange(2 * steps).reshape(steps, 2),
            task=np.eye(2)[i],
            task_id=i,
        )
        for i, (steps, image) in enumerate(
            [(2, np.full((2, 4), 7, np.uint8)), (4, np.full((4, 4), 9, np.uint8))]
        )
    ]


def test_episodes_of_different_lengths_become_a_padded_buffer():
    first, second = episodes()
    demos = demonstrations.from_episodes([first, second._asdict()], capacity=3)
    validation.validate(demos, num_tasks=2)
    assert demos.observations["image"].dtype == jnp.uint8
    np.testing.assert_array_equal(
        demos.step_mask, [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(demos.demo_mask, [True, True, False])
    np.testing.assert_array_equal(demos.task_ids, [0, 1, -1])
    np.testing.assert_array_equal(demos.tasks, [[1, 0], [0, 1], [0, 0]])
    np.testing.assert_array_equal(
        demos.actions[:, :, 0], [[0, 2, 0, 0], [10, 12, 14, 16], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(
        demos.observations["state"][:, :, 0], [[1, 1, 0, 0], [11] * 4, [0] * 4]
    )
    longer = demonstrations.from_episodes(iter([first]), horizon=5)
    assert longer.step_mask.shape == (1, 5) and longer.step_mask.sum() == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            dict(actions=np.ones((3, 2))),
            "episode 1 .* 3 of actions, .*4 of observations",
        ),
        (dict(actions=np.zeros((0, 2))), "episode 1 .* one at least, .* 0 of actions"),
        (dict(actions=np.zeros(4)), "episode 1 must hold actions .* with 2 axes"),
        (dict(actions=np.full((4, 2), np.inf)), "episode 1 has actions .* at step 0"),
        (dict(actions=np.zeros((4, 3))), "1 has actions of .3,. .* 0 actions of .2,."),
        (dict(observations=np.ones((4, 3))), "has .*, and episode 0"),
        (
            dict(
                observations={"state": np.ones((4, 3)), "image": np.full((4, 4), 0.5)}
            ),
            r"1 has observations\['image'\] as fractions, and episode 0 as whole numb",
        ),
        (dict(observations={}), "as many observations as actions"),
        (dict(task=[0, np.nan]), "episode 1 has task that are NaN"),
        (dict(task="push"), "episode 1 must hold task as real numbers"),
        (dict(task_id=1.5), "episode 1 .* whole number of 32 bits, at least -1"),
    ],
)
def test_an_episode_that_is_wrong_is_named(change, words):
    first, second = episodes()
    with pytest.raises(errors.DemonstrationError, match=words):
        demonstrations.from_episodes([first, second._replace(**change)])


def test_what_is_no_episode_or_does_not_fit_is_refused():
    first, second = episodes()
    for wrong, words in [
        ([], "episodes must hold at least one"),
        (first, "got a single one; wrap it in a list"),
        (first._asdict(), "got a single one; wrap it in a list"),
        (5, "must be a list of .* got int"),
        ([first, None], "episode 1 must be an Episode"),
        ([first, {"actions": 1}], "episode 1 lacks observations, task"),
    ]:
        with pytest.raises(errors.DemonstrationError, match=words):
            inspect.unwrap(demonstrations.from_episodes)(wrong)
    with pytest.raises(errors.UnknownNameError, match="Did you mean 'actions'"):
        demonstrations.from_episodes([{"action": 1}])
    with pytest.raises(errors.DemonstrationError, match="episode 1 has 4 steps, .*=3"):
        demonstrations.from_episodes([first, second], horizon=3)
    with pytest.raises(errors.CapacityError, match="2 episodes do not fit"):
        demonstrations.from_episodes([first, second], capacity=1)

"""What determines a run, as JSON holds it, and where two runs differ."""

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from amf_jax import errors, records
from amf_jax.demonstrations import Demonstrations, named_leaves
from amf_jax.encoders import Encoder
from amf_jax.session.specification import Specification
from amf_jax.windows import STEP

#: What may grow when a run goes on, and how a message asks for it.
GROWING = {
    "rounds": "it has a budget of {there} rounds, here are {here}: pass rounds={there},"
    " or more to extend it",
    "capacity": "its buffer has room for {there} demonstrations, here for {here}: pass"
    " demos with room for as many or more",
}
#: Sections that describe arrays, of which some grow with the budget.
_STATES = ("learner.", "selector.")
#: Fields that a message names at most, and digits of a digest that it shows.
_LISTED, _DIGITS = 6, 16

_ABSENT = object()


def of_arguments(given: Specification, identity: Any) -> dict[str, Any]:
    """What tells runs apart before anything of them is done.

    Functions cannot be compared: what an expert or a learner does is known by
    `identity`, if at all.

    Args:
      given: the arguments of the run.
      identity: what else its caller says about it.

    Raises:
      InvalidArgumentError: an identity that JSON cannot hold.
    """
    rows = {
        name: [str(leaf.dtype), list(leaf.shape[1:])]
        for field, column in given.blank._asdict().items()
        for name, leaf in named_leaves(field, column)
    }
    fields = {
        "seed": int(given.seed),
        "tasks": _array(given.tasks),
        "task_weights": _array(given.task_weights),
        "pretraining": _demonstrations(given.pretraining),
        "history": _demonstrations(given.history),
        "demos": rows,
        "demos_per_round": given.demos_per_round,
        "batch": given.batch,
        "x64": x64(),
        "prng": prng(),
        "rounds": given.rounds,
        "capacity": given.blank.demo_mask.shape[0],
        "identity": records.plain(identity, "identity", _named),
    }
    if given.encoder is not None:
        fields["encoder"] = _encoder(given.encoder)
    if given.window != STEP:  # of which those runs tell that know of none
        fields["window"] = dataclasses.asdict(given.window)
    return fields


def fixed(described: Mapping[str, Any]) -> dict[str, Any]:
    """What stays the same when a run goes on with a larger budget."""
    return {name: x for name, x in described.items() if name not in GROWING}


def of_states(learner_state: Any, selector_state: Any) -> dict[str, Any]:
    """The structure of what a run carries from round to round."""
    return {
        "learner": _structure(learner_state),
        "selector": _structure(selector_state),
    }


def sized_as(
    there: Mapping[str, Any], learner_state: Any, selector_state: Any
) -> tuple[Any, Any]:
    """States of learner and selector as shapes, of the sizes of another run."""

    def sizes(described: Mapping[str, Any], state):
        leaves, treedef = jax.tree.flatten(state)
        before = [
            jax.ShapeDtypeStruct(tuple(size), leaf.dtype)
            for (_, size), leaf in zip(described.values(), leaves, strict=True)
        ]
        return jax.tree.unflatten(treedef, before)

    learner = sizes(there["learner"], learner_state)
    return learner, sizes(there["selector"], selector_state)


def digest(tree: Any) -> str:
    """SHA-256 of the types, shapes and bytes of all arrays of a tree."""
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        array = np.ascontiguousarray(leaf)
        total.update(f"{leaf.dtype}{leaf.shape}".encode())
        total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def growth(small: Any, large: Any) -> set[tuple[int, int]]:
    """Which sizes of the arrays of one tree become which in the other."""
    one, two = _structure(small), _structure(large)
    pairs = [zip(one[name][1], two[name][1], strict=False) for name in one.keys() & two]
    return {(before, size) for pair in pairs for before, size in pair if before != size}


def check_same(
    there: Mapping[str, Any],
    here: Mapping[str, Any],
    grows: Mapping[str, set[tuple[int, int]]],
    where: Any,
) -> None:
    """Refuses to go on with another run; one with a larger budget is the same.

    Args:
      there: of the run that is stored.
      here: of the one that wants to go on.
      grows: which sizes become which with the larger budget, in the arrays of the
        learner and of the selector.
      where: it is stored, for the message.

    Raises:
      CheckpointError: naming the fields that differ and both their values.
    """
    one, two = flatten(there), flatten(here)
    states = {name for name in one | two if name.startswith(_STATES)}
    _refuse(differences(there, here, {*GROWING, *states}), where)
    for name, words in GROWING.items():
        if here[name] < there[name]:
            words = words.format(there=there[name], here=here[name])
            raise errors.CheckpointError(f"{where} cannot be shortened: {words}")
    grown = {
        name
        for name in states
        if _has_grown(one.get(name), two.get(name), grows[name.partition(".")[0]])
    }
    _refuse(differences(there, here, {*GROWING, *grown}), where)


def flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a nested mapping, inner ones as `outer.inner`."""
    return {".".join(path): value for path, value in _leaves(fields).items()}


def differences(
    first: Mapping[str, Any], second: Mapping[str, Any], ignore: Iterable[str]
) -> list[str]:
    """`field: first's value, second's value` of every field that differs."""
    one, two = _leaves(first), _leaves(second)
    ignored = set(ignore)

    def show(value: Any) -> str:
        return "absent" if value is _ABSENT else repr(value)

    pairs = {
        path: (one.get(path, _ABSENT), two.get(path, _ABSENT))
        for path in sorted(one.keys() | two.keys())
    }
    return [
        f"{'.'.join(path)}: {show(before)}, {show(now)}"
        for path, (before, now) in pairs.items()
        if ".".join(path) not in ignored and not _equal(before, now)
    ]


def x64() -> bool:
    """Whether floats have 64 bits."""
    return jnp.result_type(float) == jnp.float64


def prng() -> str:
    """What draws random numbers: the implementation, and how it divides its work."""
    name = str(jax.random.key_impl(jax.random.key(0)))
    config: Any = jax.config  # whose options type checkers do not know
    return name if config.jax_threefry_partitionable else f"{name}, sequential"


def _leaves(
    fields: Mapping[str, Any], prefix: tuple[str, ...] = ()
) -> dict[tuple[str, ...], Any]:
    """By path, since a name may hold a dot; an empty mapping is a value too."""
    flat: dict[tuple[str, ...], Any] = {}
    for name, value in fields.items():
        if isinstance(value, Mapping) and value:
            flat |= _leaves(value, (*prefix, name))
        else:
            flat[(*prefix, name)] = value
    return flat


def _equal(one: Any, two: Any) -> bool:
    """Whether JSON's values are the same; Python takes True for 1."""
    kinds = [
        [isinstance(x, bool) for x in jax.tree.leaves(tree)] for tree in (one, two)
    ]
    return one == two and kinds[0] == kinds[1]


def _named(number: float) -> dict[str, str]:
    """NaN or infinity, as what JSON can tell apart."""
    return {"not finite": str(number)}


def _refuse(differing: list[str], where: Any) -> None:
    if not differing:
        return
    listed = "; ".join(differing[:_LISTED])
    if len(differing) > _LISTED:
        listed += f"; and {len(differing) - _LISTED} more"
    raise errors.CheckpointError(
        f"{where} was written by another config or problem. Fields that differ (there,"
        f" here): {listed}. Go on as it was begun, or name another folder"
    )


def _structure(tree: Any) -> dict[str, Any]:
    """Type and shape of every array of a tree, by its path."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path): [str(leaf.dtype), list(leaf.shape)]
        for path, leaf in leaves
    }


def _has_grown(there: Any, here: Any, grows: set[tuple[int, int]]) -> bool:
    """Whether two descriptions of an array differ by what a larger budget brings."""
    if there is None or here is None:
        return False
    (one_type, one), (other_type, other) = there, here
    return (one_type, len(one)) == (other_type, len(other)) and all(
        before == size or (before, size) in grows
        for before, size in zip(one, other, strict=True)
    )


def _array(values: Any) -> str:
    return f"{values.dtype}{list(values.shape)} sha256:{digest(values)[:_DIGITS]}"


def _encoder(encoder: Encoder) -> dict[str, Any]:
    """Its parameters, which no checkpoint holds; what it does is not known."""
    tasks = encoder.tasks
    return {
        "params": _structure(encoder.params) | {"sha256": digest(encoder.params)},
        "observed": _structure(encoder.observed),
        "tasks": None if tasks is None else _array(tasks),
    }


def _demonstrations(demos: Demonstrations | None) -> str | None:
    """What was recorded: padding may hold anything."""
    if demos is None:
        return None
    demos = jax.tree.map(np.asarray, demos)
    # Whole numbers would be indices.
    held, steps = demos.demo_mask.astype(bool), demos.step_mask.astype(bool)
    recorded = steps & held[:, None]
    parts = (
        jax.tree.map(lambda leaf: leaf[recorded], demos.observations),
        demos.actions[recorded],
        steps[held],
        demos.tasks[held],
        demos.task_ids[held],
    )
    return f"{held.sum()} demonstrations sha256:{digest(parts)[:_DIGITS]}"

"""What is refused of HDF5 files of others, and what is read whatever its type."""

import fcntl
import os

import h5py
import numpy as np
import pytest

from amf_jax import errors
from experiments.demos import robomimic
from tests.experiments.demonstration_files import hand_made

POSITION = "data/demo_0/obs/position"
ACTIONS = "data/demo_1/actions"


def read(path, parts=("position",), filter_key="successful", **options):
    return robomimic.read(path, parts, [1.0], 0, filter_key, **options)


@pytest.fixture
def path(tmp_path):
    return hand_made(tmp_path / "file.hdf5", [2, 3], ["demo_0", "demo_1"])


def put(name, data=None, **options):
    """Replaces a member by another dataset."""

    def change(file):
        del file[name]
        file.create_dataset(name, data=data, **options)

    return change


def link(name, to):
    """Replaces a member by a link."""

    def change(file):
        del file[name]
        file[name] = to

    return change


def plugin(file):
    del file[ACTIONS]
    dataset = file.create_dataset(
        ACTIONS,
        (3, 1),
        "f8",
        chunks=(3, 1),
        compression=32015,
        compression_opts=(0,),
        allow_unknown_filter=True,
    )
    dataset.id.write_direct_chunk((0, 0), b"whatever", 0)


def virtual(file):
    del file[ACTIONS]
    layout = h5py.VirtualLayout((3, 1), "f8")
    layout[:] = h5py.VirtualSource("elsewhere.hdf5", "secret", (3, 1))
    file.create_virtual_dataset(ACTIONS, layout)


def gap(file):
    del file[ACTIONS]
    file.create_dataset(ACTIONS, (3, 1), "f8", chunks=(2, 1))[:2] = 1.0


def deleted(name):
    def change(file):
        del file[name]

    return change


RECORDS = np.zeros(3, [("x", "f8"), ("y", "f8")])
ENUMERATION = h5py.enum_dtype({"left": 0, "right": 1})
OUTSIDE = "link to somewhere else, which is not followed"
NUMBERS = "expected real numbers"
STEPS = "expected one vector per step"
LARGE = "takes .* bytes, more than 4294967296"
GAPS = "was never written as a whole"

DAMAGE = {
    "no data": (deleted("data"), "has no /data; there is: mask"),
    "data is a dataset": (put("data", [1.0]), "/data is not a group"),
    "demo is a dataset": (put("data/demo_0", [1.0]), "/data/demo_0 is not a group"),
    "demo is a type": (
        link("data/demo_0", np.dtype("f8")),
        "/data/demo_0 is not a group",
    ),
    "obs is a dataset": (put("data/demo_1/obs", 1.0), "/demo_1/obs is not a group"),
    "actions are a group": (
        lambda file: (deleted(ACTIONS)(file), file.create_group(ACTIONS)),
        "/data/demo_1/actions is not a dataset",
    ),
    "compound": (put(ACTIONS, RECORDS), NUMBERS),
    "bool": (put(ACTIONS, np.ones((3, 1), bool)), NUMBERS),
    "complex": (put(ACTIONS, np.ones((3, 1), complex)), NUMBERS),
    "enumeration": (put(ACTIONS, np.ones((3, 1), ENUMERATION)), NUMBERS),
    "opaque": (put(ACTIONS, np.zeros((3, 1), "V8")), NUMBERS),
    "strings": (put(ACTIONS, np.full((3, 1), b"1.0")), NUMBERS),
    "objects": (put(ACTIONS, [["a"]], dtype=h5py.string_dtype()), NUMBERS),
    "references": (put(ACTIONS, shape=(3, 1), dtype=h5py.ref_dtype), NUMBERS),
    "ragged": (put(ACTIONS, shape=(3, 1), dtype=h5py.vlen_dtype("f8")), NUMBERS),
    "scalar": (put(ACTIONS, 1.0), STEPS),
    "null": (put(ACTIONS, h5py.Empty("f8")), STEPS),
    "no vectors": (put(ACTIONS, np.zeros(3)), STEPS),
    "images": (put(POSITION, np.zeros((2, 3, 3, 1), "u1")), STEPS),
    "no steps": (put(POSITION, np.zeros((0, 1))), STEPS),
    "no width": (put(POSITION, np.zeros((2, 0))), STEPS),
    "40 GB": (put(ACTIONS, shape=(5 * 10**9, 1), dtype="f8", chunks=(9, 1)), LARGE),
    "40 GB at a stretch": (put(ACTIONS, shape=(5 * 10**9, 1), dtype="f8"), LARGE),
    "a wide number": (put(ACTIONS, shape=(2**62, 2**20), dtype="f8"), LARGE),
    "large chunk": (
        put(
            ACTIONS,
            np.zeros((3, 1)),
            chunks=(500, 1),
            maxshape=(None, 1),
            compression="gzip",
        ),
        "takes 4000 bytes, more than 1000",
    ),
    "never written": (put(ACTIONS, shape=(3, 1), dtype="f8"), GAPS),
    "no chunk written": (put(ACTIONS, shape=(3, 1), dtype="f8", chunks=(2, 1)), GAPS),
    "a chunk is missing": (gap, GAPS),
    "soft link": (link(ACTIONS, h5py.SoftLink(f"/{POSITION}")), OUTSIDE),
    "dangling link": (link(ACTIONS, h5py.SoftLink("/nowhere")), OUTSIDE),
    "external link": (link(ACTIONS, h5py.ExternalLink("other", "/x")), OUTSIDE),
    "external demo": (link("data/demo_0", h5py.ExternalLink("other", "/x")), OUTSIDE),
    "external data": (link("data", h5py.ExternalLink("other", "/x")), OUTSIDE),
    "external mask": (link("mask", h5py.ExternalLink("other", "/x")), OUTSIDE),
    "external names": (
        link("mask/successful", h5py.ExternalLink("other", "/x")),
        OUTSIDE,
    ),
    "raw external storage": (
        put(ACTIONS, shape=(3, 1), dtype="u1", external=[("/etc/passwd", 0, 3)]),
        "/data/demo_1/actions is stored in other files, which are not read",
    ),
    "virtual": (virtual, "/data/demo_1/actions is stored in other files"),
    "plugin": (plugin, "needs the filter plugin .*; known filters are gzip, shuffle"),
    "mask is a dataset": (put("mask", [b"demo_0"]), "/mask is not a group"),
    "names are a group": (
        lambda file: (
            deleted("mask/successful")(file),
            file.create_group("mask/successful"),
        ),
        "/mask/successful is not a dataset",
    ),
    "names are numbers": (put("mask/successful", [0, 1]), "not a list of strings"),
    "one name": (put("mask/successful", b"demo_0"), "not a list of strings"),
    "a table of names": (put("mask/successful", [[b"demo_0"]]), "not a list of str"),
    "null names": (put("mask/successful", h5py.Empty("S6")), "not a list of strings"),
    "many names": (
        put("mask/successful", shape=(2**40,), dtype="S6", chunks=(9,)),
        "lists 1099511627776 strings, more than the 2 there are",
    ),
    "long names": (put("mask/successful", shape=(2,), dtype="S9999"), "takes 19998"),
    "a name twice": (put("mask/successful", [b"demo_1"] * 2), "lists demo_1 more than"),
    "a name of nothing": (put("mask/successful", [b"demo_7"]), "has no /data/demo_7"),
    "another name": (put("mask/successful", [b"../data"]), "holds '../data'"),
    "a long number": (
        put("mask/successful", [b"demo_" + b"9" * 500]),
        "robomimic's demonstrations are called",
    ),
    "digits of elsewhere": (
        put("mask/successful", ["demo_٣"], dtype=h5py.string_dtype()),
        "robomimic's demonstrations are called",
    ),
    "names in latin": (put("mask/successful", [b"demo_\xff"]), "successful cannot be"),
    "steps": (put(ACTIONS, np.zeros((2, 1))), "has 3 steps and actions 2"),
    "NaN": (put(ACTIONS, [[0.0], [np.nan], [0.0]]), "float32 at step 1"),
    "infinite": (put(POSITION, [[-np.inf], [0.0]]), "position is NaN or infinite"),
    "beyond float32": (put(POSITION, [[0.0], [1e39]]), "infinite in float32 at step 1"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_a_file_that_cannot_be_trusted_is_refused_by_name(path, case):
    change, message = DAMAGE[case]
    with h5py.File(path, "a") as file:
        change(file)
    limit = {"most_bytes": 1000} if case == "large chunk" else {}
    with pytest.raises(errors.DemonstrationError, match=message) as caught:
        read(path, **limit)
    assert str(path) in str(caught.value)


def test_names_that_are_no_text_are_shown_escaped(path):
    with h5py.File(path, "a") as file:
        file["data"].create_group(b"demo_\xff")
    with pytest.raises(errors.DemonstrationError, match=r"holds ''demo_\\udcff''"):
        read(path, filter_key=None)
    assert read(path).actions.shape == (2, 3, 1)  # it is not listed


def test_padding_counts_where_size_is_limited(tmp_path):
    path = hand_made(tmp_path / "file", [1] * 9 + [100])
    # 10 demonstrations of 100 steps of 2 numbers of 4 bytes
    assert read(path, filter_key=None, most_bytes=8000).actions.shape == (10, 100, 1)
    with pytest.raises(
        errors.DemonstrationError, match=r"file takes 8000 bytes with 10"
    ):
        read(path, filter_key=None, most_bytes=7999)


def test_parts_of_the_same_total_width_are_not_mixed_up(path):
    with h5py.File(path, "a") as file:
        demo = file["data/demo_1/obs"]
        demo.move("position", "other")
        demo.move("aside", "position")
        demo.move("other", "aside")
    with pytest.raises(errors.DemonstrationError, match="position of .* 1 and 2 wide"):
        read(path, ["position", "aside"])


def test_a_file_that_is_cut_off_is_refused(path):
    whole = path.read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(errors.DemonstrationError, match="cannot read .*file.hdf5"):
            read(path)


def test_a_file_that_is_being_written_is_refused(path):
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as HDF5 does
        with pytest.raises(errors.DemonstrationError, match="nobody is writing to"):
            read(path)


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero", "a\0b"):
        with pytest.raises(errors.DemonstrationError, match="cannot read"):
            read(path)


@pytest.mark.parametrize("dtype", ["f2", ">f8", "f4", "i1", ">u4", "i8", np.longdouble])
@pytest.mark.parametrize(
    "storage",
    [
        {},
        {"chunks": (2, 1)},
        {"compression": "gzip", "shuffle": True, "fletcher32": True},
        {"compression": "lzf"},
    ],
)
def test_numbers_are_read_whatever_their_type_and_storage(path, dtype, storage):
    with h5py.File(path, "a") as file:
        put(ACTIONS, np.array([[1], [2], [3]]), dtype=dtype, **storage)(file)
        file[ACTIONS].attrs["note"] = RECORDS
        file["data"].attrs["total"] = "many"
    actions = read(path).actions
    assert actions.dtype == np.float32
    assert actions[1, :, 0].tolist() == [1, 2, 3]


def test_parts_may_be_in_groups_of_their_own(path):
    with h5py.File(path, "a") as file:
        for demo in file["data"].values():
            demo.move("obs/position", "obs/cart/rail/position")
    assert read(path, ["cart/rail/position"]).observations[1, 2].tolist() == [102]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(parts="position"), "parts must be a list of names .* got 'position'"),
        (dict(parts=[]), "parts must be a list of names"),
        (dict(task_vector=[[1.0]]), "task_vector must be one vector"),
        (dict(task_vector=[np.nan]), "task_vector must be one vector"),
        (dict(task_id=-2), "task_id must be a whole number, at least -1, got -2"),
        (dict(most_bytes=0), "most_bytes must be positive"),
    ],
)
def test_arguments_are_checked_first(arguments, message):
    usual = dict(path="missing", parts=["position"], task_vector=[1.0], task_id=0)
    with pytest.raises(errors.InvalidArgumentError, match=message):
        robomimic.read(**(usual | arguments))

"""Output files are there as a whole or not at all."""

import os

import pytest

from amf_jax import errors
from experiments import output


def test_an_interrupted_file_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), output.replacing(path) as scratch:
        scratch.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_overwritten(tmp_path):
    path = tmp_path / "new" / "picture.png"
    with output.replacing(path) as scratch:
        scratch.write_text("first")
    assert scratch.suffix == ".png"  # by which some know what to write
    scratch.write_text("the half of something longer")
    with output.replacing(path) as again:
        again.write_text("second")
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_of_a_library_is_told_in_its_words(tmp_path):
    with (
        pytest.raises(errors.ResultsError, match="file: the disk is gone"),
        output.replacing(tmp_path / "file"),
    ):
        raise OSError("the disk is gone")  # without an errno


def test_a_file_in_the_way_is_named_with_what_is_wrong(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.ResultsError, match="file/new: Not a directory"):
        output.check_folder(tmp_path / "file" / "new", "output")
    with (
        pytest.raises(errors.ResultsError, match="file/new: File exists"),
        output.replacing(tmp_path / "file" / "new"),
    ):
        pass
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(errors.ResultsError, match="folder: Is a directory"),
        output.replacing(tmp_path / "folder") as scratch,
    ):
        scratch.write_text("text")


def test_checking_a_folder_leaves_nothing(tmp_path):
    output.check_folder(tmp_path / "a" / "b", "output")
    assert os.listdir(tmp_path / "a" / "b") == []

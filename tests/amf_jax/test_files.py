import os
from pathlib import Path

import pytest

from amf_jax import errors, files


def test_a_tilde_is_the_home_folder(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert files.local_path("results_dir", "~/runs") == Path("/home/ada/runs")
    assert files.local_path("results_dir", Path("a") / "b") == Path("a/b")


@pytest.mark.parametrize("url", ["gs://b/run", "s3://b", "file:///tmp", "gs:/b"])
def test_a_url_is_refused_by_name(url):
    with pytest.raises(errors.InvalidArgumentError, match=f"checkpoint_dir.*{url}"):
        files.local_path("checkpoint_dir", url)


def test_an_empty_path_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match="results_dir is empty"):
        files.local_path("results_dir", "")


def test_a_url_that_pathlib_has_read_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match="the URL 'gs:/b/run'"):
        files.local_path("checkpoint_dir", Path("gs://b/run"))


@pytest.mark.parametrize("path", [5, None, b"runs", "a\0b", "\ud800", ["runs"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(errors.InvalidArgumentError, match="results_dir must be a path"):
        files.local_path("results_dir", path)


def test_the_home_of_nobody_is_refused():
    with pytest.raises(errors.InvalidArgumentError, match="a user that there is not"):
        files.local_path("results_dir", "~no-such-user/runs")


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a named pipe, not a regular file"):
        files.read_text(tmp_path / "pipe")
    with pytest.raises(OSError, match="a device, not a regular file"):
        files.read_text("/dev/zero")
    with pytest.raises(OSError, match="a folder"):
        files.read_text(tmp_path)


def test_a_text_is_read_as_utf_8_up_to_a_size(tmp_path):
    file = tmp_path / "text"
    file.write_bytes("größer".encode())
    assert files.read_text(file, most_bytes=8) == "größer"
    with pytest.raises(OSError, match="has 8 bytes, more than 7"):
        files.read_text(file, most_bytes=7)
    file.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        files.read_text(file)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, NaN]", "NaN is no JSON number"),
        ("-Infinity", "-Infinity is no JSON number"),
        ("[1e999]", "1e999 is too large"),
        ('{"a": 1, "b": 2, "a": 1}', "two members 'a'"),
        ("[" * 100_000, "nested too deeply"),
        ("9" * 5000, "4300 digits"),
        ("[1,", "Expecting value"),
        (b"\xff", "can't decode byte"),
        (b'"\xff"', "can't decode byte"),
        ("", "Expecting value"),
    ],
)
def test_json_holds_nothing_but_json(text, message):
    with pytest.raises(ValueError, match=message):
        files.parse_json(text)


def test_json_is_read_as_python_reads_it():
    text = '{"a": [1, -2.5e-3, true, null, "\\u00fc"], "b": {"a": {}}}'
    value = {"a": [1, -2.5e-3, True, None, "ü"], "b": {"a": {}}}
    assert files.parse_json(text) == files.parse_json(text.encode()) == value

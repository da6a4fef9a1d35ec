import pytest

from amf_jax.errors import ResultsError
from experiments import reading, results
from experiments.reading import Run
from tests.experiments.result_files import header, place, rounds


def test_torn_last_line_is_dropped_and_flagged(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1, 2))
    whole = path.read_bytes()
    cut = len(whole) - 7
    path.write_bytes(whole[:cut])

    run = reading.read(path)
    assert run.torn
    assert run.records == rounds(0, 1)


def test_last_line_without_newline_is_whole(tmp_path):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1))
    path.write_bytes(path.read_bytes()[:-1])
    assert reading.read(path) == Run(header(), rounds(0, 1), torn=False)


@pytest.mark.parametrize("garbage", [b'{"round": 1, "mean', b"\xff\xfe{}", b"[1]"])
def test_broken_middle_line_names_file_and_line(tmp_path, garbage):
    path = place(tmp_path, 0)
    results.write(path, header(), rounds(0, 1, 2))
    lines = path.read_bytes().split(b"\n")
    lines[2] = garbage
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 3 is no"):
        reading.read(path)


@pytest.mark.parametrize("content", ["", '{"config": {', '{"round": 0}\n'])
def test_unusable_header_is_an_error(tmp_path, content):
    path = tmp_path / "seed0.jsonl"
    path.write_text(content)
    with pytest.raises(ResultsError, match=r"seed0\.jsonl, line 1 is no"):
        reading.read(path)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ResultsError, match="cannot read"):
        reading.read(tmp_path / "seed0.jsonl")


@pytest.mark.parametrize(
    ("numbers", "complete"),
    [((0, 1, 2), True), ((0, 1), False), ((0, 2, 1), False), ((0, 1, 2, 3), False)],
)
def test_is_complete(numbers, complete):
    assert reading.is_complete(Run(header(), rounds(*numbers)), 2) is complete

import dataclasses
import json
import math

import pytest

from niah.disk import encoded, parsed
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.runs import shape
from niah.runs.control import Control
from niah.runs.store import RunFolder, open_for_reading
from tests.helpers.runs import ROW


def test_rows_come_back_and_pandas_reads_them(tmp_path):
    import pandas

    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
        folder.append(dataclasses.replace(ROW, trial=1))
        assert folder.rows() == [ROW, dataclasses.replace(ROW, trial=1)]
    frame = pandas.read_json(tmp_path / "a" / "rows.jsonl", lines=True)
    assert frame["trial"].tolist() == [0, 1] and frame["response"][0] == ROW.response


def test_a_torn_last_line_is_cut_and_nothing_else(tmp_path):
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
    rows = tmp_path / "a" / "rows.jsonl"
    whole = rows.read_bytes()
    rows.write_bytes(whole + whole[: len(whole) // 2])
    with RunFolder(tmp_path / "a") as folder:
        assert folder.rows() == [ROW]
        assert folder.drop_retried() == [ROW]
        assert rows.read_bytes() == whole
        folder.append(dataclasses.replace(ROW, trial=1))
        assert len(folder.rows()) == 2


def test_failed_trials_are_kept_apart_and_tried_again(tmp_path):
    failed = dataclasses.replace(ROW, trial=1, outcome="engine-error", score=None, error="boom")
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
        folder.append(failed)
        assert folder.drop_retried() == [ROW]
        assert folder.rows() == [ROW]
    kept = [json.loads(line) for line in (tmp_path / "a" / "failures.jsonl").read_text().splitlines()]
    assert [Row(**row) for row in kept] == [failed]


def test_what_had_no_room_is_tried_where_there_is_some(tmp_path):
    unfit = dataclasses.replace(ROW, trial=1, outcome="does-not-fit", score=None)
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
        folder.append(unfit)
        assert folder.drop_retried() == [ROW, unfit]
        assert folder.drop_retried(lambda row: row.outcome == "does-not-fit") == [ROW]
        assert folder.rows() == [ROW]


def test_drafts_of_a_killed_process_go(tmp_path):
    """Also where nothing is left to write: the last kill may have come while run.json was replaced."""
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
    drafts = [folder.path / name for name in (".run.json.draft", ".rows.jsonl.draft", "..run.json.copy.draft")]
    for draft in drafts:
        draft.write_text("half")
    with RunFolder(tmp_path / "a") as folder:
        assert folder.rows() == [ROW] and not any(draft.exists() for draft in drafts)
    with RunFolder(tmp_path / "a"):
        drafts[0].write_text("of the one that writes")
        with pytest.raises(NiahError, match="another process"), RunFolder(tmp_path / "a"):
            pass
        assert drafts[0].exists()


def test_two_writers_are_refused(tmp_path):
    refused = pytest.raises(NiahError, match="another process is running")
    with RunFolder(tmp_path / "a"), refused, RunFolder(tmp_path / "a"):
        pass


def test_full_disk_is_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "rows.jsonl").symlink_to("/dev/full")
    with RunFolder(tmp_path / "a") as folder, pytest.raises(NiahError, match="No space left"):
        folder.append(ROW)


def test_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NiahError, match="cannot be written"), RunFolder(tmp_path / "file" / "a"):
        pass


@pytest.mark.parametrize(
    ("line", "message"), [("nonsense\n", "rows.jsonl:1: not a row"), ('{"trial": 1}\n', "rows.jsonl:1: not a row")]
)
def test_foreign_lines_are_named(tmp_path, line, message):
    with RunFolder(tmp_path / "a") as folder:
        folder.rows_path.write_text(line)
        with pytest.raises(NiahError, match=message):
            folder.rows()


def test_columns_are_the_rows(tmp_path):
    failed = dataclasses.replace(ROW, trial=1, outcome="engine-error", score=None, logprob=-2.5, variant="fp8")
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
        folder.append(failed)
        columns = folder.columns()
    assert columns.trial.tolist() == [0, 1] and columns.variant.tolist() == ["", "fp8"]
    assert columns.score[0] == 1.0 and math.isnan(columns.score[1]) and columns.answered.tolist() == [True, False]
    assert math.isnan(columns.logprob[0]) and columns.logprob[1] == -2.5
    assert [(name, len(part)) for name, part in columns.variants().items()] == [("", 1), ("fp8", 1)]


def test_rows_of_schema_1_are_read_as_they_are(tmp_path):
    later = ("variant", "logprob", "num_target_tokens", "worst_rank", "margin", "served")
    old = {key: value for key, value in dataclasses.asdict(ROW).items() if key not in later}
    (tmp_path / "run.json").write_text('{"schema": 1}')
    (tmp_path / "rows.jsonl").write_text(json.dumps(old) + "\n")
    folder, _, rows = open_for_reading(str(tmp_path))
    assert rows == [ROW] and folder.columns().variant.tolist() == [""]


def test_a_foreign_line_is_named_by_columns_too(tmp_path):
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
        with folder.rows_path.open("a") as file:
            file.write('{"trial": 1}\n')
        with pytest.raises(NiahError, match=r"rows\.jsonl:2: not a row"):
            folder.columns()


def test_run_json_of_another_schema(tmp_path):
    (tmp_path / "run.json").write_text('{"schema": 99}')
    with pytest.raises(NiahError, match="schema 99; expected 1 or 2"):
        open_for_reading(str(tmp_path))
    with pytest.raises(NiahError, match="no run here"):
        open_for_reading(str(tmp_path / "none"))


def test_a_torn_control_is_left_out_and_cut_before_the_next(tmp_path):
    first, second = (dataclasses.asdict(Control("", trial, 0, True, "x", "x", None, None)) for trial in (1, 3))
    with RunFolder(tmp_path / "a") as folder:
        folder.append_control(first)
        with (tmp_path / "a" / "controls.jsonl").open("a") as file:
            file.write('{"trial": 2, "resp')  # a kill in the middle of a line
    with RunFolder(tmp_path / "a") as folder:
        assert folder.controls() == [first]
        folder.append_control(second)
        assert folder.controls() == [first, second]


def test_a_run_json_that_cannot_be_written_says_that_the_rows_are_safe(tmp_path):
    with RunFolder(tmp_path / "a") as folder:
        folder.append(ROW)
        folder.run_path.mkdir()
        with pytest.raises(NiahError, match=r"a/run\.json: cannot be written \(.*\); the rows in rows\.jsonl are safe"):
            folder.write_record(RunRecord())


FOREIGN = [
    "null", "true", "0", "1", "-1", "0.5", "-0.0", "1.0", "2", "1e2", "1e299", "1e301", "1e400", "-1e301", "NaN",
    "Infinity", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1" + "0" * 40, "01", "1.", '""',
    '"x"', '"correct"', '"engine-error"', '"\\ud83d"', '"\\u0000"', '"\t"', "[]", "[1]", "[1.5]", "[true]", '["x"]',
    "[[1]]", "[[1, 2.5]]", "[[]]", "[null]", "{}", '{"a": 1e400}', '{"a": {"b": [1, 2.0]}}',
    "[" * 3000 + "]" * 3000, "",
]


@pytest.mark.parametrize("name", [*(field.name for field in dataclasses.fields(Row)), "of_a_newer_niah"])
def test_a_row_is_taken_exactly_where_each_field_holds_its_type(tmp_path, name):
    """Whatever JSON stands in a field: a row where the field's type and what it means allow it, with the very numbers
    that the file has; else one line. The long way of reading is the measure of the short one."""
    folder = RunFolder(tmp_path)
    for value in FOREIGN:
        before = encoded({**{key: one for key, one in dataclasses.asdict(ROW).items() if key != name}, name: "@@"})
        line = before.replace(b'"@@"', value.encode())
        folder.rows_path.write_bytes(line)
        try:
            content = parsed(line.strip())
            is_row = not shape.misfit(Row, content, is_whole=True) and (
                name not in ("trial", "length", "repeat") or content[name] >= 0
            ) and (name != "score" or (content[name] is not None and 0 <= content[name] <= 1)) and (
                name != "outcome" or content[name] == "correct"
            )
        except ValueError:
            is_row = False
        if not is_row:
            with pytest.raises(NiahError, match="not a row of this version"):
                RunFolder(tmp_path).rows()
            continue
        (row,) = RunFolder(tmp_path).rows()
        known = {field.name for field in dataclasses.fields(Row)}
        assert repr(dataclasses.asdict(row)) == repr(dataclasses.asdict(
            Row(**{key: one for key, one in content.items() if key in known})
        )), (name, value)

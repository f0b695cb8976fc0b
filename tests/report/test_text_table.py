"""Columns of plain text stand one below the other in a terminal."""

from niah.report.text_table import aligned, width


def test_wide_characters_take_two_places_and_marks_none():
    assert [width(text) for text in ("a", "大表", "Zoe\u0308", "ｱ", "a\u200b", "")] == [1, 4, 3, 1, 1, 0]
    assert aligned([["大表", "1"], ["longer", "22"]], [-6, 2]) == ["大表     1", "longer  22"]

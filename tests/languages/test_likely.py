"""What language a text of the user's own is in, by its script and its words."""

import pytest

from niah import languages
from niah.languages import CODES

TEXTS = {
    "en": "The keeper of the lighthouse went down to the harbor and waited there for the boat.",
    "de": "Der Wärter des Leuchtturms ging hinab und wartete dort, doch die Boote kamen nicht.",
    "es": "El farero bajó al puerto y esperó los barcos, pero las olas eran altas y una vela faltaba.",
    "zh-Hans": "看守人走到港口,在那里等船。这时他们说,这个国家的船不会来了。",
    "zh-Hant": "看守人走到港口,在那裡等船。這時他們說,這個國家的船不會來了。",
    "ja": "灯台守は港へ下りて、そこで船を待っていました。でも船は来ませんでした。",
    "ar": "نزل حارس المنارة إلى الميناء وانتظر القارب هناك حتى المساء ولم يصل أحد.",
}


@pytest.mark.parametrize("code", CODES)
def test_each_language_is_told(code):
    assert languages.likely(10 * f"{TEXTS[code]} ") == code


@pytest.mark.parametrize("text", [
    "", "The and of to the", "0101 " * 500, "def f(x): return x + y\n" * 50,
    "Le gardien du phare descendit au port et attendit le bateau que personne ne voyait. " * 10,
])
def test_what_does_not_tell_is_left_open(text):
    assert languages.likely(text) == ""

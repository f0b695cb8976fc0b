"""Addresses of servers: what is one, and every way of being none, told alike by all settings that hold one."""

import pytest

from niah.engines.openai import OpenAI
from niah.environment import address
from niah.errors import NiahError
from niah.readers.dense import Dense
from niah.readers.service import Service

NONE = [
    ("http://a..b", r"got 'http://a..b' \(its host has nothing between two dots\); expected an address"),
    ("http://.", "nothing between two dots"),
    (f"http://{'a' * 64}.com", "a part of its host has more than 63 characters"),
    (f"http://{'ü' * 60}.com", "a part of its host has more than 63 characters"),
    (f"http://{'a.' * 130}com", "its host has more than 253 characters"),
    ("http://a\x01b", r"no address \(it holds U\+0001\); expected one without spaces and control characters"),
    ("http://a\nb/v1", r"it holds U\+000A"), ("http://a\u200bb", r"it holds U\+200B ZERO WIDTH SPACE"),
    ("http://a–b", r"its host holds U\+2013 EN DASH"), ("http://a b", r"it holds U\+0020 SPACE"),
    (" http://host", r"it holds U\+0020 SPACE"), ("http://host/v1 ", r"it holds U\+0020 SPACE"),
    ("http://host\\v1", r"its host holds U\+005C"), ("http://ho%20st", r"its host holds U\+0025"),
    ("http://256.1.1.1", "its host is no IPv4 address"), ("http://１２７.0.0.1", "its host is no IPv4 address"),
    ("http://host:0", "its port is 0"), ("http://host:99999", "Port out of range"), ("http://[::1", "Invalid IPv6"),
    ("http://host?", r"it holds \?"), ("http://host#", "it holds #"), ("http://@host", "it holds @"),
    ("http://me:pw@host", "holds a name or password"), ("host:8000", "got 'host:8000'; expected an address"),
    ("", "got ''; expected an address"), (f"http://{'x' * 9000}", "more than 63 characters"),
]


@pytest.mark.parametrize(("url", "message"), NONE, ids=[ascii(url)[:30] for url, _ in NONE])
def test_what_is_no_address_is_one_line_wherever_it_is_given(url, message):
    for make, key in (
        (lambda: Service(url=url), "reader.url"), (lambda: Dense(url=url), "reader.url"),
        (lambda: Dense(rerank_url=url), "reader.rerank_url"), (lambda: OpenAI(base_url=url), "engine.base_url"),
    ):
        with pytest.raises(NiahError, match=message) as error:
            make()
        assert str(error.value).startswith(f"{key}: ") and "\n" not in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("url", [
    "http://127.0.0.1:8000/v1", "https://host", "http://host.:80/v1/", "http://a_b-1:9", "http://[::1]:8000/v1",
    "http://bücher.de", "http://例え.テスト/v1", "HTTP://Host/a;b/%20",
])
def test_what_is_one_is_taken(url):
    address.check(url, "reader.url", "reader.api_key_env")

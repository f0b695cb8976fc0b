"""Hardware and architectures that plans are made for."""

import json
from dataclasses import replace

from niah.planner import architecture
from niah.planner.hardware import Hardware
from niah.runs import capacity
from tests.helpers.command import REPOSITORY

ARCHITECTURES = sorted(file.stem for file in (REPOSITORY / "niah" / "architectures").glob("*.json"))
KNOWN = capacity.known_hardware()


def raw(name: str) -> dict:
    return json.loads((REPOSITORY / "niah" / "architectures" / f"{name}.json").read_text())


def shape(name: str) -> architecture.Architecture:
    return architecture.read(raw(name), "test")


def eight(name: str) -> Hardware:
    return replace(next(one for one in KNOWN if one.name == name), num_gpus=8)

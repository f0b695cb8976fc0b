"""An nvidia-smi to put on PATH: prints what the real one prints for the GPUs it is told of, or fails as that does."""

import json
import os
import sys
from pathlib import Path
from typing import Any

H100 = {
    "name": "NVIDIA H100 80GB HBM3", "memory.total": "81559", "memory.free": "80995", "driver_version": "580.105.08",
    "compute_cap": "9.0", "mig.mode.current": "Disabled",
}
A100 = {**H100, "name": "NVIDIA A100-SXM4-40GB", "memory.total": "40960", "memory.free": "40331", "compute_cap": "8.0"}
L40S = {
    **H100, "name": "NVIDIA L40S", "memory.total": "46068", "memory.free": "45450", "compute_cap": "8.9",
    "mig.mode.current": "[N/A]",
}
GB10 = {
    **H100, "name": "NVIDIA GB10", "memory.total": "[N/A]", "memory.free": "[N/A]", "compute_cap": "12.1",
    "mig.mode.current": "[N/A]",
}

_PROGRAM = r'''#!{python} -S
import json, sys, time
told = json.loads({told!r})
if told["hangs"]:
    time.sleep(600)
if told["says"]:
    print(told["says"])
    sys.exit(told["code"])
word, gpus = sys.argv[1], told["gpus"]
if word.startswith("--query-gpu="):
    fields = word.partition("=")[2].split(",")
    for field in fields:
        if field in told["unknown"]:
            print(f'Field "{{field}}" is not a valid field to query.')
            sys.exit(2)
    for gpu in gpus:
        print(", ".join(gpu[field] for field in fields))
elif word.startswith("--query-compute-apps="):
    for line in told["processes"]:
        print(line)
elif word == "-L":
    for gpu in gpus:
        print(f"GPU {{gpu['index']}}: {{gpu['name']}} (UUID: {{gpu['uuid']}})")
        for place, (profile, uuid, _) in enumerate(gpu["devices"]):
            print(f"  MIG {{profile:<12}}Device {{place:>2}}: (UUID: {{uuid}})")
elif word == "-q":
    print('<?xml version="1.0" ?><nvidia_smi_log>')
    for gpu in gpus:
        print(f"<gpu id='0'><uuid>{{gpu['uuid']}}</uuid><mig_devices>")
        for place, (_, _, memory) in enumerate(gpu["devices"]):
            print(f"<mig_device><index>{{place}}</index><fb_memory_usage><total>{{memory}} MiB</total>"
                  f"<free>{{memory - 25}} MiB</free></fb_memory_usage></mig_device>")
        print("</mig_devices></gpu>")
    print("</nvidia_smi_log>")
'''


def uuid(index: int) -> str:
    """That of the GPU with this index."""
    return f"GPU-{index}f57f032-34ab-a064-c37c-7a4f75601cc5"


def path(
    folder: Path, *gpus: dict[str, Any], says: str = "", code: int = 0, hangs: bool = False,
    unknown: tuple[str, ...] = (), processes: tuple[str, ...] = (),
) -> str:
    """PATH with the program first on it. A GPU's ``devices`` are its MIG devices: (profile, UUID, MiB)."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = [
        {"index": str(index), "uuid": uuid(index), "devices": [], **gpu} for index, gpu in enumerate(gpus)
    ]
    told = {
        "gpus": listed, "says": says, "code": code, "hangs": hangs, "unknown": unknown, "processes": processes,
    }
    program = folder / "nvidia-smi"
    program.write_text(_PROGRAM.format(python=sys.executable, told=json.dumps(told)))
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"

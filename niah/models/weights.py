"""Whether a model folder's weights are all there, by the headers of its files: nothing of them is loaded.

An engine that loads a checkpoint with a gap reads whatever memory held there (vLLM 0.32 checks each parameter once,
model_executor/model_loader/default_loader.py, track_weights_loading: of projections that it holds in one piece, one is
enough), or fills it with random numbers (transformers). So it is looked at here, before an engine starts.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from niah import content
from niah.errors import NiahError, first_line
from niah.models.files import ModelFiles

_INDEX = "model.safetensors.index.json"
_PICKLED = re.compile(r"(?!training_args|optimizer|scheduler|rng_state|scaler).*\.(?:bin|pt|pth|ckpt)")
_MOST_HEADER_BYTES = 100_000_000
"""The longest header that the package safetensors itself reads."""
_MOST_LAYERS = 10_000
"""And experts: more are a damaged config.json."""
_NAMED = 3
"""Tensors that a message names."""
_PLACE = re.compile(r"(?:^|(?<=\.))\d+(?=\.|$)")
"""The number of a layer or of an expert in a tensor's name."""
_LAYER = re.compile(r"^(?P<stack>(?:[^.]+\.)*?(?:layers|h|blocks|blk))\.(?P<number>\d+)\.")
_OTHER_STACKS = re.compile(r"vision|visual|audio|image|encoder|speech|vit\b|mtp|draft|eagle|projector", re.IGNORECASE)
"""Layers of images and sound, and those that only guess ahead."""
_NUM_EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts")
_PARTS = re.compile(
    r"^(?P<block>.*\.(?:self_attn|attention|attn|mlp|feed_forward|block_sparse_moe|experts|shared_experts?|\d+))\."
    r"(?P<part>[qkvo]_proj|out_proj|dense|qkv_proj|gate_proj|up_proj|down_proj|gate_up_proj|w[123]|fc[12]|c_attn|c_proj)\."
)
"""A projection, in the block that it is a part of."""


def check(files: ModelFiles, *, allow_pickle: bool, is_whole: bool = True) -> None:
    """Raises NiahError where weights are missing, cut or pickled. Those of a hub's model, which an engine fetches, are
    looked at as far as they are here already, and by the names of its files. Of what is not ``is_whole``, a head that
    drafts, no layers are counted."""
    folder = files.folder
    if Path(files.engine_path) != folder:
        _check_kind(_names_on_the_hub(files), files.engine_path, allow_pickle=allow_pickle)
        return
    index = _index(folder)
    shards = sorted({folder / name for name in index.values()} or folder.glob("*.safetensors"))
    if not shards:
        begun = [file.name for file in sorted(folder.iterdir()) if file.suffix == ".incomplete"]
        if begun:
            raise NiahError(
                f"model.path: {folder}: the download of {_listed(begun)} was cut; expected whole files of weights; "
                "fetch them again"
            )
        _check_kind([file.name for file in folder.iterdir()], str(folder), allow_pickle=allow_pickle)
        if not any(map(_PICKLED.fullmatch, (file.name for file in folder.iterdir()))):
            raise NiahError(f"model.path: no weights in {folder}; expected *.safetensors beside config.json")
        return
    names: set[str] = set()
    for shard in shards:
        names |= header(shard, "model.path").keys()
    if lost := sorted(index.keys() - names):
        raise NiahError(
            f"model.path: {folder}: {len(lost)} of {len(index)} tensors of {_INDEX} are in no file "
            f"({_listed(lost)}); expected all; fetch the weights again"
        )
    if is_whole and (lost := sorted(missing(names, files.config))):
        raise NiahError(
            f"model.path: {folder}: at least {len(lost)} tensors are missing beside {len(names)} that are there "
            f"({_listed(lost)}); expected all of its architecture; fetch the weights again"
        )


def _check_kind(names: Iterable[str], where: str, *, allow_pickle: bool) -> None:
    """Raises NiahError where the only weights among these files are pickled."""
    names = sorted(names)
    pickled = next((name for name in names if _PICKLED.fullmatch(name)), "")
    if pickled and not allow_pickle and not any(name.endswith(".safetensors") for name in names):
        raise NiahError(
            f"model.path: the weights in {where} are pickled ({pickled}), and unpickling may run code; expected "
            "safetensors; convert them, or model.allow_pickle=true if you trust who made them"
        )


def _names_on_the_hub(files: ModelFiles) -> list[str]:
    """The files of a hub's model; those that are here already where the hub cannot be asked."""
    from huggingface_hub import HfApi

    try:
        return HfApi().list_repo_files(files.engine_path, revision=files.revision)
    except Exception:  # of the network: what cannot be fetched is not loaded either
        return [file.name for file in files.folder.iterdir()]


def header(file: Path, where: str) -> dict[str, Any]:
    """The tensors of a safetensors file by name, as its header has them. Raises NiahError for a file that is none, or
    that was cut.

    Format: eight bytes of the header's length, the header (JSON), the tensors one after the other
    (huggingface.co/docs/safetensors).
    """
    cut = "expected the whole file; fetch it again"
    try:
        if wrong := content.mistaken(file):
            raise NiahError(f"{where}: {file} cannot be used: {wrong}")
        size = file.stat().st_size
        with file.open("rb") as data:
            length = int.from_bytes(data.read(8), "little")
            if size < 8 or length > min(size - 8, _MOST_HEADER_BYTES):
                raise NiahError(f"{where}: {file} is no safetensors file, or was cut ({size:,} bytes); {cut}")
            tensors = json.loads(data.read(length))
        tensors.pop("__metadata__", None)
        end = max((int(tensor["data_offsets"][1]) for tensor in tensors.values()), default=0)
    except OSError as error:
        gone = "is not there" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise NiahError(f"{where}: {file} {gone}; expected all files of the weights; fetch it again") from error
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise NiahError(f"{where}: {file} has a broken header ({first_line(error)}); {cut}") from error
    if 8 + length + end != size:
        raise NiahError(f"{where}: {file} holds {size:,} bytes; its header speaks of {8 + length + end:,}; {cut}")
    found: dict[str, Any] = tensors
    return found


def missing(names: Iterable[str], config: Mapping[str, Any]) -> set[str]:
    """Names, about, of tensors that a checkpoint ought to have beside these: whole layers, and projections that other
    layers have at the same place.

    Not all are found: a tensor that every layer lacks is not. Layers that share keys and values, or keys alone, lack
    projections rightly.
    """
    texts = {name for name in names if not _OTHER_STACKS.search(name)}
    return _missing_layers(texts, config) | _missing_parts(texts, config)


def _missing_layers(names: set[str], config: Mapping[str, Any]) -> set[str]:
    number = config.get("num_hidden_layers")
    stacks: dict[str, set[int]] = {}
    for name in names:
        if layer := _LAYER.match(name):
            stacks.setdefault(layer["stack"], set()).add(int(layer["number"]))
    if not stacks or not isinstance(number, int) or number > _MOST_LAYERS:
        return set()
    lost = {stack: set(range(number)) - there for stack, there in stacks.items()}
    best = min(lost, key=lambda stack: (len(lost[stack]), stack))
    return {f"{best}.{layer}.*" for layer in lost[best]}


def _missing_parts(names: set[str], config: Mapping[str, Any]) -> set[str]:
    """Projections that a block lacks and the same block of another layer, or another expert, has."""
    blocks: dict[str, set[str]] = {}
    for name in names:
        if part := _PARTS.match(name):
            blocks.setdefault(part["block"], set()).add(part["part"])
    whole: dict[str, set[str]] = {}
    for block, parts in blocks.items():
        whole.setdefault(_PLACE.sub("*", block), set()).update(parts)
    lost = {
        f"{block}.{part}" for block, parts in blocks.items()
        for part in whole[_PLACE.sub("*", block)] - parts if not _may_lack(block, part, config)
    }
    return lost | _missing_experts(blocks, config)


def _missing_experts(blocks: Iterable[str], config: Mapping[str, Any]) -> set[str]:
    """Experts that a layer lacks: of as many as the config says, else up to the last one that is there."""
    experts: dict[str, set[int]] = {}
    for block in blocks:
        place, _, number = block.rpartition(".")
        if number.isdigit() and place.endswith("experts"):
            experts.setdefault(place, set()).add(int(number))
    counted = next((config[key] for key in _NUM_EXPERTS if isinstance(config.get(key), int)), 0)
    counted = counted if 0 < counted <= _MOST_LAYERS else 0
    return {
        f"{place}.{one}" for place, there in experts.items() for one in set(range(counted or max(there) + 1)) - there
    }


def _may_lack(block: str, part: str, config: Mapping[str, Any]) -> bool:
    """Whether a layer does without this projection: Gemma 4's values are its keys, or an earlier layer's."""
    if part not in ("k_proj", "v_proj"):
        return False
    if part == "v_proj" and config.get("attention_k_eq_v"):
        return True
    layer, shared, num = _LAYER.match(f"{block}."), config.get("num_kv_shared_layers"), config.get("num_hidden_layers")
    if not (layer and isinstance(shared, int) and isinstance(num, int) and shared):
        return False
    return int(layer["number"]) >= num - shared


def _index(folder: Path) -> dict[str, str]:
    """The file of each tensor, by the folder's index; empty without one."""
    file = folder / _INDEX
    if not file.is_file():
        return {}
    names = content.json_object(file, "model.path").get("weight_map")
    if not isinstance(names, dict) or not all(
        isinstance(name, str) and Path(name).name == name for name in names.values()
    ):
        raise NiahError(f"model.path: {file} has no weight_map of file names; expected one; fetch that file again")
    return names


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")

"""What ships for containers and clusters, against the tools and schemas that will read it, and against each other."""

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from niah import __version__
from tests.helpers.command import REPOSITORY

DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
JOB, RAY = REPOSITORY / "deploy/kubernetes/job.yaml", REPOSITORY / "deploy/ray/job.yaml"
MANIFESTS = [JOB, RAY]
SBATCH = REPOSITORY / "deploy/slurm/niah.sbatch"
SCRIPTS = [
    SBATCH, REPOSITORY / "tests/container.sh",
    *(REPOSITORY / "deploy" / name for name in ("digest.sh", "engine.sh", "release.sh")),
]
PINS = dict(
    line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line
)


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """A command that a package of the ``test`` extra has put beside this Python."""
    beside = Path(sys.executable).parent / name
    return subprocess.run([beside, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def documents(path: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def only(path: Path, kind: str) -> dict:
    (found,) = [document for document in documents(path) if document["kind"] == kind]
    return found


def pod(path: Path) -> dict:
    """What the job's pods are made of."""
    return only(path, "Job")["spec"]["template"]["spec"]


def container(path: Path) -> dict:
    (found,) = pod(path)["containers"]
    return found


def variables(path: Path) -> dict[str, dict]:
    return {one["name"]: one for one in container(path)["env"]}


def test_dockerfile_passes_hadolint():
    done = tool("hadolint", REPOSITORY / "Dockerfile")
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_images_end_alike():
    # two bases, so the settings stand twice: a user, caches and an entry point that differ would be an oversight
    stages = DOCKERFILE.split("\nFROM ")[1:]
    cpu, gpu = (stage.split("ENV HOME=")[1].split("# last")[0].strip() for stage in stages if "AS wheel" not in stage)
    assert cpu == gpu
    assert cpu.endswith('ENTRYPOINT ["python", "-m", "niah"]')


def test_versions_are_those_of_the_constraints():
    (niah,) = set(re.findall(r"NIAH_VERSION=(\S+)", DOCKERFILE))
    (vllm,) = re.findall(r"^ARG VLLM_VERSION=(\S+)", DOCKERFILE, re.MULTILINE)
    assert (niah, vllm) == (__version__, PINS["vllm"])


def test_compose_file_meets_its_specification():
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", REPOSITORY / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_every_service_is_hardened():
    for name, service in COMPOSE["services"].items():
        assert service["cap_drop"] == ["ALL"] and service["init"] and service["read_only"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["tmpfs"] == ["/tmp"], name
        assert service["user"] == "${NIAH_USER:-1000:1000}" and not service.keys() & {"ports", "privileged"}, name


@pytest.mark.parametrize(("key", "code"), [({}, 2), ({"VLLM_API_KEY": ""}, 2), ({"VLLM_API_KEY": "k"}, 0)])
def test_the_server_starts_with_a_key_alone(tmp_path, key, code):
    """The command is compose.yaml's, a program in vllm's place."""
    (tmp_path / "vllm").write_text('#!/bin/sh\necho "$VLLM_API_KEY" "$@"\n')
    (tmp_path / "vllm").chmod(0o755)
    words = [word.replace("$$", "$") for word in COMPOSE["services"]["server"]["entrypoint"]]
    done = subprocess.run(
        [*words, "model", "--option=1"], env={"PATH": f"{tmp_path}:/usr/bin:/bin", **key}, capture_output=True,
        text=True, timeout=30,
    )
    assert done.returncode == code and done.stdout == ("k serve model --option=1\n" if not code else ""), done.stderr
    assert code == 0 or "VLLM_API_KEY: export one first" in done.stderr


def test_server_and_client_share_the_callers_key():
    for name in ("server", "client"):
        service = COMPOSE["services"][name]
        assert service["networks"] == ["server"], "a network of their own"
        assert service["environment"]["VLLM_API_KEY"] is None, "no value in the file"
    assert "engine.api_key_env=VLLM_API_KEY" in COMPOSE["services"]["client"]["command"]


def test_compose_builds_stages_that_exist():
    stages = set(re.findall(r"^FROM \S+ AS (\w+)", DOCKERFILE, re.MULTILINE))
    built = [service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service]
    assert built and set(built) <= stages
    ours = [service for service in COMPOSE["services"].values() if service["image"].startswith("niah")]
    assert all(service["read_only"] and "/tmp" in service["tmpfs"] for service in ours)


@pytest.mark.slow
def test_servers_words_are_vllms():
    command = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in COMPOSE["services"]["server"]["command"]]
    program = (
        "import json, sys\n"
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "read = make_arg_parser(FlexibleArgumentParser()).parse_args(sys.argv[1:])\n"
        "print(json.dumps([read.model_tag, read.max_model_len, read.enable_prompt_tokens_details]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["Qwen/Qwen3-8B", 40960, True]


@pytest.mark.parametrize(
    "document", [document for path in MANIFESTS for document in documents(path)],
    ids=lambda document: f"{document['metadata']['name']} {document['kind']}",
)
def test_manifests_meet_their_schemas(document):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_pods_are_nobody_on_a_file_system_that_is_read_only(path):
    spec, (one,) = pod(path), pod(path)["containers"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False and spec["enableServiceLinks"] is False
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_a_policy_keeps_all_others_from_the_pods(path):
    policy, labels = only(path, "NetworkPolicy")["spec"], only(path, "Job")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"] == {"matchLabels": labels} and policy["policyTypes"] == ["Ingress", "Egress"]
    peers = [{"podSelector": {"matchLabels": labels}}]
    assert policy["ingress"] == ([] if path == JOB else [{"from": peers}])
    outside = [rule for rule in policy["egress"] if rule.get("to") != peers]
    assert {port["port"] for rule in outside for port in rule["ports"]} == {53, 443}
    (web,) = [rule["to"] for rule in outside if "to" in rule]
    assert any("169.254.0.0/16" in block["ipBlock"]["except"] for block in web)  # clouds' own keys


def test_ray_asks_for_a_key_and_its_dashboard_is_on_loopback():
    found = variables(RAY)
    assert found["RAY_AUTH_MODE"]["value"] == "token"
    assert found["RAY_AUTH_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "niah-ray", "key": "token"}}
    for text in (container(RAY)["command"][2], SBATCH.read_text()):
        assert "--dashboard-host 127.0.0.1 " in text.replace("\n", " ")
    assert "export RAY_AUTH_MODE=token" in SBATCH.read_text() and "export RAY_AUTH_TOKEN" in SBATCH.read_text()


@pytest.mark.parametrize(
    "path", sorted([*(REPOSITORY / "deploy").rglob("*.*"), REPOSITORY / "compose.yaml", REPOSITORY / "Dockerfile"]),
    ids=lambda path: path.name,
)
def test_no_file_holds_a_key_or_listens_to_everybody(path):
    text = path.read_text() if path.suffix != ".pyc" else ""
    assert "0.0.0.0" not in text.replace("cidr: 0.0.0.0/0, except", "")
    assert not re.search(r"(?i)(api_key|token|password|secret)\w*\s*[:=]\s*['\"]?[A-Za-z0-9_-]{16,}", text)


def test_ray_starts_on_as_many_nodes_as_the_run_is_for():
    spec = only(RAY, "Job")["spec"]
    nodes = int(variables(RAY)["NODES"]["value"])
    assert spec["completions"] == spec["parallelism"] == nodes
    assert f"hardware={nodes}x{container(RAY)['resources']['limits']['nvidia.com/gpu']}xh100" in container(RAY)["args"]
    service, job = only(RAY, "Service"), only(RAY, "Job")
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]
    head = f"{job['metadata']['name']}-0.{service['metadata']['name']}"  # how Kubernetes names pod 0 of an indexed job
    assert variables(RAY)["HEAD"]["value"] == head and pod(RAY)["subdomain"] == service["metadata"]["name"]


@pytest.mark.parametrize(("index", "code", "ended"), [(0, 0, 0), (0, 3, 3), (1, 0, 1), (1, 1, 1)])
def test_the_heads_exit_code_is_the_runs(tmp_path, index, code, ended):
    """And a node that its head has left is started again: it ends as failed, whatever Ray says."""
    for name, program in {"ray": f'echo "$@"; exit {code}', "getent": "exit 0"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": str(index), "HEAD": "niah-ray-0.niah-ray",
        "NODES": "2",
    }
    command = [*container(RAY)["command"], *container(RAY)["args"]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == ended, done.stderr
    assert done.stdout.split() == [
        "symmetric-run", "--address", "niah-ray-0.niah-ray:6379", "--min-nodes", "2", "--dashboard-host", "127.0.0.1",
        "--", "python", "-m", "niah", *container(RAY)["args"],
    ]


def claims(spec: dict) -> set[str]:
    return {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_pods_write_where_the_image_does(path):
    """A mount that is missing, or a claim nobody makes, shows on a cluster only after the weights were fetched."""
    made = {d["metadata"]["name"] for d in documents(path) if d["kind"] == "PersistentVolumeClaim"}
    mounts = container(path)["volumeMounts"]
    assert {mount["mountPath"] for mount in mounts} == {"/outputs", "/cache", "/tmp", "/dev/shm"}
    assert {mount["name"] for mount in mounts} == {volume["name"] for volume in pod(path)["volumes"]}
    assert claims(pod(path)) == made


def commands() -> dict[str, list[str]]:
    batch = re.findall(r"^# sbatch .*niah\.sbatch (.*)$", SBATCH.read_text(), re.MULTILINE)
    return {
        "kubernetes/job.yaml": container(JOB)["args"],
        "ray/job.yaml": container(RAY)["args"],
        "niah.sbatch, one node": shlex.split(batch[0]),
        "niah.sbatch, two nodes": [*shlex.split(batch[1]), "engine.args.distributed_executor_backend=ray"],
    }


@pytest.mark.parametrize("place", commands())
def test_their_words_are_words_of_niah_and_fit(niah, place):
    words = commands()[place]
    hardware = [] if any(word.startswith("hardware=") for word in words) else ["hardware=8xh100"]
    done = niah("plan", *words, *hardware, "kv=fp8", "format=json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


SHA256 = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize("tool", ["docker", "skopeo", "crane"])
def test_a_tag_becomes_a_digest(tmp_path, tool):
    """With a program in the place of each tool; what they are asked is as their own help has it."""
    (tmp_path / tool).write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\necho {SHA256}\n')
    (tmp_path / tool).chmod(0o755)
    script = REPOSITORY / "deploy/digest.sh"
    for name in ("bash", "cat"):
        (tmp_path / name).symlink_to(shutil.which(name))
    image = "docker.io/library/python:3.11-slim-bookworm"

    def asked_of(*command: str | Path) -> subprocess.CompletedProcess:
        path = {"PATH": str(tmp_path)}
        return subprocess.run(["bash", *command], env=path, capture_output=True, text=True, timeout=30)

    done = asked_of(script, image)
    assert done.stdout == f"{image}@{SHA256}\n", done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()[-1]
    assert asked.endswith(image) and asked.split()[0] in ("buildx", "inspect", "digest")
    (tmp_path / tool).unlink()
    done = asked_of(script, image)
    assert done.returncode == 1 and "no tool here" in done.stderr


def test_the_clients_words_are_words_of_niah(niah):
    words = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", word) for word in COMPOSE["services"]["client"]["command"]]
    done = niah("--cfg=job", *words)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load(done.stdout)
    assert config["engine"]["base_url"] == "http://server:8000/v1" and config["model"]["path"] == "Qwen/Qwen3-8B"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(path):
    done = tool("shellcheck", "--shell=bash", path)
    assert done.returncode == 0, done.stdout


def test_slurm_reads_all_directives():
    """Slurm ignores, without a word, every directive after the first command."""
    lines = SBATCH.read_text().splitlines()
    first_command = next(n for n, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    directives = [n for n, line in enumerate(lines) if re.match(r"\s*#SBATCH", line)]
    assert directives and max(directives) < first_command
    options = [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")]
    assert {"--signal=B:TERM@60", "--requeue", "--open-mode=append"} <= set(options)


def requirements():
    spec = importlib.util.spec_from_file_location("requirements", REPOSITORY / "deploy/requirements.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_images_keep_what_their_base_has():
    lines = ["# measured with", "huggingface_hub==2.4.0", "hydra-core==1.3.8", "torch==2.13.0  # CPU"]
    installed = {"Huggingface-Hub": "1.31.0", "torch": "2.12.0+cu130"}
    pins = ["Huggingface-Hub==1.31.0", "torch==2.12.0+cu130", "hydra-core==1.3.8"]
    assert requirements().pins(lines, installed) == pins


@pytest.mark.parametrize("extras", re.findall(r"^ARG EXTRAS=(\S+)", DOCKERFILE, re.MULTILINE))
def test_images_install_all_that_the_wheel_requires(extras):
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    found = requirements().wanted(project, extras.split(","))
    assert not [line for line in found if line.startswith("niah")] and len(found) == len(set(found))
    assert set(found) >= {*project["dependencies"], *project["optional-dependencies"]["gguf"], "bm25s>=0.3"}

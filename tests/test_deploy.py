"""What ships for containers and clusters, against the tools and schemas that will read it, and against each other."""

import importlib.util
import json
import re
import shlex
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
JOB, RAY = REPOSITORY / "deploy/kubernetes/job.yaml", REPOSITORY / "deploy/ray/rayjob.yaml"
SBATCH = REPOSITORY / "deploy/slurm/niah.sbatch"
SCRIPTS = [SBATCH, REPOSITORY / "tests/container.sh"]
PINS = dict(
    line.split("==") for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line
)

# fields of KubeRay's v1 types (rayjob_types.go, raycluster_types.go) that are not plain Kubernetes
RAY_FIELDS = {
    "RayJobSpec": {
        "activeDeadlineSeconds", "backoffLimit", "rayClusterSpec", "submitterPodTemplate", "metadata",
        "clusterSelector",
        "submitterConfig", "managedBy", "deletionStrategy", "entrypoint", "runtimeEnvYAML", "jobId", "submissionMode",
        "entrypointResources", "entrypointNumCpus", "entrypointNumGpus", "ttlSecondsAfterFinished",
        "shutdownAfterJobFinishes",
        "suspend",
    },
    "RayClusterSpec": {
        "headGroupSpec", "workerGroupSpecs", "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions",
        "headServiceAnnotations", "suspend",
    },
    "HeadGroupSpec": {"serviceType", "headService", "enableIngress", "rayStartParams", "template"},
    "WorkerGroupSpec": {
        "groupName", "replicas", "minReplicas", "maxReplicas", "numOfHosts", "rayStartParams", "template",
        "scaleStrategy",
    },
}


def tool(name: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """A command that a package of the ``test`` extra has put beside this Python."""
    beside = Path(sys.executable).parent / name
    return subprocess.run([beside, *map(str, arguments)], capture_output=True, text=True, timeout=60)


def documents(path: Path) -> list[dict]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def ray_groups() -> list[dict]:
    cluster = ray_job()["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def ray_job() -> dict:
    return next(document for document in documents(RAY) if document["kind"] == "RayJob")["spec"]


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
    assert COMPOSE["services"]["server"]["image"].endswith(f":v{PINS['vllm']}")
    assert ray_job()["rayClusterSpec"]["rayVersion"] == PINS["ray"]


def test_compose_file_meets_its_specification():
    done = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", REPOSITORY / "compose.yaml")
    assert done.returncode == 0, done.stdout


def test_every_service_is_hardened():
    for name, service in COMPOSE["services"].items():
        assert service["cap_drop"] == ["ALL"] and service["init"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


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


@pytest.mark.parametrize("document", documents(JOB), ids=lambda document: document["kind"])
def test_kubernetes_job_meets_its_schema(document):
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("template", [g["template"] for g in ray_groups()] + [ray_job()["submitterPodTemplate"]])
def test_pods_of_the_ray_job_meet_the_pod_schema(template):
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_ray_job_has_only_fields_that_kuberay_knows():
    spec = ray_job()
    cluster = spec["rayClusterSpec"]
    for kind, nodes in {
        "RayJobSpec": [spec], "RayClusterSpec": [cluster], "HeadGroupSpec": [cluster["headGroupSpec"]],
        "WorkerGroupSpec": cluster["workerGroupSpecs"],
    }.items():
        for node in nodes:
            assert not node.keys() - RAY_FIELDS[kind], kind


def test_ray_reads_two_nodes_of_eight_gpus():
    config = pytest.importorskip("ray.autoscaler._private.kuberay.autoscaling_config", reason="needs the ray extra")
    cluster = {"metadata": {"name": "niah", "namespace": "default"}, "spec": ray_job()["rayClusterSpec"]}
    read = config._derive_autoscaling_config_from_ray_cr(cluster)
    nodes = read["available_node_types"]
    assert [node["resources"]["GPU"] for node in nodes.values()] == [8, 8]
    assert read["max_workers"] == nodes["node"]["min_workers"] == 1  # the head is the other node
    assert "hardware=2x8xh100" in ray_job()["entrypoint"]


def claims(spec: dict) -> set[str]:
    return {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v}


@pytest.mark.parametrize("path", [JOB, RAY], ids=lambda path: path.name)
def test_pods_write_where_the_image_does(path):
    """A mount that is missing, or a claim nobody makes, shows on a cluster only after the weights were fetched."""
    made = {d["metadata"]["name"] for d in documents(path) if d["kind"] == "PersistentVolumeClaim"}
    made_of = ray_groups() if path == RAY else [documents(path)[-1]["spec"]]
    pods = [one["template"]["spec"] for one in made_of]
    for pod in pods:
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/outputs", "/cache", "/tmp", "/dev/shm"}
        assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
        assert claims(pod) == made


def commands() -> dict[str, list[str]]:
    job = next(document for document in documents(JOB) if document["kind"] == "Job")
    batch = re.findall(r"^# sbatch .*niah\.sbatch (.*)$", SBATCH.read_text(), re.MULTILINE)
    return {
        "job.yaml": job["spec"]["template"]["spec"]["containers"][0]["args"],
        "rayjob.yaml": shlex.split(ray_job()["entrypoint"])[3:],
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

"""Which machines train together, and which of them this one is: from flags, TF_CONFIG, Slurm or Kubernetes."""

import dataclasses
import json
import os
import re
from collections.abc import Mapping, Sequence

from kft import errors

FIRST_PORT = 12345


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers of a training.

    Args:
      workers: "host:port" of each; the first is the chief, who writes.
      index: which of them this process is.
      found_in: where this was read, for messages.
    """

    workers: tuple[str, ...]
    index: int
    found_in: str

    def __post_init__(self):
        wrong = [worker for worker in self.workers if not re.fullmatch(r"[\w.\-\[\]:]+:\d{1,5}", worker)]
        if wrong or len(set(self.workers)) < len(self.workers) or not self.workers:
            raise errors.InputError(
                f"Got workers {list(self.workers)!r} from {self.found_in}. Expected each worker's host:port, once. "
                "Correct them; all workers need the same list."
            )
        if not 0 <= self.index < len(self.workers):
            raise errors.InputError(
                f"Got worker index {self.index} from {self.found_in}. Expected one from 0 to {len(self.workers) - 1}. "
                "Correct it; each worker needs another."
            )

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints and results."""
        return self.index == 0

    def tf_config(self) -> str:
        """As TensorFlow reads it from the environment."""
        task = {"type": "worker", "index": self.index}
        return json.dumps({"cluster": {"worker": list(self.workers)}, "task": task})


def find_cluster(
    workers: Sequence[str] = (), worker_index: int = -1, *, environment: Mapping[str, str] | None = None
) -> Cluster:
    """The cluster that this process belongs to.

    The first of these that is there:

        workers        the list given, with worker_index; or -1 and the index from JOB_COMPLETION_INDEX (a Kubernetes
                       job with completionMode: Indexed), the number at the end of HOSTNAME (a StatefulSet), or
                       SLURM_PROCID
        TF_CONFIG      as TensorFlow and Kubeflow write it: its "chief" first, then its "worker"s
        Slurm          the hosts of SLURM_STEP_NODELIST, SLURM_STEP_TASKS_PER_NODE workers on each, and SLURM_PROCID;
                       ports from 12345 up on each host

    Args:
      workers: "host:port" of each.
      worker_index: which of them this process is; -1 to find it.
      environment: the process' own if None.

    Raises: InputError if there is nothing of these, or it cannot be read.
    Example:
      >>> find_cluster(("a:1", "b:1"), environment={"JOB_COMPLETION_INDEX": "1"}).index
      1
    """
    environment = os.environ if environment is None else environment
    if workers:
        found_in = "--workers"
        if worker_index < 0:
            worker_index, found_in = _index(environment)
        return Cluster(tuple(workers), worker_index, found_in)
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if "SLURM_PROCID" in environment:
        return _from_slurm(environment)
    raise errors.InputError(
        "Got strategy 'multi_worker' and nothing that tells of workers. Expected --workers=HOST:PORT,HOST:PORT and "
        "--worker_index, or TF_CONFIG, or Slurm's variables. For several workers on this machine, use "
        "experiments.launch."
    )


def _index(environment: Mapping[str, str]) -> tuple[int, str]:
    for name, pattern in (("JOB_COMPLETION_INDEX", r"(\d+)"), ("SLURM_PROCID", r"(\d+)"), ("HOSTNAME", r".*-(\d+)")):
        match = re.fullmatch(pattern, environment.get(name, ""))
        if match:
            return int(match[1]), name
    raise errors.InputError(
        "Got --workers and no index. Expected --worker_index, or JOB_COMPLETION_INDEX, SLURM_PROCID or a HOSTNAME "
        "that ends in it. Give --worker_index."
    )


def _from_tf_config(text: str) -> Cluster:
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        chiefs, workers = list(cluster.get("chief", ())), list(cluster.get("worker", ()))
        offset = {"chief": 0, "worker": len(chiefs)}[task["type"]]
        return Cluster(tuple(chiefs + workers), offset + int(task["index"]), "TF_CONFIG")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.InputError(
            f"Got TF_CONFIG={text!r}, which cannot be used: {error!r}. Expected "
            '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}. Correct it.'
        ) from error


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    try:
        hosts = hosts_of(environment.get("SLURM_STEP_NODELIST") or environment["SLURM_JOB_NODELIST"])
        counts = _counts(environment.get("SLURM_STEP_TASKS_PER_NODE") or environment["SLURM_TASKS_PER_NODE"])
        workers = [
            f"{host}:{FIRST_PORT + place}" for host, count in zip(hosts, counts, strict=True) for place in range(count)
        ]
        return Cluster(tuple(workers), int(environment["SLURM_PROCID"]), "Slurm's variables")
    except (KeyError, ValueError) as error:
        raise errors.InputError(
            f"Got variables of Slurm that cannot be used: {error!r}. Expected SLURM_STEP_NODELIST, "
            "SLURM_STEP_TASKS_PER_NODE and SLURM_PROCID. Start the workers with srun, or give --workers."
        ) from error


def hosts_of(nodelist: str) -> list[str]:
    """The hosts of a list as Slurm writes it.

    Example:
      >>> hosts_of("gpu[01-03,7],login")
      ['gpu01', 'gpu02', 'gpu03', 'gpu7', 'login']
    """
    hosts = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)?", nodelist):
        match = re.fullmatch(r"([^\[]*)\[([^\]]*)\](.*)", part)
        if not match:
            hosts.append(part)
            continue
        for numbers in match[2].split(","):
            first, _, last = numbers.partition("-")
            for number in range(int(first), int(last or first) + 1):
                hosts.append(f"{match[1]}{number:0{len(first)}d}{match[3]}")
    return hosts


def _counts(text: str) -> list[int]:
    """Slurm's "2(x3),1" is 2, 2, 2, 1."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise ValueError(f"tasks per node {text!r}")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts

"""Each way in which a process learns of the others."""

import json

import pytest

from kft import errors
from kft.distribute.cluster import Cluster, find_cluster, hosts_of

TWO = {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}
CHIEF = {"cluster": {"chief": ["c:9"], "worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}
SLURM = {
    "SLURM_STEP_NODELIST": "n[09-10],big",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_PROCID": "3",
}


@pytest.mark.parametrize(
    ("arguments", "environment", "workers", "index"),
    [
        ((("a:1", "b:2"), 1), {"TF_CONFIG": json.dumps(CHIEF)}, ("a:1", "b:2"), 1),
        ((("a:1", "b:2"),), {"JOB_COMPLETION_INDEX": "1"}, ("a:1", "b:2"), 1),
        ((("w-0.s:1", "w-1.s:1"),), {"HOSTNAME": "w-1"}, ("w-0.s:1", "w-1.s:1"), 1),
        ((), {"TF_CONFIG": json.dumps(TWO)}, ("a:1", "b:2"), 1),
        ((), {"TF_CONFIG": json.dumps(CHIEF)}, ("c:9", "a:1"), 1),
        ((), SLURM, ("n09:12345", "n09:12346", "n10:12345", "n10:12346", "big:12345"), 3),
    ],
)
def test_the_workers_are_found(arguments, environment, workers, index):
    cluster = find_cluster(*arguments, environment=environment)
    assert (cluster.workers, cluster.index) == (workers, index)
    assert find_cluster(environment={"TF_CONFIG": cluster.tf_config()}).workers == workers


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        ((), {}, "experiments.launch"),
        ((("a:1", "b:2"),), {}, "--worker_index"),
        ((("a:1", "b:2"), 2), {}, "from 0 to 1"),
        ((("a:1", "a:1"), 0), {}, "once"),
        ((("a", "b:2"), 0), {}, "host:port"),
        ((), {"TF_CONFIG": "{"}, "TF_CONFIG"),
        ((), {"TF_CONFIG": json.dumps({"cluster": {}})}, "task"),
        ((), {"SLURM_PROCID": "0"}, "srun"),
        ((), {**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2"}, "srun"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(arguments, environment, words):
    with pytest.raises(errors.InputError, match=words):
        find_cluster(*arguments, environment=environment)


def test_the_first_is_the_chief():
    assert Cluster(("a:1", "b:1"), 0, "").is_chief and not Cluster(("a:1", "b:1"), 1, "").is_chief


def test_hosts_as_slurm_writes_them():
    assert hosts_of("a,b[1,3-4]c,d") == ["a", "b1c", "b3c", "b4c", "d"]

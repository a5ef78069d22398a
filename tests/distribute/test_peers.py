"""What a worker hears of the others; in threads, with short times."""

import queue
import socket
import threading

import pytest

from kft.distribute.cluster import Cluster
from kft.distribute.peers import EXIT_PEER_LOST, PORT_OFFSET, Peers


def free_port():
    with socket.socket() as first:
        first.bind(("127.0.0.1", 0))
        port = first.getsockname()[1]
    return port if port + PORT_OFFSET < 2**16 else port - 2 * PORT_OFFSET


@pytest.fixture
def pair():
    """Chief and worker, and what each ended with."""
    workers = (f"127.0.0.1:{free_port()}", "127.0.0.1:1")
    ended, made = (queue.Queue(), queue.Queue()), {}

    def start(index):
        cluster = Cluster(workers, index, "the test")
        made[index] = Peers(cluster, silence_seconds=2.5, start_seconds=10, end=ended[index].put)

    threads = [threading.Thread(target=start, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    yield made, ended
    for peers in made.values():
        peers.close()


def test_a_line_that_breaks_ends_the_other(pair, capfd):
    made, ended = pair
    made[1]._lines[0].shutdown(socket.SHUT_RDWR)
    assert ended[0].get(timeout=2) == EXIT_PEER_LOST
    assert "worker 1 (127.0.0.1:1) is lost: its connection broke" in capfd.readouterr().err


def test_silence_ends_the_other_and_beats_do_not(pair, capfd):
    made, ended = pair
    with pytest.raises(queue.Empty):
        ended[0].get(timeout=3.5)
    made[1]._beat = None
    made[1]._lines = {}  # says nothing from now on
    assert ended[0].get(timeout=5) == EXIT_PEER_LOST
    assert "silent for 2.5 seconds" in capfd.readouterr().err


def test_a_goodbye_ends_nobody(pair):
    made, ended = pair
    made[1].close()
    with pytest.raises(queue.Empty):
        ended[0].get(timeout=3.5)


@pytest.mark.parametrize("index", [0, 1])
def test_who_waits_for_nobody_says_so(index):
    cluster = Cluster((f"127.0.0.1:{free_port()}", "127.0.0.1:1"), index, "the test")
    with pytest.raises(ConnectionError, match="worker 1|worker 0"):
        Peers(cluster, start_seconds=0.3)

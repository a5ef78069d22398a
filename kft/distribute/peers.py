"""Workers that hear of each other: when one is lost or hangs, the others end instead of waiting for ever."""

import atexit
import contextlib
import os
import socket
import sys
import threading
import time

from kft.distribute.cluster import Cluster

EXIT_PEER_LOST = 75
PORT_OFFSET = 1000
BEAT, GOODBYE = b".", b"q"
BEAT_SECONDS = 1.0


class Peers:
    """A line between the chief and each other worker, on which both say every second that they are there.

    The chief listens at its own port + 1000 (- 1000 above 64,535). Whose line breaks without a goodbye, or is silent
    for `silence_seconds`, is lost: then a worker says so and ends its process with exit code 75, whatever it is doing.
    As the chief ends when any worker is lost, and a worker when the chief is, all end. A process says goodbye when it
    ends by itself. The line is neither authenticated nor encrypted, as is all traffic of TensorFlow's workers.

    Args:
      cluster: of this process.
      silence_seconds: float > 0.
      start_seconds: float > 0, how long to wait for all others to come.
      end: called with the exit code when a peer is lost.
    """

    def __init__(self, cluster: Cluster, *, silence_seconds: float = 15.0, start_seconds: float = 300.0, end=os._exit):
        self.cluster, self.silence_seconds, self.end = cluster, silence_seconds, end
        self._lines: dict[int, socket.socket] = {}
        self._closing = False
        deadline = time.monotonic() + start_seconds
        if cluster.is_chief:
            self._accept(deadline)
        else:
            self._lines[0] = self._connect(deadline)
        for index, line in self._lines.items():
            line.settimeout(silence_seconds)
            threading.Thread(target=self._listen, args=(index, line), daemon=True, name=f"peer {index}").start()
        threading.Thread(target=self._beat, daemon=True, name="heartbeat").start()
        atexit.register(self.close)

    def close(self) -> None:
        """Says goodbye."""
        self._closing = True
        for line in self._lines.values():
            with contextlib.suppress(OSError):
                line.sendall(GOODBYE)
                line.close()

    def _place(self) -> tuple[str, int]:
        host, _, port = self.cluster.workers[0].rpartition(":")
        port = int(port)
        return host.strip("[]"), port + (PORT_OFFSET if port + PORT_OFFSET < 2**16 else -PORT_OFFSET)

    def _accept(self, deadline: float) -> None:
        host, port = self._place()
        with socket.create_server(("127.0.0.1" if host in ("127.0.0.1", "localhost") else "", port)) as server:
            while len(self._lines) < len(self.cluster.workers) - 1:
                missing = set(range(1, len(self.cluster.workers))) - self._lines.keys()
                server.settimeout(max(deadline - time.monotonic(), 0.01))
                try:
                    line, _ = server.accept()
                    line.settimeout(10.0)
                    index = int(line.recv(8).decode())
                except TimeoutError:
                    names = ", ".join(f"{number} ({self.cluster.workers[number]})" for number in sorted(missing))
                    raise ConnectionError(
                        f"Got no sign of worker {names}. Expected all {len(self.cluster.workers)} workers to start. "
                        f"See why they did not; they must reach {host}:{port}."
                    ) from None
                except (ValueError, OSError):
                    continue
                if index in missing:
                    line.sendall(BEAT)
                    self._lines[index] = line

    def _connect(self, deadline: float) -> socket.socket:
        place = self._place()
        while True:
            try:
                line = socket.create_connection(place, timeout=5.0)
                line.sendall(str(self.cluster.index).encode())
                line.settimeout(max(deadline - time.monotonic(), 5.0))
                if line.recv(1) == BEAT:
                    return line
            except OSError:
                pass
            if time.monotonic() > deadline:
                raise ConnectionError(
                    f"Got no answer from the chief at {place[0]}:{place[1]}. Expected worker 0 to start. See why it "
                    "did not, and whether the port is open."
                )
            time.sleep(0.2)

    def _beat(self) -> None:
        while not self._closing:
            for line in list(self._lines.values()):
                with contextlib.suppress(OSError):  # whoever listens on it finds out
                    line.sendall(BEAT)
            time.sleep(BEAT_SECONDS)

    def _listen(self, index: int, line: socket.socket) -> None:
        why = "its connection broke"
        try:
            while True:
                heard = line.recv(64)
                if GOODBYE in heard:
                    return
                if not heard:
                    break
        except TimeoutError:
            why = f"it has been silent for {self.silence_seconds:g} seconds"
        except OSError:
            pass
        if self._closing:
            return
        print(
            f"\nWorker {self.cluster.index}: worker {index} ({self.cluster.workers[index]}) is lost: {why}. Expected "
            f"it to go on. This worker ends with exit code {EXIT_PEER_LOST}; start all again, and they go on from the "
            "last checkpoint.",
            file=sys.stderr,
            flush=True,
        )
        self.end(EXIT_PEER_LOST)

"""Where the time of a run goes."""

import time


class Laps:
    """Seconds of the parts of something, one after the other.

    Example:
      >>> laps = Laps()
      >>> laps.end("reading data")
      >>> list(laps.seconds)
      ['reading data']
    """

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._began = time.perf_counter()

    def end(self, name: str) -> None:
        """What was done since the last end was this; equal names add up."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._began
        self._began = now

    def move(self, name: str, part: str, seconds: float) -> None:
        """So much of what was called `name` is called `part` now."""
        seconds = min(seconds, self.seconds.get(name, 0.0))
        self.seconds[name] -= seconds
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds

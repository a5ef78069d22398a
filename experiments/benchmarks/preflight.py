"""How long the pre-flight of many images takes, the first time and the second.

Writes JPEG files of random blocks, or takes a folder that is there; then loads and checks it in a process of its own,
first without a memory, then with it, as the start of a run that holds a part of the data out. Tells seconds, images per
second, and by how many bytes the process grew from the loaded source to the end of the pre-flight.

Example:
  python -m experiments.benchmarks.preflight --photos=/tmp/photos --num_images=20000 --size=128
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from absl import app
from absl import flags as absl_flags

NUM_CLASSES = 10
_START = """
import json, sys, time
began = time.perf_counter()
from kft import data
from kft.inspection import resources
import tensorflow as tf
imported = time.perf_counter()
source = data.load(f"folder:{sys.argv[1]}")
loaded = time.perf_counter()
before = resources.process_bytes()
report = data.check(source, find_alike=True, cache=sys.argv[2])
checked = time.perf_counter()
source.load(tf.constant(0, tf.int64))
digested = time.perf_counter()
source.digest()
print(json.dumps({
    "images": source.num_examples, "ok": report.ok, "import": imported - began, "load": loaded - imported,
    "pre-flight": checked - loaded, "first image": digested - checked, "digest": time.perf_counter() - digested,
    "peak growth (MiB)": (resources.process_bytes() - before) / 2**20,
}))
"""


def write_photos(folder: pathlib.Path, *, num_images: int, size: int) -> None:
    """JPEG files of smooth random blocks, all different, in NUM_CLASSES folders."""
    from PIL import Image

    random = np.random.default_rng(0)
    for index in range(num_images):
        if index < NUM_CLASSES:
            (folder / f"class_{index}").mkdir(parents=True)
        blocks = random.integers(0, 256, (9, 9, 3), np.uint8)
        image = Image.fromarray(blocks).resize((size, size), Image.Resampling.BICUBIC)
        image.save(folder / f"class_{index % NUM_CLASSES}" / f"{index:07}.jpg", quality=90)


def measure(photos: pathlib.Path, cache: pathlib.Path) -> dict[str, float]:
    """One start, in a process of its own."""
    run = subprocess.run([sys.executable, "-c", _START, photos, cache], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(run.stdout)


def _main(argv):
    del argv
    settings = absl_flags.FLAGS
    with tempfile.TemporaryDirectory() as scratch:
        photos = pathlib.Path(settings.photos or pathlib.Path(scratch) / "photos")
        if not photos.is_dir():
            write_photos(photos, num_images=settings.num_images, size=settings.size)
        rows = {name: measure(photos, pathlib.Path(scratch) / "cache") for name in ("first start", "second start")}
    print(f"{rows['first start']['images']:,} images in {photos}")
    for name, row in rows.items():
        parts = ", ".join(f"{part} {row[part]:.2f} s" for part in ("load", "pre-flight", "first image", "digest"))
        rate = row["images"] / row["pre-flight"]
        print(f"{name}: {parts}; {rate:,.0f} images/s; peak memory grew by {row['peak growth (MiB)']:.0f} MiB")


def main() -> None:
    """Runs the command."""
    absl_flags.DEFINE_string("photos", "", "A folder of images; it is made if it is not there. Empty: a temporary one.")
    absl_flags.DEFINE_integer("num_images", 20_000, "How many to make.", 1)
    absl_flags.DEFINE_integer("size", 128, "Their height and width.", 1)
    app.run(_main)


if __name__ == "__main__":
    main()

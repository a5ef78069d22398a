import os
import subprocess
import sys

from kft.data.native_words import NativeWords

CORRUPT = b"Corrupt JPEG data: 9 extraneous bytes before marker 0xd9\n"


def test_libjpegs_words_are_kept_back_and_the_others_go_on(tmp_path):
    former, file = os.dup(2), tmp_path / "words"
    with open(file, "wb") as stream:
        os.dup2(stream.fileno(), 2)  # here and not in a fixture, after which pytest sets its own
        try:
            with NativeWords() as words:
                assert words.size() == 0
                os.write(2, b"something else\n")
                before = words.size()
                os.write(2, CORRUPT)
                assert words.is_about_jpeg(before, words.size())
                assert not words.is_about_jpeg(0, before) and not words.is_about_jpeg(before, before)
                assert file.read_bytes() == b""
            assert file.read_bytes() == b"something else\n"
            os.write(2, b"after\n")
            assert file.read_bytes().endswith(b"after\n")
        finally:
            os.dup2(former, 2)
            os.close(former)


def test_progress_is_seen_at_once():
    program = (
        "import os, sys; from kft.data.native_words import NativeWords\n"
        "with NativeWords() as words:\n"
        "    os.write(2, b'second\\n'); print('first', file=words.stream, flush=True)\n"
        "print('third', file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stderr.split() == ["first", "second", "third"]


def test_without_a_standard_error_nothing_is_kept():
    program = (
        "import os; os.close(2)\nfrom kft.data.native_words import NativeWords\n"
        "with NativeWords() as words:\n    print(words.size(), words.stream)"
    )
    run = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.split() == ["0", "None"]

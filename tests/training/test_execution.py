"""What "auto" stands for, and compilations that nobody planned."""

import pytest
import tensorflow as tf

from kft.training.execution import Machine, check_compilations, choose, has_bfloat16
from tests.training.models import crossentropy, examples, make_model, padded


@pytest.mark.parametrize(
    ("machine", "encodes_text", "precision", "xla"),
    [
        (Machine(0, True), True, "mixed_bfloat16", False),
        (Machine(0, False), True, "float32", False),
        (Machine(0, True), False, "float32", False),
        (Machine(1, True), True, "float32", True),
    ],
)
def test_auto_takes_what_is_known_to_be_faster(machine, encodes_text, precision, xla):
    choice = choose(precision="auto", xla="auto", encodes_text=encodes_text, machine=machine)
    assert (choice.precision, choice.xla) == (precision, xla)
    assert "asked for" not in choice.reasons.values()


@pytest.mark.parametrize("xla", ["on", "off"])
def test_what_is_asked_for_is_done(xla):
    choice = choose(precision="mixed_float16", xla=xla, encodes_text=True, machine=Machine(1, True))
    assert (choice.precision, choice.xla) == ("mixed_float16", xla == "on")
    assert set(choice.reasons.values()) == {"asked for"}


def test_what_linux_tells_of_a_cpu(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text("processor : 0\nflags\t\t: fpu avx512f avx512_bf16 sse\n")
    assert has_bfloat16(file)
    file.write_text("processor : 0\nflags\t\t: fpu avx512f sse\n")
    assert not has_bfloat16(file) and not has_bfloat16(tmp_path / "none")


def test_a_second_shape_is_named():
    model = make_model()
    model.compile("sgd", crossentropy(), jit_compile=True)
    model.fit(padded(*examples(16), 8), verbose=0)
    check_compilations(model)
    forward = model._jitted[0]
    x, y = examples(4)
    forward(tf.constant(x), tf.constant(y), tf.ones(4))
    with pytest.raises(RuntimeError, match=r"Expected 1(.|\n)*4, 8"):
        check_compilations(model)

"""The proof itself: that it runs, and that it fails where a run differs."""

import sys
import threading

import pytest

from experiments import prove_resume, resume_victim, step_digests


def test_what_is_compared_differs_where_it_differs():
    same = dict.fromkeys(prove_resume.COMPARED, 1)
    assert prove_resume.differing(same, dict(same)) == []
    assert prove_resume.differing(same, same | {"best_epoch": 2}) == ["best_epoch"]


def test_the_step_at_which_a_run_began_to_differ_is_told_with_its_process(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    names = '["weight/a", "metric/0"]\n'
    whole.write_text(names + "[1, 11, 21]\n[2, 12, 22]\n[3, 13, 23]\n[4, 14, 24]\n")
    killed.write_text(f"{names[:14]}{names}[1, 11, 21]\n[2, 12, 2{names}[2, 12, 22]\n[3, 13, 23]\n[4, 14")
    assert step_digests.first_difference(whole, killed) == "No step that both have a digest of differs"
    killed.write_text(f"{names}[1, 11, 21]\n[2, 12, 2{names}[2, 12, 22]\n[4, 14, 99]\n")
    assert step_digests.first_difference(whole, killed) == (
        "After step 4 it was no longer equal, after step 2 it still was; in process 2, whose first step was 2; "
        "1 of 2 differ: metric/0"
    )


def test_the_stage_is_read_from_the_stack():
    def look():
        return resume_victim._stage_of({threading.main_thread().ident: sys._getframe()})

    def evaluate():
        return look()

    def fit():
        return look(), evaluate()

    def train_and_evaluate():
        return look(), *fit()

    assert train_and_evaluate() == ("starting", "training", "validating")


def test_a_folder_that_is_not_empty_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert prove_resume.main(["prove_resume", f"--workdir={tmp_path}"]) == 2
    assert "not empty" in capsys.readouterr().err


@pytest.mark.slow
def test_a_small_proof_with_its_negative_control(tmp_path, capsys):
    """R1 and R4 on the small recipe; experiments/README.md has the figures of the large one."""
    assert prove_resume.main(["prove_resume", "--kills=3", "--terminations=2", f"--workdir={tmp_path / 'new'}"]) == 0
    printed = capsys.readouterr().out
    assert "PROVEN" in printed and "NOT PROVEN" not in printed
    assert "control, without nothing: equal" in printed
    for run in ("killed_1", "terminated_1"):
        difference = step_digests.first_difference(
            tmp_path / "new" / "whole.digests", tmp_path / "new" / f"{run}.digests"
        )
        assert difference == "No step that both have a digest of differs"

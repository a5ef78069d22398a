from kft.data import progress


def test_it_is_silent_about_what_is_quick_and_tells_the_rest(capsys, monkeypatch):
    with progress.Progress("Reading a.csv", "lines") as told:
        told.update(1024)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.0)
    with progress.Progress("Reading a.csv", "lines", 4096) as told:
        told.update(1)
        told.update(2048)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Reading a.csv: 2,048 of 4,096 lines in") and "done" in lines[1] and len(lines) == 2

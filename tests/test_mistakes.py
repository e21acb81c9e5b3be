"""A user's mistakes, refused in a line that says what to mend."""

import re

import pytest
from conftest import Clone

BAD = [
    ("wd", "abc", "params.yaml: wd: expected a number ≥ 0, got 'abc'"),
    ("wd", "-1", "params.yaml: wd: expected a number ≥ 0, got -1"),
    ("wide.train.lr", "-1", "params.yaml: wide.train.lr: expected a number > 0, got -1"),
    ("line.data.trials", "2.5", "params.yaml: line.data.trials: expected an integer from 1 to 10⁷, got 2.5"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD)
def test_a_bad_value_ends_the_stage_with_one_line(key: str, value: str, message: str, reproduced: Clone) -> None:
    try:
        reproduced.set(key, value)
        result = reproduced.run("dvc", "repro", check=False)
        assert result.returncode != 0
        assert f"error: {message}" in result.stderr.splitlines()
        assert "Traceback" not in result.stdout + result.stderr
        changed = reproduced.run("git", "status", "--porcelain").stdout.split()
        assert set(changed) <= {"M", "params.yaml"}  # nothing else was asked for, nothing else was touched
    finally:
        reproduced.restore()


def test_a_step_beyond_stability_is_reported_with_the_limit(reproduced: Clone) -> None:
    """2/(largest eigenvalue of AᵀA/2 + λ) for A = [x, 1]: (17 + √269)/2 = 16.7006."""
    try:
        reproduced.set("line.train.lr", "0.12")
        result = reproduced.stage("stages.train", "line", "wd")
        assert result.returncode == 1
        limit = 2 / ((17 + 269**0.5) / 2 + 0.01)
        expected = f"expected a learning rate below the stability limit {limit:.6g}, got 0.12"
        assert result.stderr == f"error: line, wd: lr = 0.12 with λ = 0.01: {expected}\n"
    finally:
        reproduced.run("git", "checkout", "-q", ".")


def test_a_run_that_diverges_everywhere_fails_and_names_its_numbers(reproduced: Clone) -> None:
    try:
        reproduced.set("wide.train.lr", "5")
        result = reproduced.stage("stages.train", "wide", "wd")
        assert result.returncode == 1
        assert re.fullmatch(
            r"error: wide, wd: lr = 5 with λ = 3: expected a stable run, got divergence in every trial; "
            r"full-batch gradient descent is stable below lr = 0\.\d+, smaller batches need less\n",
            result.stderr,
        )
    finally:
        reproduced.run("git", "checkout", "-q", ".")


@pytest.mark.parametrize(
    "words",
    [
        tuple(f"stages.{words}".split())
        for words in ("evaluate wide", "train wide wd", "sweep wide", "plot wide", "explorer wide")
    ],
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_a_damaged_file_is_named_in_one_line(words: tuple[str, ...], damage: str, reproduced: Clone) -> None:
    path = reproduced.path / "data" / "wide.npz"
    content = path.read_bytes()
    try:
        path.unlink()
        if damage != "missing":
            path.write_bytes(content[:1000] if damage == "truncated" else b"hello")
        result = reproduced.stage(*words)
        assert result.returncode == 1
        assert result.stderr.startswith(
            "error: data/wide.npz: expected the arrays that `dvc repro` writes at stage generate@wide, got "
        )
        assert result.stderr.count("\n") == 1
    finally:
        path.unlink(missing_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "stage", "verbs"),
    [("wd", "train-wd@wide", "evaluate plot"), ("sweep", "sweep@wide", "evaluate explorer")],
)
def test_a_missing_archive_of_runs_is_named_in_one_line(name: str, stage: str, verbs: str, reproduced: Clone) -> None:
    path = reproduced.path / "data" / "wide" / f"{name}.npz"
    content = path.read_bytes()
    try:
        path.unlink()
        for verb in verbs.split():
            said = reproduced.stage(f"stages.{verb}", "wide")
            expected = f"data/wide/{name}.npz: expected the arrays that `dvc repro` writes at stage {stage}, got no file"
            assert (said.returncode, said.stderr) == (1, f"error: {expected}\n")
    finally:
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["metrics/details/wide.json", "metrics/wide_curves.csv"])
@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"wd": 1}', b"a,b\n1,2,3\n", b"\xff\xfe", None], ids=str)
@pytest.mark.parametrize("words", [("stages.plot", "wide"), ("stages.overview", "wide")], ids=str)
def test_a_foreign_result_is_named_in_one_line(
    words: tuple[str, ...], content: bytes | None, name: str, reproduced: Clone
) -> None:
    path = reproduced.path / name
    try:
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        result = reproduced.stage(*words)
        assert result.returncode == 1
        assert result.stderr.startswith(f"error: {name}: expected what `dvc repro` writes at stage evaluate@wide, got ")
        assert result.stderr.count("\n") == 1
    finally:
        reproduced.run("git", "checkout", "-q", ".")


def test_another_studys_file_is_refused(reproduced: Clone) -> None:
    path = reproduced.path / "data" / "line.npz"
    content = path.read_bytes()
    try:
        path.unlink()
        path.write_bytes((reproduced.path / "data" / "wide.npz").read_bytes())
        result = reproduced.stage("stages.train", "line", "wd")
        assert result.stderr.endswith("at stage generate@line, got an unexpected array 'noise'\n")
    finally:
        path.unlink()
        path.write_bytes(content)


@pytest.mark.parametrize(
    "words", [("stages.train", "wide"), ("stages.train", "wide", "x"), ("stages.plot", "; true"), ("stages.evaluate",)]
)
def test_a_wrong_word_is_answered_with_the_right_ones(words: tuple[str, ...], reproduced: Clone) -> None:
    result = reproduced.stage(*words)
    assert result.returncode == 1
    assert re.fullmatch(
        r"error: (?:python -m stages\.[a-z]+: expected|expected python -m stages\.[a-z]+) .*, got .*\n", result.stderr
    )


def test_runs_of_another_number_of_trials_are_named(reproduced: Clone) -> None:
    try:
        reproduced.set("wide.data.trials", "5")
        assert reproduced.stage("stages.generate", "wide").returncode == 0
        said = reproduced.stage("stages.evaluate", "wide")
        assert said.returncode == 1
        expected = "data/wide/sweep.npz: expected runs that were trained on data/wide.npz, got runs of other data"
        assert said.stderr == f"error: {expected}: dvc repro sweep@wide\n"
    finally:
        reproduced.restore()


@pytest.mark.parametrize(("key", "got"), [("extra.key", "'extra'"), ("wide.trian", "'trian'; did you mean 'train'?")])
def test_a_key_that_nothing_reads_is_refused_where_everything_is_up_to_date(key: str, got: str, reproduced: Clone) -> None:
    try:
        said = reproduced.run("dvc", "exp", "run", "-S", f"+{key}=1", check=False)
        assert said.returncode != 0
        assert re.search(rf"^error: params\.yaml.*: expected only .*, got {re.escape(got)}$", said.stderr, re.M)
    finally:
        reproduced.run("git", "checkout", "-q", ".")


@pytest.mark.parametrize("line", ["wd: 0b11", "<<: {wd: 1}"])
def test_yaml_that_others_read_otherwise_is_refused(line: str, reproduced: Clone) -> None:
    text = reproduced.read("params.yaml")
    try:
        changed = text.replace("wd: 3  ", f"{line}  ", 1) if line.startswith("wd") else f"{line}\n{text}"
        assert changed != text
        (reproduced.path / "params.yaml").write_text(changed, encoding="utf-8")
        said = reproduced.run("dvc", "repro", check=False)
        assert said.returncode != 0
        assert any(told.startswith("error: params.yaml") for told in said.stderr.splitlines())
        assert "Traceback" not in said.stderr
    finally:
        reproduced.run("git", "checkout", "-q", ".")

"""A suite file with a mistake gets one line: file, line number, what to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

from suites import SuiteError, schema, strict

GOOD = """\
suite: mine
version: 1
classes: 10
image_size: 32
domains: [uci, print, street]
eligible: ["uci:print"]
twins: []
backbones: [convnet]
recipes:
  convnet:
    train: {optimizer: adam, lr: 1e-3, batch: 32, epochs: 12, schedule: linear}
    protect:
      optimizer: sgd
      lr: 1
      batch: 32
      epochs: 12
      schedule: constant
tuned:
  ntl: {alpha: .1, cap: sample, joint: true, start: no}
grid:
  methods:
    - ntl[tuned]
  backbones: [convnet]
  pairs:
    - uci:print
    - uci:print+street
  seeds: [0, 1]
"""


def read(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return strict.read_yaml(path, schema.Suite)


def test_good_file(tmp_path):
    suite = read(tmp_path, GOOD)
    assert suite.recipes["convnet"].train.lr == 0.001
    assert suite.recipes["convnet"].protect == schema.Recipe(
        optimizer="sgd", lr=1.0, batch=32, epochs=12, schedule="constant"
    )
    # YAML 1.1 would make text of 1e-3 and False of `no`
    assert suite.tuned == {"ntl": {"alpha": 0.1, "cap": "sample", "joint": True, "start": "no"}}
    assert suite.grid.pairs == ["uci:print", "uci:print+street"] and suite.split_seed == 0


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("epochs: 12\n", "epoch: 12\n", 16, "unknown key 'epoch' in recipes.convnet.protect; did you mean 'epochs'?"),
        ("version: 1", "verison: 1", 2, "unknown key 'verison'; did you mean 'version'?"),
        ("tuned:", "zzz: 1\ntuned:", 18, "unknown key 'zzz'"),
        ("  seeds: [0, 1]\n", "", 20, "key 'seeds' is missing in grid"),
        ("classes: 10\n", "", 1, "key 'classes' is missing"),
        ("batch: 32\n", 'batch: "32"\n', 15, "recipes.convnet.protect.batch: input should be a valid integer, not '32"),
        ("lr: 1\n", "lr: -1\n", 14, "recipes.convnet.protect.lr: input should be greater than 0, not -1"),
        ("lr: 1\n", "lr: .nan\n", 14, "recipes.convnet.protect.lr: input should be"),
        ("lr: 1\n", "lr: true\n", 14, "recipes.convnet.protect.lr: input should be a valid number, not True"),
        ("optimizer: sgd", "optimizer: adamw", 13, "recipes.convnet.protect.optimizer: input should be 'adam'"),
        ("classes: 10", "classes: ten", 3, "classes: input should be a valid integer, not 'ten'"),
        ("    - uci:print\n", "    - 3\n", 25, "grid.pairs.0: input should be a valid string, not 3"),
        ("version: 1", "version: 1\nversion: 2", 3, "key 'version' is given twice, first in line 2"),
        ("      batch: 32\n", "      batch: 32\n      batch: 33\n", 16, "key 'batch' is given twice, first in line 15"),
        ("version: 1", "1: 1", 2, "key '1' must be a word"),
        ("version: 1", "version: [1", 3, "not valid YAML: "),
        ("version: 1", "version: !!python/object/apply:os.getcwd []", 2, "not valid YAML: could not determine"),
        ("version: 1", "version: 08", 2, "version: input should be"),
        ("version: 1", "version: &a [*a]", 2, "nested more than 20 deep"),
        ("[uci, print, street]", "[uci, prnt, street]", 5, "unknown domain 'prnt'; did you mean 'print'?"),
        ("[uci, print, street]", "[uci, print, street, uci]", 5, "domain 'uci' is listed twice"),
        ('["uci:print"]', '["uci:prints"]', 6, "pair 'uci:prints': the suite has no domain 'prints'; did you mean"),
        ('["uci:print"]', '["uci:print+street"]', 6, "cannot read pair 'uci:print+street'; write source:target"),
        ("twins: []", "twins: [uci]", 7, "cannot read pair 'uci'"),
        ("    - uci:print+street", "    - uci:print+uci-m", 26, "pair 'uci:print+uci-m': the suite has no domain"),
        ("    - uci:print+street", "    - uci:print+uci", 26, "pair 'uci:print+uci' names a domain twice"),
        ("      schedule: c", "      shift: 32\n      schedule: c", 17, "a shift of 32 moves an image of 32 pixels"),
        ("      schedule: c", "      shift: -1\n      schedule: c", 17, "recipes.convnet.protect.shift: input should"),
        ("backbones: [convnet]\nrec", "backbones: [convnet, vgg11]\nrec", 8, "backbone 'vgg11' has no recipe"),
        ("  backbones: [convnet]", "  backbones: [vgg11]", 23, "backbone 'vgg11' is not among the suite's backbones"),
    ],
)  # fmt: skip
def test_mistakes_name_file_and_line(tmp_path, old, new, line, message):
    assert GOOD.count(old) >= 1
    with pytest.raises(SuiteError) as error:
        read(tmp_path, GOOD.replace(old, new, 1))
    lines = str(error.value).split("\n")
    assert all(text.startswith(f"{tmp_path / 'mine.yaml'}:") for text in lines), lines
    assert any(text.startswith(f"{tmp_path / 'mine.yaml'}:{line}: {message}") for text in lines), lines


def test_all_mistakes_at_once_in_order_of_lines(tmp_path):
    with pytest.raises(SuiteError) as error:
        read(tmp_path, GOOD.replace("classes: 10", "clases: 10").replace("epochs: 12\n", "epochs: x\n"))
    where = [text.split(":")[1] for text in str(error.value).split("\n")]
    assert where == ["1", "3", "16"]  # missing `classes`, unknown `clases`, wrong `epochs`


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just words"])
def test_files_that_hold_no_keys(tmp_path, text):
    with pytest.raises(SuiteError, match=r"mine.yaml:1: expected keys and values"):
        read(tmp_path, text)


def test_unreadable_files(tmp_path):
    with pytest.raises(SuiteError, match=r"none.yaml: cannot be read \(No such file"):
        strict.read_yaml(tmp_path / "none.yaml", schema.Suite)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SuiteError, match=r"bytes.yaml: cannot be read"):
        strict.read_yaml(tmp_path / "bytes.yaml", schema.Suite)
    (tmp_path / "bell.yaml").write_bytes(b"suite: \x07\n")
    with pytest.raises(SuiteError, match=r"bell.yaml: not valid YAML") as error:
        schema.is_suite(tmp_path / "bell.yaml")
    assert "\n" not in str(error.value)


def test_names():
    assert {"digits-mini", "demo"} <= set(schema.builtin())
    assert schema.is_suite(schema.find("digits-mini")) and not schema.is_suite(schema.find("demo"))
    with pytest.raises(SuiteError, match=r"unknown suite 'digit-mini'; did you mean 'digits-mini'\?"):
        schema.load_suite("digit-mini")
    with pytest.raises(SuiteError, match=r"'demo' is a grid file, not a suite; run it with `mapbench run demo`"):
        schema.load_suite("demo")


def test_first_key_tells_the_kind(tmp_path):
    (tmp_path / "x.yaml").write_text("# comment\nname: x\n")
    with pytest.raises(SuiteError, match=r"x.yaml:2: the first key must be `suite:` or `grid:`"):
        schema.is_suite(tmp_path / "x.yaml")


@pytest.mark.parametrize("name", schema.builtin())
def test_files_that_ship_begin_with_their_command_and_are_named_as_they_are(name):
    path = schema.find(name)
    assert path.read_text().split("\n")[0].split("   ")[0] == f"# mapbench run {name}"
    if schema.is_suite(path):
        assert schema.load_suite(name).suite == name


def test_schema_loads_no_heavy_library():
    heavy = {"torch", "pandas", "numpy", "PIL", "sklearn", "ray", "mlflow", "matplotlib"}
    code = (
        "import sys; from suites import cache, schema; schema.load_suite('digits-mini');"
        f"print(sorted({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"

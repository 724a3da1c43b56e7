"""What a person typed becomes cells; every mistake is one line that says what, where and what to do."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness import UsageError
from harness.cards import cards
from harness.cells import Cell
from harness.forest import expand
from harness.grid import Filters, read, seeds_of, variant
from harness.plan import Plan
from suites import SuiteError
from suites.schema import load_suite
from tests.harness.conftest import QUICK

PRINTS = {("digits-mini", s): {d: f"{d}{s}" for d in ("uci", "uci-m", "print", "street")} for s in (0, 1)}


def cells(target: str = "digits-mini", **filters: tuple[str, ...]) -> list[Cell]:
    return expand(read(target, Filters(**{"attacks": ("none",)} | filters)), PRINTS)


def test_digits_mini_is_the_grid_the_issue_asks_for() -> None:
    """12 pairs, 4 sources for target-free ones, 3 seeds; every key once; parents before children."""
    made = cells()
    many = Counter(c.meta["method"] for c in made)
    assert many[None] == 12
    assert many["ntl"] == many["sa-map"] == many["sf-map"] == many["constant"] == 36
    assert many["df-map"] == many["continue"] == many["untrained"] == 12
    keys = [c.key for c in made]
    assert len(set(keys)) == len(keys)
    assert all(keys.index(c.meta["parent"]) < keys.index(c.key) for c in made if c.meta["parent"])


def test_one_source_model_is_shared_by_all_methods() -> None:
    made = cells(pairs=("uci-m:uci", "uci-m:print"), seeds=("0",), methods=("ntl", "cuti", "continue"))
    assert sum(c.meta["kind"] == "train" for c in made) == 1
    assert len({c.meta["parent"] for c in made if c.meta["parent"]}) == 1


def test_key_changes_with_what_defines_the_number_and_with_nothing_else() -> None:
    (a,) = (c for c in cells(methods=("ntl",), pairs=("uci:print",), seeds=("0",)) if c.meta["method"])
    (b,) = (c for c in cells(methods=("ntl[alpha=0.1]",), pairs=("uci:print",), seeds=("0",)) if c.meta["method"])
    (d,) = (c for c in cells(methods=("ntl[alpha=0.2]",), pairs=("uci:print",), seeds=("0",)) if c.meta["method"])
    assert a.key == b.key != d.key
    assert a.meta["variant"] == "ntl"
    assert d.meta["variant"] == "ntl[alpha=0.2]"


def test_methods_that_need_generated_images_share_one_synth_cell_per_source_model() -> None:
    made = cells(methods=("sf-map", "ntl-source-free"), pairs=("uci:print", "uci:street"), seeds=("0", "1"))
    synths = {c.key: c for c in made if c.meta["kind"] == "synth"}
    assert len(synths) == 2  # one for each seed's f_s
    users = [c for c in made if c.meta["kind"] == "protect"]
    assert len(users) == 8
    for cell in users:
        (above,) = cell.spec["inputs"]
        assert synths[above].meta["parent"] == cell.meta["parent"]
        assert cell.synthesisers == (synths[above].method,)
        assert cell.meta["scenario"] == "no source, unlabelled target"
    keys = [c.key for c in made]
    assert all(keys.index(key) < keys.index(c.key) for c in made for key in c.spec.get("inputs", ()))
    waits = {t.key: t.inputs for t in Plan(tuple(made), {}).tasks()}  # the scheduler holds them back until it is there
    assert all(waits[c.key] == tuple(c.spec["inputs"]) for c in users)


def test_a_synthesiser_trains_for_its_share_of_the_recipes_epochs() -> None:
    made = cells(methods=("df-map", "ntl-source-only"), pairs=("uci:print",), seeds=("0",))
    epochs = {c.meta["method"]: c.spec["recipe"]["epochs"] for c in made if c.meta["kind"] == "synth"}
    assert epochs == {"source-generator": 40, "source-neighbours": 20, "diversity-generator": 10}


def test_a_mask_control_hangs_on_the_cell_it_stands_beside() -> None:
    """Same f_s, target and settings; the one that the grid asked for by itself, where it did."""
    draws = tuple(f"random-mask[settings=tuned,draw={d}]" for d in range(5))
    made = cells(methods=("random-mask", "sa-map", *draws), pairs=("uci:print", "uci:street"), seeds=("0",))
    by_key = {c.key: c for c in made}
    controls = [c for c in made if c.meta["method"] == "random-mask"]
    assert len(controls) == len({c.key for c in controls}) == 12
    assert len(made) == 1 + 12 + 2 + 2  # f_s, the controls, sa-map as described and tuned
    for control in controls:
        beside = by_key[control.spec["inputs"][0]]
        assert (beside.meta["method"], beside.meta["targets"]) == ("sa-map", control.meta["targets"])
        assert beside.meta["tuned"] == (control.spec["params"]["settings"] == "tuned")
        assert beside.meta["parent"] == control.meta["parent"]
        assert control.synthesisers == (beside.method,)
    waits = {t.key: t.inputs for t in Plan(tuple(made), {}).tasks()}
    assert all(waits[c.key] == tuple(c.spec["inputs"]) for c in controls)


def test_a_mask_control_has_the_scenario_of_what_it_stands_beside() -> None:
    names = {"random-mask-source-free": "sf-map", "magnitude-mask-data-free": "df-map"}
    made = cells(methods=tuple(names), pairs=("uci:print",), seeds=("0",))
    by_method = {c.meta["method"]: c for c in made if c.meta["kind"] == "protect"}
    for control, method in names.items():
        assert by_method[control].meta["inputs"] == [by_method[method].key]
        assert by_method[control].meta["scenario"] == by_method[method].meta["scenario"]
        assert by_method[control].meta["targets"] == by_method[method].meta["targets"]


def test_a_control_beside_a_method_of_other_needs_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        '"""`mine`: beside sf-map."""\nfrom methods.base import Method\n\n\n'
        'class Mine(Method):\n    name = "mine"\n    control = True\n    beside = "sf-map"\n'
    )
    with pytest.raises(UsageError, match="mine stands beside sf-map, so its `needs` must be the same"):
        cells(methods=("mine",), extra_methods=(str(file),))


def test_a_synthesisers_params_are_the_suites_and_part_of_its_users_keys(tmp_path: Path) -> None:
    text = Path("tests/harness/quick.yaml").read_text()
    plain, other, wrong, unknown = (tmp_path / f"{name}.yaml" for name in ("plain", "other", "wrong", "unknown"))
    plain.write_text(text)
    other.write_text(text + "synthesis:\n  source-generator: {members: 2}\n")
    begins = tmp_path / "begins.yaml"
    begins.write_text(text + "synthesis:\n  source-generator: {start: init}\n")
    wrong.write_text(text + "synthesis:\n  source-generator: {member: 2}\n")
    unknown.write_text(text + "synthesis:\n  sauce-generator: {members: 2}\n")
    prints = {("quick", 0): {"uci": "a", "uci-m": "b"}}
    keys = [
        [c.key for c in expand(read(str(file), Filters(methods=("sf-map", "constant"))), prints)]
        for file in (plain, other)
    ]
    assert [a == b for a, b in zip(*keys, strict=True)] == [True, False, False, True]  # f_s, synth, sf-map, constant
    with pytest.raises(UsageError, match="source-generator has no param 'member': did you mean members"):
        read(str(wrong))
    with pytest.raises(UsageError, match="source-generator cannot start from init"):
        read(str(begins))
    with pytest.raises(UsageError, match="'sauce-generator': did you mean source-generator"):
        read(str(unknown))


def test_union_targets_are_sorted() -> None:
    (cell,) = (c for c in cells(methods=("ntl",), pairs=("uci:street+print",), seeds=("0",)) if c.meta["method"])
    assert cell.spec["targets"] == ["print", "street"]


GOLDEN = {  # on tests/harness/quick.yaml, under made-up fingerprints
    "ntl": "4210d999bacfae1f57c4c564b415e72c1b300b917f8dbfa0e87692eb966fb977",
    "cuti": "86acfaaec47ac404cf35e1231b82435b011ae2d5ddcf4e25f2b90985bdf96b5c",
    "sa-map": "043fa86f3446b1f8dc92a20669a58677553e3d4a8a86ef4d63216dca39eca2c9",
    "sa-map[tuned]": "032ceac97f23cb43f76c550f8beee463c2abe6235c6fec59ac9b4d4dc64c3d95",
}


def test_a_param_that_came_later_leaves_the_keys_of_older_cells_alone() -> None:
    """Golden, and so are the suite's recipe and the form of a spec: bump a version on purpose only."""
    prints = {("quick", 0): {"uci": "a", "uci-m": "b"}}
    for name, key in GOLDEN.items():
        assert expand(read(QUICK, Filters(methods=(name,))), prints)[-1].key == key, name
    (cell,) = (
        c for c in cells(methods=("ntl[bound=product]",), pairs=("uci:print",), seeds=("0",)) if c.meta["method"]
    )
    assert cell.spec["params"]["bound"] == "product"
    assert "tap" not in cell.spec["params"]
    assert cell.meta["params"]["tap"] == "early"


def test_a_fidelity_stands_for_its_params() -> None:
    suite, known = load_suite("digits-mini"), cards()

    def names(*said: str) -> list[str]:
        return [variant(text, known, suite, "x").name for text in said]

    paper = variant("ntl[fidelity=paper]", known, suite, "x")
    assert {k: paper.params[k] for k in ("bound", "kl_reduction", "tap")} == known["ntl"].fidelities["paper"]
    assert names("ntl[fidelity=released]", "ntl[fidelity=paper]") == ["ntl", "ntl[fidelity=paper]"]
    assert names("ntl[tap=embedding,bound=product,kl_reduction=batchmean]") == ["ntl[fidelity=paper]"]
    assert names("ntl[fidelity=paper,beta=1]") == ["ntl[fidelity=paper,beta=1]"]
    assert names("cuti[fidelity=paper,layers=drawn]") == ["cuti[kl_reduction=batchmean]"]
    cell = cells(methods=("ntl[fidelity=paper]",), pairs=("uci:print",), seeds=("0",))[-1]
    assert cell.meta["fidelity"] == "paper"
    assert "fidelity" not in cell.spec["params"]


MARKED = (
    "grid: mine\ngrids:\n  - {suite: digits-mini, watermarks: [80, 20], pairs: PAIRS, methods: [ntl], seeds: [0]}\n"
)
WITH = {k: {d + m: f"{f}{m}" for d, f in v.items() for m in ("", "@wm80", "@wm20")} for k, v in PRINTS.items()}


def marked(folder: Path, pairs: str, more: str = "") -> list[Cell]:
    file = folder / "mine.yaml"
    file.write_text(MARKED.replace("PAIRS", pairs) + more)
    return expand(read(str(file), Filters(attacks=("none",))), WITH)


def test_watermarks_give_every_domain_its_patched_form_and_ownership_one_pair_each(tmp_path: Path) -> None:
    made = marked(tmp_path, "ownership")
    assert all(set(c.spec["domains"]) == set(c.meta["domains"]) == set(WITH["digits-mini", 0]) for c in made)
    pairs = [(c.meta["source"], c.meta["targets"]) for c in made if c.meta["method"]]
    assert len(pairs) == 8
    assert all(targets in ([f"{source}@wm80"], [f"{source}@wm20"]) for source, targets in pairs)
    assert sum(c.meta["kind"] == "train" for c in made) == 4  # both watermarks share the clean f_s


def test_authorisation_trains_on_patched_images_and_blocks_all_else_by_one_cell(tmp_path: Path) -> None:
    made = marked(tmp_path, "'uci@wm80:*'")
    train, protect = made
    assert train.meta["source"] == protect.meta["source"] == "uci@wm80"
    assert set(protect.spec["targets"]) == set(WITH["digits-mini", 0]) - {"uci@wm80"}
    assert protect.label == "ntl convnet uci@wm80:* s0"


def test_parts_with_and_without_watermarks_keep_their_own_cells(tmp_path: Path) -> None:
    plain = "  - {suite: digits-mini, pairs: ['uci:print'], methods: [ntl], seeds: [0]}\n"
    both = {c.key for c in marked(tmp_path, "['uci:print']", plain)}
    alone = {c.key for c in cells(methods=("ntl",), pairs=("uci:print",), seeds=("0",))}
    assert alone < both and len(both) == 4
    assert len(read(str(tmp_path / "mine.yaml")).suites["digits-mini"]["domains"]) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[80, 256]", "mine.yaml:3: grids.0.watermarks.1: input should be less than or equal to 255, not 256"),
        ("80", "mine.yaml:3: grids.0.watermarks: input should be a valid array, not 80"),
    ],
)
def test_a_wrong_watermark_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(MARKED.replace("PAIRS", "all").replace("[80, 20]", text))
    with pytest.raises(SuiteError) as caught:
        read(str(file))
    assert message in str(caught.value)


def test_all_at_once_is_one_cell_a_source_and_costs_what_a_pair_costs() -> None:
    made = [c for c in cells(methods=("ntl",), pairs=("all-at-once", "uci:print"), seeds=("0",)) if c.meta["method"]]
    assert sorted(c.meta["targets"] for c in made if c.meta["source"] == "uci") == [
        ["print"],
        ["print", "street", "uci-m"],
    ]
    assert len(made) == 5
    assert len({c.cost for c in made}) == 1


@pytest.mark.parametrize("grid", ["ownership", "authorisation", "digits-mini-all-at-once"])
def test_shipped_grids_give_each_domain_its_pairs(grid: str) -> None:
    (part,) = read(grid).parts
    sources = [source for source, _ in part.pairs]
    assert {source.partition("@")[0] for source in sources} == {"uci", "uci-m", "print", "street"}
    assert len(sources) == (8 if grid == "ownership" else 4)


def test_start_is_a_param_of_every_method() -> None:
    suite, known = load_suite("digits-mini"), cards()
    assert variant("ntl[start=init]", known, suite, "x").params["start"] == "init"
    assert variant("ntl", known, suite, "x").params["start"] == "source"
    assert variant("untrained", known, suite, "x").params["start"] == "init"


def test_params_are_typed() -> None:
    suite, known = load_suite("digits-mini"), cards()
    params = variant("sa-map[cap=sample, lam=1, mask_lr=3e-2]", known, suite, "x").params
    assert (params["cap"], params["lam"], params["mask_lr"]) == ("sample", 1.0, 0.03)
    assert isinstance(params["lam"], float)
    assert variant("ntl[lr=none]", known, suite, "x").params["lr"] is None


def test_a_control_that_stands_beside_tuned_settings_needs_them() -> None:
    suite = load_suite("digits-mini").model_copy(update={"tuned": {}})
    with pytest.raises(UsageError, match="x: digits-mini lists no tuned settings for sf-map"):
        variant("random-mask-source-free[settings=tuned]", cards(), suite, "x")


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"methods": ("sa-mapp",)}, "command line: unknown method 'sa-mapp': did you mean sa-map?"),
        ({"methods": ("sa-map[kap=sample]",)}, "sa-map has no param 'kap': did you mean cap?"),
        ({"methods": ("sa-map[cap=images]",)}, "param cap of sa-map must be one of batch, sample, got 'images'"),
        ({"methods": ("sa-map[lam=much]",)}, "param lam of sa-map must be a number, got 'much'"),
        ({"methods": ("sa-map[lam=nan]",)}, "param lam of sa-map must be a number, got 'nan'"),
        ({"methods": ("sa-map[lam=-1]",)}, "param lam of sa-map must be 0 or more, got '-1'"),
        ({"methods": ("df-map[texture=-1]",)}, "param texture of df-map must be 0 or more, got '-1'"),
        ({"methods": ("sf-map[guard=1.5]",)}, "param guard of sf-map must be 0 to 1, got '1.5'"),
        ({"methods": ("sa-map[last_layer=no]",)}, "param last_layer of sa-map must be true or false, got 'no'"),
        ({"methods": ("constant[label=1e999]",)}, "param label of constant must be a whole number, got '1e999'"),
        (
            {"methods": ("constant[label=10]",)},
            "param label of constant is one of digits-mini's 10 classes, 0 to 9, got 10",
        ),
        ({"methods": ("sa-map[cap",)}, "cannot read method 'sa-map[cap'"),
        ({"methods": ("continue[tuned]",)}, "digits-mini lists no tuned settings for continue"),
        ({"methods": ("ntl[fidelity=fixed]",)}, "fidelity of ntl must be one of released, paper; got 'fixed'"),
        ({"methods": ("sa-map[fidelity=paper]",)}, "fidelity of sa-map must be as-described: there is no other"),
        ({"methods": ("random-mask[start=init]",)}, "random-mask cannot start from init"),
        (
            {"methods": ("random-mask-data-free",), "backbones": ("vgg11",)},
            "df-map needs source-generator, diversity-generator, and digits-mini has no synth recipe for vgg11",
        ),
        ({"methods": ("source-generator",)}, "source-generator is a synthesiser, not a method; used by"),
        ({"methods": ("sf-map[start=init]",)}, "sf-map cannot start from init: f_s is all that it has of the source"),
        (
            {"methods": ("sf-map",), "backbones": ("vgg11",)},
            "sf-map needs source-generator, and digits-mini has no synth recipe for vgg11",
        ),
        ({"backbones": ("vgg11bn",)}, "unknown backbone 'vgg11bn': did you mean vgg11_bn?"),
        ({"methods": ("cuti",), "backbones": ("vgg11",)}, "cuti is undefined on vgg11 at 32 px: its last tap is 1x1"),
        (
            {"pairs": ("uci:mnist",)},
            "pair 'uci:mnist': digits-mini has no domain 'mnist'; it has uci, uci-m, print, street",
        ),
        ({"pairs": ("uci",)}, "cannot read pair 'uci': write source:target"),
        ({"pairs": ("uci:uci",)}, "pair 'uci:uci' names a domain twice"),
        ({"precision": "bfloat16"}, "command line: unknown precision 'bfloat16': did you mean bf16?"),
        ({"seeds": ("two",)}, "cannot read seeds 'two'"),
        ({"seeds": ("3-1",)}, "cannot read seeds '3-1'"),
    ],
)
def test_a_mistake_is_one_line(filters: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, SuiteError)) as caught:
        read("digits-mini", Filters(**filters))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        read("digits-mini", Filters(methods=("ntll", "cutii"), pairs=("uci:x",)))
    assert len(str(caught.value).split("\n")) == 3


def test_unknown_suite_and_missing_file() -> None:
    with pytest.raises(SuiteError, match="did you mean"):
        read("digit-mini")
    with pytest.raises(UsageError, match=r"nowhere\.yaml: no such file"):
        read("nowhere.yaml")


def test_grid_file_with_an_unknown_key_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("grid: mine\ngrids:\n  - suite: digits-mini\n    seed: [0]\n")
    with pytest.raises(SuiteError) as caught:
        read(str(file))
    assert "4" in str(caught.value)
    assert "did you mean seeds" in str(caught.value).replace("'", "")


def test_in_a_cross_product_an_undefined_method_is_skipped_with_its_reason() -> None:
    made = cells(backbones=("vgg11",), pairs=("uci:print",), seeds=("0",))
    reasons = {c.meta["method"]: c.skip for c in made if c.skip and c.meta["kind"] == "protect"}
    assert "1x1" in str(reasons.pop("cuti"))
    assert reasons.keys() >= {"sf-map", "df-map", "ntl-source-only"}
    assert all("digits-mini has no synth recipe for vgg11" in str(why) for why in reasons.values())


def test_a_backbone_that_is_undefined_at_the_suites_size_is_refused(tmp_path: Path) -> None:
    small = tmp_path / "quick.yaml"
    small.write_text(Path(QUICK).read_text().replace("image_size: 32", "image_size: 24"))
    with pytest.raises(UsageError, match="quick: vgg11 needs images of at least 32 px, this suite has 24"):
        read(str(small), Filters(backbones=("vgg11",)))
    assert read(str(small), Filters(backbones=("convnet",))).parts


def test_val_and_split_seed_make_other_cells(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "grid: mine\ngrids:\n"
        "  - {suite: digits-mini, methods: [ntl], pairs: ['uci:print'], seeds: [0], attacks: []}\n"
        "  - {suite: digits-mini, methods: [ntl], pairs: ['uci:print'], seeds: [0], attacks: [], score: val}\n"
        "  - {suite: digits-mini, methods: [ntl], pairs: ['uci:print'], seeds: [0], attacks: [], split_seed: 1}\n"
    )
    assert len({c.key for c in expand(read(str(file)), PRINTS)}) == 6


def test_seeds() -> None:
    assert seeds_of("0,2-4") == (0, 2, 3, 4)

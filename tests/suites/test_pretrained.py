"""ImageNet weights from a file in the publisher's layout: what is taken from it, what is not, and what is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from suites import SuiteError, backbones, schema, strict
from suites.backbones import weights


def published(name: str) -> dict[str, torch.Tensor]:
    """A state_dict in the publisher's layout, 1000 classes, of random numbers; without the counters that BatchNorm
    did not have yet when most of these files were made."""
    from torchvision import models

    with torch.device("meta"):
        shaped = getattr(models, name)(weights=None).state_dict()
    big = ("classifier.0.", "classifier.3.")  # 480 MB of VGG that nobody reads
    shapes = {k: (1,) if k.startswith(big) else v.shape for k, v in shaped.items() if "num_batches" not in k}
    whole = {k for k, v in shaped.items() if v.dtype == torch.int64}
    return {k: torch.randint(9, s) if k in whole else torch.rand(s) for k, s in shapes.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


def saved(folder: Path, name: str, state: dict[str, torch.Tensor]) -> str:
    torch.save(state, folder / backbones.card(name).weights)
    return weights.fingerprint(name, folder)


@pytest.mark.parametrize("name", [n for n, c in backbones.CARDS.items() if c.weights])
def test_files_are_called_as_torchvision_calls_them(name: str) -> None:
    from torchvision import models

    assert models.get_model_weights(name).IMAGENET1K_V1.url.rsplit("/")[-1] == backbones.card(name).weights


def test_the_default_folder_is_torch_hubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for values in ({}, {"TORCH_HOME": str(tmp_path)}, {"XDG_CACHE_HOME": str(tmp_path / "x")}):
        for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        assert str(weights.hub_cache()) == torch.hub.get_dir() + "/checkpoints"


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet18", "swin_t"])
def test_the_backbone_is_the_publishers_and_the_head_the_seeds(name: str, folder: Path) -> None:
    state, head = published(name), backbones.card(name).head
    net = backbones.build(name, 10, 64, 3)
    drawn = {k: v.clone() for k, v in net.state_dict().items()}
    weights.load(net, name, folder, saved(folder, name, state))
    for key, value in net.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(value, drawn[key] if key.startswith(head) else state[key]), key
    assert sum(not k.startswith(head) for k in net.state_dict()) > 10


def test_vit_stretches_its_positions_to_the_image(folder: Path) -> None:
    state = published("vit_b_16")
    state["encoder.pos_embedding"][:, 1:] = 7.0  # a flat field stays flat, whatever its grid
    net = backbones.build("vit_b_16", 10, 64, 3)
    head = net.heads.head.weight.clone()
    weights.load(net, "vit_b_16", folder, saved(folder, "vit_b_16", state))
    positions = net.state_dict()["encoder.pos_embedding"]
    assert positions.shape == (1, 17, 768)
    assert torch.equal(positions[:, 0], state["encoder.pos_embedding"][:, 0])
    assert torch.allclose(positions[:, 1:], torch.tensor(7.0))
    key = "encoder.layers.encoder_layer_3.self_attention.in_proj_weight"
    assert torch.equal(net.state_dict()[key], state[key])
    assert torch.equal(net.heads.head.weight, head)


def test_a_file_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    name, net = "resnet18", backbones.build("resnet18", 10, 32, 0)
    good = published(name)
    for change, message in (
        ({k: v for k, v in good.items() if k != "layer3.0.conv1.weight"}, "it misses layer3.0.conv1.weight"),
        ({**good, "extra": torch.zeros(1)}, "it has extra, which the net has not"),
        ({**good, "conv1.weight": torch.zeros(64, 3, 3, 3)}, "size mismatch for conv1.weight"),
    ):
        with pytest.raises(SuiteError, match="does not fit resnet18") as error:
            weights.load(net, name, tmp_path, saved(tmp_path, name, change))
        assert message in str(error.value)
        assert "\n" not in str(error.value)


def test_a_damaged_a_changed_and_a_missing_file(tmp_path: Path) -> None:
    name, net = "resnet18", backbones.build("resnet18", 10, 32, 0)
    path = tmp_path / "resnet18-f37072fd.pth"
    with pytest.raises(SuiteError) as error:
        weights.fingerprint(name, tmp_path)
    assert str(error.value).startswith(f"resnet18 has init: imagenet, but {path} is not there: get it from https://")
    assert "--weights" in str(error.value) and "\n" not in str(error.value)
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(SuiteError, match="cannot be read as weights"):
        weights.load(net, name, tmp_path, weights.fingerprint(name, tmp_path))
    with pytest.raises(SuiteError, match="not the file the run was planned with"):
        weights.load(net, name, tmp_path, "0" * 64)
    with pytest.raises(SuiteError, match="convnet has no ImageNet weights"):
        weights.fingerprint("convnet", tmp_path)


def test_a_file_that_is_not_what_its_name_says_is_flagged() -> None:
    assert weights.flags("resnet18", f"imagenet:f37072fd{'0' * 56}") == []
    assert weights.flags("resnet18", f"imagenet:f37072fe{'0' * 56}") == ["not-the-publishers"]
    assert weights.flags("convnet", "random") == weights.flags("resnet18", "random") == []


def test_weights_that_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet18-f37072fd.pth"
    torch.save({"conv1.weight": subprocess.run}, path)
    with pytest.raises(SuiteError, match="cannot be read as weights"):
        weights.load(
            backbones.build("resnet18", 10, 32, 0), "resnet18", tmp_path, weights.fingerprint("resnet18", tmp_path)
        )


def test_a_suite_chooses_them_by_backbone(tmp_path: Path) -> None:
    text = schema.find("digits-mini").read_text()
    (tmp_path / "mine.yaml").write_text(text.replace("  vgg11:\n", "  vgg11:\n    init: imagenet\n"))
    suite = strict.read_yaml(tmp_path / "mine.yaml", schema.Suite)
    assert (suite.recipes["vgg11"].init, suite.recipes["convnet"].init) == ("imagenet", "random")
    for wrong, message in (
        ("convnet:\n    init: imagenet", "convnet has no ImageNet weights"),
        ("vgg11:\n    init: image", "recipes.vgg11.init: input should be 'random' or 'imagenet'"),
    ):
        (tmp_path / "mine.yaml").write_text(text.replace(f"  {wrong.split(':')[0]}:\n", f"  {wrong}\n"))
        with pytest.raises(SuiteError, match=message) as error:
            strict.read_yaml(tmp_path / "mine.yaml", schema.Suite)
        assert str(error.value).startswith(f"{tmp_path / 'mine.yaml'}:")

"""Who may use which font: 21 files that ship with matplotlib and Pillow, dealt into four hands that share none.

print and street get two hands each: one for train and attacker, one for val and test. Fonts are dealt family by family,
so that every hand holds one of each family; `split_seed` shuffles the fonts within a family. What no hand shares is the
file: DejaVu Sans and its bold may well be on two sides.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from suites.errors import SuiteError
from suites.splits import HALF, shuffled

if TYPE_CHECKING:
    from PIL import ImageFont

# A list, not a glob: a newer matplotlib with more fonts must not change the split. Its other fonts
# hold no digits, or (cmmi10, cmti10) old-style and swash ones that no other font resembles.
FAMILIES = {
    "sans": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    "mono": ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique"),
    "serif": ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic"),
    "stix": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta"),
    "modern": ("cmr10", "cmb10", "cmss10", "cmtt10"),
    "plain": ("Aileron",),
}
HANDS = (("print", "fitting"), ("print", "scoring"), ("street", "fitting"), ("street", "scoring"))


def hand(domain: str, part: str, split_seed: int) -> list[str]:
    """Names of the fonts that a part of print or of street may use."""
    wanted, hands = HANDS.index((domain, HALF[part])), shuffled("0123", "hands", split_seed)
    return [
        name
        for family, names in FAMILIES.items()
        for name, owner in zip(shuffled(names, "fonts", split_seed, family), hands, strict=False)
        if int(owner) == wanted
    ]


@cache
def load(name: str, size: int) -> ImageFont.FreeTypeFont:
    """A font at `size` pixels per em. SuiteError when the installed matplotlib does not ship it."""
    from PIL import ImageFont

    if name == "Aileron":  # Pillow's own default, embedded in its source
        font = ImageFont.load_default(size)
        if isinstance(font, ImageFont.FreeTypeFont):
            return font
        raise SuiteError("this Pillow was built without FreeType; install the wheel from the package index")
    path = _folder() / f"{name}.ttf"
    if not path.is_file():
        raise SuiteError(f"{path}: the font is missing from the installed matplotlib; reinstall matplotlib")
    return ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)


@cache
def _folder() -> Path:
    from importlib.util import find_spec

    found = find_spec("matplotlib")  # not imported: that is slow and makes a folder in the user's home
    if found is None or not found.submodule_search_locations:
        raise SuiteError("matplotlib, whose fonts print and street are made of, is not installed; install matplotlib")
    return Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf"


@cache
def em_for(name: str, height: int) -> int:
    """The em size at which the font's tallest digit is `height` pixels high; fonts differ by a third at one em."""
    top, bottom = zip(*((box[1], box[3]) for box in (load(name, 100).getbbox(d) for d in "0123456789")), strict=True)
    return max(1, round(100 * height / (max(bottom) - min(top))))

"""DomainNet, the cleaned version: 345 things in six kinds of pictures; 586,575 images.

    mapbench data domainnet

The publisher's lists say which images there are, so the zips, which still hold what was removed, serve as they are. A
label is the lists': their order is not that of sorted folders (cello before cell_phone, The_Eiffel_Tower among the
lower case), so a folder's place says nothing. The train and test list of a domain are taken together. At most 100
images of each class, as CUPI has it, of which the suite's rule takes all: NTLBench has no caps on DomainNet.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from suites.domains import Domain
from suites.domains._files import listed
from suites.domains._raw import Images, Raw
from suites.domains._trees import below, words

ROOTS = ("domain_net", "DomainNet", "domainnet")  # NTLBench's and DomainBed's, CUPI's, torchvision-like code's
COUNTS = {
    "clipart": 48129, "infograph": 51605, "painting": 72266, "quickdraw": 172500, "real": 172947, "sketch": 69128,
}  # fmt: skip
SUMS = {
    "clipart_train.txt": "b4349693a7f9c05c53955725c47ed6cb", "clipart_test.txt": "f5ddbcfd657a3acf9d0f7da10db22565",
    "infograph_train.txt": "379b50054f4ac2018dca4f89421b92d9", "infograph_test.txt": "779626b50869edffe8ea6941c3755c71",
    "painting_train.txt": "7db0e7ca73ad9982f6e1f7f3ef372c0a", "painting_test.txt": "232b35dc53f26d414686ae579e38d9b5",
    "quickdraw_train.txt": "b732ced3939ac8efdd8c0a889dca56cc", "quickdraw_test.txt": "c1a828fdfe216fb109f1c0083a252c6f",
    "real_train.txt": "8ebf02c2075fadd564705f0dc7cd6291", "real_test.txt": "6098816791c3ebed543c71ffa11b9054",
    "sketch_train.txt": "1233bd18aa9a8a200bf4cecf1c34ef3e", "sketch_test.txt": "d8a222e4672cfd585298aa14d02ea441",
}  # fmt: skip
CLASSES = words("""
    aircraft_carrier airplane alarm_clock ambulance angel animal_migration ant anvil apple arm asparagus axe backpack
    banana bandage barn baseball baseball_bat basket basketball bat bathtub beach bear beard bed bee belt bench
    bicycle binoculars bird birthday_cake blackberry blueberry book boomerang bottlecap bowtie bracelet brain bread
    bridge broccoli broom bucket bulldozer bus bush butterfly cactus cake calculator calendar camel camera camouflage
    campfire candle cannon canoe car carrot castle cat ceiling_fan cello cell_phone chair chandelier church circle
    clarinet clock cloud coffee_cup compass computer cookie cooler couch cow crab crayon crocodile crown cruise_ship
    cup diamond dishwasher diving_board dog dolphin donut door dragon dresser drill drums duck dumbbell ear elbow
    elephant envelope eraser eye eyeglasses face fan feather fence finger fire_hydrant fireplace firetruck fish
    flamingo flashlight flip_flops floor_lamp flower flying_saucer foot fork frog frying_pan garden garden_hose
    giraffe goatee golf_club grapes grass guitar hamburger hammer hand harp hat headphones hedgehog helicopter helmet
    hexagon hockey_puck hockey_stick horse hospital hot_air_balloon hot_dog hot_tub hourglass house house_plant
    hurricane ice_cream jacket jail kangaroo key keyboard knee knife ladder lantern laptop leaf leg light_bulb
    lighter lighthouse lightning line lion lipstick lobster lollipop mailbox map marker matches megaphone mermaid
    microphone microwave monkey moon mosquito motorbike mountain mouse moustache mouth mug mushroom nail necklace
    nose ocean octagon octopus onion oven owl paintbrush paint_can palm_tree panda pants paper_clip parachute parrot
    passport peanut pear peas pencil penguin piano pickup_truck picture_frame pig pillow pineapple pizza pliers
    police_car pond pool popsicle postcard potato power_outlet purse rabbit raccoon radio rain rainbow rake
    remote_control rhinoceros rifle river roller_coaster rollerskates sailboat sandwich saw saxophone school_bus
    scissors scorpion screwdriver sea_turtle see_saw shark sheep shoe shorts shovel sink skateboard skull skyscraper
    sleeping_bag smiley_face snail snake snorkel snowflake snowman soccer_ball sock speedboat spider spoon
    spreadsheet square squiggle squirrel stairs star steak stereo stethoscope stitches stop_sign stove strawberry
    streetlight string_bean submarine suitcase sun swan sweater swing_set sword syringe table teapot teddy-bear
    telephone television tennis_racquet tent The_Eiffel_Tower The_Great_Wall_of_China The_Mona_Lisa tiger toaster toe
    toilet tooth toothbrush toothpaste tornado tractor traffic_light train tree triangle trombone truck trumpet
    t-shirt umbrella underwear van vase violin washing_machine watermelon waterslide whale wheel windmill wine_bottle
    wine_glass wristwatch yoga zebra zigzag
""")  # fmt: skip


def _open(name: str, data: Path, raw: Raw) -> Images:
    folder = below(raw, data, ROOTS, (name,))
    root = folder.parent
    lists = []
    for half in ("train", "test"):
        file = f"{name}_{half}.txt"
        at = next((place / file for place in (root, root / "txt", data) if (place / file).is_file()), root / file)
        why = "is damaged, or these are the lists of the uncleaned version"  # whose names are the same
        lists.append(raw.whole(at, data, f"{ROOTS[0]}/{file}", why))
    return listed(raw, root, lists, CLASSES)


def _sums() -> dict[str, str]:
    return {f"{ROOTS[0]}/{file}": stated for file, stated in SUMS.items()}


DOMAINS = tuple(
    Domain(
        f"domainnet-{name}", f"DomainNet's {name} images, cleaned, at most 100 a class", CLASSES,
        per_class=100, capped=False,
        raw=Raw(
            "DomainNet",
            (
                f"domain_net/{{{','.join(COUNTS)}}}/CLASS/IMAGE",
                "domain_net/DOMAIN_train.txt and DOMAIN_test.txt, the cleaned version's lists (or in domain_net/txt/)",
            ),
            "from http://ai.bu.edu/M3SDA, `cleaned version`; clipart and painting are those of its folder groundtruth",
            partial(_open, name),
            count,
            _sums,
        ),
    )
    for name, count in COUNTS.items()
)  # fmt: skip

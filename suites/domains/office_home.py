"""Office-Home: 65 things of office and home as art, clip art, product pictures and photographs; 15,588 images.

    mapbench data office-home

The order of the 65 classes is fixed here, in ASCII's order (`TV` before `Table`), as NTLBench sorts them; CUPI takes
them as a disk lists them. NTLBench's folder is `office_home`, CUPI's is `office-home-65`, the zip's is its own.
"""

from suites.domains._trees import family, words

CLASSES = words("""
    Alarm_Clock Backpack Batteries Bed Bike Bottle Bucket Calculator Calendar Candles Chair Clipboards Computer Couch
    Curtains Desk_Lamp Drill Eraser Exit_Sign Fan File_Cabinet Flipflops Flowers Folder Fork Glasses Hammer Helmet
    Kettle Keyboard Knives Lamp_Shade Laptop Marker Monitor Mop Mouse Mug Notebook Oven Pan Paper_Clip Pen Pencil
    Postit_Notes Printer Push_Pin Radio Refrigerator Ruler Scissors Screwdriver Shelf Sink Sneakers Soda Speaker Spoon
    TV Table Telephone ToothBrush Toys Trash_Can Webcam
""")  # fmt: skip

DOMAINS = family(
    "Office-Home",
    (
        "office_home/{Art,Clipart,Product,Real World}/CLASS/IMAGE",
        "or the same in OfficeHomeDataset_10072016/ or office-home-65/",
    ),
    "from https://www.hemanthdv.org/officeHomeDataset.html: unzip OfficeHomeDataset_10072016.zip there",
    ("office_home", "OfficeHomeDataset_10072016", "office-home-65"),
    CLASSES,
    {
        "art": ("Office-Home's paintings, sketches and ornaments", 2427, ("Art",)),
        "clipart": ("Office-Home's clip art", 4365, ("Clipart",)),
        "product": ("Office-Home's product pictures, without background", 4439, ("Product",)),
        "real-world": ("Office-Home's photographs", 4357, ("Real World", "RealWorld", "Real_World")),
    },
)

"""PACS: seven things as photographs, paintings, cartoons and sketches; 9,991 images of 227x227.

    mapbench data pacs

One sketch, dog/n02103406_4068-1.png, is passed over by Dassl as faulty; NTLBench and DomainBed keep it, and so does
this. Should it not decode, the one line that says so names it.
"""

from suites.domains._trees import family

DOMAINS = family(
    "PACS",
    ("PACS/{photo,art_painting,cartoon,sketch}/CLASS/IMAGE", "or the same in kfold/ or PACS/kfold/, as the zip has it"),
    "from https://domaingeneralization.github.io: unzip PACS.zip (`Raw images`) there, and call kfold PACS",
    ("PACS", "PACS/kfold", "kfold"),
    ("dog", "elephant", "giraffe", "guitar", "horse", "house", "person"),
    {
        "pacs-photo": ("PACS' photographs", 1670, ("photo",)),
        "pacs-art": ("PACS' paintings", 2048, ("art_painting",)),
        "pacs-cartoon": ("PACS' cartoons", 2344, ("cartoon",)),
        "pacs-sketch": ("PACS' sketches", 3929, ("sketch",)),
    },
)

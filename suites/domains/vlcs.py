"""VLCS: photographs of five things from four collections, in DomainBed's layout; 10,729 images.

mapbench data vlcs
"""

from suites.domains._trees import family

DOMAINS = family(
    "VLCS",
    ("VLCS/{VOC2007,Caltech101,LabelMe,SUN09}/CLASS/IMAGE",),
    "DomainBed's VLCS.tar.gz (its script download.py fetches it), unpacked there",
    ("VLCS",),
    ("bird", "car", "chair", "dog", "person"),
    {
        "vlcs-voc2007": ("VLCS' part of PASCAL VOC 2007", 3376, ("VOC2007",)),
        "vlcs-caltech101": ("VLCS' part of Caltech-101", 1415, ("Caltech101",)),
        "vlcs-labelme": ("VLCS' part of LabelMe", 2656, ("LabelMe",)),
        "vlcs-sun09": ("VLCS' part of SUN09", 3282, ("SUN09",)),
    },
)

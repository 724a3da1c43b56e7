"""Which domains, splits, backbones and recipes: `mapbench list suites`, `mapbench list domains`.

    schema.py     the model of a suite file
    strict.py     the strict YAML reader, for suite and grid files
    domains/      one file, one data set or one domain; found by looking into the folder
    archives.py   unpacks what is published as an archive, safely
    pairs.py      source:target, unions and whole families of pairs, as a person writes them
    splits.py     the four disjoint parts of every domain, and how many images each has
    prepare.py    decodes and resizes a domain once, in threads, resumable
    cache.py      pixels as uint8 on disk, built once, fingerprinted
    backbones/    one file, one family of networks; ImageNet weights from a file
"""

from suites.errors import SuiteError

__all__ = ["SuiteError"]

"""Which domains, splits, backbones and recipes: `mapbench list suites`, `mapbench list domains`.

    schema.py     the model of a suite file, and the strict YAML reader
    domains/      one file, one domain; found by looking into the folder
    pairs.py      source:target, unions and whole families of pairs, as a person writes them
    splits.py     the four disjoint parts of every domain
    cache.py      pixels as uint8 on disk, built once, fingerprinted
    backbones/    one file, one family of networks; ImageNet weights from a file
"""

from suites.errors import SuiteError

__all__ = ["SuiteError"]

"""`skep.yaml`: what a source says of itself, over what is recognised and under what its owner says."""

from skep.library.frameworks.skep_yaml.framework import FILE, SkepYaml, declared_name

__all__ = ["FILE", "SkepYaml", "declared_name"]

"""All parts, in the order of the page."""
from tools.trust.mutants import PART as MUTANTS

PARTS = {part.name: part for part in (MUTANTS,)}

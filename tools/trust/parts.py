"""All parts, in the order of the page."""
from tools.trust import calls, damage, kills, mutants, outputs

PARTS = {part.name: part for part in (outputs.PART, mutants.PART, damage.PART, calls.PART, kills.PART)}

"""All parts, in the order of the page."""
from tools.trust import calls, damage, kills, outputs

PARTS = {part.name: part for part in (outputs.PART, damage.PART, calls.PART, kills.PART)}

"""All parts, in the order of the page."""
from tools.trust import outputs

PARTS = {part.name: part for part in (outputs.PART,)}

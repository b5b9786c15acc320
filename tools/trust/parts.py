"""All parts, in the order of the page."""
from tools.trust import kills

PARTS = {part.name: part for part in (kills.PART,)}

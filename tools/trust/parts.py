"""All parts, in the order of the page."""
from tools.trust import damage

PARTS = {part.name: part for part in (damage.PART,)}

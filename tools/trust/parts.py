"""All parts, in the order of the page."""
PARTS = {part.name: part for part in ()}

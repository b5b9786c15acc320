"""What XOR Lab promises, tried again: `python3 lab.py trust`.  Each part is a module; parts.py lists them."""

"""What `launch_faults.py` injects: the grid under attack and its faults, single bits, this machine's processes."""

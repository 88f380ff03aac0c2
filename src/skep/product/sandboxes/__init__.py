"""An isolated place with files, processes, limits, and no network but the doors that Skep opens."""

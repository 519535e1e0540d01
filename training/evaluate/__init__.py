"""Score predictions against a folder of cases: ``saros evaluate``."""

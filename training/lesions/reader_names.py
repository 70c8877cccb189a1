"""What the simulated reader does and when the masks are scored: names that pages need without what computes."""

READERS = ("strikes", "adds", "resizes")  # each does what those before it do, too
AFTER = (0, 1, 2, 3, 5, 10)  # actions
ALL = "all"

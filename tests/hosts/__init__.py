"""Starters of real servers for tests, the demo and benchmarks. Each listens on loopback, on a free port, in a folder of its
own, and is stopped by process id; none outlives the Python process that started it."""

"""Benchmarks of the testbed, the probe and the package, run by ``make bench``.

Each module measures one thing by a function that the tests use too,
and, run as a program, prints a table beside its targets
and writes the numbers to ``build/bench/<name>.json``.
"""

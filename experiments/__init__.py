"""The commands of kft: binaries, recipes and benchmarks."""

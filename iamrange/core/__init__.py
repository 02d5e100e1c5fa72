"""The types that every room shares: values and a clock, standard library only, no I/O."""

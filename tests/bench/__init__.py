"""The benchmark: `make bench`. What Millrace reaches on this machine, beside what it is compared with."""

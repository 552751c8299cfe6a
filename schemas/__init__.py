"""The language every Millrace process speaks: events, metrics, usage, money, time and errors. No I/O."""

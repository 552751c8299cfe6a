"""`python -m invoicer.cli`: the `millrace` command without an installed script."""

from invoicer.cli import main

main()

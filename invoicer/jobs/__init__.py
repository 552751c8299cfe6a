"""What the invoicer does on its own as time passes."""

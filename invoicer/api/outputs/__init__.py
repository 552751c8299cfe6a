"""What the API answers: one model per resource, built from the database's row by `of`."""

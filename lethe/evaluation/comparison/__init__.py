"""Methods compared with each other and with retraining: rows, tables, files, pictures."""

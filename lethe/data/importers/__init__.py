"""Importers: what turns original data into the form of `lethe.data.parquet`, one file each."""

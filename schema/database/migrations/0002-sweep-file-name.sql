-- By which people know the file that a sweep was submitted from.
ALTER TABLE sweeps ADD COLUMN file_name TEXT;  -- without its directory; NULL: not known, or imported results

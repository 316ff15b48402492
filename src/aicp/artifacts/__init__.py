"""Where bytes live: content-addressed files, verified and de-duplicated."""

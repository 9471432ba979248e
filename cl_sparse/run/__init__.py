"""From a plan to result files: the session, one run, its record and checkpoint, dry run, progress."""

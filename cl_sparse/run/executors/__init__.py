"""Where trials run: each way takes a trial and gives the path of its result file."""

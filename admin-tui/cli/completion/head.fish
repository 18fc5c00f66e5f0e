# Completion of credswap for fish, as `credswap completion fish` prints it.

# Completion of credswap for bash, as `credswap completion bash` prints it.

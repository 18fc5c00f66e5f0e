#compdef credswap
# Completion of credswap for zsh, as `credswap completion zsh` prints it.

# shellcheck shell=bash disable=SC2034 # sourced by run.sh, which gives and takes the variables
# credswap with two workers: what they cost each other (locks, shared lines) shows even where both share a CPU.
# shellcheck source=bench/peers/credswap.sh
. bench/peers/credswap.sh
PEER_MODES="keepalive fresh sse"
PEER_WORKERS=2

# shellcheck shell=sh
git clone -q "$REPOSITORY" work

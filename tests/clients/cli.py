"""The command-line clients: installed from their own lock file, each with a private home."""
import glob
import os


def command_folder(modules, place):
    """A folder with the commands themselves: npm's links lead to scripts that --ignore-scripts left undone."""
    folder = os.path.join(place, "bin")
    os.mkdir(folder)
    for found in glob.glob(os.path.join(modules, "@anthropic-ai", "claude-code-linux-*", "claude")):
        os.symlink(found, os.path.join(folder, "claude"))
    os.symlink(os.path.join(modules, ".bin", "gemini"), os.path.join(folder, "gemini"))
    return folder

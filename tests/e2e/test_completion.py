"""Completion, as bash, zsh and fish themselves do it."""
import contextlib
import os
import pty
import re
import select
import subprocess
import tempfile
import time
import unittest

from harness import CONSOLE, LabCase, clean_env

# a line up to the cursor, and words that must and must not be offered
LINES = (
    ("", ("account", "pool", "requests", "completion"), ("add", "--json")),
    ("acc", ("account",), ("pool",)),
    ("account ", ("add", "list", "drain", "rm"), ("account", "team-1")),
    ("account show ", ("acct-1", "acct-2"), ("alice",)),
    ("account set acct-1 sta", ("state=up", "state=drain", "state=off"), ("weight=",)),
    ("account set acct-1 weight=3 state=dr", ("state=drain",), ("state=up",)),
    ("account add --kind ", ("service", "api-key"), ("acct-1",)),
    ("account add --pool=", ("gemini", "claude"), ("acct-1",)),
    ("client set ", ("alice",), ("acct-1",)),
    ("client set alice --st", ("--state",), ("--pool",)),
    ("client add x --service ", ("gemini", "claude"), ("alice",)),
    ("pool set ", ("gemini", "claude"), ("acct-1",)),
    ("pool set gemini acct-1=2 ", ("acct-1=", "acct-2="), ("gemini",)),
    ("host rm ", ("*-aiplatform.googleapis.com", "api.anthropic.com"), ("alice",)),
    ("host set x ", ("swap", "tunnel", "deny"), ()),
    ("usage --by ", ("client", "account", "model", "hour"), ("alice",)),
    ("usage --client ", ("alice",), ("acct-1",)),
    ("requests --fo", ("--follow",), ("--json",)),
    ("requests --", ("--follow", "--status", "--json", "--config"), ("--kind",)),
    ("events --kind ", ("audit", "alarm", "info"), ()),
    ("env --shell=f", ("fish",), ("sh",)),
    ("--json requests --account ", ("acct-1", "acct-2"), ("alice",)),
    ("completion ", ("bash", "zsh", "fish"), ("names",)),
    ("backup sav", ("saved-file",), ()),
)


class Completion(LabCase):
    LAB = {"accounts": 2, "claude": False, "start": False}

    @classmethod
    def setUpClass(cls):
        from harness import Lab
        cls.lab = Lab(**cls.LAB)
        cls.place = cls.lab.path("shells")
        os.mkdir(cls.place)
        for shell, name in (("bash", "credswap.bash"), ("zsh", "_credswap"), ("fish", "credswap.fish")):
            with open(os.path.join(cls.place, name), "w", encoding="ascii") as f:
                f.write(cls.lab.cs("completion", shell).stdout)
        with open(cls.lab.path("saved-file"), "w", encoding="ascii"):
            pass

    def env(self, **more):
        path = os.path.dirname(CONSOLE) + ":" + os.environ["PATH"]
        return clean_env(PATH=path, CREDSWAP_CONFIG=self.lab.conf, HOME=self.place, LC_ALL="C.UTF-8", **more)

    def run_shell(self, *command):
        done = subprocess.run(command, env=self.env(), cwd=self.lab.dir, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), command)
        return done.stdout.splitlines()

    def check(self, offered_for, whole):
        """OFFERED_FOR(line): the words offered; WHOLE(line, word): WORD as that shell would put it there."""
        for line, wanted, unwanted in LINES:
            with self.subTest(line):
                offered = offered_for("credswap " + line)
                for word in wanted:
                    self.assertIn(whole(line, word), offered)
                for word in unwanted:
                    self.assertNotIn(whole(line, word), offered)

    BASH = r"""
      source "$1"
      line=$2
      COMP_LINE=$line COMP_POINT=${#line}
      # the words as readline would hand them over
      read -ra COMP_WORDS < <(sed 's/[=:]/ & /g' <<<"$line")
      case $line in *[\ =]) COMP_WORDS+=('') ;; esac
      COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
      [[ $(complete -p credswap) == 'complete -F _credswap credswap' ]] || exit 9
      _credswap credswap "${COMP_WORDS[COMP_CWORD]}" ''
      ((${#COMPREPLY[@]})) && printf '%s\n' "${COMPREPLY[@]}"
      exit 0
    """

    def test_bash(self):
        script = os.path.join(self.place, "credswap.bash")

        def whole(line, word):  # bash replaces what stands behind the last =
            last = line.split(" ")[-1]
            return word.replace("*", "\\*").removeprefix(last[:last.find("=") + 1] if not last.startswith("-") else "")
        self.check(lambda line: self.run_shell("bash", "--norc", "-c", self.BASH, "bash", script, line), whole)

    def test_bash_by_the_key(self):
        """The whole machinery: readline, its word breaks, the space that follows or not."""
        script = os.path.join(self.place, "credswap.bash")
        for typed, put in (("credswap account sho", "credswap account show "), ("credswap pool set gemini acct-2", "acct-2="),
                           ("credswap account set acct-1 state=dr", "state=drain "), ("credswap env --shell=fi", "--shell=fish "),
                           ("credswap client show al", "show alice ")):
            with Terminal(["bash", "--norc", "--noprofile", "-i"], self.env(TERM="dumb", PS1="> "), self.lab.dir) as terminal:
                terminal.send(f"bind 'set bell-style none'; source {script}; echo rea''dy\n")
                terminal.wait("ready")
                terminal.send(typed + "\t")
                self.assertIn(put, terminal.wait(put))

    def test_zsh(self):
        """The whole machinery: what Tab puts in, and what delete-char-or-list shows."""
        setup = (f"fpath=({self.place} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt automenu; LISTMAX=1000; "
                 "PS1='pro''mpt> '\n")
        with Terminal(["zsh", "-f", "-i"], self.env(TERM="dumb", COLUMNS="200"), self.lab.dir) as terminal:
            terminal.send(setup)
            self.assertIn("prompt> ", terminal.wait("prompt> "))
            for line, wanted, unwanted in LINES:
                with self.subTest(line):
                    typed = line.split(" ")[-1]
                    typed = typed.split("=", 1)[-1] if typed.startswith("--") else typed
                    terminal.send("\x15")  # forget the line before
                    terminal.settle()
                    terminal.send("credswap " + line + ("\t" if len(wanted) == 1 else "\x04"))
                    if len(wanted) == 1:
                        wanted = (wanted[0].removeprefix(typed),)
                    shown = terminal.wait(wanted[-1], also=wanted).replace("credswap " + line, " ")
                    for word in wanted:
                        self.assertIn(word, shown)
                    for word in unwanted:
                        self.assertNotRegex(shown, rf"(?m)(^|  ){re.escape(word)}( |\r|$)")

    def test_fish(self):
        script = os.path.join(self.place, "credswap.fish")

        def offered(line):
            found = self.run_shell("fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line)
            return [word.split("\t")[0] for word in found]

        def whole(line, word):
            last = line.split(" ")[-1]
            return (last[:last.find("=") + 1] if last.startswith("--") else "") + word
        self.check(offered, whole)

    def test_names_fail_in_silence(self):
        for args in (("--config", "/nonexistent/file", "completion", "names", "account"), ("completion", "names", "odd")):
            done = subprocess.run([CONSOLE, *args], env=clean_env(CREDSWAP_CONFIG=self.lab.conf), capture_output=True, text=True,
                                  timeout=20, check=False, stdin=subprocess.DEVNULL)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))
        self.lab.cs("completion", "tcsh", status=64)
        self.lab.cs("completion", "bash", "names", status=64)

    def test_a_name_that_is_none_does_not_get_to_a_shell(self):
        self.lab.sql("insert into pool (name) values ('$(touch x)'), ('a b');")
        self.assertEqual(sorted(self.lab.cs("completion", "names", "pool").stdout.split()), ["claude", "gemini"])
        self.lab.sql("delete from pool where name in ('$(touch x)', 'a b');")


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, command, env, folder):
        self.command, self.env, self.folder = command, env, folder

    def __enter__(self):
        own, theirs = pty.openpty()
        self.fd = own
        self.process = subprocess.Popen(self.command, stdin=theirs, stdout=theirs, stderr=theirs, env=self.env, cwd=self.folder,
                                        start_new_session=True, close_fds=True)
        os.close(theirs)
        self.seen = ""
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.fd)

    def send(self, text):
        self.seen = ""
        os.write(self.fd, text.encode())

    def settle(self):
        """Waits until nothing more is shown."""
        while select.select([self.fd], [], [], 0.3)[0]:
            os.read(self.fd, 65536)

    def wait(self, word, also=(), seconds=20):
        """What is shown since the last send, once WORD and ALSO stand there, or SECONDS are over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not (word in self.seen and all(w in self.seen for w in also)):
            if select.select([self.fd], [], [], 0.2)[0]:
                with contextlib.suppress(OSError):
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.seen)


class Installed(unittest.TestCase):
    def test_cmake_puts_them_into_their_places(self):
        import harness
        with tempfile.TemporaryDirectory() as place:
            done = subprocess.run(["cmake", "--install", harness.BUILD, "--prefix", place], capture_output=True, text=True,
                                  timeout=120, check=False, env=clean_env())
            self.assertEqual(done.returncode, 0, done.stderr)
            for name, word in (("bash-completion/completions/credswap", "complete -F"), ("zsh/site-functions/_credswap", "#compdef"),
                               ("fish/vendor_completions.d/credswap.fish", "complete -c credswap"), ("man/man1/credswap.1", ".Dt")):
                with open(os.path.join(place, "share", name), encoding="utf-8") as f:
                    self.assertIn(word, f.read())

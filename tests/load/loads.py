"""The tests. Each takes (full, minutes), returns its figures in one line, or raises."""
import contextlib
import statistics
import time

import longlived
from harness import until
from lab import MEGABYTE, LoadLab, Repeat, is_exact, require

TESTS = []


class Test:
    """is_long: only with --full, or when named. needs_exact: not with a build that has a sanitizer in it."""

    def __init__(self, function, is_long=False, needs_exact=True):
        self.name = function.__name__
        self.function = function
        self.is_long = is_long
        self.needs_exact = needs_exact

    def run(self, full, minutes):
        return self.function(full, minutes) if self.is_long else self.function(full)


def test(function):
    TESTS.append(Test(function))
    return function


def test_of_any_build(function):
    TESTS.append(Test(function, needs_exact=False))
    return function


def long_test(function):
    TESTS.append(Test(function, is_long=True))
    return function


def mb(count):
    return f"{count / MEGABYTE:.1f} MiB"


# ---- memory ----


def bulk(mode, full):
    """One body in one direction: what the peak of resident memory grows by."""
    size = (2048 if full else 256) * MEGABYTE
    with contextlib.closing(LoadLab()) as lab:
        lab.warm()
        before = lab.status("VmRSS")
        done = lab.load(mode, "-c", 1, "-b", size, "-o", "-s", 300).result(330)
        growth = lab.status("VmHWM") - before
        require(growth < 8 * MEGABYTE, f"peak RSS grew by {mb(growth)}")
        return f"{mb(size)} in {done['seconds']:.1f} s, peak RSS grew by {mb(growth)}"


@test
def down(full):
    return bulk("down", full)


@test
def up(full):
    return bulk("up", full)


def held(mode, full, most):
    """Clients or providers that stop reading: what one of them makes the daemon hold."""
    count = 300 if full else 80
    # Who is gone while nothing is read of him is not seen to be gone: the drain ends by its limit.
    with contextlib.closing(LoadLab(conf={"run": {"drain_timeout": 2}})) as lab:
        lab.warm()
        found = lab.load(mode, "-c", count, "-b", 64 * MEGABYTE, "-s", 3).result(120)
        each = found["pss_kb_per_conn"]
        require(each <= most, f"{each:.1f} KiB for each of {count}")
        return f"{each:.1f} KiB for each of {count}"


@test
def unread(full):
    """256 KiB of bytes, and four TLS objects."""
    return held("unread", full, 256 + 36)


@test
def stall(full):
    return held("stall", full, 256 + 36)


@test
def idle(full):
    count = 10000 if full else 1500
    with contextlib.closing(LoadLab()) as lab:
        lab.warm()
        before = lab.status("RssAnon")
        found = lab.load("idle", "-c", count, "-s", 2).result()
        each = found["pss_kb_per_conn"]
        require(each <= 18, f"{each:.2f} KiB for each of {count}")
        settle(lab, None)
        # libevent keeps a few bytes for every descriptor's number, each in a page between others that are free.
        bound = before + 4 * MEGABYTE + each * 1024 * count / 4
        returned = until(lambda: lab.status("RssAnon") <= bound, 20)
        after = lab.status("RssAnon")
        require(returned, f"they have left, but {mb(after)} of anonymous memory stay, {mb(before)} were before")
        return f"{each:.2f} KiB PSS for each of {count} connections; {mb(before)} before them, {mb(after)} after them"


# ---- HTTP/2, gRPC, WebSocket ----

STREAMS, STALLED, UPSTREAMS = 100, 10, 4
WINDOW = 128 << 10  # STREAM_WINDOW of proxy/http/stream.h
PIECE = 16 << 10    # queued bytes lie in pieces of so many
OUT = 256 << 10     # what a connection may have put and not sent
UNREAD = 256 << 10  # the window of load and origin
STORE = 2 << 20     # of pages that SQLite keeps for the writer; it takes some each second until it has them


@test
def streams(full):
    """50 that ask, 30 of events, 10 that are not read, 10 whose upload is not taken, on one connection; the provider takes 25
    streams on each of its own."""
    seconds = 300 if full else 5
    # Of what stalls the daemon holds what its own window lets in. Of an upload it also keeps the start for another account:
    # all that came, what the provider's window took and what waits.
    waits = WINDOW + PIECE
    bound = STALLED * waits + STALLED * (UNREAD + WINDOW + waits) + (1 + UPSTREAMS) * OUT + STORE + 2 * MEGABYTE
    sizes = []
    # What stalls is silent for longer than a provider may be by default.
    with contextlib.closing(LoadLab(h2=STREAMS // UPSTREAMS, conf={"upstream": {"read_timeout": 2 * seconds + 60}})) as lab:
        lab.warm()
        connections = lab.cloud
        before = lab.status("VmRSS")
        run = lab.load("h2-mixed", "-n", STREAMS, "-g", 200, "-s", seconds)
        with Repeat(seconds / 20, lambda: sizes.append(lab.status("VmRSS"))):
            done = run.result(seconds + 60)
        growth = lab.status("VmHWM") - before
        n = len(sizes)
        second, last = statistics.median(sizes[n // 4:n // 2]), statistics.median(sizes[n * 3 // 4:])
        answers = lab.metrics()["credswap_own_answers_total"]
        lab.stop(40)
        connections.stop()
        figures = (f"{done['units']:.0f} answers and {done['events']:.0f} events in {done['seconds']:.0f} s beside {STALLED} and {STALLED} streams that stall, p50"
                   f" {done['p50_us']:.0f} us, p99 {done['p99_us']:.0f} us; each had at least {done['least']:.0f} answers; {connections.h2_connections}"
                   f" connections to the provider; peak RSS grew by {mb(growth)}, bound {mb(bound)}; RSS in the second and the last quarter"
                   f" {mb(second)}, {mb(last)}")
        require(answers == 0, answers, "own answers:", figures)
        require(done["unread"] == UNREAD, "a stream that should stall did not, at", done["unread"], "bytes:", figures)
        require(UNREAD <= done["untaken"] <= UNREAD + 2 * WINDOW, "of an upload that should stall", done["untaken"], "bytes went:", figures)
        require(done["least"] >= 5 * seconds, "a stream was stalled by others:", figures)
        require(done["events"] >= 0.9 * 30 * 5 * seconds, "events are missing:", figures)
        require(connections.h2_connections <= UPSTREAMS, figures)
        require(growth < bound and last - second < STORE, figures)
        return figures


@test
def grpc(full):
    """Messages in both directions at once, each comes back; trailers at the end."""
    size = (1024 if full else 64) * MEGABYTE
    with contextlib.closing(LoadLab(h2=STREAMS)) as lab:
        lab.warm()
        before = lab.status("VmRSS")
        done = lab.load("h2-grpc", "-b", size, "-o", "-s", 600).result(630)
        growth = lab.status("VmHWM") - before
        require(done["bytes"] == size, done)
        require(growth < 8 * MEGABYTE, f"peak RSS grew by {mb(growth)}")
        return f"{mb(size)} in each direction in {done['seconds']:.1f} s, peak RSS grew by {mb(growth)}"


@test
def websocket(full):
    seconds = 600 if full else 10
    found = longlived.talk(seconds)
    figures = (f"{found['sent']} messages in each direction in {found['seconds']:.1f} s, {found['pings']} pings from each side, in order,"
               f" p50 {found['p50_ms']:.2f} ms, p99 {found['p99_ms']:.2f} ms; peak RSS grew by {mb(found['growth'])}")
    require(found["seconds"] <= seconds * 1.05 + 2, "slower than 100 a second:", figures)
    require(found["growth"] < 2 * MEGABYTE, figures)
    return figures


# ---- time ----


@test
def sse(full):
    count, seconds = (2000, 20) if full else (400, 5)
    how = ["-c", count, "-g", 200, "-s", seconds]
    with contextlib.closing(LoadLab()) as lab:
        lab.warm()
        lab.go_first()
        direct = lab.load("sse", *how, direct=True).result()
        through = lab.load("sse", *how).result()
        added = through["p50_us"] - direct["p50_us"]
        figures = (f"{count} streams, {through['units'] / through['seconds']:.0f} events/s, none lost, p50 {through['p50_us']:.0f} us"
                   f" (direct {direct['p50_us']:.0f}), p99 {through['p99_us']:.0f} us (direct {direct['p99_us']:.0f}),"
                   f" worker busy {through['busy']:.2f}")
        require(through["units"] >= 0.98 * count * 5 * seconds, "events are missing:", figures)
        require(added < 1000, "added p50 is not below 1 ms:", figures)
        return figures


@test
def workers(full):
    """CPU time of a request with two workers against one, in turns; the best round of each.  Neighbours can only make a round
    dearer, by half at times: as long as the bests differ too much, each gets further rounds, up to ten."""
    seconds = 5 if full else 2
    figures = {1: [], 2: []}

    def best(number):
        return min(figures[number])
    with contextlib.closing(LoadLab(workers=1, pinned=False)) as one, contextlib.closing(LoadLab(workers=2, pinned=False)) as two:
        for lab in (one, two):
            lab.warm()
            lab.go_first()
        for n in range(10):
            for number, lab in ((1, one), (2, two)):
                found = lab.load("keepalive", "-c", 128, "-s", seconds).result()
                figures[number].append(found["cpu_us_per_unit"])
            if n >= 2 and best(2) <= 1.1 * best(1):
                break
    ratio = best(2) / best(1)
    text = f"{best(1):.1f} us with one, {best(2):.1f} us with two: x{ratio:.2f} {figures}"
    require(ratio <= 1.1, text)
    return text


# ---- coming and going ----


def held_now(lab):
    return lab.fds(), lab.connections(), lab.status("VmRSS")


def settle(lab, fds):
    """Waits until the last clients' connections are gone; upstream connections may stay pooled."""
    require(until(lambda: lab.connections() == 0, 20), "connections stay:", lab.connections())
    if fds is not None:
        require(until(lambda: lab.fds() <= fds + 64, 20), "descriptors stay:", lab.fds(), "before", fds)


@test_of_any_build
def churn(full):
    seconds = 30 if full else 5
    with contextlib.closing(LoadLab(workers=2, pinned=False)) as lab:
        lab.warm()
        for mode in ("fresh", "abort"):
            lab.load(mode, "-c", 32, "-b", MEGABYTE // 2, "-s", 3).result()
        settle(lab, None)
        fds, _, before = held_now(lab)
        runs = [lab.load("fresh", "-c", 16, "-s", seconds), lab.load("abort", "-c", 32, "-b", MEGABYTE // 2, "-s", seconds)]
        done = [r.result() for r in runs]
        settle(lab, fds)
        now, _, after = held_now(lab)
        figures = (f"{done[0]['units']:.0f} connections served and {done[1]['units']:.0f} aborted; descriptors {fds} -> {now},"
                   f" RSS {mb(before)} -> {mb(after)}")
        require(after - before < 4 * MEGABYTE or not is_exact(), figures)
        return figures


@test_of_any_build
def reload(full):
    """SIGHUP and edits of the store under load: no request fails."""
    seconds = 30 if full else 6
    with contextlib.closing(LoadLab(workers=2, pinned=False, accounts=2)) as lab:
        lab.warm()
        edits = iter(range(1, 1 << 30))

        def edit():
            lab.sql(f"update pool_member set weight = {1 + next(edits) % 7} where account like '%1'")
        runs = [lab.load("keepalive", "-c", 32, "-s", seconds), lab.load("fresh", "-c", 4, "-s", seconds),
                lab.load("sse", "-c", 50, "-e", 10, "-g", 50, "-s", seconds)]
        with Repeat(0.2, lambda: lab.signal(1)) as hups, Repeat(0.3, edit) as edited:
            done = [r.result() for r in runs]
        require(hups.count > 10 and edited.count > 5, hups.count, edited.count)
        answers = sum(r["answers"] for r in done)
        require(lab.metrics()["credswap_own_answers_total"] == 0, "own answers")
        return f"{answers} requests, {hups.count} reloads, {edited.count} edits, none failed"


@test_of_any_build
def drain(full):
    """SIGTERM under load, however many have come until then: what runs is finished, nothing is cut, exit 0."""
    streams, events = (500 if full else 100, 25) if is_exact() else (12, 75)
    with contextlib.closing(LoadLab(workers=2, pinned=False)) as lab:
        lab.warm()
        settle(lab, None)  # the last of them are counted when they end, which is after their answers came
        so_far = int(lab.metrics()['credswap_requests_total{code="2xx"}'])
        runs = [lab.load("sse", "-c", streams, "-e", events, "-g", 200, "-o", "-k", "-s", 60), lab.load("keepalive", "-c", 32, "-k", "-s", 60),
                lab.load("down", "-c", 4, "-b", 64 * MEGABYTE if is_exact() else MEGABYTE, "-o", "-k", "-s", 60)]
        require(until(lambda: lab.metrics()["credswap_exchanges"] >= streams // 4, 20), "the streams did not start")
        begin = time.monotonic()
        lab.stop(40)  # fails unless it exits 0
        seconds = time.monotonic() - begin
        done = [r.result() for r in runs]
        require(done[1]["left"] == 32, done)
        whole = done[0]["answers"]
        require(done[0]["units"] == whole * events and whole >= streams // 4 and whole + done[0]["left"] == streams, done)
        answers, answered = so_far + sum(r["answers"] for r in done), lab.cloud.stop()
        require(answers == answered, f"the provider gave {answered} answers, clients had {answers}")
        return f"{whole} streams and {answered} answers came whole, the daemon ended after {seconds:.1f} s"


# ---- the long one ----

COLUMNS = ("minute", "rss_mib", "anon_mib", "fds", "connections", "requests", "cpu_s")
FLAT = 0.03
FLAT_MIB = 1.0


def sample(lab, begin):
    """Anonymous pages are the daemon's alone; of PSS a part goes up whenever another program that shares a library ends."""
    figures = lab.metrics()
    return {"minute": (time.monotonic() - begin) / 60, "rss_mib": lab.status("VmRSS") / MEGABYTE, "anon_mib": lab.status("RssAnon") / MEGABYTE,
            "fds": lab.fds() or 0, "connections": int(figures["credswap_connections"]),
            "requests": int(sum(v for k, v in figures.items() if k.startswith("credswap_requests_total"))), "cpu_s": lab.cpu_s()}


def show(row):
    print("      " + " ".join(f"{row[c]:>12.2f}" if isinstance(row[c], float) else f"{row[c]:>12}" for c in COLUMNS), flush=True)


def require_flat(rows):
    """The last quarter against the one before it, by their medians."""
    n = len(rows)
    require(n >= 8, "too few samples:", n)
    third, last = rows[n // 2:n * 3 // 4], rows[n * 3 // 4:]
    text = []
    for name, slack in (("rss_mib", FLAT_MIB), ("anon_mib", FLAT_MIB), ("fds", 16), ("connections", 8)):
        was, now = (statistics.median(r[name] for r in part) for part in (third, last))
        text.append(f"{name} {was:.1f} -> {now:.1f}")
        require(now <= was + max(slack, was * FLAT), "not flat:", text[-1])
    return ", ".join(text)


@long_test
def soak(_full, minutes):
    seconds = int(minutes * 60)
    gap = min(30.0, seconds / 36)
    with contextlib.closing(LoadLab(workers=2, pinned=False, accounts=2)) as lab:
        lab.warm()
        runs = [lab.load("keepalive", "-c", 8, "-s", seconds), lab.load("fresh", "-c", 2, "-s", seconds),
                lab.load("sse", "-c", 100, "-g", 200, "-e", 50, "-s", seconds),
                lab.load("abort", "-c", 4, "-b", MEGABYTE // 2, "-s", seconds)]
        print("      " + " ".join(f"{c:>12}" for c in COLUMNS), flush=True)
        begin, rows = time.monotonic(), []
        while time.monotonic() < begin + seconds - gap / 2:
            time.sleep(gap)
            rows.append(sample(lab, begin))
            show(rows[-1])
        done = [r.result() for r in runs]
        settle(lab, None)
        return f"{sum(r['answers'] for r in done)} requests in {minutes:g} min; {require_flat(rows)}"

#!/usr/bin/env python3
"""seeds.py FOLDER: writes inputs to start from into FOLDER/TARGET, out of the tables of the other tests.

The tables: tests/unit/http/vectors.h (compiled), the requests and answers of tests/e2e/*vectors.py (their
seeds()) and of test_smuggling.py. What a target wants before the bytes (fuzz/NAME.c says it) is put there.
"""
import hashlib
import importlib
import pathlib
import subprocess
import sys
import tempfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
E2E = ROOT / "tests" / "e2e"
MAX = 16000  # what a target looks at
REQUESTS = {"h1_request": (b"\x00", b"\x16", b"\x07"), "framing_diff": (b"\x00", b"\x09"), "head_write": (b"\x00", b"\x14"),
            "connect": (b"\x00",)}
ANSWERS = {"h1_answer": (b"\x02", b"\x0a", b"\x04"), "head_write": (b"\x02",), "parent": (b"\x00",), "daemon_answer": (b"",),
           "token_answer": (b"\x00\xc8",)}
PLAIN = {
    "connect": [b"\x00CONNECT a.test:443 HTTP/1.1\r\nHost: A.test.\r\nProxy-Authorization: Basic "
                b"YTpnZW1pbmktYWxpY2UtMDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n\x16\x03\x01",
                b"\x01CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]\r\nProxy-Authorization: basic "
                b"Z2VtaW5pLWFsaWNlLTAxMjM0NTY3ODlhYmNkZWY6\r\n\r\nrest",
                b"\x00CONNECT a.test:443 HTTP/1.1\r\nHost: b.test\r\nProxy-Authorization: Basic YTo\r\n\r\n",
                b"\x00CONNECT a.test:443 HTTP/1.1\r\nProxy-Authorization: Basic ZW5kZWQtY2xpZW50\r\n\r\n",
                b"\x00GET http://a.test/x HTTP/1.1\r\nHost: a.test:80\r\n\r\n",
                b"\x00GET http://a.test/x HTTP/1.1\r\nHost: b.test\r\n\r\n", b"\x00GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\x00GET /vertex/v1/projects/p/locations/us/x HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\x00GET /vertex/v1/projects/p/locations/us-east1/x HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\x00GET /v1/projects/p/locations/global/x HTTP/1.1\r\nHost: a\r\n\r\n",
                b"\x00GET /gemini/v1beta/x HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00GET /anthropic/v1/x HTTP/1.1\r\nHost: a b\r\n\r\n"],
    "hello": [b"\x0b\x00\x09\x00\x00\x06a.test\x02h2\x08http/1.1", b"\x0b\x00\x09\x00\x00\x07a.test\x08http/1.1",
              b"\x0b\x00\x09\x01\x00\x06a.test\x09http/1.1", b"\x04\x00\x02\x00\x00\x03abc", b"\x00\x08http/1.0\x08http/1.1"],
    "parent": [b"\x00HTTP/1.1 200 ok\r\n\r\nrest", b"\x00HTTP/1.1 407 no\r\nA: b\r\n\r\n", b"\x00SSH-2.0\r\n\r\n",
               b"\x01http://u:p%40ss@proxy.test:3128/", b"\x01http://proxy.test:3128", b"\x01https://proxy.test:1",
               b"\x01http://u%zz%4@[::1]:8080", b"\x01http://proxy.test", b"\x01http://%41%6a%4G@h:1",
               b"\x01http://" + b"u" * 257 + b"@h:1", b"\x00" + b"HTTP/1.1 200 " + b"x" * 8200],
    "command": [b'{"cmd":"status"}', b'{"cmd":"refresh","account":"a"}', b'{"cmd":"test","account":"a"}', b'{"cmd":"forget","account":"a"}', b'{"cmd":"x"}\r',
                b'{"cmd":"figures"}', b'{"cmd":"live","limit":500}', b'{"cmd":"live","limit":-1.5e3}', b'{"cmd":"end","id":"cs_0123456789abcdef"}',
                b'{"cmd":"trust"}', b'{"cmd":"leaves","limit":1,"limit":2}',
                b'{"cmd":"status","cmd":"x"}', b'{"cmd":7}', b"[]", b'{"cmd":"\\u0000"}', b"{" * 20, b'{"a":[[[[[[[[[]]]]]]]]]}',
                b'{"cmd":"status"} x', b'{"cmd":"a\\"b"}', b'{"cmd":"\0"}', b""],
    "seal": [bytes([k, i, j]) + text for k in range(4) for i, j in ((0, 1), (1, 1), (0, 4), (0, 5), (0, 6), (0, 7))
             for text in (b"", b"0123456789abcdef0123456789abcdef", b"\x01" + b"n" * 60)],
    "auth_scan": [bytes([8, 0, 3, how]) + b"gemini-alice-0123" + text for how in range(0, 256, 3)
                  for text in (b"", b" %67emini-alice-0123 Z2VtaW5p %2567")] +
                 [bytes([5, 0xfe, at, 1]) + b"client-token" + b"%63lient-token" for at in (0, 60, 98, 99, 100)] +
                 [bytes([0, 0, 0, 0]) + b"ab", bytes([250, 0, 0, 1]) + b"q?" * 251 + b"x", bytes([4, 0, 1, 9]) + b"~~~???>>>ab"],
    "page": [bytes([flags]) + path + b"\n" + query + b"\n" + agent + b"\n" + host + b"\n*.googleapis.com"
             for path in (b"/", b"/setup", b"/ca.pem", b"/ca.crt", b"/ca.sha256", b"/env.sh", b"/env.fish", b"/env.ps1",
                          b"/env.github", b"/env.gitlab", b"/proxy.pac", b"/x")
             for flags, query, agent, host in ((0, b"", b"curl", b"p.test"), (31, b"a&off=1", b"Mozilla/5.0", b"::1"),
                                               (2, b"off", b"Mozilla/5.0", b"a b"))],
    "daemon_answer": [b'{"ok":true,"status":{}}\n', b'{"ok":false,"error":"no such account"}\n', b'{"ok":false}', b"{}", b"[true]",
                      b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody", b"HTTP/1.1 2", b"HTTP/1.1 abc OK\r\n\r\n"],
    "feed": [b'{"ok":true,"cmd":"figures","at_ms":5,"version":"0.1.0","state":"running","pid":1,"name":"n","uptime_s":9,'
             b'"connections":2,"exchanges":3,"generation":7,"workers":2,"rate":[' + b",".join([b"1"] * 60) + b'],"requests":9,'
             b'"errors_5m":1,"requests_5m":5,"ttfb_ms":' + ttfb + b',"members":[{"pool":"g","account":"a","window_s":300,'
             b'"requests":4,"limited":2,"errors":1,"recent":5,"open":3,"held":2}],"writer":{"queue":0,"healthy":true},"tokens":{"memory":6,'
             b'"store":7,"mints":8,"mint_failures":1,"flights":0,"waited":0,"clock_skew_s":' + skew + b'}}'
             for ttfb, skew in ((b'{"p50":4,"p95":18}', b"-2"), (b"null", b"null"))] +
            [b'{"ok":true,"cmd":"live","total":1,"live":[{"id":"1","conn":4,"worker":1,"age_ms":12,"phase":"stream","client":null,'
             b'"peer":"p","account":"a","method":"POST","host":"h","path":"/","model":"m","status":200,"attempts":[{"account":"b",'
             b'"status":429,"reason":null}],"up":1,"down":2,"front":"h1","back":"h2","ms":{"route":0,"token":1,"sent":2,'
             b'"first":null}}]}',
             b'{"ok":true,"cmd":"trust","ok_24h":6,"refused_24h":7,"refused":[{"peer":"p","host":"h","why":"w","times":7,'
             b'"last_at":1}]}',
             b'{"ok":true,"cmd":"leaves","cached":4,"max":9,"hits":9,"signed":1,"leaves":[{"host":"h","expires_at":2,"signed_at":1,'
             b'"hits":3}]}',
             b'{"ok":true,"cmd":"end"}\r', b'{"ok":false,"cmd":"end","error":"no such request"}', b'{"ok":false,"error":"x"}',
             b'{"ok":false,"cmd":"live"}', b'{"ok":true,"cmd":"x"}', b'{"ok":true}', b'{"ok":1}', b'{"ok":true,"ok":true}',
             b'{"ok":true,"cmd":"trust","ok_24h":-1}', b'{"ok":true,"cmd":"trust","ok_24h":1e300}',
             b'{"ok":true,"cmd":"trust","ok_24h":1,"refused_24h":1,"refused":[7]}',
             b'{"ok":true,"cmd":"trust","ok_24h":1,"refused_24h":1,"refused":{}}',
             b'{"ok":true,"cmd":"live","total":1,"live":[{"id":7}]}', b'{"ok":true,"cmd":"live","total":"1"}', b"", b"[]"],
    "token_answer": [b"\x00\xc8Date: Thu, 26 Nov 2026 13:00:00 GMT\r\nRetry-After: 77\r\nretry-after: 99999\ndate: never"],
    "head_write": [bytes([how]) + b"\xff".join((b"GET", b"/x", b"h.test", b"a", b"b", b"x-forwarded-for", b"c\r\nd: e"))
                   for how in (1, 5, 9, 13, 33, 37, 65, 69)] +
                  [b"\x01GET\xff/\xffh\xffx-y\xffz\xffcontent-type\xffa/b", b"\x01P\xff/ \xffh", b"\x25d\xff/\xffgood\xffvia\xffq"],
}

VERTEX = b"/v1/projects/p/locations/l/"
GEMINI = b"/v1beta/"
PLAIN["route_match"] = (
    [VERTEX + b for b in (b"publishers/google/models/gemini-x:generateContent", b"publishers/google/models/m%2f:predict",
                          b"publishers/google/models/m", b"publishers/google/models", b"endpoints/openapi/chat/completions",
                          b"endpoints/1:predict", b"models/x", b"models", b"operations/1", b"batchPredictionJobs/1", b"cachedContents",
                          b"publishers/a/models/b/operations/1", b"endpoints/e", b"endpoints/e/chat/completions", b"x/y")] +
    [GEMINI + b for b in (b"models/m:generateContent", b"models", b"models/m", b"openai/chat/completions", b"openai/models/x",
                          b"openai/embeddings", b"files/x", b"cachedContents/c", b"operations/o", b"batches", b"tunedModels/t:x",
                          b"models/m/operations/1", b"tunedModels/t/operations/1", b"models/m%3agenerateContent", b"a/b/c/d/e/f/g/h/i/j")] +
    [b"/v1/messages", b"/v1/models/x", b"/v1/complete", b"/v1/messages/batches/1/results", b"/v1/files", b"/upload/v1beta/files",
     b"/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
     b"/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent", b"/v1/publishers/google/models/x", b"/v1/operations/1",
     b"aiplatform.googleapis.com", b"aiplatform.us.rep.googleapis.com", b"us-east1-aiplatform.googleapis.com", b"/a//b", b"/a/../b",
     b"/%2e%2e/x", b"/a%zz", b"/a?b=c", b"/a\\b", b"/" + b"a/" * 40])
for case in ("x-api-key: disabled-client", "x-api-key: ended-client", "x-api-key: short", "x-api-key: long-enough \x7f",
             "authorization: Basic ZW5kZWQtY2xpZW50"):
    PLAIN.setdefault("auth_find", []).append(b"/x\n" + case.encode())
PLAIN["auth_find"] += [b"/x?key=" + b"%41" * 600, b"/x?" + b"%6b" * 20 + b"=1&a=b&c=d", b"/x?a=\xff#\x01&b=%", b"/x?a&&b\nx-api-key:\nx-api-key: a",
                       b"/x?%6bey=gemini-alice-0123456789abcdef&key=gemini-alice-0123456789abcde%66"]
PLAIN["connect"] += [b"\x00CONNECT a.test:443 HTTP/1.1\r\nProxy-Authorization: " + v + b"\r\n\r\n" for v in (
    b"Bearer x", b"Basic", b"Basic +/+/+/+/", b"Basic a", b"Basic YQ=", b"Basic YQ===", b"Basic Y*", b"Basic " + b"QUJD" * 400, b"Basic YR")]
LIFE = b'"token_type":"Bearer","expires_in":'
PLAIN["token_answer"] += [bytes([s >> 8, s & 255]) + b for s in (200, 400, 401, 403, 408, 429, 503) for b in (
    b'{"access_token":"abc",' + LIFE + b"3599}", b'{"access_token":"abc",' + LIFE + b'"3599"}', b'{"access_token":"abc",' + LIFE + b'"x"}',
    b'{"access_token":"a b",' + LIFE + b"3599}", b'{"access_token":"abc","expires_in":1,"expires_in":2,"token_type":"bearer"}',
    b'{"access_token":"abc",' + LIFE + b"1e99}", b'{"error":"invalid_grant","error_description":"Invalid JWT Signature."}', b'{"error":"x"}',
    b'{"error":"invalid_grant","error":"y"}')]
KEY = b'{"type":"service_account","project_id":"p","private_key_id":"k","private_key":"%s","client_email":"a@p.iam",' \
      b'"token_uri":"https://oauth2.googleapis.com/token"}'
PLAIN["keyfile"] = [KEY % k for k in (b"\x01", b"\x02", b"\x03", b"", b"x")] + [
    (KEY % b"\x01").replace(b, c) for b, c in ((b'"project_id":"p",', b""), (b'"private_key":', b'"other":'), (b'"a@p.iam"', b'""'),
                                             (b'"k"', b'"' + b"k" * 300 + b'"'), (b'"p"', b'"\\u00e9"'), (b'"p"', b"7"))]
HEADERS = (b'{"alg":"RS256","typ":"JWT","kid":"0123456789abcdef"}', b'{"alg":"RS256"}', b'{"alg":"none"}', b'{"alg":"HS256","kid":"x"}',
           b'{"alg":"RS256","crit":["b64"]}', b'{"alg":"RS256","alg":"none"}', b'{"typ":7}', b'{"alg":"RS256","kid":"x"}', b"[]")
CLAIM = b'{"iss":"ci@credswap.iam.gserviceaccount.com","aud":"https://oauth2.googleapis.com/token","iat":1800000000,"exp":1800003600%s}'
PLAIN["assertion"] = [bytes([how]) + header + b"\n" + CLAIM % more for how in (1, 2, 3) for header in HEADERS
                      for more in (b"", b',"sub":"a"', b',"target_audience":"a"', b',"scope":"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"')] + [
    b"\x01" + HEADERS[0] + b"\n" + (CLAIM % b"").replace(a, b) for a, b in (
        (b"1800003600", b"1800003601"), (b"1800000000", b"1e9"), (b"1800003600", b'"1800003600"'), (b"oauth2", b"www"), (b'"https', b'["https'),
        (b'"iss"', b'"\\u0069ss"'), (b"ci@", b"\xff"), (b"ci@", b"\\u0000"), (b'"iss"', b'"iss":"a","iss"'), (b"token", b"token" + b"x" * 5000),
        (b"https://oauth2.googleapis.com/token", b"https://www.googleapis.com/oauth2/v4/token"))] + [
    b"\x00" + text for text in (b"", b"a.b.c", b"e30.eyJpc3MiOiJhIn0.AA", b"e30.eyJpc3MiOiJhIn0.AA==", b"e30=.eyJpc3MiOiJhIn0=.AA==", b"." * 4,
                                b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0." + b"A" * 342, b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJhIn0.AAA=")]
V2 = b"\r\n\r\n\0\r\nQUIT\n"
PLAIN["proxy_header"] = [b"PROXY " + text for text in (
    b"TCP4 192.0.2.1 198.51.100.1 56324 443\r\nGET /", b"TCP6 2001:db8::1 ::1 1 65535\r\n", b"UNKNOWN\r\n", b"UNKNOWN a b c d\r\n", b"TCP4 1.2.3.4 1.2.3.4 0 65536\r\n",
    b"TCP4 01.2.3.4 1.2.3.4 1 2\r\n", b"TCP4 ::1 ::1 1 2\r\n", b"TCP6 1.2.3.4 1.2.3.4 1 2\r\n", b"TCP6 ::ffff:1.2.3.4 :: 1 2\r\n", b"TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
    b"TCP4  1.2.3.4 1.2.3.4 1 2\r\n", b"TCP4 1.2.3.4 1.2.3.4 01 2\r\n", b"TCP4 1.2.3.4\r\n", b"UDP4 1.2.3.4 1.2.3.4 1 2\r\n", b"TCP4 1.2.3.4 1.2.3.4 1 2\n", b"x" * 200,
    b"TCP4 1.2.3.4 1.2.3.4 1 2\rx", b"TCP6 " + b"ffff:" * 7 + b"ffff " + b"ffff:" * 7 + b"ffff 65535 65535\r\n", b"UNKNOWN " + b"f" * 91 + b"\r\n", b"UNKNOWN " + b"f" * 92 + b"\r\n")] + [
    V2 + text for text in (b"\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\xdc\4\1\xbbGET", b"\x21\x21\0\x24" + bytes(range(36)) + b"x", b"\x20\0\0\0", b"\x20\x11\0\3abc",
                           b"\x21\0\0\0", b"\x21\x31\0\xd8" + bytes(216), b"\x21\x11\0\x0b" + bytes(11), b"\x21\x12\0\x0c" + bytes(12), b"\x11\x11\0\x0c",
                           b"\x22\x11\0\x0c", b"\x21\x11\2\x08" + bytes(520), b"\x21\x11\2\x09" + bytes(521), b"\x21\x11\0\x14" + bytes(12) + b"\4\0\5hello")] + [b"GET / HTTP/1.1\r\n", V2[:11] + b"x"]
GOOD = {"listen": ('proxy = {"127.0.0.1:1", "[::1]:2"}', 'proxy_tls = {"127.0.0.1:3"}', 'advertise = "p.test:4"', 'admin = ""'),
        "run": ("workers = 2", "seed = 7"), "store": ('url = "sqlite:x"',), "ca": ('cert = "c"', "leaf_days = 7"),
        "upstream": ('connect_to = {"a.test:443:127.0.0.1:1", "*.b::127.0.0.1:2", ":::1"}', 'dns = {"127.0.0.1", "[::1]:53", "1.1.1.1:53"}',
                     'parent_proxy = "http://u:p@h:1/"', "http2 = false", 'ca_file = "/etc/hostname"'),
        "oauth": ('token_uri_allow = {"https://a.test/token"}',), "retry": ("replay_bytes = 5", "replay_total_bytes = 4", "attempts = 2"),
        "policy": ('clients = {"any", "10.0.0.0/8"}', 'tunnel = "deny"', "ports = {443, 8443}", 'swap_domains = {"a.test"}',
                   'deny_networks = {"private", "fd00::/8"}', 'allow_networks = {"10.0.0.0/8"}', 'proxy_auth = "required"'),
        "limits": ("header_bytes = 2048",), "log": ('level = "debug"', 'format = "logfmt"', 'file = "x"')}
WRONG = [(s, line.split(" =")[0], v) for s, lines in GOOD.items() for line in lines
         for v in ('"%%%"', "7", "99999999999999999999", "07", "x", "{}", '{"a b", ""}', "true", '"http://"', '"https://a b/c"', '"h:0"',
                   '{"h:1:2:3:4", "a:b:c:d"}', '{"*:1:"}', '{"h:70000:a:1"}', '{"h:1:a b:1"}', '{"h:1:a:x"}', '{":1::2"}', '{"h:::"}',
                   '{"1.2.3.4/40"}', '"\\x"', '"' + "y" * 5000 + '"', '"https:///"', '"https://a.test/ x"', '{"*.a", ".b"}', '"a\x01"',
                   "{1, 70000}")]
ALL = "".join(s + " {\n" + "".join("  " + line + "\n" for line in lines if "ca_file" not in line and "total" not in line) + "}\n"
              for s, lines in GOOD.items())
PLAIN["conf"] = [t.encode() for t in (
    [ALL] + [f"#fail {n}\n{ALL}" for n in range(1, 140, 3)] + ["%s {\n %s\n}\n" % (s, line) for s, lines in GOOD.items() for line in lines] +
    [f"{s} {{\n {key} = {v}\n}}\n" for s, key, v in WRONG] +
    [f"#env CREDSWAP_{k}\nrun {{\n}}\n" for k in ("RUN_SEED=5", "RUN_SEED=x", "POLICY_PORTS=1,2", "POLICY_PORTS=1,x", "LISTEN_PROXY=a:1,b:2",
                                                    "UPSTREAM_HTTP2=maybe", "LOG_LEVEL=loud", "POLICY_CLIENTS=", "UPSTREAM_HTTP2=true")] +
    ["/* open", "run {", "}", "{", "=", "run = 5", "x {\n}", "run {\n x = 1\n}", "run {\n seed = 1\n seed = 2\n}", "run {\n seed 1\n}",
     "run {\n seed =\n}", "policy {\n ports = {1, {2}}\n}", "policy {\n ports = {1", "policy {\n ports = {1 2}\n}", "// c\nrun { seed = 1 }",
     "run {\n seed = -5\n}", "log {\n file = 'x'\n}", 'log {\n file = "x\n"\n}', "run {\n = 5\n}", "run {\n seed += 5\n}", "5 {\n}", '"x" {\n}'])]

EMIT = r"""
#include "unit/http/vectors.h"
#include <stdio.h>
static void emit(const char *kind, const struct vector *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf("%s %zu\n", kind, v[i].raw.n);
        fwrite(v[i].raw.p, 1, v[i].raw.n, stdout);
    }
}
int main(void)
{
    emit("request", requests, sizeof requests / sizeof *requests);
    emit("answer", answers, sizeof answers / sizeof *answers);
    emit("chunked", chunked, sizeof chunked / sizeof *chunked);
    return 0;
}
"""


def unit_vectors():
    """(kind, bytes) of tests/unit/http/vectors.h."""
    with tempfile.TemporaryDirectory() as folder:
        program = pathlib.Path(folder) / "emit"
        subprocess.run(["cc", "-I", ROOT / "common", "-I", ROOT / "tests", "-x", "c", "-", "-o", program], input=EMIT.encode(),
                       check=True)
        out = subprocess.run([program], stdout=subprocess.PIPE, check=True).stdout
    while out:
        line, out = out.split(b"\n", 1)
        kind, size = line.split()
        yield kind.decode(), out[:int(size)]
        out = out[int(size):]


def e2e_vectors():
    """(kind, bytes) of the end-to-end tables."""
    sys.dont_write_bytecode = True
    sys.path[:0] = [str(E2E), str(ROOT / "tests" / "fakes")]
    smuggling = importlib.import_module("test_smuggling")
    for name in ("hostile", "bad_chunks"):
        for data in getattr(smuggling, name, dict)().values():
            yield "request", data
    for path in sorted(E2E.glob("*vectors.py")):
        module = importlib.import_module(path.stem)
        kind = "answer" if "answer" in path.stem else "request"
        for _, data in module.seeds():
            yield kind, data


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def websocket_messages():
    def frame(first, payload):
        length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        return bytes([first]) + length + bytes(4) + payload
    for text in (b'{"setup":{"model":"projects/p/locations/l/publishers/google/models/m"}}', b'{"setup":{"model":"projects\\/p\\/m"}}',
                 b'{"setup":{"model":"models/m"}}', b'{"setup":{}}', b'{"a":[1,{"setup":{}}],"setup":{"x":"\\"","model":"m"}}', b"[]",
                 b'{"setup":{"model":"a","model":"b"}}', b'{"setup":{"mod\\u0065l":"a"}}', b'{"a":' * 8 + b"1" + b"}" * 8):
        yield frame(0x81, text)
        yield frame(0x89, b"ping") + frame(0x02, text[:9]) + frame(0x89, b"") + frame(0x80, text[9:]) + frame(0x81, b"behind")
        packer = zlib.compressobj(wbits=-15)
        yield frame(0xc1, (packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4])
    yield frame(0x88, b"\x03\xe8")
    yield b"\x81\xff" + (1 << 40).to_bytes(8, "big") + bytes(4)
    yield b"permessage-deflate; server_no_context_takeover, x; y=1"


def h2_conversations():
    """(role, frames): what a client, and what a provider, may say.  The target says the preface itself."""
    get = b"\x82\x87\x84\x41\x01h"
    post = b"\x83\x87\x84\x41\x01h"
    literal = b"\x10\x03x-a\x01b"
    start = frame(4, 0, 0, b"\0\3\0\0\0\x64\0\4\0\1\0\0") + frame(4, 1, 0)
    status, trailers = b"\x88", b"\x10\x0bgrpc-status\x010"
    yield 0, start + frame(1, 5, 1, get)
    yield 0, start + frame(1, 5, 1, get + literal) + frame(1, 5, 3, get) + frame(3, 0, 1, b"\0\0\0\x08")
    yield 0, start + frame(1, 4, 1, post) + frame(0, 0, 1, b"hello") + frame(0, 1, 1, b"x") + frame(8, 0, 0, b"\0\0\1\0")
    yield 0, start + frame(1, 4, 1, post + b"\x0f\x0d\x015") + frame(0, 1, 1, b"hello")
    yield 0, start + frame(1, 4, 1, post) + frame(0, 0, 1, b"m") + frame(1, 5, 1, trailers)
    yield 0, start + frame(1, 0, 1, get[:3]) + frame(9, 0, 1, get[3:]) + frame(9, 4, 1, literal)
    yield 0, start + frame(6, 0, 0, b"12345678") + frame(2, 0, 1, b"\0\0\0\0\x10") + frame(1, 5, 1, get) + frame(7, 0, 0, b"\0" * 8)
    yield 0, start + frame(1, 5, 1, get + b"\x60\x03a=b\x60\x03c=d") + frame(1, 5, 3, get + b"\x10\x02te\x08trailers")
    yield 0, start + frame(1, 4, 1, post + b"\x10\x06expect\x0c100-continue") + frame(0, 1, 1, b"abc")
    yield 0, start + frame(1, 0xd, 1, b"\1" + post + b"\0") + frame(0, 9, 1, b"\2ab\0\0")
    yield 1, start + frame(1, 4, 1, status) + frame(0, 0, 1, b"hello") + frame(0, 1, 1, b"")
    yield 1, start + frame(1, 5, 1, status + literal) + frame(1, 4, 3, status) + frame(3, 0, 3, b"\0\0\0\7")
    yield 1, start + frame(1, 4, 1, b"\x08\x03103") + frame(1, 4, 1, status) + frame(0, 0, 1, b"m") + frame(1, 5, 1, trailers)
    yield 1, start + frame(1, 5, 1, status + trailers) + frame(7, 0, 0, b"\0\0\0\1\0\0\0\0")
    yield 1, start + frame(1, 4, 1, status + b"\x0f\x0d\x015") + frame(0, 1, 1, b"hello")
    field = lambda name, value: bytes((0x10, len(name))) + name + bytes((len(value),)) + value
    connect = b"\x02\x07CONNECT\x87\x84\x41\x01h"
    ws = connect + field(b":protocol", b"websocket")
    many, reset = field(b"a", b"b") * 41, frame(3, 0, 1, b"\0\0\0\x08")
    yield 0, start + frame(1, 4, 1, ws + field(b"sec-websocket-key", b"k")) + frame(0, 0, 1, b"early" * 30) + frame(0, 1, 1, b"last")
    yield 0, start + frame(1, 4, 1, ws) + frame(0, 1, 1, b"e") + frame(1, 5, 3, get) + frame(8, 0, 1, b"\0\0\1\0")
    yield 0, start + frame(1, 4, 1, ws) + frame(0, 0, 1, b"e" * 400) + frame(0, 0, 1, b"f" * 400) + frame(0, 1, 1, b"g" * 400) + reset
    yield 0, start + frame(1, 4, 1, ws) + frame(0, 0, 1, b"e") + frame(1, 5, 1, trailers)
    for other in (connect + field(b":protocol", b"other"), get + field(b":protocol", b"websocket"), ws + b"\x0f\x0d\x015"):
        yield 0, start + frame(1, 4, 1, other) + frame(0, 0, 1, b"x") + frame(1, 5, 3, get)
    yield 0, start + frame(1, 5, 1, ws) + frame(1, 5, 3, get)
    for bad in (many, b"\x10\x03x_a\x01b", b"\x04\x04/a#b", field(b"host", b"h") + field(b"host", b"h"), field(b"te", b"gzip"),
                field(b"content-length", b"5"), field(b"big", b"v" * 120) * 70, field(b"x a", b"b"), field(b"x", b"b\nc"), field(b":b", b"c")):
        yield 0, start + frame(1, 5, 1, get + bad) + frame(1, 4, 3, post) + frame(0, 1, 3, b"x")
        yield 0, start + frame(1, 4, 1, post) + frame(0, 0, 1, b"m") + frame(1, 5, 1, bad) + frame(1, 5, 3, get)
        yield 1, start + frame(1, 4, 1, status + bad) + frame(0, 1, 1, b"x")
        yield 1, start + frame(1, 4, 1, status) + frame(0, 0, 1, b"m") + frame(1, 5, 1, bad)
    yield 0, start + b"".join(frame(1, 5, n, b"\x82\x82") for n in range(1, 240, 2))
    yield 0, start + frame(6, 0, 0, b"12345678") * 30 + frame(1, 0, 1, get) + frame(9, 0, 1) * 40
    yield 0, start + frame(1, 5, 1, get) + frame(0, 0, 1, b"closed") * 30 + frame(1, 5, 3, get) + frame(6, 1, 0, b"\0" * 8) * 3
    yield 0, start + frame(4, 0, 0, b"\0\4\0\0\0\0\0\1\0\0\0\0") + frame(1, 5, 1, get) * 2 + frame(8, 0, 1, b"\0\0\0\1") * 20
    yield 0, start + b"".join(frame(1, 5, n, get) for n in range(1, 60, 2)) + frame(8, 0, 0, b"\0\1\0\0") * 3
    yield 0, start + frame(1, 5, 1, b"\x02\x04HEAD\x87\x84\x41\x01h") + frame(1, 5, 3, b"\x02\x04HEAD\x87\x84\x41\x01h") * 3
    for word in (b"101", b"99", b"2x0", b"999"):
        yield 1, start + frame(1, 4, 1, b"\x08" + bytes((len(word),)) + word) + frame(1, 5, 3, status)
    yield 1, start + frame(1, 4, 1, b"\x08\x03103") * 25 + frame(1, 5, 3, status)
    yield 1, start + frame(1, 5, 1, status + b"\x0f\x0d\x015") + frame(1, 4, 3, status) + frame(0, 1, 3, b"x" * 300)
    yield 1, start + frame(4, 0, 0, b"\0\3\0\0\0\0") + frame(7, 0, 0, b"\0\0\0\3\0\0\0\0") + frame(1, 5, 1, status) + frame(1, 5, 3, status)
    yield 1, start + frame(4, 0, 0, b"\0\4\0\0\0\x10") + frame(8, 0, 1, b"\0\0\1\0") * 8 + frame(1, 5, 1, status) + frame(5, 4, 1, b"\0\0\0\2" + get)
    yield 1, start + frame(6, 0, 0, b"12345678") * 210 + frame(1, 5, 1, status)


def h2_fields():
    """What comes past nghttp2: how it is read, and the fields."""
    get = [b":method", b"GET", b":scheme", b"https", b":authority", b"h", b":path", b"/"]
    ws = [b":method", b"CONNECT", b":protocol", b"websocket"] + get[2:]
    for how in range(16):
        for fields in (get, ws, get[2:], get[:6], get + get[:2], get + [b":status", b"200"], [b":status", b"200"], [b":status", b"7"], [b"x", b"y"],
                       get[:4] + get[6:], get[:6] + [b":path", b"/a b"], get[:6] + [b":path", b"*"], [b":method", b"O P"] + get[2:], ws[:2] + ws[4:],
                       ws[:3] + [b"x"] + ws[4:], get[:2] + ws[2:4] + get[2:]):
            for more in ([], [b"", b"x"], [b"X Y", b"z"], [b"a", b"b\r\nc: d"], [b"connection", b"close"], [b"te", b"gzip"], [b"te", b"trailers"],
                         [b"content-length", b"1", b"content-length", b"1"], [b"content-length", b"+1"], [b"content-length", b"12"],
                         [b"host", b"h", b"host", b"h"], [b"cookie", b"a", b"cookie", b"", b"cookie", b"b"], [b"Expect", b"100-continue", b"a_b", b"c"],
                         [b"Upper", b"x"] * 42, [b"sec-websocket-key", b"k", b"sec-websocket-accept", b"a"]):
                yield bytes((how,)) + b"\xff".join(fields + more)


def grpc_messages():
    """First messages of gRPC calls, whole and broken."""
    def field(number, data):
        return bytes((number << 3 | 2, len(data) & 127 | (len(data) > 127) << 7)) + bytes((len(data) >> 7,))[:len(data) > 127] + data

    name = b"projects/p/locations/us-central1/publishers/google/models/m"
    for parts in ((field(2, b"\x0a\4user"), field(5, name)), (field(1, name), field(3, name + b"2")), (field(1, b"models/m"),),
                  (b"\x20\x96\1\x0d\1\2\3\4\x09\1\2\3\4\5\6\7\x08", field(9, name * 3)), (field(5, name), b"\x0a"), ()):
        message = b"".join(parts)
        yield b"\0" + len(message).to_bytes(4, "big") + message
        yield b"\0" + len(message).to_bytes(4, "big") + message + b"\0\0\0\0\1x"
    yield b"\1\0\0\0\3abc"


def inputs():
    """(target, bytes) of all."""
    for data in grpc_messages():
        for seed in (0, 7):
            yield "rpc_scan", bytes((seed,)) + data
        yield "pin_rpc", data[5:]
    for data in websocket_messages():
        for seed in (0, 7):
            yield "ws_setup", bytes((seed,)) + data
    for role, data in h2_conversations():
        for seed in range(role, 256, 16):
            yield "h2", bytes((seed,)) + data
    for data in h2_fields():
        yield "h2", b"\x7e" + data
    for kind, data in list(unit_vectors()) + list(e2e_vectors()):
        if kind == "chunked":
            request = b"POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n" + data
            answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + data
        else:
            request, answer = (data, None) if kind == "request" else (None, data)
        for table, given in ((REQUESTS, request), (ANSWERS, answer)):
            for target, before in table.items() if given is not None else ():
                for prefix in before:
                    yield target, prefix + given
    switch = b"HTTP/1.1 101 ok\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    accept = b"sec-websocket-accept: " + b"@" * 28 + b"\r\n"
    for end in (b"\r\nframes", accept + b"\r\nframes", accept * 2 + b"\r\n", accept.replace(b"@", b"x") + b"\r\n"):
        for how in (0xc1, 0xc3, 0xcd):
            yield "h1_answer", bytes((how,)) + switch + end
    for target, several in PLAIN.items():
        for data in several:
            yield target, data


def main():
    """Writes them, named by what they hold."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    count = 0
    for target, data in inputs():
        folder = pathlib.Path(sys.argv[1]) / target
        folder.mkdir(parents=True, exist_ok=True)
        if len(data) <= MAX:
            (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
            count += 1
    print(f"{count} seeds")


if __name__ == "__main__":
    main()

// credswap @VERSION@: only the hosts whose credentials are swapped go through the proxy.
function FindProxyForURL(url, host) {
  var patterns = [@PATTERNS@];
  for (var i = 0; i < patterns.length; i++) {
    if (shExpMatch(host.toLowerCase(), patterns[i])) {
      return "@PAC_PROXY@";
    }
  }
  return "DIRECT";
}

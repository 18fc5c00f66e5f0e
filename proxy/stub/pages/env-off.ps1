# credswap @VERSION@: takes back what env.ps1 set and restores the former values.
# A variable that you changed since then is left alone.
& {
    function Get-Value([string]$name) { [Environment]::GetEnvironmentVariable($name, 'Process') }
    function Set-Value([string]$name, $value) {
        [Environment]::SetEnvironmentVariable($name, $value, 'Process')
    }
    function Restore-Value([string]$name, [string]$ours) {
        if ((Get-Value $name) -ceq $ours) { Set-Value $name (Get-Value "_CREDSWAP_OLD_$name") }
        Set-Value "_CREDSWAP_OLD_$name" $null
    }
    $proxy = Get-Value '_CREDSWAP_PROXY'
    if ($proxy) {
        foreach ($name in 'http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY') { Restore-Value $name $proxy }
        foreach ($name in 'no_proxy', 'NO_PROXY') { Restore-Value $name (Get-Value '_CREDSWAP_NO_PROXY') }
        Restore-Value 'NODE_USE_ENV_PROXY' '1'
        $bundle = Get-Value '_CREDSWAP_BUNDLE'
        foreach ($name in '@BASE_VARS@ @EXTRA_VARS@'.Split(' ')) { Restore-Value $name $bundle }
        if ($bundle) {
            Remove-Item -Force -ErrorAction SilentlyContinue -LiteralPath (Join-Path (Split-Path $bundle) 'base')
        }
    }
    foreach ($name in '_CREDSWAP_PROXY', '_CREDSWAP_NO_PROXY', '_CREDSWAP_BUNDLE') { Set-Value $name $null }
}

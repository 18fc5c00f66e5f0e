# credswap @VERSION@: sends programs of this session through the proxy @PROXY@ and lets them trust its CA.
# Use it with:  . ./env.ps1       Undo it with:  the file that @PROXY@/env.ps1?off gives
# The bundle is what this machine trusts already (its own store, or the files that CA variables named
# before; `base` remembers them) plus the CA below. Programs that ask the Windows store (browsers, .NET):
#   certutil -user -addstore root ca.crt
& {
    $ErrorActionPreference = 'Stop'
    $pem = '@PEM@'
    $to = '@PROXY@'
    $baseNames = '@BASE_VARS@'.Split(' ')
    $extraNames = '@EXTRA_VARS@'.Split(' ')
    function Get-Value([string]$name) { [Environment]::GetEnvironmentVariable($name, 'Process') }
    function Set-Value([string]$name, [string]$value) {
        [Environment]::SetEnvironmentVariable($name, $value, 'Process')
    }
    $active = Get-Value '_CREDSWAP_PROXY'
    $ours = @($active, (Get-Value '_CREDSWAP_BUNDLE'), (Get-Value '_CREDSWAP_NO_PROXY'))

    function Get-Before([string]$name) {
        $value = Get-Value $name
        if ($active -and ($ours -ccontains $value)) { $value = Get-Value "_CREDSWAP_OLD_$name" }
        $value
    }
    function Set-Ours([string]$name, [string]$value, [string]$mine) {
        $was = Get-Value $name
        if ($null -ne $was -and (-not $active -or $was -cne $mine)) { Set-Value "_CREDSWAP_OLD_$name" $was }
        Set-Value $name $value
    }

    $home_ = if ($env:XDG_CONFIG_HOME) { $env:XDG_CONFIG_HOME }
             elseif ($env:APPDATA) { $env:APPDATA }
             else { Join-Path $HOME '.config' }
    $dir = Join-Path $home_ 'credswap'
    $null = New-Item -ItemType Directory -Force -Path $dir
    $bundle = Join-Path $dir 'bundle.pem'
    $baseFile = Join-Path $dir 'base'

    $list = New-Object System.Collections.Generic.List[string]
    function Add-File([string]$kind, [string]$file) {
        if ($file -and $file -cne $bundle -and (Test-Path -LiteralPath $file -PathType Leaf)) {
            if (-not $list.Contains("$kind $file")) { $list.Add("$kind $file") }
        }
    }
    foreach ($name in $baseNames) { Add-File 'base' (Get-Before $name) }
    foreach ($name in $extraNames) { Add-File 'extra' (Get-Before $name) }
    if (Test-Path -LiteralPath $baseFile) {
        foreach ($line in [IO.File]::ReadAllLines($baseFile)) {
            $kind, $file = $line -split ' ', 2
            Add-File $kind $file
        }
    }

    $text = New-Object System.Text.StringBuilder
    if (-not ($list | Where-Object { $_.StartsWith('base ') })) {
        if ([IO.Path]::DirectorySeparatorChar -eq '\') {
            foreach ($place in 'LocalMachine', 'CurrentUser') {
                $store = New-Object System.Security.Cryptography.X509Certificates.X509Store 'Root', $place
                $store.Open('ReadOnly')
                foreach ($cert in $store.Certificates) {
                    $null = $text.Append("-----BEGIN CERTIFICATE-----`n")
                    $null = $text.Append([Convert]::ToBase64String($cert.RawData, 'InsertLineBreaks').Replace("`r", ''))
                    $null = $text.Append("`n-----END CERTIFICATE-----`n")
                }
                $store.Close()
            }
        } else {
            foreach ($file in '/etc/ssl/certs/ca-certificates.crt', '/etc/pki/tls/certs/ca-bundle.crt',
                '/etc/ssl/ca-bundle.pem', '/etc/ssl/cert.pem') {
                if (Test-Path -LiteralPath $file) {
                    $null = $text.Append([IO.File]::ReadAllText($file)).Append("`n")
                    break
                }
            }
        }
    }
    foreach ($entry in $list) {
        $null = $text.Append([IO.File]::ReadAllText(($entry -split ' ', 2)[1])).Append("`n")
    }
    $null = $text.Append($pem.Replace("`r", '')).Append("`n")
    [IO.File]::WriteAllText((Join-Path $dir 'ca.pem'), $pem.Replace("`r", '') + "`n")
    [IO.File]::WriteAllLines($baseFile, $list)
    [IO.File]::WriteAllText("$bundle.$PID", $text.ToString())
    Move-Item -Force -LiteralPath "$bundle.$PID" -Destination $bundle

    $direct = New-Object System.Collections.Generic.List[string]
    foreach ($name in 'no_proxy', 'NO_PROXY') {
        foreach ($part in "$(Get-Before $name),localhost,127.0.0.1,::1".Split(',')) {
            if ($part -and -not $direct.Contains($part)) { $direct.Add($part) }
        }
    }
    $direct = $direct -join ','
    if ($direct -match 'googleapis\.com|anthropic\.com') {
        Write-Warning "credswap: no_proxy ($direct) keeps API hosts away from the proxy"
    }
    # Names differ only by case: on Windows the second write meets the same variable and keeps nothing new.
    $mine = Get-Value '_CREDSWAP_NO_PROXY'
    foreach ($name in 'http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY') {
        if ((Get-Value $name) -cne $to) { Set-Ours $name $to $active }
    }
    foreach ($name in 'no_proxy', 'NO_PROXY') {
        if ((Get-Value $name) -cne $direct) { Set-Ours $name $direct $mine }
    }
    Set-Ours 'NODE_USE_ENV_PROXY' '1' '1'
    foreach ($name in ($baseNames + $extraNames)) { Set-Ours $name $bundle $ours[1] }
    Set-Value '_CREDSWAP_PROXY' $to
    Set-Value '_CREDSWAP_NO_PROXY' $direct
    Set-Value '_CREDSWAP_BUNDLE' $bundle
}

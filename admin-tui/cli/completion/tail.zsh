
_credswap() {
  local line
  local -a before plain open
  before=("${(@Q)words[2,CURRENT-1]}")
  if [[ $PREFIX == --*=* ]]; then
    before+=("${PREFIX%%=*}")
    compset -P '*='
  fi
  _credswap_program=${(Q)words[1]}
  for line in "${(@f)$(_credswap_find "$PREFIX" "${before[@]}")}"; do
    case $line in
    '') ;;
    @file) _files ;;
    @dir) _files -/ ;;
    *=) open+=("$line") ;;
    *) plain+=("$line") ;;
    esac
  done
  if (( $#plain )); then _describe credswap plain; fi
  if (( $#open )); then compadd -S '' -- "${open[@]}"; fi
}
if [[ $funcstack[1] == _credswap ]]; then
  _credswap "$@"
else
  compdef _credswap credswap
fi


_credswap() {
  local line piece cur last=-1 i words=()
  COMPREPLY=()
  # Bash also breaks words at = and : and hands the pieces over one by one.
  for ((i = 1; i <= COMP_CWORD; i++)); do
    piece=${COMP_WORDS[i]}
    if ((last >= 0)) && [[ $piece == [=:]* || ${words[last]} == *[=:] ]]; then
      words[last]+=$piece
    else
      words[++last]=$piece
    fi
  done
  cur=${words[last]}
  unset "words[last]"
  case $cur in
  --*=*)
    words+=("${cur%%=*}")
    cur=${cur#*=}
    ;;
  esac
  _credswap_program=${COMP_WORDS[0]}
  while IFS= read -r line; do
    case $line in
    @file | @dir)
      compopt -o filenames 2>/dev/null
      while IFS= read -r piece; do
        COMPREPLY+=("$piece")
      done < <(if [[ $line == @dir ]]; then compgen -d -- "$cur"; else compgen -f -- "$cur"; fi)
      continue
      ;;
    esac
    line=${line%%:*}
    if [[ $line == "$cur"* ]]; then
      if [[ $line == *= ]]; then compopt -o nospace 2>/dev/null; fi
      printf -v line '%q' "$line"
      COMPREPLY+=("${line#"${cur%"${cur##*[=:]}"}"}")
    fi
  done < <(_credswap_find "$cur" "${words[@]}")
}
complete -F _credswap credswap

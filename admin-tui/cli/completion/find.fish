# __credswap_words KEY: what may stand there, "word:what it is" a line, @kind for names and files; 1: nothing is known.
# Keys: "" nouns, "NOUN" its verbs, "COMMAND --" options, "COMMAND --option" its value, "COMMAND N" operand N,
# "COMMAND +" the operands behind.
function __credswap_words
    switch "$argv[1]"
@TABLE@
        case '*'
            return 1
    end
    return 0
end

# __credswap_names PROGRAM CONFIG KIND: names from the store, if it can be read.
function __credswap_names
    if test -n "$argv[2]"
        command $argv[1] --config $argv[2] completion names $argv[3] 2>/dev/null </dev/null
    else
        command $argv[1] completion names $argv[3] 2>/dev/null </dev/null
    end
end

# __credswap_choose CURRENT KEY N NOUN OPTION: the candidates, names not put in yet.
function __credswap_choose
    set -l key "$argv[2]"
    if test -n "$argv[5]"
        __credswap_words "$key $argv[5]"; or __credswap_words " $argv[5]"
    else if string match -q -- '-*' "$argv[1]"
        __credswap_words "$key --"
        test -n "$key"; and __credswap_words ' --'
    else if test "$key" = "$argv[4]"; and __credswap_words "$key" >/dev/null
        __credswap_words "$key"
    else
        __credswap_words "$key $argv[3]"; or __credswap_words "$key +"; or __credswap_words "$key --"
    end
end

function __credswap_candidates
    set -l words (commandline -opc)
    set -l cur (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    set -l noun ''
    set -l key ''
    set -l n 1
    set -l want ''
    set -l config ''
    set -l prefix ''
    if string match -q -- '--*=*' "$cur"
        set -l parts (string split -m 1 = -- $cur)
        set -a words $parts[1]
        set prefix "$parts[1]="
        set cur "$parts[2]"
    end
    for w in $words
        if test -n "$want"
            test "$want" = --config; and set config $w
            set want ''
            continue
        end
        switch "$w"
            case -
                set n (math $n + 1)
            case '--config=*'
                set config (string replace -- --config= '' $w)
            case '--*=*'
            case '-*'
                if __credswap_words "$key $w" >/dev/null; or __credswap_words " $w" >/dev/null
                    set want $w
                end
            case '*'
                if test -z "$noun"
                    set noun $w
                    set key $w
                else if test "$key" = "$noun"; and __credswap_words "$noun" >/dev/null
                    set key "$noun $w"
                else
                    set n (math $n + 1)
                end
        end
    end
    for line in (__credswap_choose "$cur" "$key" $n "$noun" "$want")
        switch "$line"
            case @file
                for path in (__fish_complete_path "$cur")
                    echo $prefix$path
                end
            case @dir
                for path in (__fish_complete_directories "$cur" '')
                    echo $prefix$path
                end
            case '@*='
                set -l kind (string trim -c '@=' -- $line)
                for name in (__credswap_names $program "$config" $kind)
                    echo $prefix$name=
                end
            case '@*'
                set -l kind (string trim -c '@' -- $line)
                for name in (__credswap_names $program "$config" $kind)
                    echo $prefix$name
                end
            case '*'
                echo $prefix(string replace : \t -- $line)
        end
    end
end
complete -c credswap -f -a '(__credswap_candidates)'

# The first process of a pod: counts attempts, finds the newest complete checkpoint, interrupts in the agreed order.
# Read by /bin/sh; of the image it needs mkdir, sleep and date besides. docs/kubernetes.md has the contract.
set -u
exec 8>&2 2>/dev/null # what this shell says of signals and jobs is nothing of the program's
say() { printf 'bareboat: %s\n' "$1" >&8; }
told() { printf '%s' "$1" 2>/dev/null > "${BAREBOAT_TOLD:-/dev/termination-log}" || :; }
fail() {
    if [ "$1" = 120 ]; then say "$2"; fi
    told "$2"
    exit "$1"
}
here=${0%/*}
index=${JOB_COMPLETION_INDEX:-0}
nodes=${BAREBOAT_NODES:-1}
warning=${BAREBOAT_WARNING:-10} grace=${BAREBOAT_GRACE:-60} last=${BAREBOAT_KILL:-10}

if [ "${BAREBOAT_POINTS:-0}" -gt 0 ]; then # one of many: its words and variables are in a file
    stopped=
    [ -r "$here/stopped" ] && read -r stopped < "$here/stopped"
    case " $stopped " in *" $index "*) fail 121 "stopped" ;; esac
    found= part=$here/points-$((${BAREBOAT_POINT:-$index} / BAREBOAT_POINTS))
    point=${BAREBOAT_POINT:-$index}
    [ -r "$part" ] && . "$part" # sets the words, BAREBOAT_RUN and found
    [ -n "$found" ] || fail 120 "there is no point $point"
fi
command -v -- "$1" >/dev/null 2>&1 || fail 120 "$1: not found in the image"

results=${BAREBOAT_RESULTS:-/results}
export BAREBOAT_CHECKPOINTS="$results/checkpoints"
state=$results/.bareboat
mkdir -p "$state" "$BAREBOAT_CHECKPOINTS" || fail 120 "the results volume cannot be written at $results"

attempt=1
if [ "$nodes" -gt 1 ]; then # an attempt is over for all nodes as soon as it is over for one
    while [ -d "$state/over-$attempt" ]; do attempt=$((attempt + 1)); done
    export NODE_RANK="$index" BAREBOAT_NODE_RANK="$index"
else
    until mkdir "$state/attempt-$attempt" 2>/dev/null; do
        [ -d "$state/attempt-$attempt" ] || fail 120 "the results volume cannot be written at $state"
        attempt=$((attempt + 1))
    done
    # where the volume has locks, nobody who deleted a pod by force can have two at once
    if command -v flock >/dev/null 2>&1 && : 2>/dev/null > "$state/lock"; then
        exec 9> "$state/lock"
        flock -w "$grace" 9 || fail 122 "another attempt still writes to these results"
    fi
fi
over=$state/over-$attempt
told "attempt $attempt"
export BAREBOAT_ATTEMPT="$attempt" BAREBOAT_FENCE="$BAREBOAT_RUN.$attempt" BAREBOAT_DEADLINE=
[ "${BAREBOAT_SECONDS:-0}" -gt 0 ] && BAREBOAT_DEADLINE=$(($(date +%s) + BAREBOAT_SECONDS))

complete() { # as training/checkpoints.py has it, but that no file's inside is looked at
    case ".${1##*/}." in
    .\#* | *~. | *[-._]tmp[-._]* | *[-._]partial[-._]* | *[-._]incomplete[-._]* | *.temp[-._]* | *.part[-._]* | \
        *.crdownload[-._]* | *.lock[-._]* | *.swp[-._]*) return 1 ;;
    esac
    if [ -L "$1" ]; then
        return 1
    elif [ ! -d "$1" ]; then
        [ -s "$1" ] && [ "${1##*/}" != "${BAREBOAT_COMPLETE:-${last:+latest}}" ]
    elif [ -n "${BAREBOAT_COMPLETE:-}" ]; then
        marks "$1/$BAREBOAT_COMPLETE"
    else
        [ -n "$last" ] && [ "${1##*/}" = "$last" ] && return 0
        [ -e "$1/checkpoint-is-incomplete.txt" ] && return 1
        for marker in .complete .metadata trainer_state.json commit_success.txt; do
            [ -e "$1/$marker" ] && { marks "$1/$marker"; return; }
        done
        committed=
        marks "$1/_CHECKPOINT_METADATA" && { read -r committed || :; } < "$1/_CHECKPOINT_METADATA"
        case $committed in '' | *'"commit_timestamp_nsecs": null'*) return 1 ;; esac
    fi
}
read_latest() { # last: the directory that DeepSpeed says is whole
    last=
    [ -z "${BAREBOAT_COMPLETE:-}" ] && [ -f "$BAREBOAT_CHECKPOINTS/latest" ] && [ ! -L "$BAREBOAT_CHECKPOINTS/latest" ] ||
        return 0
    read -r last < "$BAREBOAT_CHECKPOINTS/latest" || : # it has no line break
    case $last in */*) last= ;; esac
    [ -d "$BAREBOAT_CHECKPOINTS/$last" ] || last=
}
marks() { # one of one's own may be empty
    [ -f "$1" ] && [ ! -L "$1" ] || return 1
    case $1 in *.json | *.metadata) [ -s "$1" ] ;; esac
}
behind() { # the number behind a word (a pattern) in a name
    rest=$2
    while :; do
        case $rest in *$1*) rest=${rest#*$1} ;; *) return 1 ;; esac
        case ${rest#[Ss]} in
        [0-9]* | [!0-9A-Za-z][0-9]* | [!0-9A-Za-z][!0-9A-Za-z][0-9]*)
            number=${rest#"${rest%%[0-9]*}"}
            number=${number%%[!0-9]*}
            return 0 ;;
        esac
    done
}
step_of() { # kind and number of the step in a name; kind 0: none that can be told
    name=${1##*/} stem=${1##*/} kind=2
    behind '[Ss][Tt][Ee][Pp]' "$name" && return
    behind '[Ii][Tt][Ee][Rr]' "$name" && return
    behind '[Ii][Tt][Ee][Rr][Aa][Tt][Ii][Oo][Nn]' "$name" && return
    kind=3
    behind '[Ee][Pp][Oo][Cc][Hh]' "$name" && return
    case $name in *.[A-Za-z]*) case ${name##*.} in [!A-Za-z]* | *[!A-Za-z0-9]*) ;; *) stem=${name%.*} ;; esac ;; esac
    rest=${stem#"${stem%%[0-9]*}"}
    number=${rest%%[!0-9]*} kind=1
    case $number in '') kind=0 ;; esac
    case ${rest#"$number"} in *[0-9]*) kind=0 ;; esac
}
counts() { # complete, not in skip, and in only, where that says anything: names with a / before and behind each
    case $skip in *"/${1##*/}/"*) return 1 ;; esac
    [ -z "$only" ] || case $only in *"/${1##*/}/"*) ;; *) return 1 ;; esac
    complete "$1"
}
look() { # numbered: the kind of number that all names have, 0 where they have none in common
    read_latest
    numbered=
    for found in "$BAREBOAT_CHECKPOINTS"/*; do
        counts "$found" || continue
        step_of "$found"
        if [ "${numbered:-$kind}" = "$kind" ]; then numbered=$kind; else numbered=0; fi
    done
}
find_newest() {
    newest= highest=
    for found in "$BAREBOAT_CHECKPOINTS"/*; do
        counts "$found" || continue
        step_of "$found"
        [ "$numbered" = 0 ] && number=0
        if [ -z "$newest" ] || [ "$number" -gt "$highest" ] ||
            { [ "$number" -eq "$highest" ] && [ ! "$newest" -nt "$found" ]; }; then
            newest=$found highest=$number
        fi
    done
}
prune() { # all that are complete but the newest $1; nothing where without them another would be the newest
    skip=/ only= left=$1
    look
    find_newest
    best=$newest
    while [ -n "$newest" ] && [ "$left" -gt 0 ]; do
        skip=$skip${newest##*/}/ left=$((left - 1))
        find_newest
    done
    [ -n "$newest" ] || return
    only=$skip skip=
    look
    find_newest
    [ "$newest" = "$best" ] || return
    skip=$only only=
    for found in "$BAREBOAT_CHECKPOINTS"/*; do
        counts "$found" && rm -rf -- "$found" && say "removed the checkpoint ${found##*/}: the newest $1 are kept"
    done
}
skip= only=
look
find_newest
export BAREBOAT_RESUME="$newest"

catches() { # whether process $1 has a handler for the warning
    while read -r name value; do
        if [ "$name" = SigCgt: ]; then
            [ $((0x${value#????????} >> (warning - 1) & 1)) = 1 ] && return 0
            return 1 # said aloud: bash would return what was before the trap
        fi
    done 2>/dev/null < "/proc/$1/status"
    return 1
}
lives() { kill -0 "$child" 2>/dev/null; }
patience() { # until the program has ended, or so many seconds are over
    for_seconds=$1
    while lives && [ "$for_seconds" -gt 0 ]; do
        sleep 1
        for_seconds=$((for_seconds - 1))
    done
    ! lives
}
interrupt() {
    warned=
    trap '' TERM USR2
    if [ "$$" = 1 ]; then # everything in this container is the program's
        for process in /proc/[0-9]*; do
            process=${process#/proc/}
            [ "$process" != 1 ] && catches "$process" && kill "-$warning" "$process" 2>/dev/null && warned=1
        done
    elif catches "$child" && kill "-$warning" "$child"; then
        warned=1
    fi
    [ -n "$warned" ] && patience "$grace" && return
    kill -TERM "$child" 2>/dev/null
    patience "$last" || kill -KILL "$child" 2>/dev/null
}

later() { # USR2 to this shell when a command has ended well
    before=$!
    trap '[ "$!" = "$before" ] || kill "$!" 2>/dev/null; exit' TERM
    "$@" &
    wait "$!" && kill -USR2 "$$"
}
other_ended() {
    until [ -d "$over" ]; do
        sleep 2
        kill -0 "$$" 2>/dev/null || return 1
    done
}
time_is_over() {
    left=$BAREBOAT_SECONDS
    while [ "$left" -gt 0 ]; do
        step=$((left < 10 ? left : 10))
        sleep "$step"
        kill -0 "$$" 2>/dev/null || return 1
        left=$((left - step))
    done
}

why= signalled= timers=
trap 'signalled=1 why=${why:-asked}; interrupt' TERM
trap 'signalled=1; if [ -d "$over" ]; then why=${why:-other}; else why=${why:-limit}; fi; interrupt' USR2
"$@" 2>&8 8>&- 9>&- &
child=$!
if [ "${BAREBOAT_SECONDS:-0}" -gt 0 ]; then
    (later time_is_over) >/dev/null 8>&- 9>&- &
    timers=$!
fi
if [ "$nodes" -gt 1 ]; then
    (later other_ended) >/dev/null 8>&- 9>&- &
    timers="$timers $!"
fi
code=0
while :; do
    signalled=
    wait "$child"
    ended=$?
    [ "$ended" = 127 ] && [ "$code" != 0 ] || code=$ended
    [ -n "$signalled" ] || break
done
trap '' TERM USR2
for timer in $timers; do kill "$timer" 2>/dev/null; done
if [ "${BAREBOAT_KEEP:-0}" -gt 0 ] && { [ "$nodes" = 1 ] || [ "$index" = 0 ]; }; then
    # the last file of a program that was killed may be cut off, which is not seen here: then one more stays
    prune $((BAREBOAT_KEEP + (code != 0)))
fi
first=1
if [ "$nodes" -gt 1 ] && [ "$why$code" != 0 ]; then mkdir "$over" 2>/dev/null || first=; fi
case $why in
asked) fail 122 "attempt $attempt: interrupted" ;; # whatever its exit code: what was interrupted goes on
limit) if [ -n "${BAREBOAT_AT_LIMIT:-}" ]; then fail 122 "attempt $attempt: its time was over"; fi
    fail 124 "attempt $attempt: its time was over" ;;
other) first= ;;
esac
[ -n "$first" ] || fail 122 "attempt $attempt: it ended on another node"
case $code in 120 | 121 | 122 | 124) fail 1 "attempt $attempt: exit $code, which is told as 1 here" ;; esac
told "attempt $attempt: exit $code"
exit "$code"

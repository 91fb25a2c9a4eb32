#!/bin/sh
# A srun that stands in for one with Pyxis: what it is asked is written down, and the program runs without a container.
# Everything else is the real one's (LC_REAL, a name that goes to the nodes); where there is none the program is started
# here. LC_WORDS: where its words go; PYXIS_FAILS: what it says instead.
case " $* " in *" --container-image="*) ;; *) exec "$LC_REAL" "$@" ;; esac
printf '%s\n' "$@" > "$LC_WORDS"
[ -z "${PYXIS_FAILS:-}" ] || { echo "slurmstepd: error: pyxis: $PYXIS_FAILS" >&2; exit 1; }
kept=""
while [ $# -gt 0 ]; do
    case $1 in
        --container-mounts=*:/run/bareboat-pyxis) beside=${1%:/run/bareboat-pyxis} beside=${beside##*[=,]} ;;
        --*container-*) ;;
        -*) kept="$kept $1" ;;
        *) break ;;
    esac
    shift
done
shift 2  # /bin/sh, and the start script, whose folder is elsewhere without a container
sed "s#/run/bareboat-pyxis#$beside#" "$beside/start" > "$beside/stand-in"
[ -n "${LC_REAL:-}" ] || exec sh "$beside/stand-in" "$@"
exec "$LC_REAL" $kept sh "$beside/stand-in" "$@"

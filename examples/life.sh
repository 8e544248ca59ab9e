#!/usr/bin/env bash
# The whole life of an agent in bash, with `rollcall` verbs and nothing else: it joins, works, waits for a person,
# finishes and leaves. It sends no heartbeats, unless `rollcall daemon` runs it:
#   rollcall agent add shelly --beats none && examples/life.sh shelly
# A verb ends with 0: done; 3: nothing yet; 5: the lease is no longer ours; 69: try again. It prints what to run next.
set -u
export ROLLCALL_AGENT="${1:-${ROLLCALL_AGENT:-shelly}}"
tasks="${2:-1}" # after so many it goes home
pause="${PAUSE_S:-1}"

# Say it until it is heard: under one command id it is carried out once.
say() {
  local code id
  id=$(cat /proc/sys/kernel/random/uuid)
  until rollcall "$@" --command-id "$id"; do
    code=$?
    [ "$code" -eq 69 ] || return "$code"
    sleep "$pause"
  done
}

# Print the number of the assignment that is owed an answer; a long poll of at most 50 s.
next() {
  local told code
  told=$(rollcall next)
  code=$?
  [ "$code" -eq 0 ] && awk '$1 == "assignment" { print $2 }' <<<"$told"
  return "$code"
}

# Here a real agent would work.
work() {
  say ack "$1" &&
    sleep "$pause" &&
    say progress "$1" "read the task" &&
    say wait "$1" --for human --who olga --reason "green or blue?" &&
    sleep "$pause" && # here it would ask her
    say resume "$1" &&
    say progress "$1" "painted it green" &&
    say done "$1" --result "it is green"
}

say join || exit
trap 'say leave' EXIT
trap 'exit 130' INT TERM

while [ "$tasks" -gt 0 ]; do
  assignment=$(next)
  case $? in
    0) work "$assignment" && tasks=$((tasks - 1)) ;; # one that was taken from us is not ours to finish
    3) ;;                                            # nothing yet: ask again
    69) sleep "$pause" ;;
    *) exit 1 ;;
  esac
done

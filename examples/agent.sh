#!/usr/bin/env bash
# An agent in bash: nothing but `rollcall` verbs. It does not beat: `rollcall agent add bash --beats none`.
set -o pipefail
export ROLLCALL_AGENT="${1:-bash}"

# What it owes an answer to, or nothing when nobody asked for 10 s.
next() { rollcall next --wait 10 | awk '$1 == "assignment" { print $2 }'; }

while true; do
  assignment=$(next 2>/dev/null) || sleep 1
  [ -n "$assignment" ] || continue
  rollcall ack "$assignment" &&
    rollcall progress "$assignment" "on it" &&
    rollcall done "$assignment" --result "done in bash"
done >/dev/null 2>&1

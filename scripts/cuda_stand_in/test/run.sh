#!/bin/sh
# Builds the stand-in card and its self-tests in a folder of their own, and prints how each planted error was caught.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$here/../build.sh" "$folder"
for program in right wrong; do
    g++ -std=c++17 -O1 -Wall -Wextra "$here/$program.cpp" -L"$folder" -lcuda -lnvrtc -lcudnn -Wl,-rpath,"$folder" -o "$folder/$program"
done
export FINESCALE_STAND_IN_CACHE="$folder/cache"
unset FINESCALE_STAND_IN_FLUSH FINESCALE_STAND_IN_PAGEABLE FINESCALE_STAND_IN_MEMORY FINESCALE_STAND_IN_CAPABILITY

for seed in 1 2 3; do
    printf 'right programs, seed %s: ' $seed
    FINESCALE_STAND_IN_SEED=$seed "$folder/right"
done
printf 'right programs, start of memory at the guard page: '
FINESCALE_STAND_IN_FLUSH=start "$folder/right"
printf 'right programs, looking for races: '
FINESCALE_STAND_IN_RACES=1 "$folder/right"
printf 'right programs, staged host memory: '
FINESCALE_STAND_IN_PAGEABLE=staged "$folder/right"

missed=0
# Each line: the planted error, the exit code, and a part of the message.
while IFS='|' read -r error code text; do
    found=0 races=0
    case $error in race_*) races=1 ;; esac
    FINESCALE_STAND_IN_RACES=$races "$folder/wrong" "$error" >"$folder/output" 2>&1 || found=$?
    message=$(grep -F -e "$text" "$folder/output" || tail -n 1 "$folder/output")
    message=$(echo "$message" | head -n 1 | sed "s/^cuda stand-in: //; s|$folder/||g; s/0x[0-9a-f]\{6,\}/ADDRESS/g")
    if [ "$found" = "$code" ] && grep -qF -e "$text" "$folder/output"; then
        printf 'caught  %-34s %s\n' "$error" "$message"
    else
        printf 'MISSED  %-34s exit %s: %s\n' "$error" "$found" "$message"
        missed=$((missed + 1))
    fi
done <"$here/planted_errors.txt"
echo "$missed planted errors missed of $(wc -l <"$here/planted_errors.txt")"
[ "$missed" -eq 0 ]

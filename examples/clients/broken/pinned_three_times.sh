#!/bin/sh
# Broken: only the first three requests are pinned.
#
# certpin prove --style leaf -- sh pinned_three_times.sh {url} {ca} {pinnedpubkey}
for number in 1 2 3 4 5 6; do
	if [ $number -le 3 ]; then
		curl -sS --cacert "$2" --pinnedpubkey "$3" "$1" || exit
	else
		curl -sS --cacert "$2" "$1" || exit # here
	fi
done

#!/bin/sh
# tidy.sh FILE FLAG… - clang-tidy on one file, silent unless it finds something.
# One file a call: its analyzer confuses the va_lists of several.
file=$1
shift
found=$(clang-tidy --quiet "$file" -- "$@" 2>&1) && exit 0
printf '%s\n' "$found"
exit 1

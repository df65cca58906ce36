# shellcheck shell=sh
# Assertions of the shell tests. A test fails when any of its assertions or its
# last command fails; $work/calls holds the recorded calls.

passed=0
failed=0
problems=

run_test() {
	problems=
	"$1" || fail "stopped early; stderr: $(tail -n 3 "$work/stderr" 2>/dev/null)"
	if [ -z "$problems" ]; then
		passed=$((passed + 1))
		echo "ok   $1"
	else
		failed=$((failed + 1))
		printf 'FAIL %s\n%s\n' "$1" "$problems"
	fi
}

# report NAME: leaves the count behind for the runner.
report() {
	echo "$1: $passed passed, $failed failed"
	[ -z "${TALLY:-}" ] || echo "$passed $failed" >>"$TALLY"
	[ "$failed" = 0 ]
}

fail() {
	problems="$problems
     $1"
}

equal() { [ "$1" = "$2" ] || fail "expected '$1', got '$2'"; }

# file_is FILE <expected
file_is() {
	difference=$(diff -u - "$1" 2>&1) || fail "$1 differs: $difference"
}

contains() { grep -qxF -- "$2" "$1" || fail "no line '$2' in $1"; }

absent() { [ ! -e "$1" ] || fail "$1 exists"; }

# called LINE: the start of a recorded line.
called() {
	awk -v line="$1" 'index($0, line) == 1 { found = 1 } END { exit !found }' "$work/calls" ||
		fail "not called: $1"
}

not_called() {
	awk -v line="$1" 'index($0, line) == 1 { found = 1 } END { exit found }' "$work/calls" ||
		fail "called: $1"
}

called_with() {
	grep "^$1 " "$work/calls" | grep -qF -- "$2" || fail "$1 not called with '$2'"
}

not_called_with() {
	! grep "^$1 " "$work/calls" | grep -qF -- "$2" || fail "$1 called with '$2'"
}

# applets DIRECTORY: busybox's commands under their names, as on a router, so
# that nothing here leans on those of a bigger system.
applets() {
	mkdir -p "$1"
	for applet in $(busybox --list); do
		ln -sf "$(command -v busybox)" "$1/$applet"
	done
}

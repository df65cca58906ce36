# shellcheck shell=ash
# Names of files, and who can say what they lead to. Sourced by place.sh.
#
# A directory of the service's may hold a link of its making to a file of root's; so
# may one that is open to all.

# clean PATH: without //, /./ and a slash at its end.
clean() {
	case "$1" in
		*//* | */./* | */. | ?*/)
			printf '%s\n' "$1" |
				sed -e ':again' -e 's|/\./|/|' -e 't again' -e 's|//*|/|g' -e 's|/\.$|/|' -e 's|\(.\)/$|\1|'
			;;
		*) printf '%s\n' "$1" ;;
	esac
}

# lies_in PATH DIRECTORY: by their names alone; a directory lies in itself.
lies_in() {
	[ -n "$2" ] || return 1
	case "$(clean "$1")/" in
		*/../*) return 1 ;;
		"$2"/*) ;;
		*) return 1 ;;
	esac
}

# is_roots PATH: whether none but root can change what it leads to.
is_roots() {
	! leaders "$1" | grep -qvx -e absent -e u0 -e g0 -e "u$(id -u)" -e "g$(id -g)"
}

# is_the_services PATH [any]: whether the service's user can change what it leads
# to; any: or every user.
is_the_services() {
	leaders "$1" | has_service "$2"
}

# can_write FILE: whether it has a say in what is written there.
can_write() {
	is_the_services "$1" any || changers "$(readlink -f "$1")" | has_service any
}

# has_service [any]: whether it is among those who can change something.
has_service() {
	# A u alone is nobody.
	# shellcheck disable=SC2086
	grep -qx -e "u$SERVICE_USER" $SERVICE_GROUPS -e "${1:-u}" ${1:+-e absent}
}

# leaders PATH: who can change what it leads to: of each directory in which one of
# its names is looked up its changers, and those of links in directories like /tmp.
# More names than a hundred are no path of an honest user's.
leaders() {
	local rest="${1#/}/" at='' name link names=0

	while [ -n "$rest" ]; do
		name=${rest%%/*}
		rest=${rest#*/}
		case "$name" in
			'' | .) continue ;;
			..)
				at=${at%/*}
				continue
				;;
		esac
		names=$((names + 1))
		[ "$names" -le 100 ] || { echo any; return; }
		changers "$at/" "$at/$name"
		if [ -L "$at/$name" ]; then
			link=$(readlink "$at/$name")
			case "$link" in /*) at= ;; esac
			rest=${link#/}/$rest
		else
			at=$at/$name
			[ -e "$at" ] || return 0
		fi
	done
}

# changers FILE [ENTRY]: its owner as uNUMBER, the group that may write as gNUMBER,
# `any` if all may; of an ENTRY where nobody can replace another's, that one's owner,
# `absent` if there is none.
changers() {
	# shellcheck disable=SC2012
	ls -ldn "$1" 2>/dev/null | {
		read -r mode _ user group _ || exit
		echo "u$user"
		case "$mode" in
			d????????[tT]*)
				[ -n "$2" ] || exit
				owner=$(ls -ldn "$2" 2>/dev/null | sed 's/^[^ ]* *[^ ]* *\([0-9]*\) .*/u\1/;q')
				echo "${owner:-absent}"
				exit
				;;
		esac
		case "$mode" in ?????w*) echo "g$group" ;; esac
		case "$mode" in ????????w*) echo any ;; esac
	}
}

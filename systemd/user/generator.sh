#!/bin/sh
# Takes User= out of aesyncd.service where a user's manager can't start a unit that has it: an older one sets the groups of whoever is named, which
# only root may, and the unit fails with 216/GROUP. No setting of a unit depends on the version of systemd; so there is this generator, installed as
# /usr/lib/systemd/user-generators/aesyncd. Each user's manager waits for it: it is short and silent, and whatever goes wrong is no failure of it.
#
# systemd 252 and 254 were seen to fail, 257.13 and 262 to start the unit. 257 alone does not tell: what lets systemd start it was made when 258 was
# out (https://github.com/systemd/systemd/pull/39039), and carried back. A version that is not known to have it is taken for one that has it not,
# and so is one that can't be read: the unit starts then with 0.3 more of exposure, and would not start at all if the mistake were the other one.
exec >/dev/null 2>&1
# Not its user's PATH, who may have another systemctl.
PATH=/usr/bin:/bin

# Of the program, since the manager answers nobody while it waits.
case $(systemctl --version) in
"systemd 257 (257.1"[3-9]* | "systemd 257 (257."[2-9][0-9]*) ;;
"systemd 2"[6-9][0-9]" "* | "systemd "[3-9][0-9][0-9]" "*) ;;
*)
    # 10: the drop-ins of its user come after it.
    [ -n "$1" ] && mkdir -p "$1/aesyncd.service.d" && printf '[Service]\nUser=\n' >"$1/aesyncd.service.d/10-user.conf"
    ;;
esac
exit 0

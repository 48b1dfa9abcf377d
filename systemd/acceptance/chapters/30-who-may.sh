chapter "Who may"

need in_box usermod --append --groups aesync member
check "a member of the group pushes, and it reaches the server" as member sh -ec \
    'printf "{\"email\":\"member@example.com\"}" | aectl push - --type end_user --wait confirmed --timeout 30s'
check "it is there" server_has member@example.com
check "a member can't sign anybody in" exits 6 "auth.login needs the role admin" \
    as member sh -c 'echo x | aectl login --email x@example.com'
check "nor stop the daemon" exits 6 "needs the role admin" as member aectl shutdown
check "a stranger is told which group he is not in" exits 6 "join its group with \`sudo usermod -aG aesync" as stranger aectl status
check "nor can a stranger look into the state" exits 2 "Permission denied" as stranger ls /var/lib/aesyncd
check "a member can't either" exits 1 "Permission denied" as member cat /var/lib/aesyncd/token

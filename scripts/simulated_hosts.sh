# shellcheck shell=bash
# Simulates two hosts on this machine: network namespaces on a bridge, each with its own host name, loopback and shared
# memory. Tests source it. Needs root with CAP_SYS_ADMIN and `ip` (package iproute2).
#   hosts_up FOLDER    makes them; $host_a (10.77.0.10) and $host_b (10.77.0.11) are their names, and "$enter" HOST
#                      COMMAND… runs a command in one. FOLDER holds temporary files
#   hosts_down         kills the processes in them and removes them

hosts_tag=rt$$ # so that two runs do not collide
host_a=${hosts_tag}a
host_b=${hosts_tag}b

hosts_down() {
  local name
  for name in "$host_a" "$host_b" "${hosts_tag}s"; do
    if ip netns list | grep -q "^$name\b"; then
      ip netns pids "$name" | xargs -r kill -9 || true
      ip netns del "$name"
    fi
    rm -rf "/etc/netns/$name"
  done
}

one_host_up() { # NAME ADDRESS
  ip netns add "$1"
  ip link add "v$1" netns "$1" type veth peer name "p$1" netns "${hosts_tag}s"
  ip -n "${hosts_tag}s" link set "p$1" master br0 up
  ip -n "$1" link set "v$1" name eth0
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set eth0 up
  ip -n "$1" link set lo up
  mkdir -p "/etc/netns/$1"
  printf '127.0.0.1 localhost\n10.77.0.10 %s\n10.77.0.11 %s\n' "$host_a" "$host_b" >"/etc/netns/$1/hosts"
}

hosts_up() { # FOLDER
  if ! ip netns add "${hosts_tag}s"; then
    echo "[hosts] cannot make network namespaces here: root and CAP_SYS_ADMIN are needed" >&2
    return 2
  fi
  ip -n "${hosts_tag}s" link add br0 type bridge
  ip -n "${hosts_tag}s" link set br0 up
  one_host_up "$host_a" 10.77.0.10
  one_host_up "$host_b" 10.77.0.11
  enter=$1/enter
  cat >"$enter" <<'ENTER'
#!/usr/bin/env bash
# mpirun calls this, too, instead of ssh: HOST COMMAND…
host=$1
shift
exec ip netns exec "$host" unshare --uts --mount bash -c \
  'hostname "$0"; mount -t tmpfs none /dev/shm; exec bash -c "$1"' "$host" "$*"
ENTER
  chmod +x "$enter"
}

#pragma once

namespace retinue {

/// Pairs of ranks: within round_robin_rounds(ranks) rounds each rank meets every other rank once,
/// and one at a time.
constexpr int round_robin_rounds(int ranks) {
  if (ranks < 2) return 0;
  return ranks % 2 == 0 ? ranks - 1 : ranks;
}

/// The peer of `rank` in `round`; `rank` itself when it has none.
constexpr int round_robin_peer(int rank, int round, int ranks) {
  // The circle method: the last seat is fixed and the others rotate. With an odd number of ranks
  // the last seat is empty, and its peer sits out.
  const int seats = ranks % 2 == 0 ? ranks : ranks + 1;
  const int last = seats - 1;
  int peer = 0;
  if (rank == last)
    peer = round * (seats / 2) % last;  // solves 2 peer = round (mod last)
  else
    peer = ((round - rank) % last + last) % last;
  if (rank != last && peer == rank) peer = last;
  return peer >= ranks ? rank : peer;
}

}  // namespace retinue

#pragma once

namespace retinue {

/// Everybody meets everybody, and nobody two at a time: within round_robin_rounds(ranks) rounds each
/// rank meets every other once.
constexpr int round_robin_rounds(int ranks) {
  if (ranks < 2) return 0;
  return ranks % 2 == 0 ? ranks - 1 : ranks;
}

/// Whom `rank` meets in `round`; itself when it sits out.
constexpr int round_robin_peer(int rank, int round, int ranks) {
  // One stands still while the others go round a table; with an odd number it is an empty chair.
  const int seats = ranks % 2 == 0 ? ranks : ranks + 1;
  const int last = seats - 1;
  int peer = 0;
  if (rank == last)
    peer = round * (seats / 2) % last;  // the one for whom 2 peer = round (mod last)
  else
    peer = ((round - rank) % last + last) % last;
  if (rank != last && peer == rank) peer = last;
  return peer >= ranks ? rank : peer;
}

}  // namespace retinue

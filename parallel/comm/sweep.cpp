#include "parallel/comm/sweep.h"

#include "parallel/base/check.h"
#include "parallel/base/statistics.h"
#include "parallel/comm/gather_values.h"
#include "parallel/comm/round_robin.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace retinue {

namespace {

/// Short operations are timed several in a row: enough that reading the clock does not count.
constexpr std::int64_t kBytesInARow = std::int64_t{64} << 10;
constexpr int kMostInARow = 16;
/// More repetitions would not change a median.
constexpr int kMostRepetitions = 101;
/// Above the tags of jobs (job_messages.h counts from 1) and below NCCL's, the highest.
constexpr int kPairTag = Communicator::kMaxTag - 2;

/// Sizes of a sweep, rounded up so that every rank has a whole share.
std::vector<std::int64_t> sizes_of(const SweepOptions& options, std::int64_t unit) {
  std::vector<std::int64_t> sizes;
  for (std::int64_t bytes = options.least_bytes;; bytes *= options.growth) {
    const std::int64_t rounded = (std::min(bytes, options.most_bytes) + unit - 1) / unit * unit;
    if (sizes.empty() || rounded > sizes.back()) sizes.push_back(rounded);
    if (bytes >= options.most_bytes) return sizes;
  }
}

/// 1 to 256, different at nearby and at power-of-two offsets, so that a wrong offset shows.
std::int64_t pattern(std::int64_t i) { return ((i ^ i >> 8 ^ i >> 16) & 255) + 1; }

/// A rank's element i: whole numbers, whose sum over any number of ranks is exact.
float given(int rank, std::int64_t i) { return static_cast<float>(pattern(i) * (rank % 17 + 1)); }

/// Calls collectives of any size as a job would call them.
class Bench {
 public:
  Bench(Communicator& comm, Communicator& host, const Stream& stream, const Clock& clock,
        std::int64_t most_bytes)
      : comm_(comm),
        host_(host),
        stream_(stream),
        clock_(clock),
        x_(ledger_, stream.device(), DType::kF32, Shape{most_bytes / 4}, MemoryTag::kScratch),
        on_host_(static_cast<std::size_t>(most_bytes / 4)),
        begin_(stream.device()),
        end_(stream.device()) {}

  /// Runs one operation and counts the wrong elements of its result on this rank.
  std::int64_t verify(Collective collective, std::int64_t bytes) {
    const std::int64_t count = bytes / 4;
    const std::int64_t own = count / comm_.size(), first = own * comm_.rank();
    for (std::int64_t i = 0; i < count; ++i) {
      const bool mine = collective == Collective::kAllReduce ||
                        (collective == Collective::kAllGather ? i >= first && i < first + own
                                                              : comm_.rank() == 0);
      on_host_[static_cast<std::size_t>(i)] = mine ? given(comm_.rank(), i) : -1.0F;
    }
    fill(count);
    operate(collective, count, 0);
    comm_.wait(stream_);
    stream_.copy(on_host_.data(), x_.view().bytes(), static_cast<std::size_t>(bytes));
    comm_.wait(stream_);
    std::int64_t ranks = 0;  // the sum of `given` over the pattern
    for (int rank = 0; rank < comm_.size(); ++rank) ranks += rank % 17 + 1;
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      float wanted = given(0, i);
      if (collective == Collective::kAllGather) wanted = given(static_cast<int>(i / own), i);
      if (collective == Collective::kAllReduce) wanted = static_cast<float>(ranks * pattern(i));
      wrong += on_host_[static_cast<std::size_t>(i)] != wanted;
    }
    return wrong;
  }

  /// Seconds per operation on this rank, over `in_a_row` operations.
  double time(Collective collective, std::int64_t bytes, int in_a_row) {
    const std::int64_t count = bytes / 4;
    if (collective == Collective::kAllReduce) {
      // Repeated sums grow: begin tiny, since infinities may add at another speed.
      std::fill_n(on_host_.begin(), count, 0x1.0p-100F * static_cast<float>(1 + comm_.rank()));
      fill(count);
      comm_.wait(stream_);
    }
    host_.barrier();
    const double start = clock_.now_s();
    begin_.record(stream_);
    // Roots take turns, so that each waits for the message before its own.
    for (int i = 0; i < in_a_row; ++i) operate(collective, count, i % comm_.size());
    end_.record(stream_);
    comm_.wait(stream_);
    const double taken = stream_.device().type == DeviceType::kCpu ? clock_.now_s() - start
                                                                   : end_.seconds_since(begin_);
    return taken / in_a_row;
  }

 private:
  void fill(std::int64_t count) {
    stream_.copy(x_.view().bytes(), on_host_.data(), static_cast<std::size_t>(count) * 4);
  }
  void operate(Collective collective, std::int64_t count, int root) {
    const TensorView x = x_.view().rows(0, count);
    if (collective == Collective::kAllReduce) {
      comm_.all_reduce(stream_, x);
    } else if (collective == Collective::kBroadcast) {
      comm_.broadcast(stream_, x, root);
    } else {
      const std::int64_t own = count / comm_.size();
      const std::vector<std::int64_t> rows(static_cast<std::size_t>(comm_.size()), own);
      comm_.all_gather(stream_, x.rows(own * comm_.rank(), own), x, rows);
    }
  }

  Communicator& comm_;
  Communicator& host_;
  const Stream& stream_;
  const Clock& clock_;
  MemoryLedger ledger_;
  Tensor x_;
  std::vector<float> on_host_;
  Event begin_, end_;
};

/// Per repetition, the time of the slowest rank: an operation ends when all ranks have ended it.
std::vector<double> slowest(Communicator& host, const std::vector<double>& mine) {
  const auto count = static_cast<std::int64_t>(mine.size());
  const auto row = count * static_cast<std::int64_t>(sizeof(double));
  std::vector<double> all(mine.size() * static_cast<std::size_t>(host.size()));
  host.all_gather(
      Stream{Device{}},
      ConstTensorView(reinterpret_cast<const std::byte*>(mine.data()), DType::kU8, Shape{1, row}),
      TensorView(reinterpret_cast<std::byte*>(all.data()), DType::kU8, Shape{host.size(), row}),
      std::vector<std::int64_t>(static_cast<std::size_t>(host.size()), 1));
  std::vector<double> most(mine.size());
  for (std::size_t i = 0; i < all.size(); ++i)
    most[i % mine.size()] = std::max(most[i % mine.size()], all[i]);
  return most;
}

CollectiveSweep sweep_one(Collective collective, Bench& bench, Communicator& host,
                          const Clock& clock, const SweepOptions& options, double seconds) {
  CollectiveSweep sweep{.collective = collective, .ranks = host.size()};
  const std::vector<std::int64_t> sizes = sizes_of(options, std::int64_t{4} * host.size());
  const double end = clock.now_s() + seconds;  // rank 0's clock decides
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::int64_t bytes = sizes[i];
    const int in_a_row =
        static_cast<int>(std::clamp<std::int64_t>(kBytesInARow / bytes, 1, kMostInARow));
    // A size that would end after twice the budget does not begin.
    bool go = true;
    if (i >= 2) {
      const SweepPoint& last = sweep.points.back();
      const double guess =
          last.seconds * static_cast<double>(bytes) / static_cast<double>(last.bytes);
      go = clock.now_s() + guess * options.repetitions < end + seconds;
    }
    broadcast_value(host, go);
    if (!go) {
      sweep.cut_short = true;
      break;
    }
    SweepPoint point{.bytes = bytes};
    point.wrong = bench.verify(collective, bytes);
    const double warm = bench.time(collective, bytes, in_a_row) * in_a_row;
    const double left = std::max(0.0, end - clock.now_s()) / static_cast<double>(sizes.size() - i);
    int repetitions = static_cast<int>(
        std::clamp<double>(left / std::max(warm, 1e-9), options.repetitions, kMostRepetitions));
    broadcast_value(host, repetitions);
    std::vector<double> mine;
    for (int r = 0; r < repetitions; ++r) mine.push_back(bench.time(collective, bytes, in_a_row));
    std::vector<double> all = slowest(host, mine);
    for (double& taken : all) taken = std::max(taken, 1e-9);  // a coarse clock may show 0
    const auto [least, most] = std::ranges::minmax_element(all);
    point.least_s = *least, point.most_s = *most;
    point.seconds = median(all);
    point.repetitions = repetitions;
    const std::vector<std::int64_t> wrong = gather_values(host, point.wrong);
    point.wrong = std::accumulate(wrong.begin(), wrong.end(), std::int64_t{0});
    sweep.points.push_back(point);
  }
  std::vector<TimedBytes> points;
  for (const SweepPoint& point : sweep.points)
    points.push_back({static_cast<double>(point.bytes), point.seconds});
  sweep.fit = fit_alpha_beta(points);
  return sweep;
}

}  // namespace

std::string_view name(Collective collective) {
  switch (collective) {
    case Collective::kAllReduce:
      return "all_reduce";
    case Collective::kAllGather:
      return "all_gather";
    case Collective::kBroadcast:
      return "broadcast";
  }
  throw BugError("a collective without a name");
}

double bus_factor(Collective collective, int ranks) {
  if (ranks <= 1) return 0;
  const double others = static_cast<double>(ranks - 1) / ranks;
  switch (collective) {
    case Collective::kAllReduce:
      return 2 * others;
    case Collective::kAllGather:
      return others;
    case Collective::kBroadcast:
      return 1;
  }
  throw BugError("a collective without a bus factor");
}

std::vector<CollectiveSweep> sweep_collectives(Communicator& comm, Communicator& host,
                                               const Stream& stream, const Clock& clock,
                                               const SweepOptions& options) {
  check(comm.size() == host.size() && comm.rank() == host.rank(),
        "a sweep's two communicators have the same ranks");
  check(options.least_bytes > 0 && options.growth >= 2 && options.repetitions >= 1 &&
            options.most_bytes > std::int64_t{4} * comm.size(),
        "a sweep has at least two sizes");
  const std::int64_t unit = std::int64_t{4} * comm.size();
  Bench bench(comm, host, stream, clock, (options.most_bytes + unit - 1) / unit * unit);
  std::vector<CollectiveSweep> sweeps;
  for (const Collective collective : options.collectives)
    sweeps.push_back(sweep_one(collective, bench, host, clock, options,
                               options.seconds / static_cast<double>(options.collectives.size())));
  // Processors may round the fit differently: all ranks take rank 0's.
  for (CollectiveSweep& sweep : sweeps) broadcast_value(host, sweep.fit);
  return sweeps;
}

std::vector<PairTimes> sweep_pairs(Communicator& host, const Clock& clock,
                                   const PairOptions& options) {
  const Stream stream{Device{}};
  std::vector<std::byte> message(
      static_cast<std::size_t>(std::max(options.short_bytes, options.long_bytes)));
  const auto there_and_back = [&](int peer, std::int64_t bytes, int repetitions) {
    const TensorView x(message.data(), DType::kU8, Shape{bytes});
    std::vector<double> taken;
    for (int i = -options.warm_up; i < repetitions; ++i) {
      const double start = clock.now_s();
      if (host.rank() < peer) {
        host.send(stream, x, peer, kPairTag);
        host.recv(stream, x, peer, kPairTag);
      } else {
        host.recv(stream, x, peer, kPairTag);
        host.send(stream, x, peer, kPairTag);
      }
      if (i >= 0) taken.push_back((clock.now_s() - start) / 2);
    }
    return std::max(median(taken), 1e-9);
  };
  std::vector<PairTimes> pairs;
  for (int round = 0; round < round_robin_rounds(host.size()); ++round) {
    PairTimes mine{.a = -1};
    host.barrier();
    const int peer = round_robin_peer(host.rank(), round, host.size());
    if (peer != host.rank()) {
      const double latency = there_and_back(peer, options.short_bytes, options.short_repetitions);
      const double carried = there_and_back(peer, options.long_bytes, options.long_repetitions);
      // The lower rank times the whole round trip; the other one also times its wait for it.
      if (host.rank() < peer)
        mine = {host.rank(), peer, latency, static_cast<double>(options.long_bytes) / carried};
    }
    for (const PairTimes& pair : gather_values(host, mine))
      if (pair.a >= 0) pairs.push_back(pair);
  }
  std::ranges::sort(pairs, {}, [](const PairTimes& pair) { return std::pair(pair.a, pair.b); });
  return pairs;
}

}  // namespace retinue

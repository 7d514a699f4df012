// all_reduce beside MPI_Allreduce and beside plain copying, in one run:
//   mpirun -np 2 … all_reduce_bench [--json FILE]
// Copying is what an in-place sum cannot beat: each rank reads its elements and writes as many.
#include "parallel/comm/mpi_world.h"
#include "tests/support/mpi_all_reduce.h"
#include "tests/support/rank_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string_view>

namespace retinue {
namespace {

constexpr int kRounds = 15;

struct Timing {
  double median_us;
  double least_us;
  double most_us;
};

// All ranks start together; a round is as long as its slowest rank, which rank 0 reports.
Timing time_us(Communicator& comm, std::int64_t count, const std::function<void()>& body) {
  // Short messages are repeated inside a round, so that the clock and the barrier do not count.
  const int repeats = static_cast<int>(std::clamp<std::int64_t>(2'000'000 / count, 1, 500));
  const Stream stream{Device{}};
  const std::vector<std::int64_t> one_each(static_cast<std::size_t>(comm.size()), 1);
  std::vector<double> rounds;
  for (int round = -2; round < kRounds; ++round) {  // two to warm up
    comm.barrier();
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) body();
    const std::chrono::duration<double, std::micro> taken =
        std::chrono::steady_clock::now() - start;
    std::vector<float> own{static_cast<float>(taken.count() / repeats)};
    std::vector<float> all(static_cast<std::size_t>(comm.size()));
    comm.all_gather(stream, test::view_of(own), test::view_of(all), one_each);
    if (round >= 0) rounds.push_back(std::ranges::max(all));
  }
  std::ranges::sort(rounds);
  return {rounds[kRounds / 2], rounds.front(), rounds.back()};
}

void run(const char* json_path) {
  World world;
  const Stream stream{Device{}};
  const auto gather = world.duplicate("gather", {AllReducePath::kGather});
  const auto slices = world.duplicate("slices", {AllReducePath::kSlices});
  std::string json = fmt::format(
      "{{\"schema_version\": 1, \"bench\": \"all_reduce\", \"host\": "
      "\"{}\", \"ranks\": {}, \"rounds\": {}, \"results\": [",
      world.host(), world.size(), kRounds);
  if (world.rank() == 0)
    fmt::print(
        "{} ranks on {}, median of {} rounds (us)\n"
        "{:>10} {:>10} {:>17} {:>10} {:>10} {:>14} {:>10} {:>10} {:>12}\n",
        world.size(), world.host(), kRounds, "bytes", "ours", "range", "gather", "slices",
        "MPI_Allreduce", "copy", "x MPI", "of copy");
  bool first = true;
  for (const std::int64_t count : {2'560, 81'920, 327'680, 2'621'440, 10'485'760}) {
    std::vector<float> x = test::values_of_rank(world.rank(), count);
    std::vector<float> y(x.size());
    // Sums of sums overflow after some rounds, and what is not finite may add slower: start anew.
    const auto timed = [&](const std::function<void()>& body) {
      std::ranges::fill(x, 0x1.0p-100F);
      return time_us(world.comm(), count, body);
    };
    const Timing ours = timed([&] { world.comm().all_reduce(stream, test::view_of(x)); });
    const Timing by_gather = timed([&] { gather->all_reduce(stream, test::view_of(x)); });
    const Timing by_slices = timed([&] { slices->all_reduce(stream, test::view_of(x)); });
    const Timing mpi = timed([&] { test::mpi_all_reduce(x.data(), count); });
    const Timing copy = timed([&] { std::memcpy(y.data(), x.data(), x.size() * sizeof(float)); });
    if (world.rank() != 0) continue;
    fmt::print(
        "{:>10} {:>10.1f} {:>8.1f}-{:>8.1f} {:>10.1f} {:>10.1f} {:>14.1f} {:>10.1f} {:>9.1f}x "
        "{:>12.2f}\n",
        count * 4, ours.median_us, ours.least_us, ours.most_us, by_gather.median_us,
        by_slices.median_us, mpi.median_us, copy.median_us, mpi.median_us / ours.median_us,
        copy.median_us / ours.median_us);
    json += fmt::format(
        "{}{{\"bytes\": {}, \"ours_us\": {:.2f}, \"ours_least_us\": {:.2f}, "
        "\"ours_most_us\": {:.2f}, \"mpi_allreduce_us\": {:.2f}, \"copy_us\": {:.2f}}}",
        first ? "" : ", ", count * 4, ours.median_us, ours.least_us, ours.most_us, mpi.median_us,
        copy.median_us);
    first = false;
  }
  if (world.rank() != 0 || json_path == nullptr) return;
  std::FILE* file = std::fopen(json_path, "w");
  if (file == nullptr) throw UsageError(fmt::format("[bench] {} cannot be written", json_path));
  fmt::print(file, "{}]}}\n", json);
  std::fclose(file);
}

}  // namespace
}  // namespace retinue

int main(int argc, char** argv) {
  const bool json = argc == 3 && std::string_view(argv[1]) == "--json";
  if (argc != 1 && !json) {
    std::fprintf(stderr, "usage: mpirun -np N %s [--json FILE]\n", argv[0]);
    return 2;
  }
  retinue::run(json ? argv[2] : nullptr);
}

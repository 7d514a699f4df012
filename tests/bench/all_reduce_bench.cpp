// Times all_reduce beside MPI_Allreduce and plain copying, in one run:
//   mpirun -np 2 … all_reduce_bench [--json FILE]
// An in-place sum cannot be faster than copying: each rank reads its elements and writes as many.
#include "parallel/comm/mpi/mpi_world.h"
#include "tests/support/mpi_all_reduce.h"
#include "tests/support/rank_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string_view>

namespace retinue {
namespace {

constexpr int kRounds = 15;

struct Way {
  const char* name;
  std::function<void()> body;
  std::vector<double> rounds_us = {};

  [[nodiscard]] double median_us() const { return rounds_us[rounds_us.size() / 2]; }
  [[nodiscard]] double least_us() const { return rounds_us.front(); }
};

// All ranks start together; a round is as long as its slowest rank. The ways take turns, so that a
// disturbance affects all.
void time_in_turns(Communicator& comm, std::int64_t count, std::vector<float>& x,
                   std::span<Way> ways) {
  // Short messages are repeated inside a round, so that clock and barrier are negligible.
  const int repeats = static_cast<int>(std::clamp<std::int64_t>(500'000 / count, 1, 100));
  const std::vector<std::int64_t> one_each(static_cast<std::size_t>(comm.size()), 1);
  for (int round = -2; round < kRounds; ++round)  // two to warm up
    for (Way& way : ways) {
      // Sums of sums overflow after some rounds, and non-finite values may add more slowly.
      std::ranges::fill(x, 0x1.0p-100F * static_cast<float>(1 + comm.rank()));
      comm.barrier();
      const auto start = std::chrono::steady_clock::now();
      for (int i = 0; i < repeats; ++i) way.body();
      const std::chrono::duration<double, std::micro> taken =
          std::chrono::steady_clock::now() - start;
      std::vector<float> own{static_cast<float>(taken.count() / repeats)};
      std::vector<float> all(static_cast<std::size_t>(comm.size()));
      comm.all_gather(Stream{Device{}}, test::view_of(own), test::view_of(all), one_each);
      if (round >= 0) way.rounds_us.push_back(std::ranges::max(all));
    }
  for (Way& way : ways) std::ranges::sort(way.rounds_us);
}

void run(const char* json_path) {
  World world;
  const Stream stream{Device{}};
  const auto gather = world.duplicate("gather", {.all_reduce = AllReducePath::kGather});
  const auto slices = world.duplicate("slices", {.all_reduce = AllReducePath::kSlices});
  std::string json = fmt::format(
      "{{\"schema_version\": 1, \"bench\": \"all_reduce\", \"host\": \"{}\", \"ranks\": {}, "
      "\"rounds\": {}, \"results\": [",
      world.host(), world.size(), kRounds);
  if (world.rank() == 0)
    fmt::print("{} ranks on {}; us, median of {} rounds (least)\n", world.size(), world.host(),
               kRounds);
  for (const std::int64_t count : {2'560, 81'920, 327'680, 2'621'440, 10'485'760}) {
    std::vector<float> x(static_cast<std::size_t>(count)), y(x.size());
    std::array<Way, 5> ways{
        Way{"ours", [&] { world.comm().all_reduce(stream, test::view_of(x)); }},
        Way{"gather", [&] { gather->all_reduce(stream, test::view_of(x)); }},
        Way{"slices", [&] { slices->all_reduce(stream, test::view_of(x)); }},
        Way{"MPI_Allreduce", [&] { test::mpi_all_reduce(x.data(), count); }},
        Way{"copy", [&] { std::memcpy(y.data(), x.data(), x.size() * sizeof(float)); }}};
    time_in_turns(world.comm(), count, x, ways);
    if (world.rank() != 0) continue;
    std::string line = fmt::format("{:>9} bytes", count * 4);
    json += fmt::format("{}{{\"bytes\": {}", json.back() == '[' ? "" : ", ", count * 4);
    for (const Way& way : ways) {
      line += fmt::format("  {} {:.1f} ({:.1f})", way.name, way.median_us(), way.least_us());
      json += fmt::format(", \"{}_us\": {:.2f}, \"{}_least_us\": {:.2f}, \"{}_most_us\": {:.2f}",
                          way.name, way.median_us(), way.name, way.least_us(), way.name,
                          way.rounds_us.back());
    }
    json += "}";
    fmt::print("{}  = {:.1f}x MPI ({:.1f}), {:.2f} of copy ({:.2f})\n", line,
               ways[3].median_us() / ways[0].median_us(), ways[3].least_us() / ways[0].least_us(),
               ways[4].median_us() / ways[0].median_us(), ways[4].least_us() / ways[0].least_us());
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

#include "runtime/doctor/clock_skew.h"

#include "runtime/jobs/job_messages.h"

#include <chrono>
#include <limits>

namespace retinue::runtime {
namespace {

constexpr int kAskTag = static_cast<int>(JobTag::kAskTime);
constexpr int kAnswerTag = static_cast<int>(JobTag::kReportTime);

TensorView view_of(double& value) {
  return {reinterpret_cast<std::byte*>(&value), DType::kU8, Shape{sizeof(double)}};
}

}  // namespace

double WallClock::now_s() const {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<ClockFacts> compare_clocks(Communicator& world, const Clock& wall, int rounds) {
  const Stream stream{Device{}};
  std::vector<ClockFacts> facts;
  double time = 0;
  world.barrier();
  if (world.rank() != 0) {
    for (int round = 0; round < rounds; ++round) {
      world.recv(stream, view_of(time), 0, kAskTag);
      time = wall.now_s();
      world.send(stream, view_of(time), 0, kAnswerTag);
    }
    return facts;
  }
  facts.push_back({});
  for (int rank = 1; rank < world.size(); ++rank) {
    ClockFacts best{.rank = rank, .bound_s = std::numeric_limits<double>::infinity()};
    for (int round = 0; round < rounds; ++round) {
      const double asked = wall.now_s();
      world.send(stream, view_of(time), rank, kAskTag);
      world.recv(stream, view_of(time), rank, kAnswerTag);
      const double answered = wall.now_s();
      const double bound = (answered - asked) / 2;
      if (bound < best.bound_s) best = {rank, time - (asked + answered) / 2, bound};
    }
    facts.push_back(best);
  }
  return facts;
}

}  // namespace retinue::runtime

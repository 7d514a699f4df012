#pragma once

#include "parallel/comm/communicator.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>

namespace retinue::runtime {

/// Runs `work` on rank 0 alone; what it throws, every rank throws. Collective. For reading what one
/// rank reads for all: a fault of the user's must end all ranks alike.
void on_coordinator(Communicator& world, const std::function<void()>& work);

/// Rank 0 to leads: admit nothing more; what is not through in time runs again some day.
struct StopOrder {
  int code = 0;         ///< 4 or 75
  double within_s = 0;  ///< for what is in flight
};

/// Messages between the ranks of a job, on the world. They come in between at any time, so they are
/// looked for and never waited for.
enum class JobTag : int {
  kCounts = 1,
  kStop = 2,
  kEnd = 3,
  kClaim = 4,
  kBatch = 5,
  kState = 6,
  kEvent = 7,
  kFacts = 20,  ///< doctor's, with those of doctor_skew.cpp
  kGo = 21,
  kSweeps = 22,
  kAskTime = 23,
  kReportTime = 24,
};

/// How often ranks tell rank 0 how they stand.
constexpr double kStateEvery_s = 1;

template <class T>
void post(Communicator& world, const T& value, int to, JobTag tag) {
  static_assert(std::is_trivially_copyable_v<T>);
  world.send(Stream{Device{}},
             ConstTensorView(reinterpret_cast<const std::byte*>(&value), DType::kU8,
                             Shape{static_cast<std::int64_t>(sizeof(T))}),
             to, static_cast<int>(tag));
}

/// The oldest message of this kind from `from`, if there is one.
template <class T>
std::optional<T> receive(Communicator& world, int from, JobTag tag) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::int64_t bytes = 0;
  if (!world.probe(from, static_cast<int>(tag), bytes)) return std::nullopt;
  T value{};
  world.recv(Stream{Device{}},
             TensorView(reinterpret_cast<std::byte*>(&value), DType::kU8,
                        Shape{static_cast<std::int64_t>(sizeof(T))}),
             from, static_cast<int>(tag));
  return value;
}

/// Rank 0 tells every other rank that the job is over, with its exit code.
void announce_end(Communicator& world, int exit_code);

/// On all but rank 0: waits for announce_end, however long the others still run.
int await_end(Communicator& world);

}  // namespace retinue::runtime

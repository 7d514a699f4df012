#pragma once
// Tested through tests/runtime/jobs/caption/coordinator_link_test.cpp.

#include "parallel/comm/communicator.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <type_traits>

namespace retinue::runtime {

/// Runs `work` on rank 0 alone; every rank throws the error that it throws. Collective. For input
/// that one rank reads for all: a mistake of the user must end all ranks alike.
void on_coordinator(Communicator& world, const std::function<void()>& work);

/// Rank 0 to leaders: submit nothing more. Items that do not end in time run again with the next
/// run.
struct StopOrder {
  int code = 0;         ///< 4 or 75
  double within_s = 0;  ///< until items in flight are dropped
};

/// Messages between the ranks of a job, on the world. They may arrive at any time: receivers probe
/// for them and never block.
enum class JobTag : int {
  kCounts = 1,
  kStop = 2,
  kEnd = 3,
  kClaim = 4,
  kBatch = 5,
  kState = 6,
  kEvent = 7,
  // `retinue doctor` alone:
  kFacts = 20,
  kGo = 21,
  kSweeps = 22,
  kAskTime = 23,
  kReportTime = 24,
};

/// How often ranks report their state to rank 0.
constexpr double kStateEvery_s = 1;

/// Sends `value` without waiting for a receiver that is slow or stopped.
template <class T>
void post(Communicator& world, const T& value, int to, JobTag tag) {
  static_assert(std::is_trivially_copyable_v<T>);
  world.post(ConstTensorView(reinterpret_cast<const std::byte*>(&value), DType::kU8,
                             Shape{static_cast<std::int64_t>(sizeof(T))}),
             to, static_cast<int>(tag));
}

/// The oldest message with this tag from `from`; nothing where none has arrived.
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

/// Rank 0: reports the end of the job to every other rank, with its exit code.
void announce_end(Communicator& world, int exit_code);

/// Every other rank: waits for announce_end, however long other ranks run.
int await_end(Communicator& world);

}  // namespace retinue::runtime

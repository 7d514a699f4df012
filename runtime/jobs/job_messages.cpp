#include "runtime/jobs/job_messages.h"

#include "parallel/base/check.h"
#include "parallel/base/exit_code.h"

#include <chrono>
#include <exception>
#include <thread>

namespace retinue::runtime {

void on_coordinator(Communicator& world, const std::function<void()>& work) {
  ExitReason reason;
  if (world.rank() == 0) {
    try {
      work();
    } catch (const Error&) {
      reason = exit_reason(std::current_exception());
      if (reason.code == kExitBug) throw;
    }
  }
  broadcast_value(world, reason.code);
  if (reason.code == kExitDone) return;
  broadcast_container(world, reason.message);
  if (reason.code == kExitUsage) throw UsageError(reason.message);
  throw SystemError(reason.message);
}

void announce_end(Communicator& world, int exit_code) {
  // Not posted: this rank leaves next, and what it posted leaves only while it makes calls.
  for (int rank = 1; rank < world.size(); ++rank)
    world.send(Stream{Device{}},
               ConstTensorView(reinterpret_cast<const std::byte*>(&exit_code), DType::kU8,
                               Shape{static_cast<std::int64_t>(sizeof(exit_code))}),
               rank, static_cast<int>(JobTag::kEnd));
}

int await_end(Communicator& world) {
  while (true) {
    if (const auto code = receive<int>(world, 0, JobTag::kEnd)) return *code;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace retinue::runtime

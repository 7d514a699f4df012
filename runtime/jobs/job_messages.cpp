#include "runtime/jobs/job_messages.h"

#include "parallel/base/check.h"

#include <chrono>
#include <string>
#include <thread>

namespace retinue::runtime {

void on_coordinator(Communicator& world, const std::function<void()>& work) {
  int code = 0;
  std::string message;
  if (world.rank() == 0) {
    try {
      work();
    } catch (const UsageError& error) {
      code = 2, message = error.what();
    } catch (const SystemError& error) {
      code = 75, message = error.what();
    }
  }
  broadcast_value(world, code);
  if (code == 0) return;
  broadcast_container(world, message);
  if (code == 2) throw UsageError(message);
  throw SystemError(message);
}

void announce_end(Communicator& world, int exit_code) {
  for (int rank = 1; rank < world.size(); ++rank) post(world, exit_code, rank, JobTag::kEnd);
}

int await_end(Communicator& world) {
  while (true) {
    if (const auto code = receive<int>(world, 0, JobTag::kEnd)) return *code;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace retinue::runtime

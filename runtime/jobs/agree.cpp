#include "runtime/jobs/agree.h"

#include "parallel/base/check.h"

#include <chrono>
#include <cstdint>
#include <thread>

namespace retinue::runtime {

namespace {
TensorView view_of(int& value) {
  return {reinterpret_cast<std::byte*>(&value), DType::kU8, Shape{sizeof value}};
}
}  // namespace

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
  for (int rank = 1; rank < world.size(); ++rank)
    world.send(Stream{Device{}}, view_of(exit_code), rank, static_cast<int>(JobTag::kEnd));
}

int await_end(Communicator& world) {
  int from = 0, code = 0;
  std::int64_t bytes = 0;
  while (!world.probe(from = 0, static_cast<int>(JobTag::kEnd), bytes))
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  world.recv(Stream{Device{}}, view_of(code), 0, static_cast<int>(JobTag::kEnd));
  return code;
}

}  // namespace retinue::runtime

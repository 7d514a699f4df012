// Implements ranks.h over NCCL with the processes of this mpirun, all on one device.
#include "parallel/base/log.h"
#include "parallel/comm/nccl/nccl_communicator.h"
#include "tests/support/device_side.h"
#include "tests/support/launched_world.h"
#include "tests/support/ranks.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>

namespace retinue::test {
namespace {

/// Making a communicator over sockets takes a good part of a second, and tests need many: each test
/// has one. It is freed when the next test needs one, and never at exit, when MPI has ended.
struct Group {
  std::unique_ptr<Communicator> host;
  std::unique_ptr<Communicator> comm;
};

Communicator& group_of_this_test() {
  static const testing::TestInfo* made_for = nullptr;
  static Group& group = *new Group;
  const testing::TestInfo* now = testing::UnitTest::GetInstance()->current_test_info();
  if (made_for == now) return *group.comm;
  World& world = launched_world();
  if (made_for == nullptr) {
    Log log({.rank = world.rank(),
             .place = "",
             .level = LogLevel::kError,
             .directory = "",
             .to_stderr = true});
    share_device_for_tests(world.rank(), log);
  }
  const Device device{DeviceType::kCuda, 0};
  group.comm.reset();
  group.host = world.duplicate("world");
  group.comm = on_device(make_nccl(*group.host, device, Reduce::kOrdered, "world", 60), device);
  made_for = now;
  return *group.comm;
}

}  // namespace

std::vector<RankGroup> rank_groups() { return {{"mpi_nccl_one_device"}}; }

void on_ranks(const RankGroup&, const std::function<void(Communicator&)>& body) {
  try {
    body(group_of_this_test());
  } catch (const std::exception& error) {
    // Other ranks may wait for this one, so later tests would give no valid result.
    std::fprintf(stderr, "rank %d: %s\n", launched_world().rank(), error.what());
    launched_world().abort(1);
  }
}

}  // namespace retinue::test

#include "parallel/comm/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace retinue {
namespace {

TEST(SharedMemory, ItsStateNamesTheRoomAndWhatToDo) {
  EXPECT_THAT(
      shared_memory_state(),
      testing::MatchesRegex("/dev/shm has [0-9.]+ MiB free of [0-9.]+ MiB. .*--shm-size.*"));
}

}  // namespace
}  // namespace retinue

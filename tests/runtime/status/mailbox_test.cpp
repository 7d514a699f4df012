#include "runtime/status/mailbox.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace retinue::runtime {
namespace {

TEST(Mailbox, GivesTheNewestOnceAndLosesNone) {
  Mailbox<int> box;
  EXPECT_EQ(box.take(), nullptr);
  box.put(std::make_unique<int>(1));
  box.put(std::make_unique<int>(2));
  EXPECT_EQ(*box.take(), 2);
  EXPECT_EQ(box.take(), nullptr);
  std::jthread writer([&] {
    for (int i = 1; i <= 100000; ++i) box.put(std::make_unique<int>(i));
  });
  for (int last = 0; last < 100000;)
    if (const auto value = box.take()) {
      ASSERT_GT(*value, last);
      last = *value;
    }
}

}  // namespace
}  // namespace retinue::runtime

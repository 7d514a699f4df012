#include "parallel/device/memory.h"

#include "parallel/base/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace retinue {
namespace {

using testing::HasSubstr;

TEST(Buffer, CountsItsBytesUnderItsTag) {
  MemoryLedger ledger;
  {
    Buffer weights(ledger, {}, 1000, MemoryTag::kWeights);
    Buffer kv(ledger, {}, 500, MemoryTag::kKv);
    EXPECT_EQ(ledger.bytes(MemoryTag::kWeights), 1000);
    EXPECT_EQ(ledger.bytes(MemoryTag::kKv), 500);
    EXPECT_EQ(ledger.bytes(MemoryTag::kScratch), 0);
    EXPECT_EQ(ledger.total_bytes(), 1500);
  }
  EXPECT_EQ(ledger.total_bytes(), 0);
  EXPECT_EQ(ledger.to_string(), "nothing");
}

TEST(Buffer, MovesWithoutCountingTwice) {
  MemoryLedger ledger;
  Buffer a(ledger, {}, 1000, MemoryTag::kFeatures);
  const std::byte* data = a.data();
  Buffer b(std::move(a));
  EXPECT_EQ(b.data(), data);
  EXPECT_EQ(a.data(), nullptr);  // NOLINT: moved from, and empty
  EXPECT_EQ(ledger.total_bytes(), 1000);
  b = Buffer(ledger, {}, 10, MemoryTag::kKv);
  EXPECT_EQ(ledger.bytes(MemoryTag::kFeatures), 0);
  EXPECT_EQ(ledger.total_bytes(), 10);
  b = Buffer();
  EXPECT_EQ(ledger.total_bytes(), 0);
}

TEST(Buffer, IsAligned) {
  MemoryLedger ledger;
  for (const std::size_t size : {1U, 255U, 256U, 4097U, 3U << 20}) {
    Buffer buffer(ledger, {}, size, MemoryTag::kScratch);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % Buffer::kAlignment, 0U) << size;
    EXPECT_EQ(buffer.size_bytes(), size);
    buffer.data()[0] = buffer.data()[size - 1] = std::byte{1};
  }
  Buffer none(ledger, {}, 0, MemoryTag::kScratch);
  EXPECT_EQ(none.data(), nullptr);
}

/// A set-up of five buffers, whose n-th allocation fails for every n: always a SystemError that
/// names the wanted bytes and the bytes in use by tag, and never a leak.
TEST(Buffer, FailsCleanlyAtEveryAllocation) {
  const MemoryTag tags[] = {MemoryTag::kWeights, MemoryTag::kKv, MemoryTag::kActivations,
                            MemoryTag::kScratch, MemoryTag::kStaging};
  for (int n = 1; n <= 6; ++n) {
    MemoryLedger ledger;
    ledger.fail_after(n);
    std::vector<Buffer> held;
    try {
      for (const MemoryTag tag : tags) held.emplace_back(ledger, Device{}, 3 << 20, tag);
      EXPECT_EQ(n, 6) << "nothing failed";
    } catch (const SystemError& error) {
      EXPECT_EQ(held.size(), static_cast<std::size_t>(n - 1));
      EXPECT_THAT(error.what(), HasSubstr("[memory] cpu has no 3.0 MiB left for"));
      EXPECT_THAT(error.what(), HasSubstr(name(tags[n - 1])));
      EXPECT_THAT(error.what(), HasSubstr(n == 1 ? "In use: nothing" : "weights 3.0 MiB"));
    }
    // It fails once: the same allocation then succeeds.
    if (n <= 5) held.emplace_back(ledger, Device{}, 3 << 20, tags[n - 1]);
    held.clear();
    EXPECT_EQ(ledger.total_bytes(), 0);
  }
}

TEST(Buffer, RefusesMoreMemoryThanThereIs) {
  MemoryLedger ledger;
  for (const std::size_t size : {std::size_t{1} << 60, std::numeric_limits<std::size_t>::max()})
    EXPECT_THROW(Buffer(ledger, {}, size, MemoryTag::kKv), SystemError);
  EXPECT_EQ(ledger.total_bytes(), 0);
}

}  // namespace
}  // namespace retinue

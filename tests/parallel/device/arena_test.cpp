#include "parallel/device/arena.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <vector>

namespace retinue {
namespace {

Arena arena_of(MemoryLedger& ledger, std::size_t bytes) {
  return Arena(Buffer(ledger, {}, bytes, MemoryTag::kActivations));
}

TEST(Arena, GivesTheSameAddressesForTheSameCalls) {
  MemoryLedger ledger;
  Arena arena = arena_of(ledger, 4096);
  std::vector<std::byte*> first, second;
  for (const std::size_t size : {10U, 300U, 1U}) first.push_back(arena.allocate(size));
  arena.release(0);
  for (const std::size_t size : {10U, 300U, 1U}) second.push_back(arena.allocate(size));
  EXPECT_EQ(first, second);
}

TEST(Arena, AlignsEveryAllocation) {
  MemoryLedger ledger;
  Arena arena = arena_of(ledger, 4096);
  for (const std::size_t size : {1U, 256U, 257U, 0U, 3U}) {
    const auto address = reinterpret_cast<std::uintptr_t>(arena.allocate(size));
    EXPECT_EQ(address % Arena::kAlignment, 0U) << size;
  }
  EXPECT_EQ(arena.peak_bytes(), 256U + 256U + 512U + 0U + 256U);
}

TEST(Arena, RemembersItsPeakAfterRelease) {
  Arena arena;
  const std::size_t mark = arena.mark();
  arena.allocate(1000);
  arena.release(mark);
  arena.allocate(100);
  EXPECT_EQ(arena.peak_bytes(), 1024U);
  EXPECT_EQ(arena.mark(), 256U);
}

TEST(Arena, RefusesToOutgrowThePlan) {
  MemoryLedger ledger;
  Arena arena = arena_of(ledger, 512);
  arena.allocate(512);
  EXPECT_THROW(arena.allocate(1), BugError);
}

TEST(Arena, RefusesFramesOutOfOrder) {
  Arena arena;
  arena.allocate(100);
  const std::size_t later = arena.mark();
  arena.release(0);
  EXPECT_THROW(arena.release(later), BugError);
}

TEST(Arena, PlansAddressesAsFarApartAsRealOnes) {
  MemoryLedger ledger;
  Arena real = arena_of(ledger, 8192), plan;
  EXPECT_TRUE(plan.planning());
  EXPECT_FALSE(real.planning());
  std::byte* real_base = real.allocate(0);
  std::byte* plan_base = plan.allocate(0);
  for (const std::size_t size : {5U, 700U, 256U, 0U, 1U})
    EXPECT_EQ(real.allocate(size) - real_base, plan.allocate(size) - plan_base);
  EXPECT_EQ(real.peak_bytes(), plan.peak_bytes());
}

}  // namespace
}  // namespace retinue

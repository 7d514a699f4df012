#include "runtime/engine/kv_cache.h"

#include "parallel/base/check.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace retinue::runtime {
namespace {

std::vector<std::int32_t> take(KvCache& cache, int blocks) {
  std::vector<std::int32_t> table;
  for (int i = 0; i < blocks; ++i) EXPECT_TRUE(cache.grow(table));
  return table;
}

TEST(KvCache, BlocksAreHeldOnceAndComeBack) {
  KvCache cache(10, 16);
  auto a = take(cache, 3), b = take(cache, 1);
  std::set<std::int32_t> all(a.begin(), a.end());
  all.insert(b.begin(), b.end());
  EXPECT_EQ(all.size(), 4U);
  EXPECT_EQ(cache.available(), 6);
  EXPECT_EQ(cache.slot(a, 32), a[2] * 16);
  EXPECT_EQ(cache.slot(a, 17), a[1] * 16 + 1);
  EXPECT_THROW((void)cache.slot(a, 48), BugError);
  auto rest = take(cache, 6);
  EXPECT_FALSE(cache.grow(b));
  EXPECT_EQ(b.size(), 1U);
  cache.release(a);
  EXPECT_TRUE(a.empty());
  EXPECT_EQ(cache.available(), 3);
  const std::vector<std::int32_t>* tables[] = {&b, &rest};
  cache.check_accounts(tables);
  EXPECT_THROW(cache.check_accounts({}), BugError);
}

const std::vector<ContentKey> kKeys = {{1, 1}, {2, 1}, {3, 1}};

TEST(KvCache, APublishedBlockIsFoundSharedAndKept) {
  KvCache cache(4, 16);
  auto first = take(cache, 3);
  EXPECT_EQ(cache.match(kKeys), 0);
  for (std::size_t i = 0; i < 3; ++i) cache.publish(first[i], kKeys[i]);
  EXPECT_EQ(cache.match(kKeys), 3);
  EXPECT_EQ(cache.held(kKeys), 3);
  std::vector<std::int32_t> second;
  cache.share(std::span(kKeys).first(2), second);
  EXPECT_EQ(second, std::vector(first.begin(), first.begin() + 2));
  cache.release(first);
  EXPECT_EQ(cache.available(), 2) << "two are held by the other";
  EXPECT_EQ(cache.match(kKeys), 3) << "and the third is kept";
  EXPECT_EQ(cache.held(kKeys), 2);
  const std::vector<std::int32_t>* tables[] = {&second};
  cache.check_accounts(tables);
}

TEST(KvCache, KeptBlocksGiveWayTheEndOfAPromptFirst) {
  KvCache cache(4, 16);
  auto old = take(cache, 3);
  for (std::size_t i = 0; i < 3; ++i) cache.publish(old[i], kKeys[i]);
  cache.release(old);
  auto fresh = take(cache, 2);
  EXPECT_EQ(cache.match(kKeys), 2) << "one block was free, the last of the kept gave way";
  EXPECT_TRUE(cache.grow(fresh));
  EXPECT_EQ(cache.match(kKeys), 1);
}

TEST(KvCache, DiscardedBlocksLoseTheirKeyUnlessOthersHoldThem) {
  KvCache cache(4, 16);
  auto poisoned = take(cache, 3);
  for (std::size_t i = 0; i < 3; ++i) cache.publish(poisoned[i], kKeys[i]);
  std::vector<std::int32_t> other, zeroed;
  cache.share(std::span(kKeys).first(1), other);
  const std::vector<std::int32_t> mine(poisoned.begin() + 1, poisoned.end());
  cache.discard(poisoned, zeroed);
  EXPECT_EQ(zeroed, mine);
  EXPECT_EQ(cache.match(kKeys), 1);
  EXPECT_EQ(cache.available(), 3);
}

}  // namespace
}  // namespace retinue::runtime

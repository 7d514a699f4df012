#include "runtime/formats/parquet/page_cache.h"

#include "parallel/base/rng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace retinue::runtime {
namespace {

struct Weight {
  std::int64_t bytes;
  [[nodiscard]] std::int64_t memory_bytes() const { return bytes; }
};

TEST(KeptValues, KeepsTheNewestAndMakesEachOnceForAllThreads) {
  detail::KeptValues<int, Weight> kept(100);
  std::atomic<int> made = 0;
  const auto get = [&](int key) {
    return kept.get(key, [&]() -> Result<Weight> {
      ++made;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return key < 0 ? Result<Weight>(DataError{"read", "no"}) : Result<Weight>(Weight{40});
    });
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&] { EXPECT_TRUE(get(1).ok()); });
  }
  EXPECT_EQ(made, 1);
  (void)get(2);
  (void)get(1);  // used again: 2 is older now
  (void)get(3);
  EXPECT_EQ(made, 3);
  (void)get(1);
  EXPECT_EQ(made, 3);
  (void)get(2);
  EXPECT_EQ(made, 4);
  EXPECT_FALSE(get(-1).ok());
  EXPECT_FALSE(get(-1).ok()) << "errors are not kept";
  EXPECT_EQ(made, 6);
}

TEST(KeptValues, ACacheOfOneValueServesManyThreadsThatWantOthers) {
  struct Number {
    std::int64_t value;
    [[nodiscard]] static std::int64_t memory_bytes() { return 1; }
  };
  detail::KeptValues<std::int64_t, Number> cache(1);
  std::atomic<int> wrong = 0;
  std::vector<std::jthread> threads;
  for (std::uint64_t thread = 0; thread < 8; ++thread)
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 20'000; ++i) {
        const auto key = static_cast<std::int64_t>(random_bits(thread, i) % 3);
        const auto made = cache.get(key, [&]() -> Result<Number> {
          if (i % 5 == 0) return DataError{"read", "this time it cannot be made"};
          return Number{key};
        });
        if (made.ok() && (*made)->value != key) ++wrong;
      }
    });
  threads.clear();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace retinue::runtime

// Requests without end: random lengths, cancels, numbers that are not finite, requests sent back.
// Each ends once and as it should, memory stays as it is, and nothing is held when all have ended.
//   RETINUE_SOAK_REQUESTS=20000   how many; 3000 where it is not set
#include "tests/support/engine_runs.h"
#include "tests/support/engine_tasks.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>

namespace retinue::runtime {
namespace {

constexpr std::int32_t kBadId = 499;
constexpr std::uint8_t kBadByte = 255;
constexpr std::uint64_t kSeed = 11;
constexpr std::int64_t kInFlight = 40;
constexpr test::TaskShape kShape{.prefix_tokens = 70,
                                 .prefixes = 3,
                                 .text_tokens = 40,
                                 .images = 2,
                                 .distinct_images = 24,
                                 .image_side = 6,
                                 .new_tokens = 24};

std::int64_t resident_kib() {
  std::ifstream file("/proc/self/statm");
  std::int64_t resident_pages = 0;
  file >> resident_pages >> resident_pages;
  return resident_pages * 4;
}

/// What a request is meant to come to, unless it is cancelled.
enum class Fate : std::uint8_t { kFine, kBadText, kBadPixels, kBroken };

Fate fate_of(std::uint64_t number) {
  test::Random random(number * 31 + 7);
  if (random.one_in(50)) return Fate::kBadText;
  if (random.one_in(50)) return Fate::kBadPixels;
  return random.one_in(100) ? Fate::kBroken : Fate::kFine;
}

/// Requests by number, and the pixels behind their items' keys: a function of the key, so that
/// nothing is kept for requests that are gone.
class Tasks {
 public:
  explicit Tasks(const layers::ModelConfig& config) : config_(config) {
    for (std::int64_t which = 0; which < kShape.distinct_images; ++which)
      images_.push_back(test::random_image(config, kSeed, which, kShape));
    const std::int64_t merge = config.vision.spatial_merge_size;
    bad_.grid_thw = {1, merge, merge};
    bad_.pixels.assign(
        static_cast<std::size_t>(bad_.grid_thw.patches() * config.vision.patch_width()), kBadByte);
  }

  [[nodiscard]] Request request(std::uint64_t number) const {
    test::EngineTask task =
        test::random_task(config_, kSeed, static_cast<std::int64_t>(number), kShape);
    const Fate fate = fate_of(number);
    Request& request = task.request;
    request.id = number;
    // One in four is chosen from its largest logits alone.
    if (number % 4 == 0) request.hash_logits = false, request.sampling = {};
    if (fate == Fate::kBadText) request.ids.push_back(kBadId);
    for (std::size_t k = 0; k < request.images.size(); ++k) {
      const auto found = std::ranges::find(images_, task.pixels[k].pixels,
                                           [](const layers::Patches& p) { return p.pixels; });
      request.images[k].key = key(number, k, found - images_.begin());
    }
    if (fate == Fate::kBadPixels || fate == Fate::kBroken) {
      for (const std::int64_t id :
           {config_.vision_start_token_id, config_.image_token_id, config_.vision_end_token_id})
        request.ids.push_back(static_cast<std::int32_t>(id));
      request.images.push_back({.key = key(number, request.images.size(),
                                           fate == Fate::kBroken ? kBrokenImage : kBadImage),
                                .grid = bad_.grid_thw,
                                .content = {number, 99}});
    }
    return request;
  }
  [[nodiscard]] Result<layers::Patches> pixels(std::uint64_t key) const {
    const auto which = static_cast<std::int64_t>(key % 100);
    if (which == kBrokenImage) return DataError{"image", "cut short"};
    return which == kBadImage ? bad_ : images_.at(static_cast<std::size_t>(which));
  }

 private:
  static constexpr std::int64_t kBadImage = 98, kBrokenImage = 99;
  static std::uint64_t key(std::uint64_t number, std::size_t item, std::int64_t image) {
    return (number * 10 + item) * 100 + static_cast<std::uint64_t>(image);
  }

  layers::ModelConfig config_;
  std::vector<layers::Patches> images_;
  layers::Patches bad_;
};

class LatePixels final : public PixelSource {
 public:
  explicit LatePixels(const Tasks& tasks) : tasks_(tasks) {}
  void prefetch(std::uint64_t key) override { left_[key] = static_cast<int>(key / 100 % 5); }
  std::optional<Result<layers::Patches>> take(std::uint64_t key) override {
    if (left_.at(key)-- > 0) return std::nullopt;
    left_.erase(key);
    return tasks_.pixels(key);
  }

 private:
  const Tasks& tasks_;
  std::map<std::uint64_t, int> left_;
};

TEST(Soak, EveryRequestEndsOnceAndMemoryStays) {
  const char* const asked = std::getenv("RETINUE_SOAK_REQUESTS");
  const std::uint64_t count = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 3000;
  ASSERT_GE(count, 1000U) << "RETINUE_SOAK_REQUESTS is too small to measure anything";
  test::EngineModel model = test::poisoned(test::captioner_engine_model(), {kBadId},
                                           std::numeric_limits<float>::quiet_NaN());
  for (int i = 0; i < 768; ++i)
    model.pixel_values.push_back(i % 256 == kBadByte
                                     ? std::numeric_limits<float>::infinity()
                                     : (static_cast<float>(i % 256) - 127.5F) / 127.5F);
  EngineSizing most = test::sizing_for(kShape);
  most.max_batch_tokens = 128, most.max_sequences = 12, most.kv_block_tokens = 16;
  most.max_text_tokens += 10, most.max_items = 3;
  test::EngineRanks ranks(model, 2, most);
  EngineLimits limits = ranks.limits();
  limits.kv_blocks /= 3;

  const Tasks tasks(model.config);
  test::Random random(kSeed);
  std::vector<std::uint8_t> ended(count, 0);
  std::map<std::string, std::int64_t> ends;
  std::vector<std::int64_t> resident;  // KiB, 50 times
  std::uint64_t submitted = 0, done = 0, wrong = 0, empty_steps = 0;
  const auto leader = [&](Engine& engine) {
    while (submitted < count && engine.live() < kInFlight && !random.one_in(4)) {
      const auto refused = engine.submit(tasks.request(submitted++));
      ASSERT_FALSE(refused) << refused->message;
    }
    if (random.in(1, 400) == 1) engine.cancel();
    if (random.in(1, 20) == 1 && submitted > 0)
      static_cast<void>(engine.cancel(
          submitted - 1 - static_cast<std::uint64_t>(random.in(0, kInFlight)) % submitted));
    // One more plan without a request, so that check_accounts sees anything that is still held.
    if (submitted == count && engine.live() == 0 && ++empty_steps > 1) engine.drain();
    for (const Completion& completion : engine.poll()) {
      ASSERT_EQ(ended.at(completion.id)++, 0) << "request " << completion.id << " ends twice";
      ++done;
      const std::string stage = completion.error ? completion.error->stage : "fine";
      ++ends[stage];
      const Fate fate = fate_of(completion.id);
      const std::string wanted = fate == Fate::kFine     ? "fine"
                                 : fate == Fate::kBroken ? "image"
                                                         : "decode";
      if (stage != "cancelled" && stage != wanted) ++wrong;
      if (stage == "fine" && completion.ids.empty()) ++wrong;
      if (done % std::max<std::uint64_t>(1, count / 50) == 0) resident.push_back(resident_kib());
    }
  };
  const EngineOptions options{.longest_first = true, .preempt_every = 37, .check_accounts = true};
  const SteadyClock clock;
  const double begin = clock.now_s();
  const auto stats = ranks.drive(
      limits, options, [&](int) { return std::make_unique<LatePixels>(tasks); }, leader);
  const double seconds = clock.now_s() - begin;

  EXPECT_EQ(done, count);
  EXPECT_EQ(std::ranges::count(ended, 1), static_cast<std::int64_t>(count));
  EXPECT_EQ(wrong, 0U);
  for (const char* kind : {"fine", "cancelled", "decode", "image"})
    EXPECT_GT(ends[kind], 0) << kind;
  EXPECT_GT(stats[0].scheduler.preempted, 0);
  EXPECT_GT(stats[0].scheduler.reused_tokens, 0);

  // Least squares over the second half: what caches and allocators take at first is no leak.
  const std::size_t first = resident.size() / 2;
  const auto points = static_cast<double>(resident.size() - first);
  double mean_x = 0, mean_y = 0, xy = 0, xx = 0;
  for (std::size_t i = first; i < resident.size(); ++i)
    mean_x += static_cast<double>(i) / points, mean_y += static_cast<double>(resident[i]) / points;
  for (std::size_t i = first; i < resident.size(); ++i) {
    const double x = static_cast<double>(i) - mean_x;
    xx += x * x, xy += x * (static_cast<double>(resident[i]) - mean_y);
  }
  const double per_thousand = xy / xx * 50 * 1000 / static_cast<double>(count);
  fmt::print(
      "{} requests in {:.0f} s: {} fine, {} cancelled, {} not finite, {} broken; {} sent back, "
      "{} tokens reused; {:.1f} MiB resident, {:+.1f} KiB per 1000 requests\n",
      count, seconds, ends["fine"], ends["cancelled"], ends["decode"], ends["image"],
      stats[0].scheduler.preempted, stats[0].scheduler.reused_tokens, mean_y / 1024, per_thousand);
  // A leak of one list of tokens per request would be about as large. Few requests show less.
  EXPECT_LT(per_thousand, count >= 20000 ? 64 : 2048);
}

}  // namespace
}  // namespace retinue::runtime
